//! Publishing over the protocols of Event Grid and CloudEvents.

use crate::support::{World, cloud, event};
use axum::body::Body;
use serde_json::{Value, json};

const PATH: &str = "/topics/shop/api/events";

#[tokio::test]
async fn every_form_reads_back_as_it_was_sent() {
    let world = World::new().await;
    let answer = world
        .publish(json!([event("e1", "customer/7", json!({"total": 12.50}))]))
        .await
        .is(200);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("api-supported-versions"), Some("2018-01-01"));
    assert_eq!(answer.header("x-ms-request-id").unwrap().len(), 36);
    let batch = [(
        "content-type",
        "application/cloudevents-batch+json; charset=utf-8",
    )];
    let body = json!([cloud("c1", "ü/1"), cloud("c2", "ü/1")]).to_string();
    world.call("POST", PATH, &batch, body).await.is(200);
    let one = [("content-type", "application/cloudevents+json")];
    let body = json!({"specversion": "1.0", "id": "c3", "source": "/till", "type": "t",
        "data_base64": "AAEC", "tags": "a b"});
    world
        .call("POST", PATH, &one, body.to_string())
        .await
        .is(200);
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "c4"),
        ("ce-source", "/till"),
        ("ce-type", "t"),
        ("ce-subject", "%C3%BC"),
        ("content-type", "text/plain"),
    ];
    world.call("POST", PATH, &binary, "hello").await.is(200);
    let read = world.read("").await;
    assert_eq!(read.len(), 5);
    let source = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/foretell/providers/Microsoft.EventGrid/topics/shop";
    let mut first = read[0].clone();
    let recorded = first.as_object_mut().unwrap().remove("recordedtime");
    assert!(recorded.is_some());
    first.as_object_mut().unwrap().remove("datacontenttype");
    assert_eq!(
        first,
        json!({
            "specversion": "1.0", "id": "e1", "source": source, "type": "order.placed",
            "subject": "customer/7", "time": "2024-05-01T12:00:00Z", "dataversion": "1.0",
            "data": {"total": 12.50}, "position": 1, "revision": 0,
        })
    );
    assert_eq!(
        (&read[2]["subject"], &read[2]["revision"]),
        (&json!("ü/1"), &json!(1))
    );
    assert_eq!(
        (&read[3]["data_base64"], &read[3]["tags"]),
        (&json!("AAEC"), &json!("a b"))
    );
    assert_eq!(
        (&read[4]["data"], &read[4]["subject"]),
        (&json!("hello"), &json!("ü"))
    );
}

#[tokio::test]
async fn the_trace_of_a_request_is_not_that_of_its_events() {
    let world = World::new().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let own = "00-11111111111111111111111111111111-2222222222222222-00";
    let headers = |more: &[(&'static str, &'static str)]| {
        let mut headers = vec![("traceparent", parent)];
        headers.extend(more);
        headers
    };
    let structured = headers(&[("content-type", "application/cloudevents+json")]);
    let body = cloud("1", "s").to_string();
    world.call("POST", PATH, &structured, body).await.is(200);
    let binary = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/till"),
        ("ce-type", "t"),
    ]);
    world.call("POST", PATH, &binary, "").await.is(200);
    let with_own = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-id", "3"),
        ("ce-source", "/till"),
        ("ce-type", "t"),
        ("ce-traceparent", own),
    ]);
    world.call("POST", PATH, &with_own, "").await.is(200);
    let events = world.read("").await;
    let traces: Vec<&Value> = events.iter().map(|event| &event["traceparent"]).collect();
    assert_eq!(traces, [&Value::Null, &Value::Null, &json!(own)]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_whole() {
    let world = World::new().await;
    let mut late = event("2", "s", json!(1));
    late["eventTime"] = json!("yesterday");
    let mut reserved = cloud("r", "s");
    reserved["position"] = json!(5);
    let mut known = cloud("k", "s");
    known["knowntime"] = json!("2024-01-01T00:00:00Z");
    let scheduled = |when: Value| {
        let mut event = cloud("n", "s");
        event["notbefore"] = when;
        json!([event]).to_string().into_bytes()
    };
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let deep = json!([event("d", "s", json!("DEEP"))]).to_string();
    let many: Vec<Value> = (0..5001)
        .map(|i| event(&i.to_string(), "s", json!(1)))
        .collect();
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (
            json!([event("1", "s", json!(1)), late]).to_string().into(),
            400,
            "eventTime",
        ),
        (
            json!([cloud("1", "s"), reserved]).to_string().into(),
            400,
            "position",
        ),
        (json!([known]).to_string().into(), 400, "knowntime"),
        (scheduled(json!("tomorrow")), 400, "notbefore"),
        (scheduled(json!(1_900_000_000)), 400, "2024-05-01T12:30:00Z"),
        (json!([{"id": "1"}]).to_string().into(), 400, ""),
        (b"[{".to_vec(), 400, ""),
        (b"\"x\"".to_vec(), 400, ""),
        (vec![b'[', b'"', 0xff, b'"', b']'], 400, ""),
        (deep.replace("\"DEEP\"", &nested(200)).into(), 400, ""),
        (nested(100_000).into(), 400, ""),
        (json!(many).to_string().into(), 413, "5000"),
        (vec![b' '; 1024 * 1024 + 1], 413, "1048576"),
    ];
    for (body, status, word) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let key = world.admin();
        let headers = [("aeg-sas-key", &*key), ("content-type", "application/json")];
        let answer = world.send("POST", PATH, &headers, body).await;
        assert_eq!(answer.status, status, "{shown}: {answer}");
        let error = answer.json()["error"].clone();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(word), "{shown}: {message}");
        if status == 400 {
            assert_eq!(error["code"], "BadRequest");
            assert_eq!(error["details"][0]["code"], "InputJsonInvalid");
            assert!(message.contains("Report '"), "{message}");
        }
    }
    assert_eq!(world.read("").await.len(), 0);
    world.publish(json!([])).await.is(200);
    world.get("/topics/nothing/events").await.is(404);
    world
        .post("/topics/nothing/api/events", json!([]))
        .await
        .is(404);
    // Without a length, in pieces.
    let pieces =
        futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 65_536])));
    let body = Body::from_stream(pieces);
    world.call("POST", PATH, &[], body).await.is(413);
}

#[tokio::test]
async fn identity() {
    let world = World::new().await;
    let one = event("1", "s", json!({"a": 1}));
    world.publish(json!([one])).await.is(200);
    world.publish(json!([one])).await.is(200);
    world
        .publish(json!([one, event("2", "s", json!(2))]))
        .await
        .is(200);
    let other = json!([event("3", "s", json!(3)), event("1", "s", json!({"a": 2}))]);
    let answer = world.publish(other).await.is(409);
    assert_eq!(answer.json()["error"]["code"], "Conflict");
    let read = world.read("").await;
    let ids: Vec<_> = read.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["1", "2"]);
}

#[tokio::test]
async fn paths_are_matched_without_regard_to_case() {
    let world = World::new().await;
    for (id, path) in [
        ("1", "/Topics/SHOP/API/Events"),
        ("2", "/topics/shop/api/events/"),
        ("3", "/topics/%73hop/api/events?api-version=2018-01-01"),
    ] {
        world
            .post(path, json!([event(id, "s", json!(1))]))
            .await
            .is(200);
    }
    assert_eq!(
        world
            .get("/TOPICS/Shop/Events")
            .await
            .is(200)
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );
    world.get("/DeadLetters").await.is(200);
    world.post("/DeadLetters/REPLAY", json!(null)).await.is(200);
    let answer = world.get("/topics/shop/streams/%FF").await.is(400);
    assert!(answer.message().contains("UTF-8"), "{answer}");
    for path in ["/nothing", "/topics/a%2Fb/x", "/topics/shop/api"] {
        assert!(
            world
                .get(path)
                .await
                .is(404)
                .message()
                .contains("/openapi.json")
        );
    }
    let answer = world
        .call("PATCH", "/topics", &[], Body::empty())
        .await
        .is(405);
    assert!(
        answer.header("allow").unwrap().contains("GET"),
        "{answer:?}"
    );
    assert!(answer.message().contains("PATCH"));
}
