//! Projections over HTTP.

use std::path::Path;

use crate::support::{Answer, World, event, wait_for};
use arrow_array::cast::AsArray;
use foretell_log::{Append, ErasedKey};
use foretell_server::Application;
use foretell_types::{Data, NewEvent};
use serde_json::{Value, json};

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

const BASKET: &str = "CREATE PROJECTION basket ON shop AS FOLD $$
function fold(state, event) {
    state ??= { skus: [], sum: 0 };
    if (typeof event.data.n !== 'number') throw new Error('n is no number');
    state.skus.push(event.data.sku);
    state.sum += event.data.n;
    return state;
}
$$";

fn item(id: &str, day: u32, n: Value) -> Value {
    let mut item = event(
        id,
        "basket/1",
        json!({ "sku": format!("sku {id}"), "n": n }),
    );
    item["eventTime"] = format!("2024-01-{day:02}T00:00:00Z").into();
    item
}

#[tokio::test]
async fn a_function_folds_in_the_order_of_times() {
    let world = World::empty().await;
    world.put("/topics/shop", json!({})).await.is(201);
    define(&world, "basket", BASKET).await.is(201);
    publish(
        &world,
        "shop",
        json!([item("1", 1, json!(1)), item("3", 3, json!(3))]),
    )
    .await;
    let state = async |question: &str| {
        let path = format!("/projections/basket/state?key=basket/1{question}");
        world.get(&path).await.is(200).json()["state"].clone()
    };
    let third = json!({"skus": ["sku 1", "sku 3"], "sum": 4});
    assert_eq!(state("").await, third);
    publish(&world, "shop", json!([item("2", 2, json!(1u64 << 50))])).await;
    let all = json!({"skus": ["sku 1", "sku 2", "sku 3"], "sum": (1u64 << 50) + 4});
    assert_eq!(state("").await, all);
    assert_eq!(state("&known_at=2").await, third);
    assert_eq!(
        state("&at=2024-01-01").await,
        json!({"skus": ["sku 1"], "sum": 1})
    );
    let path = "/projections/basket/state?key=basket/1&diff=2024-01-01,2024-01-02&why=sum";
    let differs = world.get(path).await.is(200).json();
    assert_eq!(differs["changes"][0]["field"], "sum");
    assert_eq!(differs["why"]["events"][0]["value"]["sku"], "sku 2");
}

#[tokio::test]
async fn a_function_that_fails_is_told_with_its_event_and_line() {
    let world = World::empty().await;
    world.put("/topics/shop", json!({})).await.is(201);
    let broken = BASKET.replace("return state", "return state +");
    let answer = define(&world, "basket", &broken).await.is(400).text();
    assert!(answer.contains(":7:19: "), "{answer}");
    define(&world, "basket", BASKET).await.is(201);
    let other = event("4", "basket/2", json!({"sku": "x", "n": 7}));
    publish(
        &world,
        "shop",
        json!([item("1", 1, json!(1)), item("2", 2, json!("two")), other]),
    )
    .await;
    let path = "/projections/basket/state?key=basket/1";
    let answer = world.get(path).await.is(400).text();
    for told in ["position 2", "line 4", "basket"] {
        assert!(answer.contains(told), "{answer}");
    }
    let before = world
        .get(&format!("{path}&at=2024-01-01"))
        .await
        .is(200)
        .json();
    assert_eq!(before["state"]["sum"], 1);
    let all = world.get("/projections/basket/state").await.is(200).text();
    let all: Vec<Value> = all
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all[0]["state"], Value::Null);
    assert!(
        all[0]["error"].as_str().unwrap().contains("line 4"),
        "{all:?}"
    );
    assert_eq!(all[1]["state"]["sum"], 7);
    assert_eq!(all[1].get("error"), None);
}

#[tokio::test]
async fn what_was_erased_is_not_given_to_a_function() {
    let world = people().await;
    let names = "CREATE PROJECTION names ON people KEY 'all' AS FOLD $$
function fold(state, event) { return [...(state ?? []), event.data.name] }
$$";
    define(&world, "names", names).await.is(201);
    let path = "/projections/names/state?key=all";
    let state = world.get(path).await.is(200).json();
    assert_eq!(state["state"], json!([SECRET, "Bob"]));
    let body = json!({"subjects": ["person/1"]});
    world.post("/topics/people/erasures", body).await.is(200);
    let state = never_the_secret(&world, path).await.json();
    assert_eq!(state["state"], json!(["Bob"]));
}

#[tokio::test]
async fn many_states_are_a_stream_of_arrow() {
    let world = World::empty().await;
    world.put("/topics/shop", json!({})).await.is(201);
    let sums = "CREATE PROJECTION sums ON shop AS SELECT
        count(*) AS items, avg(data.n) AS mean, last(data.sku) AS sku, max(time) AS latest";
    define(&world, "sums", sums).await.is(201);
    publish(
        &world,
        "shop",
        json!([item("1", 1, json!(1)), item("2", 2, json!(4))]),
    )
    .await;
    let asked = json!({"projection": "sums", "questions": [
        {"key": "basket/1", "at": "2024-01-01"}, {"key": "nobody"}, {"key": "basket/1"},
    ]});
    let told = world.get("/projections/sums").await.is(200).json();
    let types: Vec<&str> = told["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["arrow"].as_str().unwrap())
        .collect();
    assert_eq!(types[..3], ["Int64", "Float64", "LargeUtf8"]);
    let plain = world
        .post("/state:batch", asked.clone())
        .await
        .is(200)
        .json();
    assert_eq!(plain[0]["state"]["mean"], 1.0);
    assert_eq!(plain[1], Value::Null);
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/vnd.apache.arrow.stream"),
    ];
    let answer = world
        .call("POST", "/state:batch", &headers, asked.to_string())
        .await;
    let bytes = answer.is(200).body.clone();
    let mut reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    let schema = batch.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["key", "items", "mean", "sku", "latest"]);
    let told: Vec<String> = schema.fields()[1..]
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(told, types);
    let items = batch
        .column(1)
        .as_primitive::<arrow_array::types::Int64Type>();
    assert_eq!(items.iter().collect::<Vec<_>>(), [Some(1), None, Some(2)]);
    let means = batch
        .column(2)
        .as_primitive::<arrow_array::types::Float64Type>();
    assert_eq!(
        means.iter().collect::<Vec<_>>(),
        [Some(1.0), None, Some(2.5)]
    );
    let keys = batch.column(0).as_string::<i64>();
    assert_eq!(
        keys.iter().flatten().collect::<Vec<_>>(),
        ["basket/1", "nobody", "basket/1"]
    );
}
