//! JSON lines, mapped and as CloudEvents.

use crate::support::{data, error, events, import, strings};
use foretell_import::{Mapping, OnBadRow};
use foretell_types::{Data, KNOWN_TIME};

fn mapping() -> Mapping {
    Mapping {
        event_type: strings(&["kind"]),
        time: Some("meta.at".into()),
        ..Mapping::default()
    }
}

#[test]
fn mapped() {
    let text = "\n{\"kind\":\"b\",\"meta\":{\"at\":\"2024-01-02\"},\"n\": 1.0}\r\n{\"kind\":\"a\",\"meta\":{\"at\":\"2024-01-01\",\"who\":{\"id\":7}},\"a.b\":true}";
    let found = events(
        "a.ndjson",
        text,
        &Mapping {
            subject: strings(&["kind"]),
            ..mapping()
        },
    );
    assert_eq!(found[0].event_type, "a");
    assert_eq!(
        data(&found[1]),
        r#"{"kind":"b","meta":{"at":"2024-01-02"},"n":1.0}"#
    );
    let picked = events(
        "a.json",
        text,
        &Mapping {
            data: strings(&["meta.who.id", "a.b", "none"]),
            ..mapping()
        },
    );
    assert_eq!(data(&picked[0]), r#"{"meta.who.id":7,"a.b":true}"#);
    let epoch = events(
        "a.json",
        r#"{"kind":"a","at":1700000000123}"#,
        &Mapping {
            time: Some("at".into()),
            time_format: Some("epoch_ms".into()),
            ..mapping()
        },
    );
    assert_eq!(
        epoch[0].time.unwrap().to_string(),
        "2023-11-14T22:13:20.123Z"
    );
}

#[test]
fn cloud_events() {
    let text = concat!(
        r#"{"specversion":"1.0","id":"2","source":"/s","type":"t","subject":"x","data":{"a":1.0},"position":7,"revision":null,"recordedtime":"2024-01-01T00:00:00Z"}"#,
        "\n",
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2023-01-01T00:00:00+01:00","data_base64":"AAE=","tags":"a b","knowntime":"2022-01-01T00:00:00Z"}"#,
        "\n",
        r#"{"specversion":"1.0","id":"3","source":"/s","type":"t","time":"2021-01-01T00:00:00Z"}"#,
    );
    let found = events("a.jsonl", text, &Mapping::default());
    let ids: Vec<_> = found.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["2", "3", "1"]);
    assert!(found[0].extensions.is_empty());
    assert_eq!(
        found[1].extension_str(KNOWN_TIME),
        Some("2021-01-01T00:00:00Z")
    );
    assert_eq!(
        found[2].extension_str(KNOWN_TIME),
        Some("2022-01-01T00:00:00Z")
    );
    assert_eq!(found[2].data, Data::Binary(vec![0, 1]));
    assert_eq!(found[2].tags(), "a b");
}

#[test]
fn errors_name_the_line() {
    for (text, mapping, expected) in [
        ("{}\n", mapping(), "line 1: column \"meta.at\" is empty"),
        (
            "{\"kind\":{},\"meta\":{\"at\":\"2024-01-01\"}}",
            mapping(),
            "column \"kind\": \"{}\" is no single value",
        ),
        (
            "{\"kind\":\"a\",\"meta\":{\"at\":\"x\"}}",
            mapping(),
            "column \"meta.at\": \"x\" is no time",
        ),
        ("[1]\n", mapping(), "line 1: an array: expected JSON lines"),
        ("\n7\n", mapping(), "line 2: \"7\": expected a JSON object"),
        ("{\"a\":1}}\n", mapping(), "line 1: "),
        ("{\"a\":1}\n", Mapping::default(), "no 'specversion'"),
        (
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\"}\n",
            Mapping::default(),
            "line 1: required property 'type'",
        ),
        (
            "{\"a\":1}\n",
            Mapping {
                id: Some("a".into()),
                ..Mapping::default()
            },
            "gives the events no type",
        ),
    ] {
        let message = error("a.jsonl", text, &mapping);
        assert!(message.contains(expected), "{text:?}: {message}");
    }
    let message = error("a.jsonl", b"{\"a\":\"\xe9\"}", &mapping());
    assert!(message.contains("line 1: byte 7 is not UTF-8"), "{message}");
}

#[test]
fn ids_that_occur_twice() {
    let line = |id: &str, n: u32| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","data":{n}}}"#)
    };
    let text = [line("a", 1), line("a", 1), line("b", 1), line("b", 2)].join("\n");
    assert!(
        error("a.jsonl", &text, &Mapping::default())
            .contains("line 4: the id \"b\" stands at line 3 too")
    );
    let skip = Mapping {
        on_bad_row: OnBadRow::Skip,
        ..Mapping::default()
    };
    let import = import("a.jsonl", text.as_bytes(), &skip).unwrap();
    assert_eq!(
        (import.events.len(), import.skipped, import.duplicates),
        (2, 1, 1)
    );
}
