//! The store API: appends with conditions, reads.

use crate::support::{Answer, World, cloud};
use axum::body::Body;
use serde_json::{Value, json};

async fn append(world: &World, path: &str, header: Option<(&str, &str)>, body: Value) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(header);
    world.call("POST", path, &headers, body.to_string()).await
}

#[tokio::test]
async fn revisions_as_conditions() {
    let world = World::new().await;
    let path = "/topics/shop/streams/cart%2F1";
    let none = Some(("if-none-match", "*"));
    let zero = Some(("if-match", "\"0\""));
    let first = append(&world, path, none, json!([cloud("1", "cart/1")]))
        .await
        .is(200);
    assert_eq!(first.header("etag"), Some("\"0\""));
    assert_eq!(
        first.json(),
        json!({"events": [{"position": 1, "revision": 0, "duplicate": false}]})
    );
    let failed = append(&world, path, none, json!([cloud("2", "cart/1")]))
        .await
        .is(412);
    assert_eq!(failed.json()["error"]["code"], "PreconditionFailed");
    append(&world, path, zero, json!([cloud("2", "cart/1")]))
        .await
        .is(200);
    append(&world, path, zero, json!([cloud("3", "cart/1")]))
        .await
        .is(412);
    // Retried: identity goes before conditions.
    let again = append(&world, path, none, json!([cloud("1", "cart/1")]))
        .await
        .is(200);
    assert_eq!(
        again.json()["events"][0],
        json!({"position": 1, "revision": 0, "duplicate": true})
    );
    let mixed = json!([cloud("2", "cart/1"), cloud("9", "cart/1")]);
    append(&world, path, zero, mixed).await.is(409);
    for (name, value) in [
        ("if-match", "x"),
        ("if-match", "*"),
        ("if-none-match", "\"0\""),
        ("if-match", "\"-1\""),
        ("if-match", "18446744073709551616"),
    ] {
        let body = json!([cloud("4", "cart/1")]);
        append(&world, path, Some((name, value)), body)
            .await
            .is(400);
    }
    append(
        &world,
        "/topics/shop/events",
        zero,
        json!([cloud("4", "x")]),
    )
    .await
    .is(400);
    append(&world, path, zero, json!([])).await.is(400);
    append(&world, path, None, json!([])).await.is(200);
    append(&world, path, None, json!([cloud("4", "cart/2")]))
        .await
        .is(400);
    assert_eq!(world.read("").await.len(), 2);
}

#[tokio::test]
async fn an_append_may_be_larger_than_a_publish_request() {
    let world = World::new().await;
    let events: Vec<Value> = (0..6_000)
        .map(|i| {
            let mut event = cloud(&i.to_string(), "s");
            event["data"] = json!("x".repeat(300));
            event
        })
        .collect();
    let path = "/topics/shop/api/events";
    append(&world, path, None, json!(events)).await.is(413);
    let body = json!({"events": events, "condition": null});
    let answer = append(&world, "/topics/shop/streams/s", None, body).await;
    assert_eq!(answer.is(200).header("etag"), Some("\"5999\""));
}

/// Revisions of several streams in one append, also of one that isn't written.
#[tokio::test]
async fn revisions_of_other_streams_as_conditions() {
    let world = World::new().await;
    let path = "/topics/shop/events";
    let both = json!([cloud("1", "order/1"), cloud("2", "stock/9")]);
    append(&world, path, None, both).await.is(200);
    let body = |id: &str, condition: Value| json!({"events": [cloud(id, "order/2")], "condition": condition});
    let at = |subject: &str, revision: Value| json!({"subject": subject, "revision": revision});
    let guards = json!([at("stock/9", json!(0)), at("order/2", json!(null))]);
    append(&world, path, None, body("3", guards.clone()))
        .await
        .is(200);
    // Sent again it is known, whatever came since; another is too late.
    append(&world, path, None, body("3", guards.clone()))
        .await
        .is(200);
    let failed = append(&world, path, None, body("4", guards)).await;
    failed.is(412);
    for (guard, status) in [
        (at("stock/9", json!(1)), 412),
        (at("stock/9", json!(null)), 412),
        (at("nobody", json!(0)), 412),
        (
            json!([at("order/2", json!(0)), at("order/1", json!(0))]),
            200,
        ),
    ] {
        append(&world, path, None, body("5", guard))
            .await
            .is(status);
    }
    let seat = json!({"fail_if_events_match": {"items": [{"subjects": ["stock/9"]}]}, "after": 2});
    let mixed = body("6", json!([seat, at("order/2", json!(1))]));
    append(&world, path, None, mixed).await.is(200);
    let stream = json!({"events": [cloud("7", "order/2")], "condition": at("stock/9", json!(5))});
    append(&world, "/topics/shop/streams/order%2F2", None, stream)
        .await
        .is(412);
}

#[tokio::test]
async fn queries_as_conditions() {
    let world = World::new().await;
    let path = "/topics/shop/events";
    let mut tagged = cloud("1", "seat/1");
    tagged["tags"] = json!("seat:1 show:9");
    append(&world, path, None, json!([tagged])).await.is(200);
    let body = |id: &str, items: Value, after: Value| {
        let condition = json!({"fail_if_events_match": {"items": items}, "after": after});
        json!({"events": [cloud(id, "seat/1")], "condition": condition})
    };
    let seat = json!([{"tags": ["seat:1"]}]);
    append(&world, path, None, body("2", seat.clone(), json!(null)))
        .await
        .is(412);
    append(&world, path, None, body("2", seat.clone(), json!(0)))
        .await
        .is(412);
    append(&world, path, None, body("2", seat.clone(), json!(1)))
        .await
        .is(200);
    append(&world, path, None, body("2", seat, json!(1)))
        .await
        .is(200);
    append(
        &world,
        path,
        None,
        body("3", json!([{"subject_prefix": "seat/"}]), json!(1)),
    )
    .await
    .is(412);
    append(
        &world,
        path,
        None,
        body("3", json!([{"types": ["other"]}]), json!(u64::MAX)),
    )
    .await
    .is(200);
    append(&world, path, None, body("4", json!([]), json!(2)))
        .await
        .is(412);
    let one = body("5", json!([{"types": ["other"]}]), json!(null))["condition"].clone();
    let two = body("5", json!([{"subjects": ["seat/1"]}]), json!(null))["condition"].clone();
    let both = json!({"events": [cloud("5", "seat/1")], "condition": [one, two]});
    append(&world, path, None, both).await.is(412);
    // What is misspelt is not taken for no condition.
    for wrong in [
        json!({"events": [cloud("6", "s")], "conditions": {}}),
        json!({"events": [cloud("6", "s")], "condition": {"after": 1}}),
        json!({"events": [cloud("6", "s")], "condition": {"fail_if_events_match": {"items": [], "x": 1}}}),
        json!({"events": [cloud("6", "s")], "condition": {"fail_if_events_match": {"items": [{"tag": "a"}]}}}),
        json!({"events": [cloud("6", "s")], "condition": 5}),
        json!({"events": [cloud("6", "s")], "condition": {"subject": "s"}}),
        json!({"events": [cloud("6", "s")], "condition": {"subject": "s", "revision": -1}}),
        json!({"events": [cloud("6", "s")], "condition": {"subject": "s", "revision": 0, "after": 1}}),
        json!({"events": [cloud("6", "s")], "condition": {"revision": 0}}),
        json!({"events": [cloud("6", "s")], "condition": {"fail_if_events_match": {"items": []}, "after": -1}}),
        json!({"events": [], "condition": {"fail_if_events_match": {"items": []}}}),
        json!({"events": 5}),
        json!({"condition": {}}),
    ] {
        append(&world, path, None, wrong.clone()).await.is(400);
    }
    // An event in binary mode whose data looks like it is an event.
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "b"),
        ("ce-source", "/x"),
        ("ce-type", "t"),
        ("content-type", "application/json"),
    ];
    let data = json!({"events": [1]});
    world
        .call("POST", path, &headers, data.to_string())
        .await
        .is(200);
    assert_eq!(world.read("?type=t").await[0]["data"], data);
    assert_eq!(world.read("").await.len(), 4);
}

#[tokio::test]
async fn subjects_of_any_text() {
    let world = World::new().await;
    for (index, (subject, path)) in [
        ("a/b", "/streams/a/b"),
        ("a/b c", "/streams/a%2Fb%20c"),
        ("../x", "/streams/%2E%2E%2Fx"),
        ("..", "/streams?subject=.."),
        ("ü", "/streams/%C3%BC"),
        ("ends/", "/streams/ends/"),
        ("/begins", "/streams//begins"),
        ("100%", "/streams/100%25"),
        ("A+B", "/streams?subject=A%2BB"),
        ("A B", "/streams?subject=A+B"),
        ("q?x=1&y", "/streams/?subject=q%3Fx%3D1%26y"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/Topics/Shop{path}");
        let mut body = cloud(&index.to_string(), "");
        body.as_object_mut().unwrap().remove("subject");
        append(&world, &path, None, json!([body])).await.is(200);
        let read = world.get(&path).await.is(200);
        assert_eq!(read.header("etag"), Some("\"0\""), "{subject}");
        assert_eq!(read.json()[0]["subject"], subject);
        let state = world
            .get(&path.replace("/streams", "/state"))
            .await
            .is(200)
            .json();
        assert_eq!(
            (&state["subject"], &state["topic"]),
            (&json!(subject), &json!("shop"))
        );
    }
    for path in [
        "/streams",
        "/streams/",
        "/streams?subject=",
        "/state",
        "/streams/a?subject=b",
    ] {
        world.get(&format!("/topics/shop{path}")).await.is(400);
    }
    world.get("/topics/shop/streams/unknown").await.is(404);
    let lines = [("accept", "application/x-ndjson")];
    let path = "/topics/shop/streams/unknown";
    world.call("GET", path, &lines, Body::empty()).await.is(404);
}
