//! Delivery through the node.

use std::sync::atomic::Ordering;

use crate::support::http::Hook;
use crate::support::{World, application, cloud, event, wait_for};
use serde_json::{Value, json};

fn toml(hook: &Hook, attempts: u32) -> String {
    format!(
        "[delivery]\nretry_schedule = [\"1ms\"]\n[topics.shop.subscriptions.hook]\nto = \"webhook:{}\"\nmax_delivery_attempts = {attempts}\nfrom = \"beginning\"",
        hook.url
    )
}

fn batch(from: u64, count: u64) -> Value {
    let events = (from..from + count)
        .map(|i| event(&i.to_string(), &format!("s/{}", i % 5), json!({"n": i})));
    events.collect()
}

#[tokio::test]
async fn events_come_once_in_order_and_go_on_after_a_restart() {
    let hook = Hook::start().await;
    let world = World::with(&toml(&hook, 9)).await;
    hook.taken.fail.store(7, Ordering::SeqCst);
    world.publish(batch(0, 100)).await.is(200);
    wait_for("100 events", || hook.ids().len() >= 100).await;
    let same = application(world.folder.path(), &toml(&hook, 9)).unwrap();
    let world = world.reopen(same).await;
    world.publish(batch(100, 50)).await.is(200);
    wait_for("150 events", || hook.ids().len() >= 150).await;
    // Changed while it runs; by the API, next to the other.
    let mut body = json!({"properties": {"destination": {"endpointType": "WebHook",
        "properties": {"endpointUrl": hook.url}}, "filter": {"includedEventTypes": ["none"]}}});
    world
        .put("/topics/shop/eventSubscriptions/other", body.clone())
        .await
        .is(201);
    body["properties"]["filter"] = json!({"subjectEndsWith": "/x"});
    world
        .put("/topics/shop/eventSubscriptions/other", body)
        .await
        .is(200);
    world
        .publish(json!([event("x", "s/x", json!(1))]))
        .await
        .is(200);
    wait_for("both", || hook.ids().len() >= 152).await;
    world.node.close().await;
    let events = hook.taken.events.lock().clone();
    assert_eq!(events.len(), 152, "each once");
    for subject in 0..5 {
        let mine = events
            .iter()
            .filter(|e| e["subject"] == format!("s/{subject}"));
        let numbers: Vec<u64> = mine.map(|e| e["data"]["n"].as_u64().unwrap()).collect();
        let expected: Vec<u64> = (0..150).filter(|n| n % 5 == subject).collect();
        assert_eq!(numbers, expected);
    }
}

#[tokio::test]
async fn dead_letters_are_listed_and_replayed() {
    let hook = Hook::start().await;
    let world = World::with(&toml(&hook, 2)).await;
    hook.taken.fail.store(2, Ordering::SeqCst);
    world
        .publish(json!([
            event("1", "s", json!(1)),
            event("2", "s", json!(2))
        ]))
        .await
        .is(200);
    wait_for("the second", || hook.ids() == ["2"]).await;
    let letters = world
        .get("/deadletters?topic=SHOP&subscription=Hook")
        .await
        .is(200)
        .json();
    assert_eq!(letters.as_array().unwrap().len(), 1, "{letters}");
    let letter = &letters[0];
    assert_eq!(letter["reason"], "MaxDeliveryAttemptsExceeded");
    assert_eq!(
        (&letter["position"], &letter["attempts"]),
        (&json!(1), &json!(2))
    );
    let blob = letter["blob"].as_str().unwrap();
    assert!(blob.starts_with("dead-letters/HOOK/"), "{blob}");
    let stored = std::fs::read(world.folder.path().join("data/storage").join(blob)).unwrap();
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!(stored[0]["deadLetterReason"], "MaxDeliveryAttemptsExceeded");
    world.get("/deadletters?position=x").await.is(400);
    world.get("/deadletters?topic=a&nothing=1").await.is(400);
    let none = world
        .post("/deadletters/replay?position=2", json!(null))
        .await
        .is(200);
    assert_eq!(none.json(), json!({"replayed": 0}));
    let one = world
        .post("/deadletters/replay?subject=s", json!(null))
        .await
        .is(200);
    assert_eq!(one.json(), json!({"replayed": 1}));
    wait_for("the first", || hook.ids() == ["2", "1"]).await;
    assert_eq!(world.get("/deadletters").await.json(), json!([]));
    let shown = world
        .get("/topics/shop/eventSubscriptions/hook")
        .await
        .json();
    assert_eq!(shown["stats"]["dead_lettered"], 1, "{shown}");
    world.node.close().await;
}

#[tokio::test]
async fn a_subscription_ends_with_its_topic() {
    let hook = Hook::start().await;
    let world = World::new().await;
    let body = json!({"properties": {"destination": {"endpointType": "WebHook",
        "properties": {"endpointUrl": hook.url}}}});
    let path = "/topics/shop/eventSubscriptions/hook";
    world.publish(batch(0, 3)).await.is(200);
    world.put(path, body.clone()).await.is(201);
    world
        .publish(json!([event("a", "s", json!(1))]))
        .await
        .is(200);
    wait_for("only what is new", || hook.ids() == ["a"]).await;
    hook.taken.fail.store(usize::MAX, Ordering::SeqCst);
    world
        .publish(json!([event("b", "s", json!(1))]))
        .await
        .is(200);
    world.delete("/topics/shop").await.is(200);
    world.put("/topics/shop", json!({})).await.is(201);
    hook.taken.fail.store(0, Ordering::SeqCst);
    let body = json!({"properties": body["properties"]});
    world
        .publish(json!([event("c", "s", json!(1))]))
        .await
        .is(200);
    let created = world
        .put(&format!("{path}?from=1"), body)
        .await
        .is(201)
        .json();
    assert_eq!(created["running"], true);
    wait_for("from its position", || hook.ids() == ["a", "c"]).await;
    world.node.close().await;
}

#[tokio::test]
async fn events_go_out_in_the_schema_that_was_asked_for() {
    let hook = Hook::start().await;
    let world = World::new().await;
    let mut body = json!({"properties": {"destination": {"endpointType": "WebHook",
        "properties": {"endpointUrl": hook.url}}}});
    let path = "/topics/shop/eventSubscriptions/hook";
    world.put(path, body.clone()).await.is(201);
    let mut count = 0;
    let mut sent = async |events: Value| {
        world.publish(events).await.is(200);
        count += 1;
        wait_for("the event", || hook.taken.events.lock().len() == count).await;
        hook.taken.events.lock()[count - 1].clone()
    };
    let one = sent(json!([event("1", "s", json!(1))])).await;
    assert_eq!(one["eventType"], "order.placed", "as it came in");
    let two = sent(json!([cloud("2", "s")])).await;
    assert_eq!(
        (&two["specversion"], &two["source"]),
        (&json!("1.0"), &json!("/till"))
    );
    // What the topic takes changes what its running subscription delivers.
    let topic = json!({"properties": {"inputSchema": "CloudEventSchemaV1_0"}});
    world.put("/topics/shop", topic).await.is(200);
    let three = sent(json!([cloud("3", "s")])).await;
    assert_eq!(three["specversion"], "1.0");
    world.put("/topics/shop", json!({})).await.is(200);
    body["properties"]["eventDeliverySchema"] = json!("EventGridSchema");
    world.put(path, body).await.is(200);
    let four = sent(json!([cloud("4", "s")])).await;
    assert_eq!(four["eventType"], "order.placed");
    world.node.close().await;
}

#[tokio::test]
async fn advanced_filters_choose_what_is_delivered() {
    let hook = Hook::start().await;
    let toml = format!(
        r#"
[topics.shop.subscriptions.large]
to = "webhook:{}"
from = "beginning"
[topics.shop.subscriptions.large.filter]
includedEventTypes = ["order.placed"]
enableAdvancedFilteringOnArrays = true
advancedFilters = [
  {{ operatorType = "NumberGreaterThanOrEquals", key = "data.total", value = 99.5 }},
  {{ operatorType = "StringNotIn", key = "data.tags", values = ["test"] }},
]"#,
        hook.url
    );
    let world = World::with(&toml).await;
    let owned = world
        .get("/topics/shop/eventSubscriptions/large")
        .await
        .json();
    // The same by the API, and what only CloudEvents have.
    let filter = &owned["properties"]["filter"];
    let advanced = json!([
        {"operatorType": "StringIn", "key": "Source", "values": ["/TILL"]},
        {"operatorType": "IsNullOrUndefined", "key": "data.total"},
    ]);
    let hooked = |filter: &Value| {
        json!({"properties": {"filter": filter, "destination": {"endpointType": "WebHook",
            "properties": {"endpointUrl": hook.url}}}})
    };
    let path = "/topics/shop/eventSubscriptions/tills";
    let same = world.put(path, hooked(filter)).await.is(201).json();
    assert_eq!(&same["properties"]["filter"], filter);
    let tills = hooked(&json!({ "advancedFilters": advanced }));
    let put = world.put(path, tills.clone()).await.is(200).json();
    assert_eq!(put["properties"]["filter"]["advancedFilters"], advanced);
    let got = world.get(path).await.is(200).json();
    assert_eq!(got["properties"]["filter"]["advancedFilters"], advanced);
    let wrong = json!({"advancedFilters": [{"operatorType": "NumberIn", "key": "data.a", "values": ["1"]}]});
    let refused = world.put(path, hooked(&wrong)).await.is(400);
    assert!(
        refused
            .message()
            .starts_with("properties.filter.advancedFilters[0].values must be")
    );

    let batch = |from: u64| {
        json!([
            event(&format!("{from}-small"), "s", json!({"total": 99.49})),
            event(&format!("{from}-text"), "s", json!({"total": "100"})),
            event(
                &format!("{from}-test"),
                "s",
                json!({"total": 100, "tags": ["x", "Test"]})
            ),
            event(
                &format!("{from}-large"),
                "s",
                json!({"total": 99.5, "tags": ["x"]})
            ),
        ])
    };
    world.publish(batch(1)).await.is(200);
    world.publish(json!([cloud("1-till", "t")])).await.is(200);
    wait_for("both", || hook.ids().len() >= 2).await;
    let again = application(world.folder.path(), &toml).unwrap();
    let world = world.reopen(again).await;
    let kept = world.get(path).await.is(200).json();
    assert_eq!(kept["properties"]["filter"], got["properties"]["filter"]);
    // A subject's events come in order: what passes comes after what doesn't.
    world.publish(batch(2)).await.is(200);
    world.publish(json!([cloud("2-till", "t")])).await.is(200);
    wait_for("all", || hook.ids().len() >= 4).await;
    world.node.close().await;
    let mut ids = hook.ids();
    ids.sort();
    assert_eq!(ids, ["1-large", "1-till", "2-large", "2-till"]);
    // A program that doesn't know a definition's form must not read it.
    let events = world.get("/topics/foretell.config/events").await.json();
    let written = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["subject"] == "topics/shop/eventSubscriptions/tills");
    let versions: Vec<_> = written.map(|e| e["data"]["version"].clone()).collect();
    assert_eq!(versions, [4, 4]);
}

#[tokio::test]
async fn events_that_wait_go_in_batches() {
    let hook = Hook::start().await;
    let world = World::with(&format!("{}\nbatch = 20", toml(&hook, 9))).await;
    hook.taken.fail.store(2, Ordering::SeqCst);
    world.publish(batch(0, 200)).await.is(200);
    wait_for("200 events", || hook.ids().len() >= 200).await;
    world.node.close().await;
    let events = hook.taken.events.lock().clone();
    assert_eq!(events.len(), 200, "each once");
    for subject in 0..5 {
        let mine = events
            .iter()
            .filter(|e| e["subject"] == format!("s/{subject}"));
        let numbers: Vec<u64> = mine.map(|e| e["data"]["n"].as_u64().unwrap()).collect();
        assert!(numbers.len() == 40 && numbers.is_sorted(), "{numbers:?}");
    }
    let requests = hook.taken.requests.load(Ordering::SeqCst);
    assert!(requests < 100, "{requests} requests");
}
