//! Stacks of Pulumi programs.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::json;
use support::World;

#[tokio::test]
async fn a_stack_grows_only_from_the_length_that_is_named() {
    let world = World::new().await;
    let event = |kind: &str| json!([{ "type": kind, "data": { "kind": "up" } }]);
    let at = "/stacks/shop/Dev?length=";
    world.get("/stacks/shop/Dev").await.is(200);
    world
        .post(&format!("{at}0"), event("foretell.stack.a"))
        .await
        .is(200);
    world
        .post(&format!("{at}0"), event("foretell.stack.b"))
        .await
        .is(412);
    world
        .post(&format!("{at}1"), event("foretell.stack.b"))
        .await
        .is(200);
    world.post(&format!("{at}2"), event("other")).await.is(400);
    world
        .post("/stacks/shop/Dev", event("foretell.stack.c"))
        .await
        .is(400);
    let events = world.get("/stacks/shop/Dev").await.is(200).json();
    let kinds: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["type"])
        .collect();
    assert_eq!(kinds, ["foretell.stack.a", "foretell.stack.b"]);
    assert_eq!(world.get("/stacks").await.json(), json!(["shop/Dev"]));
    world
        .post("/topics/foretell.stacks/events", event("foretell.stack.d"))
        .await
        .is(403);
}
