//! The JSON forms: what the real clients send reads back equal, and any event survives a round trip.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use foretell_types::cloudevents::{self, Reserved};
use foretell_types::{Data, ErrorKind, ExtensionValue, NewEvent, Timestamp, eventgrid, validate};
use proptest::prelude::*;

const TOPIC: &str = "/subscriptions/0/resourceGroups/g/providers/Microsoft.EventGrid/topics/shop";

#[test]
fn event_grid_as_the_python_client_sends_it() {
    let body = r#"[{"id": "1", "subject": "/s/1", "data": {"a": 1, "n": null, "s": "\u00fc"}, "eventType": "T.Created", "eventTime": "2024-01-02T03:04:05.678901Z", "dataVersion": "1.0"}]"#;
    let events = eventgrid::batch_from_json(body.as_bytes(), TOPIC).unwrap();
    assert_eq!(
        eventgrid::to_json(&events[0], None),
        format!(
            r#"{{"id":"1","topic":"{TOPIC}","subject":"/s/1","eventType":"T.Created","eventTime":"2024-01-02T03:04:05.678901Z","data":{{"a":1,"n":null,"s":"\u00fc"}},"dataVersion":"1.0","metadataVersion":"1"}}"#
        )
    );
}

#[test]
fn cloud_events_as_the_python_client_sends_them() {
    let body = r#"[{"id": "1", "source": "/src", "data_base64": "AAE=", "type": "t.created", "time": "2024-01-02T03:04:05.678901Z", "specversion": "1.0"}, {"id": "2", "source": "/src", "type": "t.created", "specversion": "1.0"}, {"id": "3", "source": "/src", "data": "text", "type": "t.created", "specversion": "1.0", "datacontenttype": "text/plain"}, {"id": "4", "source": "/src", "data": "text", "type": "t", "specversion": "1.0", "ext1": "v", "n": 7, "b": true, "gone": null}]"#;
    let events = cloudevents::batch_from_json(body.as_bytes(), Reserved::Refuse).unwrap();
    assert_eq!(events[0].data, Data::Binary(vec![0, 1]));
    assert_eq!(events[1].data, Data::None);
    assert_eq!(events[2].data, Data::Text("text".into()));
    assert_eq!(events[3].data, Data::Json("\"text\"".into()));
    assert_eq!(events[3].extension("n"), Some(&ExtensionValue::Integer(7)));
    assert_eq!(events[3].extension("gone"), None);
}

fn refused(body: &str, wanted: &str) {
    let cloud = cloudevents::batch_from_json(body.as_bytes(), Reserved::Refuse);
    let grid = eventgrid::batch_from_json(body.as_bytes(), TOPIC);
    let messages = [cloud, grid].map(|read| read.unwrap_err().message().to_owned());
    assert!(
        messages.iter().any(|m| m.contains(wanted)),
        "{wanted:?} not in {messages:?}"
    );
}

#[test]
fn bad_input_is_named() {
    refused("", "malformed JSON");
    refused("{", "array");
    refused("[{]", "malformed JSON");
    refused("[1]", "event 0 of the array");
    refused(r#"[] x"#, "malformed JSON");
    refused(r#"[{"id":1}]"#, "'id' must be a string, not a number");
    refused(
        r#"[{"id":"1","source":"a"}]"#,
        "unexpected property 'source'",
    );
    refused(
        r#"[{"id":"1","subject":"s","eventType":"","eventTime":"2024-01-01T00:00:00Z"}]"#,
        "'eventType' is empty",
    );
    refused(
        r#"[{"id":"1","subject":"s","eventType":"t"}]"#,
        "'eventTime' is missing",
    );
    refused(
        r#"[{"id":"1","subject":"s","eventType":"t","eventTime":"noon"}]"#,
        "\"noon\" is not a time",
    );
    refused(
        r#"[{"specversion":"1.0","id":"1","source":"/s","type":"t"},{"specversion":"0.3","id":"1","source":"/s","type":"t"}]"#,
        "event 1 of the array",
    );
    let cloud = |rest: &str| {
        format!(r#"[{{"specversion":"1.0","id":"1","source":"/s","type":"t",{rest}}}]"#)
    };
    refused(&cloud(r#""position":5"#), "'position' is reserved");
    refused(
        &cloud(r#""knowntime":"2024-01-01T00:00:00Z""#),
        "'knowntime' is reserved",
    );
    refused(&cloud(r#""Upper":"x""#), "\"Upper\" is not the name");
    refused(&cloud(r#""x":1.5"#), "not a number with a fraction");
    refused(&cloud(r#""x":{"y":1}"#), "not an object");
    refused(&cloud(r#""id":"2""#), "'id' is there twice");
    refused(&cloud(r#""x":"1","x":"2""#), "\"x\" is there twice");
    refused(&cloud(r#""data":1,"data_base64":"AA==""#), "both there");
    refused(&cloud(r#""data_base64":"%""#), "not base64");
    refused(&cloud(r#""tags":"a  b""#), "empty tag");
    refused(&cloud(r#""tags":"a a""#), "twice");
    refused(&cloud(r#""subject":"a\u0007b""#), "control character");
    refused(
        &cloud(&format!(r#""data":{}{}"#, "[".repeat(120), "]".repeat(120))),
        "nests deeper",
    );
    let long = "x".repeat(5000);
    let error = cloudevents::batch_from_json(
        cloud(&format!(r#""subject":"{long}""#)).as_bytes(),
        Reserved::Refuse,
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(cloudevents::from_json(b"\xff\xfe").is_err());
    assert!(cloudevents::from_json("[".repeat(100_000).as_bytes()).is_err());
}

fn text() -> impl Strategy<Value = String> {
    "[^\\x00-\\x1f\\x7f]{1,12}"
}

prop_compose! {
    fn event()(
        id in text(), source in "[a-z/:.%0-9]{1,12}", event_type in text(),
        subject in prop::option::of(text()),
        time in prop::option::of((0i64..4_000_000_000, 0u32..1_000_000_000, -1400i16..1400)),
        schema in prop::option::of("[a-z:/]{1,10}"),
        extensions in prop::collection::btree_map("x[a-z0-9]{0,8}", prop_oneof![
            any::<bool>().prop_map(ExtensionValue::Boolean),
            any::<i32>().prop_map(ExtensionValue::Integer),
            "[^\\x00-\\x1f\\x7f]{0,12}".prop_map(ExtensionValue::String),
        ], 0..4),
        (datacontenttype, data) in prop_oneof![
            Just((None, Data::None)),
            any::<i64>().prop_map(|n| (None, Data::Json(format!("{{\"n\":{n}}}")))),
            "\\PC*".prop_map(|s| (Some("text/plain".to_owned()), Data::Text(s))),
            prop::collection::vec(any::<u8>(), 0..64).prop_map(|b| (Some("image/png".to_owned()), Data::Binary(b))),
        ],
    ) -> NewEvent {
        NewEvent {
            id, source, event_type, subject,
            time: time.map(|(s, n, o)| Timestamp::from_raw((s, n, o, 1 << 4 | 9)).unwrap()),
            datacontenttype, dataschema: schema,
            extensions: extensions.into_iter().collect(), data, time_filled: false,
        }
    }
}

proptest! {
    #[test]
    fn cloud_events_round_trip(event in event()) {
        validate(&event).unwrap();
        let json = cloudevents::to_json(&event);
        prop_assert!(!json.contains('\n'));
        prop_assert_eq!(cloudevents::from_json(json.as_bytes()).unwrap(), event.clone());
        let batch = format!("[{json},{json}]");
        let read = cloudevents::batch_from_json(batch.as_bytes(), Reserved::Refuse).unwrap();
        prop_assert_eq!(read, vec![event.clone(), event]);
    }

    #[test]
    fn event_grid_round_trip(mut event in event(), version in "[0-9.]{0,4}") {
        event.source = TOPIC.to_owned();
        event.subject.get_or_insert("s".to_owned());
        event.time.get_or_insert("2024-01-01T00:00:00Z".parse().unwrap());
        (event.datacontenttype, event.dataschema) = (None, None);
        event.extensions = vec![("dataversion".into(), ExtensionValue::String(version))];
        event.data = Data::Json("{\"a\":1.50}".into());
        let json = format!("[{}]", eventgrid::to_json(&event, None));
        prop_assert_eq!(eventgrid::batch_from_json(json.as_bytes(), TOPIC).unwrap(), vec![event]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = cloudevents::from_json(&bytes);
        let _ = eventgrid::batch_from_json(&bytes, TOPIC);
    }
}

/// What the fuzz target begins with: each of them is an event in one of the forms.
#[test]
fn the_seeds_of_fuzzing_are_events() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/event_json");
    for entry in std::fs::read_dir(seeds).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        match cloudevents::from_json(&bytes) {
            Ok(event) => {
                let text = cloudevents::to_json(&event);
                assert_eq!(cloudevents::from_json(text.as_bytes()).unwrap(), event);
            }
            Err(_) => assert_eq!(
                eventgrid::batch_from_json(&bytes, "/topics/shop")
                    .unwrap()
                    .len(),
                1
            ),
        }
    }
}
