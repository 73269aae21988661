//! Stacks of Pulumi programs.

use crate::support::World;
use serde_json::{Value, json};

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

/// A value as Pulumi marks it as secret.
fn secret(value: impl Into<Value>) -> Value {
    json!({
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "value": value.into(),
    })
}

/// The files of a stack's secrets, and all that they hold.
fn kept(world: &World) -> Vec<String> {
    let folder = world.folder.path().join("data/keys/secrets");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

async fn in_the_log(world: &World) -> String {
    world
        .get("/topics/foretell.stacks/events")
        .await
        .is(200)
        .to_string()
}

#[tokio::test]
async fn secrets_lie_outside_the_log_for_as_long_as_the_stack_has_them() {
    let world = World::new().await;
    let append = async |world: &World, length: u64, events: Value| {
        let path = format!("/stacks/shop/dev?length={length}");
        world.post(&path, events).await.is(200);
    };
    let step = |value: Value| json!({ "type": "foretell.stack.step.ended", "data": value });
    let ended = |secrets: Value| {
        let data = json!({ "secrets": secrets });
        json!({ "type": "foretell.stack.update.ended", "data": data })
    };
    let deep = secret(json!({ "deep": ["swordfish"] }));
    let first = json!([
        step(json!({ "list": [deep, secret("tiger")], "plain": "seen" })),
        step(json!({ "again": secret("tiger") })),
    ]);
    append(&world, 0, first.clone()).await;
    assert_eq!(kept(&world).len(), 2, "the same value is kept once");
    let log = in_the_log(&world).await;
    assert!(log.contains("reference") && log.contains("seen"), "{log}");
    for text in [log].iter().chain(&kept(&world)) {
        assert!(!text.contains("swordfish") && !text.contains("tiger"));
    }
    let world = world.reopen(foretell_server::Application::none()).await;
    let read = world.get("/stacks/shop/dev").await.is(200).json();
    for at in 0..2 {
        assert_eq!(read[at]["data"], first[at]["data"]);
    }
    // Another stack's secrets, and those of functions, are its own.
    world
        .post(
            "/stacks/shop/other?length=0",
            json!([step(secret("tiger"))]),
        )
        .await
        .is(200);
    world
        .put("/functions/work", json!({"settings": {"A": "b"}}))
        .await
        .is(201);
    append(
        &world,
        2,
        json!([ended(json!([secret("tiger"), secret("new")]))]),
    )
    .await;
    assert_eq!(
        kept(&world).len(),
        4,
        "tiger, new, the other's and the function's"
    );
    let read = world.get("/stacks/shop/dev").await.is(200).json();
    let list = &read[0]["data"]["list"];
    assert_eq!(list[0], secret(Value::Null), "it was dropped");
    assert_eq!(list[1], secret("tiger"));
    assert_eq!(read[2]["data"]["secrets"][1], secret("new"));
    append(&world, 3, json!([step(secret("late"))])).await;
    append(&world, 4, json!([ended(json!([]))])).await;
    assert_eq!(kept(&world).len(), 2);
    let read = world.get("/stacks/shop/dev").await.is(200).json();
    assert_eq!(read[1]["data"]["again"], secret(Value::Null));
    let other = world.get("/stacks/shop/other").await.is(200).json();
    assert_eq!(other[0]["data"], secret("tiger"));
}

#[tokio::test]
async fn a_secret_that_a_stack_has_and_that_is_lost_is_named() {
    let world = World::new().await;
    let event = json!([{ "type": "foretell.stack.a", "data": secret("tiger") }]);
    world
        .post("/stacks/shop/dev?length=0", event.clone())
        .await
        .is(200);
    // What an append that is refused kept goes with the next run.
    let other = json!([{ "type": "foretell.stack.a", "data": secret("other") }]);
    world.post("/stacks/shop/dev?length=0", other).await.is(412);
    assert_eq!(kept(&world).len(), 2);
    let ended =
        json!([{ "type": "foretell.stack.update.ended", "data": {"secrets": [secret("tiger")]} }]);
    world.post("/stacks/shop/dev?length=1", ended).await.is(200);
    assert_eq!(kept(&world).len(), 1);
    std::fs::remove_dir_all(world.folder.path().join("data/keys/secrets")).unwrap();
    let answer = world.get("/stacks/shop/dev").await;
    let text = answer.is(500).to_string();
    assert!(text.contains("restore the folder of the keys"), "{text}");
}
