//! Topics, keys and subscriptions over HTTP.

use crate::support::{World, event};
use axum::body::Body;
use foretell_server::Application;
use serde_json::{Value, json};

fn hook(url: &str) -> Value {
    json!({"properties": {"destination": {"endpointType": "WebHook", "properties": {"endpointUrl": url}}}})
}

#[tokio::test]
async fn topics_come_and_go() {
    let world = World::empty().await;
    let made = world.put("/topics/shop", json!({})).await.is(201).json();
    assert_eq!(made["type"], "Microsoft.EventGrid/topics");
    assert_eq!(made["name"], "shop");
    assert_eq!(made["properties"]["inputSchema"], "Any");
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    world.put("/topics/SHOP", json!({})).await.is(200);
    let custom = json!({"properties": {"inputSchema": "CloudEventSchemaV1_0"}});
    let changed = world.put("/topics/shop", custom).await.is(200).json();
    assert_eq!(changed["properties"]["inputSchema"], "CloudEventSchemaV1_0");
    world
        .publish(json!([event("1", "s", json!(1))]))
        .await
        .is(400);
    world.put("/topics/shop", json!({})).await.is(200);
    world
        .publish(json!([event("1", "s", json!(1))]))
        .await
        .is(200);
    let shown = world.get("/topics/Shop").await.is(200).json();
    assert_eq!((&shown["head"], &shown["streams"]), (&json!(1), &json!(1)));
    assert_eq!(world.get("/topics").await.json()[0]["name"], "shop");
    let keys = world
        .post("/topics/shop/listKeys", json!(null))
        .await
        .json();
    world.delete("/topics/shop").await.is(200);
    world.delete("/topics/shop").await.is(404);
    world.get("/topics/shop").await.is(404);
    let again = world.put("/topics/shop", json!({})).await.is(201).json();
    let identity = |topic: &Value| topic["properties"]["metricResourceId"].clone();
    assert_ne!(identity(&made), identity(&again));
    assert_eq!((&again["head"], &again["streams"]), (&json!(0), &json!(0)));
    assert_eq!(world.read("").await.len(), 0);
    for name in ["key1", "key2"] {
        let headers = [("aeg-sas-key", keys[name].as_str().unwrap())];
        let body = json!([event("1", "s", json!(1))]).to_string();
        world
            .send("POST", "/topics/shop/api/events", &headers, body)
            .await
            .is(401);
    }
    for (name, body) in [
        ("ab", json!({})),
        ("a_b", json!({})),
        ("new", json!([])),
        ("new", json!({"x": 1})),
        ("new", json!({"properties": {"inputSchema": "Other"}})),
    ] {
        world.put(&format!("/topics/{name}"), body).await.is(400);
    }
    world.call("PUT", "/topics/new", &[], "{").await.is(400);
    world
        .call("PUT", "/topics/empty", &[], Body::empty())
        .await
        .is(201);
}

#[tokio::test]
async fn a_regenerated_key_replaces_one() {
    let world = World::new().await;
    let list = "/topics/shop/listKeys";
    let before = world.post(list, json!(null)).await.is(200).json();
    let body = json!({"keyName": "key1"});
    let after = world
        .post("/topics/shop/regenerateKey", body)
        .await
        .is(200)
        .json();
    assert_eq!(after, world.post(list, json!(null)).await.json());
    assert_ne!(before["key1"], after["key1"]);
    assert_eq!(before["key2"], after["key2"]);
    world
        .post("/topics/shop/regenerateKey", json!({"keyName": "key3"}))
        .await
        .is(400);
    let world = world.reopen(Application::none()).await;
    assert_eq!(after, world.post(list, json!(null)).await.json());
    for (key, status) in [
        (&before["key1"], 401),
        (&after["key1"], 200),
        (&after["key2"], 200),
    ] {
        let headers = [("aeg-sas-key", key.as_str().unwrap())];
        let path = "/topics/shop/api/events";
        assert_eq!(
            world.send("POST", path, &headers, "[]").await.status,
            status
        );
    }
}

#[tokio::test]
async fn subscriptions_as_event_grid_has_them() {
    let world = World::new().await;
    let path = "/topics/shop/eventSubscriptions/Hook-1";
    let mut body = hook("http://127.0.0.1:1/hook?code=1");
    body["properties"]["filter"] = json!({"includedEventTypes": ["a"], "subjectBeginsWith": "x/"});
    body["properties"]["retryPolicy"] =
        json!({"maxDeliveryAttempts": 3, "eventTimeToLiveInMinutes": 9});
    let made = world.put(path, body.clone()).await.is(201).json();
    assert_eq!(made["name"], "Hook-1");
    assert_eq!(
        made["type"],
        "Microsoft.EventGrid/topics/eventSubscriptions"
    );
    assert_eq!(made["properties"]["filter"]["subjectBeginsWith"], "x/");
    assert_eq!(made["properties"]["retryPolicy"]["maxDeliveryAttempts"], 3);
    assert_eq!(
        made["properties"]["eventDeliverySchema"],
        json!(null),
        "each as it came in"
    );
    assert_eq!((&made["running"], &made["lag"]), (&json!(true), &json!(0)));
    world.put(path, body.clone()).await.is(200);
    body["properties"]["filter"] = json!(null);
    let path = "/Topics/SHOP/eventsubscriptions/hook-1";
    let changed = world.put(path, body).await.is(200).json();
    assert_eq!(changed["name"], "Hook-1");
    let mut grid = hook("http://127.0.0.1:1/");
    grid["properties"]["eventDeliverySchema"] = json!("EventGridSchema");
    let made = world
        .put("/topics/shop/eventSubscriptions/zgrid?from=beginning", grid)
        .await;
    assert_eq!(made.is(201).json()["running"], true);
    let world = world.reopen(Application::none()).await;
    let all = world
        .get("/topics/shop/eventSubscriptions")
        .await
        .is(200)
        .json();
    assert_eq!(all["value"].as_array().unwrap().len(), 2);
    assert_eq!(all["value"][0]["name"], "Hook-1");
    // A subscription that could deliver no more keeps the topic as it is.
    let other = json!({"properties": {"inputSchema": "CloudEventSchemaV1_0"}});
    let answer = world.put("/topics/shop", other).await.is(409);
    assert!(answer.message().contains("\"zgrid\""), "{answer}");
    for wrong in [
        json!({}),
        hook("ftp://x"),
        hook("http://"),
        json!({"properties": {"destination": {"endpointType": "Other"}}}),
    ] {
        world
            .put("/topics/shop/eventSubscriptions/new", wrong)
            .await
            .is(400);
    }
    let query = "/topics/shop/eventSubscriptions/new?from=never";
    world.put(query, hook("http://127.0.0.1:1/")).await.is(400);
    world
        .put("/topics/nothing/eventSubscriptions/new", hook("http://x/"))
        .await
        .is(404);
    world
        .get("/topics/shop/eventSubscriptions/new")
        .await
        .is(404);
    world.delete(path).await.is(200);
    world.delete(path).await.is(404);
    world.delete("/topics/shop").await.is(200);
    world.put("/topics/shop", json!({})).await.is(201);
    let all = world.get("/topics/shop/eventSubscriptions").await.json();
    assert_eq!(all["value"], json!([]));
}

#[tokio::test]
async fn the_configuration_has_a_past() {
    let world = World::new().await;
    let path = "/topics/shop/eventSubscriptions/hook";
    world
        .put(path, hook("http://127.0.0.1:1/one"))
        .await
        .is(201);
    world
        .put(path, hook("http://127.0.0.1:1/two"))
        .await
        .is(200);
    world.delete(path).await.is(200);
    let subject = "/topics/foretell.config/state/topics/shop/eventSubscriptions/hook";
    for (at, target) in [
        (2, json!("webhook:http://127.0.0.1:1/one")),
        (3, json!("webhook:http://127.0.0.1:1/two")),
        (4, json!(null)),
    ] {
        let state = world
            .get(&format!("{subject}?at={at}"))
            .await
            .is(200)
            .json();
        assert_eq!(state["state"]["definition"]["target"], target);
    }
    world.get(&format!("{subject}?at=1")).await.is(404);
}

/// Who hangs up must not leave a change half made: what is in the log and what the node knows
/// would differ.
#[tokio::test]
async fn a_change_is_finished_without_its_client() {
    let world = World::empty().await;
    for name in ["one", "two", "three"] {
        let path = format!("/topics/{name}");
        let mut asked = Box::pin(world.put(&path, json!({})));
        assert!(futures::poll!(&mut asked).is_pending());
        drop(asked);
        world.put(&path, json!({})).await.is(200);
        let mut asked = Box::pin(world.delete(&path));
        assert!(futures::poll!(&mut asked).is_pending());
        drop(asked);
        world.put(&path, json!({})).await.is(201);
    }
}
