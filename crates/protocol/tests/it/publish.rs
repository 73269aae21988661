use foretell_protocol::InputSchema::{Any, CloudEvents, Custom, EventGrid};
use foretell_protocol::{InputMapping, InputSchema};
use foretell_types::limits::{PUBLISH_BODY_BYTES, PUBLISH_EVENTS};
use foretell_types::{Data, Error, ErrorKind, NewEvent};
use http::{HeaderMap, HeaderValue};
use serde_json::json;

use crate::capture::{NOW, headers, read};

const JSON: &str = "application/json";
const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";
const SINGLE: &str = "application/cloudevents+json";
const GRID: &str = r#"[{"id":"1","subject":"s","eventType":"t","eventTime":"2024-01-01T00:00:00Z","data":1,"dataVersion":""}]"#;
const CLOUD: &str = r#"{"id":"1","source":"/s","type":"t","specversion":"1.0"}"#;

fn send(content_type: &str, body: &str, schema: InputSchema) -> Result<Vec<NewEvent>, Error> {
    let headers = if content_type.is_empty() {
        HeaderMap::new()
    } else {
        headers([("content-type", content_type)])
    };
    read(&headers, body.as_bytes(), schema, None)
}

#[test]
fn content_type_and_shape_tell_them_apart() {
    let batch = format!("[{CLOUD},{CLOUD}]");
    for (content_type, body, schema, count) in [
        (JSON, GRID, Any, 1),
        ("", GRID, Any, 1),
        ("application/x-www-form-urlencoded", GRID, Any, 1),
        ("Application/JSON; Charset=\"UTF-8\"", GRID, EventGrid, 1),
        (BATCH, GRID, EventGrid, 1),
        (JSON, CLOUD, Any, 1),
        (JSON, &batch, Any, 2),
        (JSON, &batch, CloudEvents, 2),
        (BATCH, &batch, CloudEvents, 2),
        (SINGLE, CLOUD, CloudEvents, 1),
        (JSON, "\u{feff}[]", Any, 0),
        (JSON, "[]", Any, 0),
        (JSON, " [ ] ", EventGrid, 0),
        (JSON, "[]", CloudEvents, 0),
        (BATCH, "[]", CloudEvents, 0),
        (JSON, "[]", Custom, 0),
        (JSON, "{\"a\":1}", Custom, 1),
    ] {
        let events = send(content_type, body, schema);
        assert_eq!(
            events.map(|events| events.len()).ok(),
            Some(count),
            "{content_type} {body}"
        );
    }
}

#[test]
fn refusals() {
    let batch = format!("[{CLOUD}]");
    let deep = format!("[{}{}]", "[".repeat(5000), "]".repeat(5000));
    let nested = GRID.replace("\"data\":1", &format!("\"data\":{deep}"));
    let second = GRID.replace("}]", "},{\"id\":\"2\",\"my\":1}]");
    for (content_type, body, schema, expected) in [
        (
            JSON,
            batch.as_str(),
            EventGrid,
            "This resource is configured for 'EventGridEvent' schema. Received unexpected property 'source' in JSON which does not conform to the expected schema.",
        ),
        (
            JSON,
            second.as_str(),
            EventGrid,
            "Received unexpected property 'my' in JSON which does not conform to the expected schema. See event 1 of the array.",
        ),
        (
            JSON,
            GRID,
            CloudEvents,
            "This resource is configured to receive event in 'CloudEventV10' schema. The JSON received does not conform to the expected schema. Token Expected: StartObject, \nActual Token Received: StartArray.",
        ),
        (
            SINGLE,
            &batch,
            CloudEvents,
            "Token Expected: StartObject, \nActual Token Received: StartArray.",
        ),
        (
            BATCH,
            CLOUD,
            Any,
            "Token Expected: StartArray, \nActual Token Received: StartObject.",
        ),
        (
            BATCH,
            GRID,
            CloudEvents,
            "'CloudEventV10' schema. The JSON received does not conform to the expected schema. event 0 of the array",
        ),
        (
            JSON,
            "{\"id\":\"1\"}",
            EventGrid,
            "Token Expected: StartArray, \nActual Token Received: StartObject.",
        ),
        (BATCH, &batch, Custom, "'CustomInputEvent' schema"),
        (JSON, "", Any, "the body is empty"),
        (JSON, "[{", Any, "malformed JSON"),
        (
            JSON,
            "[{\"id\":\"1\"},]",
            Any,
            "event 0 of the array: required property",
        ),
        (
            JSON,
            "[1]",
            Any,
            "event 0 of the array: invalid type: integer `1`, expected an Event Grid event",
        ),
        (JSON, "[\"x\"]", Any, "an array of strings"),
        (JSON, "7", Any, "Actual Token Received: Other."),
        (
            JSON,
            "[{}]",
            Any,
            "required property 'eventTime' is missing",
        ),
        (
            JSON,
            "[{\"specversion\":\"1.0\"}]",
            Any,
            "event 0 of the array: required property 'id' is missing",
        ),
        (JSON, &nested, Any, "nests deeper"),
        (
            JSON,
            "[1]",
            Custom,
            "event 0 of the array: the event is not a JSON object",
        ),
        (JSON, "[", Custom, "malformed JSON"),
        (
            JSON,
            "[{\"id\":{}}]",
            Custom,
            "property 'id' is an object or an array",
        ),
        (
            JSON,
            "[{\"time\":7}]",
            Custom,
            "property 'eventTime': \"7\" is not a time",
        ),
        (
            "application/cloudevents+avro",
            "",
            Any,
            "\"application/cloudevents+avro\" is not supported",
        ),
        (
            "application/xml",
            "<a/>",
            Any,
            "content type \"application/xml\" is not one of events",
        ),
        (
            "application/json; charset=utf-16",
            GRID,
            Any,
            "charset \"utf-16\" is not supported",
        ),
    ] {
        let error = send(content_type, body, schema).expect_err(body);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(
            error.message().contains(expected),
            "{error}\nexpected: {expected}"
        );
    }
}

#[test]
fn what_is_not_utf8_is_named() {
    let mut body = GRID.as_bytes().to_vec();
    body[8] = 0xff;
    for (schema, content_type) in [(Any, JSON), (CloudEvents, BATCH), (Custom, JSON)] {
        let sent = headers([("content-type", content_type)]);
        let error = read(&sent, &body, schema, None).unwrap_err();
        assert_eq!(error.message(), "the body is not UTF-8: wrong at byte 8");
    }
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let deep = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    let cloud = |name: &str| CLOUD.replace("}", &format!(",\"{name}\":{deep}}}"));
    for (content_type, body, schema) in [
        (
            JSON,
            GRID.replace("\"data\":1", &format!("\"data\":{deep}")),
            Any,
        ),
        (
            JSON,
            GRID.replace("\"id\":\"1\"", &format!("\"id\":{deep}")),
            Any,
        ),
        (
            JSON,
            GRID.replace("\"id\"", &format!("\"x\":{deep},\"id\"")),
            Any,
        ),
        (SINGLE, cloud("data"), Any),
        (SINGLE, cloud("ext"), Any),
        (BATCH, deep.clone(), Any),
        (JSON, deep.clone(), Custom),
        (JSON, format!("[{{\"a\":{deep}}}]"), Custom),
    ] {
        let error = send(content_type, &body, schema).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().len() < 400, "{error}");
    }
    let error = read(&binary(&[]), deep.as_bytes(), Any, None).unwrap_err();
    assert!(error.message().contains("nests deeper"), "{error}");
}

#[test]
fn limits() {
    let large = " ".repeat(PUBLISH_BODY_BYTES + 1);
    let error = send(JSON, &large, Any).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error.message().contains("1048577 bytes: at most 1048576"),
        "{error}"
    );
    let many = format!("[{}{CLOUD}]", format!("{CLOUD},").repeat(PUBLISH_EVENTS));
    let error = send(BATCH, &many, Any).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error.message().contains("5001 events: at most 5000"),
        "{error}"
    );
    let body = vec![b'x'; PUBLISH_BODY_BYTES];
    let error = read(&binary(&[]), &body, Any, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

fn binary(more: &[(&str, &str)]) -> HeaderMap {
    let base = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "t"),
    ];
    headers(base.into_iter().chain(more.iter().copied()))
}

#[test]
fn binary_mode_data() {
    let json = Data::json(r#"{"a":1}"#);
    for (content_type, body, data) in [
        ("", &b"{ \"a\": 1 }"[..], json.clone()),
        ("", b"not json", Data::Binary(b"not json".to_vec())),
        ("", b"", Data::None),
        ("application/json", b"", Data::None),
        ("application/vnd.a+json; charset=UTF-8", b"{\"a\":1}", json),
        ("text/plain", "ü".as_bytes(), Data::Text("ü".to_owned())),
        ("text/plain", b"\xfc", Data::Binary(vec![0xfc])),
        (
            "text/plain; charset=iso-8859-1",
            b"a",
            Data::Binary(vec![b'a']),
        ),
        (
            "application/octet-stream",
            b"{}",
            Data::Binary(b"{}".to_vec()),
        ),
    ] {
        let mut sent = binary(&[]);
        if !content_type.is_empty() {
            sent.insert("content-type", HeaderValue::from_str(content_type).unwrap());
        }
        for schema in [Any, CloudEvents] {
            let event = &read(&sent, body, schema, None).unwrap()[0];
            assert_eq!(event.data, data, "{content_type}");
            let kept = event.datacontenttype.as_deref();
            assert_eq!(kept, Some(content_type).filter(|text| !text.is_empty()));
        }
    }
}

#[test]
fn binary_mode_attributes() {
    for (value, subject) in [
        ("a%20b/%C3%BC", "a b/ü"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("a b/ü", "a b/ü"),
        ("\"q \\\"x\\\"\"", "q \"x\""),
        ("100%", "100%"),
        ("%2525", "%25"),
    ] {
        let event = &read(&binary(&[("ce-subject", value)]), b"", Any, None).unwrap()[0];
        assert_eq!(event.subject.as_deref(), Some(subject));
    }
    // Python's http.client sends Latin-1.
    let mut sent = binary(&[]);
    sent.insert("ce-subject", HeaderValue::from_bytes(b"a b/\xfc").unwrap());
    let event = &read(&sent, b"", Any, None).unwrap()[0];
    assert_eq!(event.subject.as_deref(), Some("a b/ü"));
}

#[test]
fn binary_mode_refusals() {
    for (more, schema, expected) in [
        (
            ("ce-time", "yesterday"),
            Any,
            "header 'ce-time': \"yesterday\" is not a time",
        ),
        (("ce-id", "2"), Any, "header 'ce-id' is there twice"),
        (
            ("ce-position", "2"),
            Any,
            "header 'ce-position' is reserved",
        ),
        (
            ("ce-knowntime", "2024-01-01T00:00:00Z"),
            Any,
            "'ce-knowntime' is reserved",
        ),
        (("ce-datacontenttype", "a/b"), Any, "Content-Type says it"),
        (
            ("ce-a_b", "2"),
            Any,
            "\"a_b\" is not the name of a CloudEvents attribute",
        ),
        (
            ("ce-subject", "%ff"),
            Any,
            "header 'ce-subject' holds percent-encoded bytes",
        ),
        (("ce-subject", ""), Any, "subject is empty"),
        (
            ("content-type", "application/json"),
            Any,
            "the body is not JSON",
        ),
        (
            ("content-type", "application/json; charset=latin1"),
            Any,
            "charset \"latin1\"",
        ),
        (
            ("x", "y"),
            EventGrid,
            "'EventGridEvent' schema. Received a CloudEvent",
        ),
        (("x", "y"), Custom, "'CustomInputEvent' schema"),
    ] {
        let error = read(&binary(&[more]), b"x", schema, None).expect_err(expected);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(expected), "{error}");
    }
    for name in ["ce-id", "ce-source", "ce-type", "ce-specversion"] {
        let mut sent = binary(&[]);
        sent.remove(name);
        let error = read(&sent, b"", Any, None).unwrap_err();
        assert!(
            error.message().contains(&format!("'{name}' is missing")),
            "{error}"
        );
    }
    let sent = headers([("ce-specversion", "0.3"), ("ce-id", "1")]);
    let error = read(&sent, b"", Any, None).unwrap_err();
    assert!(error.message().contains("\"0.3\": expected 1.0"), "{error}");
}

#[test]
fn mapped_custom_events() {
    let text = json!({"inputSchemaMappingType": "Json", "properties": {
        "id": {"sourceField": "meta.key"},
        "eventTime": {"sourceField": "at"},
        "topic": {"sourceField": "from"},
        "subject": {"sourceField": "who", "defaultValue": "nobody"},
        "eventType": {"sourceField": "meta.kind"},
        "dataVersion": {"defaultValue": "2"}}});
    let mapping = InputMapping::from_json(&text).unwrap();
    assert_eq!(mapping.to_json(), text);
    let send = |body: &str| read(&HeaderMap::new(), body.as_bytes(), Custom, Some(&mapping));

    let body = r#"[{"meta": {"key": 7, "kind": "K"}, "at": "2024-01-01T00:00:00", "who": "ü", "from": "/f"},
                   {"meta":{"kind":"\u004b"},"who":null}]"#;
    let events = send(body).unwrap();
    assert_eq!(
        (events[0].id.as_str(), events[0].source.as_str()),
        ("7", "/f")
    );
    assert_eq!(events[0].time.unwrap().to_string(), "2024-01-01T00:00:00Z");
    assert!(!events[0].time_filled);
    assert_eq!(events[0].subject.as_deref(), Some("ü"));
    assert_eq!(events[1].id, "generated-1");
    assert_eq!(
        (events[1].time.unwrap().instant(), events[1].time_filled),
        (NOW, true)
    );
    assert_eq!(
        (events[1].subject.as_deref(), events[1].event_type.as_str()),
        (Some("nobody"), "K")
    );
    assert_eq!(events[1].extension_str("dataversion"), Some("2"));
    assert_eq!(
        events[1].data,
        Data::json(r#"{"meta":{"kind":"\u004b"},"who":null}"#)
    );

    let error = send("[{\"meta\":7}]").unwrap_err();
    assert_eq!(
        error.message(),
        "event 0 of the array: property 'meta.kind', from which the topic's mapping takes eventType, is missing and there is no default"
    );
    let none = InputMapping::default();
    let error = read(&HeaderMap::new(), b"[{}]", Custom, Some(&none)).unwrap_err();
    assert!(
        error
            .message()
            .contains("neither a source nor a default for subject"),
        "{error}"
    );
}

#[test]
fn wrong_mappings() {
    for (text, expected) in [
        (
            json!(7),
            "inputSchemaMapping must be an object, not a number",
        ),
        (
            json!({"properties": {}}),
            "inputSchemaMappingType is \"\": expected \"Json\"",
        ),
        (
            json!({"inputSchemaMappingType": "Json", "properties": {"x": {}}}),
            "inputSchemaMapping.properties.x is not known",
        ),
        (
            json!({"inputSchemaMappingType": "Json", "properties": {"id": {"defaultValue": "1"}}}),
            "properties.id.defaultValue is not known",
        ),
        (
            json!({"inputSchemaMappingType": "Json", "properties": {"subject": {"sourceField": "a..b"}}}),
            "properties.subject.sourceField is \"a..b\"",
        ),
        (
            json!({"inputSchemaMappingType": "Json", "properties": {"subject": {"sourceField": 1}}}),
            "properties.subject.sourceField must be a string, not a number",
        ),
    ] {
        let error = InputMapping::from_json(&text).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
    }
}
