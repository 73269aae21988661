//! What functions get and what becomes of what they return.

use crate::support::{invocation, start, start_with};
use foretell_delivery::{FailureKind, Outcome};
use foretell_functions::{FunctionStatus, Status};
use foretell_types::Data;

fn blob(outcome: &Outcome) -> (String, String) {
    let [blob] = outcome.blobs.as_slice() else {
        panic!("{outcome:?}")
    };
    let text = String::from_utf8_lossy(&blob.content).into_owned();
    (format!("{}/{}", blob.container, blob.name), text)
}

#[tokio::test]
async fn blobs_are_read_modified_and_written() {
    let test = start("basics");
    for count in 1..=3 {
        let outcome = test.call("profile", r#"{"id":"a"}"#).await.unwrap();
        let (path, text) = blob(&outcome);
        assert_eq!(path, "out/a.json");
        assert_eq!(
            text,
            format!(r#"{{"count": {count}, "subject": "customer/1"}}"#)
        );
        test.apply(&outcome).await;
    }
    test.app.stop().await;
    assert_eq!(test.app.status(), Status::Stopped);
    let failure = test.call("profile", r#"{"id":"a"}"#).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Aborted);
}

#[tokio::test]
async fn binary_blobs_returned_values_and_names_of_the_moment() {
    let test = start("basics");
    test.storage
        .put("binary", "original", vec![0xff, 0].into())
        .await
        .unwrap();
    let outcome = test.call("binary", "{}").await.unwrap();
    assert_eq!(
        outcome.blobs[0].name,
        "00000000-0000-0000-0000-000000000001"
    );
    assert_eq!(outcome.blobs[0].content[..4], [0xff, 0, 0, 1]);
    assert_eq!(outcome.blobs[0].content.len(), 258);
    let outcome = test.call("returning", r#"{"id":"x"}"#).await.unwrap();
    assert_eq!(blob(&outcome), ("returned/x".to_owned(), "X!".to_owned()));
}

#[tokio::test]
async fn settings_override_those_of_the_file() {
    let test = start_with("basics", |options| {
        options
            .settings
            .insert("OVERRIDDEN".to_owned(), "world".to_owned());
    });
    let outcome = test.call("FROMBLUEPRINT", "{}").await.unwrap();
    assert_eq!(
        blob(&outcome),
        ("from-settings/2024-02-03.txt".into(), "hello world".into())
    );
}

#[tokio::test]
async fn asynchronous_functions_streams_and_unset_outputs() {
    let test = start("basics");
    let outcome = test.call("asynchronous", r#"{"id":"a"}"#).await.unwrap();
    assert_eq!(outcome, Outcome::default());
    test.storage
        .put("out", "a.json", "content".into())
        .await
        .unwrap();
    let outcome = test.call("asynchronous", r#"{"id":"a"}"#).await.unwrap();
    assert_eq!(blob(&outcome), ("copies/a".into(), "content".into()));
    let lines = test.app.logs(Some("asynchronous"), 10);
    let id = uuid::Uuid::from_u128(1).to_string();
    assert_eq!(lines[0].message, format!("invocation {id} of asynchronous"));
    assert_eq!(lines[0].invocation, Some(id));
    let again = foretell_delivery::Invocation {
        replayed: true,
        ..crate::support::invocation(1, r#"{"id":"a"}"#)
    };
    test.app
        .handler("asynchronous")
        .handle(again)
        .await
        .unwrap();
    let mut told = test.messages("asynchronous");
    told.retain(|message| message.starts_with("replayed"));
    assert_eq!(told, ["replayed: None", "replayed: None", "replayed: true"]);
}

#[tokio::test]
async fn events_are_returned_to_the_topic_of_the_setting() {
    let test = start_with("basics", |options| {
        let endpoint = "http://localhost:4077/topics/made/api/events";
        options
            .settings
            .insert("OUT_ENDPOINT".to_owned(), endpoint.to_owned());
    });
    let outcome = test.call("events", "{}").await.unwrap();
    assert!(outcome.events.iter().all(|output| output.topic == "made"));
    let mut seen: Vec<_> = outcome
        .events
        .iter()
        .map(|o| {
            (
                o.event.id.as_str(),
                o.event.source.as_str(),
                o.event.data.clone(),
            )
        })
        .collect();
    seen.sort_by_key(|(id, ..)| *id);
    assert_eq!(
        seen,
        [
            ("", "/topics/made", Data::json(r#"{"from":"/topics/shop"}"#)),
            ("c", "/x", Data::json("2")),
            ("g", "/topics/made", Data::json("1")),
        ]
    );
}

#[tokio::test]
async fn an_exception_is_a_failure_with_its_traceback() {
    let test = start("basics");
    let failure = test.call("raising", "{}").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Aborted);
    assert!(!failure.permanent);
    let (first, traceback) = failure.message.split_once('\n').unwrap();
    assert_eq!(first, "ValueError: no such customer: ü");
    assert!(traceback.starts_with("Traceback"), "{traceback}");
    assert!(traceback.contains("in raising"), "{traceback}");
    assert!(!traceback.contains("foretell_worker"), "{traceback}");
    let messages = test.messages("raising");
    assert_eq!(messages[0], "about to fail");
    assert_eq!(messages[1], failure.message);
    let failure = test.call("exiting", "{}").await.unwrap_err();
    assert!(failure.message.starts_with("SystemExit: 3"), "{failure}");
    test.call("profile", r#"{"id":"a"}"#).await.unwrap();
}

#[tokio::test]
async fn what_is_printed_is_logged_and_breaks_nothing() {
    let test = start("basics");
    test.call("printing", "{}").await.unwrap();
    let messages = test.messages("printing");
    for line in [
        "printed",
        "no newline",
        "to stderr",
        "shop.orders: structured 7 ?",
    ] {
        assert!(
            messages.iter().any(|message| message == line),
            "{line}: {messages:?}"
        );
    }
    test.call("profile", r#"{"id":"a"}"#).await.unwrap();
}

#[tokio::test]
async fn wrong_functions_fail_alone() {
    let test = start("basics");
    assert_eq!(test.app.started().await, Status::Ready);
    let cases = [
        (
            "nothing",
            FailureKind::NotFound,
            "cannot find function: 'nothing'",
        ),
        (
            "unbound",
            FailureKind::InvalidAzureFunctionDestination,
            "['nothing']",
        ),
        (
            "web",
            FailureKind::InvalidAzureFunctionDestination,
            "\"httpTrigger\"",
        ),
        (
            "queueing",
            FailureKind::InvalidAzureFunctionDestination,
            "\"queue\"",
        ),
        (
            "events",
            FailureKind::InvalidAzureFunctionDestination,
            "\"OUT_ENDPOINT\"",
        ),
        (
            "returning_unbound",
            FailureKind::Aborted,
            "without a $return binding",
        ),
        (
            "wrong_value",
            FailureKind::Aborted,
            "can't take a value of type 'dict'",
        ),
        ("profile", FailureKind::BadRequest, "{data.id}"),
    ];
    for (function, kind, message) in cases {
        let failure = test.call(function, "{}").await.unwrap_err();
        assert_eq!(failure.kind, kind, "{function}: {failure}");
        assert!(failure.message.contains(message), "{function}: {failure}");
    }
    test.call("unresolved_hint", "{}").await.unwrap();
    let failure = test.call("profile", r#"{"id":"../x"}"#).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadRequest);
    let functions = test.app.functions();
    let web = functions
        .iter()
        .find(|function| function.name == "web")
        .unwrap();
    assert_eq!(web.trigger, "httpTrigger");
    assert!(matches!(web.status, FunctionStatus::Failed { .. }));
    let profile = functions
        .iter()
        .find(|function| function.name == "profile")
        .unwrap();
    assert_eq!(profile.status, FunctionStatus::Ready);
    assert_eq!(profile.bindings.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_invocations_at_a_time() {
    let test = start_with("basics", |options| options.workers = 2);
    let handler = test.app.handler("profile");
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let handler = handler.clone();
            tokio::spawn(async move {
                let data = format!(r#"{{"id":"{n}"}}"#);
                (n, handler.handle(invocation(n, &data)).await.unwrap())
            })
        })
        .collect();
    for call in calls {
        let (n, outcome) = call.await.unwrap();
        let expected = format!(r#"{{"count": 1, "subject": "customer/{n}"}}"#);
        assert_eq!(blob(&outcome), (format!("out/{n}.json"), expected));
    }
}

#[tokio::test]
async fn a_function_is_invoked_by_hand() {
    let test = start("basics");
    let now = invocation(0, "{}").first_attempt;
    let grid = br#" [{"id":"1","subject":"s","eventType":"t","eventTime":"2024-01-01T00:00:00Z",
        "data":{"id":"z"},"dataVersion":""}] "#;
    let object = &grid[2..grid.len() - 2];
    for json in [&grid[..], object] {
        let outcome = test.app.invoke("returning", json, now).await.unwrap();
        assert_eq!(blob(&outcome).0, "returned/z");
    }
    let cloud = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"id":"y"}}"#;
    let outcome = test.app.invoke("returning", cloud, now).await.unwrap();
    assert_eq!(blob(&outcome).0, "returned/y");
    for wrong in ["", "[]", "{}", "no", "[1]"] {
        let failure = test
            .app
            .invoke("returning", wrong.as_bytes(), now)
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadRequest, "{wrong}");
    }
}

#[tokio::test]
async fn a_blueprint_alone_is_an_app() {
    let test = start("blueprint_only");
    test.call("only", "{}").await.unwrap();
}
