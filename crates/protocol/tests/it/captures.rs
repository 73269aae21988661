use foretell_protocol::InputSchema::{self, Any, CloudEvents, Custom, EventGrid};
use foretell_types::{Data, ErrorKind, NewEvent};

use crate::capture::{TOPIC, all, titled};

fn one(title: &str, schema: InputSchema) -> NewEvent {
    let mut events = titled(title).read(schema).unwrap();
    assert_eq!(events.len(), 1, "{title}");
    events.remove(0)
}

#[test]
fn the_fixtures_are_all_read() {
    let requests = all();
    assert_eq!(requests.len(), 43);
    let failed: Vec<&str> = requests
        .iter()
        .filter(|request| !request.path.contains("/eventsubscriptions/"))
        .filter(|request| request.read(Any).is_err())
        .map(|request| request.title.as_str())
        .collect();
    // The Python text of an event, and two custom schemas.
    assert_eq!(
        failed,
        [
            "azure-eventgrid with CNCF CloudEvent (cloudevents 2.2.0)",
            "js Custom",
            "py publisher custom schema dict",
        ]
    );
}

#[test]
fn python_event_grid_events() {
    for schema in [Any, EventGrid] {
        let event = one("py publisher key EventGridEvent single", schema);
        assert_eq!((event.id.as_str(), event.source.as_str()), ("1", TOPIC));
        assert_eq!(event.subject.as_deref(), Some("/s/1"));
        assert_eq!(event.event_type, "T.Created");
        assert_eq!(
            event.time.unwrap().to_string(),
            "2024-01-02T03:04:05.678901Z"
        );
        assert_eq!(event.extension_str("dataversion"), Some("1.0"));
        assert_eq!(event.data, Data::json(r#"{"a":1,"n":null,"s":"\u00fc"}"#));
        let list = titled("py publisher key EventGridEvent list").read(schema);
        assert_eq!(list.unwrap().len(), 2);
    }
}

#[test]
fn python_and_js_cloud_events() {
    for schema in [Any, CloudEvents] {
        let event = one("py publisher key CloudEvent single json data", schema);
        assert_eq!(
            (event.source.as_str(), event.subject.as_deref()),
            ("/src", Some("sub"))
        );
        assert_eq!(event.extension_str("ext1"), Some("v"));
        assert_eq!(event.data, Data::json(r#"{"a":1}"#));
        let list = titled("py publisher key CloudEvent list, binary data, none data")
            .read(schema)
            .unwrap();
        let data: Vec<&Data> = list.iter().map(|event| &event.data).collect();
        let text = Data::Text("text".to_owned());
        assert_eq!(data, [&Data::Binary(vec![0, 1]), &Data::None, &text]);
        assert_eq!(
            one("py publisher channel_name", schema).data,
            Data::json("1")
        );
        assert_eq!(titled("js CloudEvent").read(schema).unwrap().len(), 2);
        assert_eq!(one("js NS sender single", schema).id, "1");
        assert_eq!(
            titled("py NS publish list CE").read(schema).unwrap().len(),
            2
        );
    }
}

#[test]
fn the_cloud_events_sdks() {
    let structured = one("py cloudevents to_structured", Any);
    let binary = one("py cloudevents to_binary", Any);
    assert_eq!(binary.subject.as_deref(), Some("a b/ü"));
    assert_eq!(binary.data, Data::json(r#"{"k":1}"#));
    assert_eq!(binary, structured);
    // JavaScript: binary mode with a content type, then structured.
    let js: Vec<NewEvent> = all()
        .iter()
        .filter(|request| request.headers.get("transfer-encoding").is_some())
        .flat_map(|request| request.read(CloudEvents).unwrap())
        .collect();
    assert_eq!(js.len(), 2);
    assert_eq!(
        js[0].datacontenttype.as_deref(),
        Some("application/json; charset=utf-8")
    );
    assert_eq!((&js[0].data, &js[0].time), (&js[1].data, &js[1].time));
    assert_eq!(js[0].extensions, js[1].extensions);
}

#[test]
fn an_array_of_python_text_is_explained() {
    let request = titled("azure-eventgrid with CNCF CloudEvent (cloudevents 2.2.0)");
    for schema in [Any, CloudEvents, EventGrid] {
        let error = request.read(schema).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("array of strings"), "{error}");
        assert!(
            error.message().contains("azure.core.messaging.CloudEvent"),
            "{error}"
        );
    }
}

#[test]
fn custom_schemas() {
    let event = one("js Custom", Custom);
    assert_eq!(
        (event.id.as_str(), event.event_type.as_str()),
        ("x", "custom")
    );
    assert_eq!((event.subject, event.time_filled), (None, true));
    assert_eq!(event.data, Data::json(r#"{"my":1,"id":"x"}"#));
    assert_eq!(
        one("py publisher custom schema dict", Custom).id,
        "generated-1"
    );
}
