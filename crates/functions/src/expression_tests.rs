use std::sync::Arc;

use foretell_types::{Position, RecordedEvent, cloudevents};

use super::*;

const EVENT: &str = r#"{"specversion":"1.0","id":"e-1","source":"/topics/shop","type":"purchase",
    "subject":"customer/00002","time":"1997-01-12T00:00:00Z",
    "data":{"customer_id":"00002","a":{"b":5,"Deep":true},"list":[1],"none":null,"dollars":77.0}}"#;

fn resolve(template: &str) -> Result<String> {
    let recorded = RecordedEvent {
        event: cloudevents::from_json(EVENT.as_bytes()).unwrap(),
        position: Position::FIRST,
        revision: None,
        recorded_time: Instant {
            seconds: 1_000_000_000,
            nanos: 0,
        },
        erased: false,
    };
    let invocation = Invocation {
        subscription: "shop/segments".into(),
        topic: "shop".into(),
        event: Arc::new(recorded),
        id: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        attempts: 0,
        first_attempt: "2018-02-16T17:59:55.25Z"
            .parse::<Timestamp>()
            .unwrap()
            .instant(),
        replayed: false,
    };
    let setting = |name: &str| (name == "CONTAINER").then(|| "from-setting/{data.a.b}".to_owned());
    Template::parse(template, setting)?.resolve(&Scope::new("classify", &invocation))
}

#[test]
fn expressions_resolve() {
    for (template, expected) in [
        ("segments/plain.json", "segments/plain.json"),
        ("segments/{data.customer_id}.json", "segments/00002.json"),
        ("x/{data.a.b}-{data.a.deep}-{Data.A.b}", "x/5-true-5"),
        ("x/{data.dollars}", "x/77.0"),
        ("x/{subject}", "x/customer/00002"),
        ("x/{id}/{eventType}/{type}", "x/e-1/purchase/purchase"),
        ("x{topic}{source}", "x/topics/shop/topics/shop"),
        ("x/{eventTime}", "x/1997-01-12T00:00:00Z"),
        ("x/{rand-guid}", "x/01234567-89ab-cdef-0123-456789abcdef"),
        ("x/{rand-guid:N}", "x/0123456789abcdef0123456789abcdef"),
        ("x/{sys.randguid}", "x/01234567-89ab-cdef-0123-456789abcdef"),
        ("x/{DateTime}", "x/2018-02-16T17-59-55Z"),
        ("x/{datetime:yyyy-MM-dd}", "x/2018-02-16"),
        (
            "x/{DateTime:yyyy/MM/dd/HH:mm:ss.ff}",
            "x/2018/02/16/17:59:55.25",
        ),
        ("%CONTAINER%/y", "from-setting/5/y"),
        ("x/{{literal}}-{id}", "x/{literal}-e-1"),
        ("x/{sys.methodname}", "x/classify"),
    ] {
        assert_eq!(resolve(template).unwrap(), expected, "{template}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (template, expected) in [
        ("x/{data.nothing}", "{data.nothing}"),
        ("x/{data.none}", "{data.none}"),
        ("x/{data.a}", "object or an array"),
        ("x/{data.list}", "object or an array"),
        ("x/{data}", "object or an array"),
        ("x/{subject.x}", "{subject.x}"),
        ("x/{customer}", "{customer}"),
        ("x/{open", "brace"),
        ("x/close}", "brace"),
        ("x/{}", "names nothing"),
        ("x/%OTHER%", "\"OTHER\""),
        ("x/50%", "counterpart"),
        ("x/{DateTime:ffffffff}", "format"),
        ("x/{rand-guid:Q}", "D, N, B or P"),
        ("x/{subject:N}", "format"),
    ] {
        let error = resolve(template).unwrap_err();
        assert!(error.message().contains(expected), "{template}: {error}");
    }
}
