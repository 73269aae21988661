//! Projections over HTTP.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::path::Path;

use foretell_log::{Append, ErasedKey};
use foretell_server::Application;
use foretell_types::{Data, NewEvent};
use serde_json::{Value, json};
use support::{Answer, World, event, wait_for};

const SECRET: &str = "Ada Lovelace of St James's Square";
const PEOPLE: &str = "CREATE PROJECTION people ON people AS SELECT last(data.name) AS name, count(data.name) AS names";

async fn define(world: &World, name: &str, sql: &str) -> Answer {
    let headers = [("content-type", "application/sql")];
    let path = format!("/projections/{name}");
    world.call("PUT", &path, &headers, sql.to_owned()).await
}

async fn publish(world: &World, topic: &str, events: Value) {
    let path = format!("/topics/{topic}/api/events");
    world.post(&path, events).await.is(200);
}

/// With an erasable topic `people`, of which `person/1` has the secret.
async fn people() -> World {
    let world = World::empty().await;
    let body = json!({"properties": {"erasable": true}});
    world.put("/topics/people", body).await.is(201);
    let events = json!([
        event("1", "person/1", json!({ "name": SECRET })),
        event("2", "person/2", json!({ "name": "Bob" })),
    ]);
    publish(&world, "people", events).await;
    define(&world, "people", PEOPLE).await.is(201);
    let state = world.get("/projections/people/state?key=person/1").await;
    assert_eq!(state.is(200).json()["state"]["name"], SECRET);
    world
}

/// Asks until it isn't told to ask again; whatever is said on the way must not hold the secret.
async fn never_the_secret(world: &World, path: &str) -> Answer {
    loop {
        let answer = world.get(path).await;
        assert!(!answer.text().contains(SECRET), "{path}: {answer}");
        if answer.status != 503 {
            return answer.is(200);
        }
        tokio::task::yield_now().await;
    }
}

async fn is_forgotten(world: &World) {
    for question in ["", "&after=1", "&at=2024-06-01", "&known_at=1"] {
        let path = format!("/projections/people/state?key=person/1{question}");
        let state = never_the_secret(world, &path).await.json();
        assert_eq!(
            state["state"],
            json!({"name": null, "names": 0}),
            "{question}"
        );
    }
    never_the_secret(world, "/projections/people/state").await;
    let path = "/projections/people/state?key=person/2";
    let other = never_the_secret(world, path).await;
    assert_eq!(other.json()["state"]["name"], "Bob");
}

/// Whether any file below a folder holds the secret.
fn is_kept(folder: &Path) -> bool {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes
                    .windows(SECRET.len())
                    .any(|part| part == SECRET.as_bytes())
            {
                return true;
            }
        }
    }
    false
}

#[tokio::test]
async fn an_erasure_reaches_what_projections_keep() {
    let world = people().await;
    // Stored, and then kept in memory too.
    let world = world.reopen(Application::none()).await;
    let derived = world.folder.path().join("data/derived");
    assert!(is_kept(&derived), "else the test shows nothing");
    // A changed definition may still be built when the erasure comes.
    let changed = PEOPLE.replace("count(data.name)", "count(data.name) + 0");
    define(&world, "people", &changed).await.is(200);
    let body = json!({"subjects": ["person/1"]});
    world.post("/topics/people/erasures", body).await.is(200);
    assert!(!is_kept(&derived));
    is_forgotten(&world).await;
    let world = world.reopen(Application::none()).await;
    assert!(!is_kept(&derived));
    is_forgotten(&world).await;
}

/// The process dies once the log has the erasure, before copies are dropped.
#[tokio::test]
async fn an_erasure_that_was_cut_off_is_made_up_for() {
    let world = people().await;
    let record = |keys: &[ErasedKey]| {
        let event = |key: &ErasedKey| NewEvent {
            id: key.subject.clone(),
            source: "/foretell/erasures".into(),
            event_type: "foretell.subject.erased".into(),
            subject: Some(key.subject.clone()),
            data: Data::json(
                json!({
                    "topic": "people", "topicId": key.topic, "keyStore": world.node.log.key_store(),
                    "generation": key.generation, "events": 1,
                })
                .to_string(),
            ),
            ..NewEvent::default()
        };
        Ok(Append::new().events(
            "foretell.erasures",
            keys.iter().map(event).collect::<Vec<_>>(),
        ))
    };
    let log = world.node.log.clone();
    log.erase("people", &["person/1".to_owned()], record)
        .unwrap();
    drop(log);
    let world = world.reopen(Application::none()).await;
    is_forgotten(&world).await;
    let derived = world.folder.path().join("data/derived");
    assert!(!is_kept(&derived));
    // It is done once: what was built anew is what the next opening goes on with.
    let built = |world: &World| {
        let (projection, _) = world.node.projections.get("people").unwrap();
        projection.status().events
    };
    wait_for("the projection is built", || built(&world) == 2).await;
    let folders = || {
        let names = std::fs::read_dir(derived.join("projections/people")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name());
        names.collect::<Vec<_>>()
    };
    let before = folders();
    let world = world.reopen(Application::none()).await;
    assert_eq!(folders(), before);
    is_forgotten(&world).await;
}

#[tokio::test]
async fn keys_are_arrays_or_nothing() {
    let world = World::new().await;
    let sql = "CREATE PROJECTION tags ON shop KEY data.tags AS SELECT count(*) AS n";
    define(&world, "tags", sql).await.is(201);
    let events = json!([
        event("1", "a", json!({"tags": ["red", "blue", "red"]})),
        event("2", "b", json!({"tags": "red"})),
        event("3", "c", json!({"tags": null})),
        event("4", "d", json!({})),
        event("5", "e", json!({"tags": [null, 7, true]})),
        event("6", "f", json!({"tags": []})),
    ]);
    world.publish(events).await.is(200);
    let answer = world.get("/projections/tags/state").await.is(200);
    let lines = answer.text();
    let all: Vec<(String, u64)> = lines
        .lines()
        .map(|line| {
            let state: Value = serde_json::from_str(line).unwrap();
            let key = state["key"].as_str().unwrap().to_owned();
            (key, state["state"]["n"].as_u64().unwrap())
        })
        .collect();
    let expected = [("7", 1), ("blue", 1), ("red", 2), ("true", 1)];
    assert_eq!(all, expected.map(|(key, n)| (key.to_owned(), n)));
    world.get("/projections/tags/state?key=null").await.is(404);
    world.get("/projections/tags/state?key=").await.is(404);
}

#[tokio::test]
async fn several_topics_fold_into_one_state() {
    let world = World::new().await;
    world.put("/topics/till", json!({})).await.is(201);
    let sql = "CREATE PROJECTION both ON till, shop AS SELECT collect(data.n) AS seen, last(data.n) AS latest";
    define(&world, "both", sql).await.is(201);
    let at = |id: u32, time: &str| {
        let mut event = event(&id.to_string(), "a", json!({ "n": id }));
        event["eventTime"] = json!(format!("2024-05-{time}T00:00:00Z"));
        event
    };
    publish(&world, "shop", json!([at(1, "01"), at(4, "04")])).await;
    publish(&world, "till", json!([at(2, "02"), at(3, "04")])).await;
    let ask = async |more: &str| {
        let path = format!("/topics/shop/state/a?projection=both{more}");
        world.get(&path).await
    };
    // By time, then by topic: shop before till, in whichever order they were named.
    let all = ask("").await.is(200).json();
    assert_eq!(all["state"], json!({"seen": [1, 2, 4, 3], "latest": 3}));
    let seen = async |more: &str| ask(more).await.is(200).json()["state"]["seen"].clone();
    assert_eq!(seen("&at=2024-05-03").await, json!([1, 2]));
    assert_eq!(seen("&known_at=till%3D1").await, json!([1, 2, 4]));
    assert_eq!(seen("&known_at=till%3D1,shop%3D1").await, json!([1, 2]));
    assert_eq!(seen("&known_at=shop%3D1&at=2024-05-01").await, json!([1]));
    // One position says nothing of two topics.
    let refused = ask("&known_at=2").await.is(400);
    assert!(refused.message().contains("topic=position"), "{refused}");
    let refused = ask("&known_at=none%3D2").await.is(400);
    assert!(refused.message().contains("till"), "{refused}");
    // It reads both topics, and answers for either of them.
    let path = "/topics/till/state/a?projection=both";
    let other = world.get(path).await.is(200).json();
    assert_eq!(other["state"], all["state"]);
}
