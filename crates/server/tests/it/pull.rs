//! Event Grid namespaces over HTTP: publish, receive, acknowledge, release, reject, renew.

use crate::support::{Answer, World, cloud, event, wait_for};
use axum::body::Body;
use serde_json::{Value, json};

const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";
const SUB: &str = "/topics/shop/eventsubscriptions/work";

/// A topic `shop` with a subscription `work`, and the topic's key.
async fn world() -> (World, String) {
    let world = World::new().await;
    let pull =
        json!({"properties": {"deliveryConfiguration": {"deliveryMode": "Queue", "queue": {}}}});
    world
        .put("/topics/shop/eventSubscriptions/work", pull)
        .await
        .is(201);
    let keys = world
        .post("/topics/shop/listKeys", json!(null))
        .await
        .json();
    let key = keys["key1"].as_str().unwrap();
    (world, format!("SharedAccessKey {key}"))
}

async fn publish(world: &World, key: &str, events: Value) -> Answer {
    let headers = [("authorization", key), ("content-type", BATCH)];
    let path = "/topics/shop:publish?api-version=2024-06-01";
    world.send("POST", path, &headers, events.to_string()).await
}

async fn ask(world: &World, key: &str, path: &str) -> Answer {
    world
        .send("POST", path, &[("authorization", key)], Body::empty())
        .await
}

async fn receive(world: &World, key: &str, count: usize) -> Vec<Value> {
    let path = format!("{SUB}:receive?maxEvents={count}&maxWaitTime=10&api-version=2024-06-01");
    let answer = ask(world, key, &path).await.is(200).json();
    answer["value"].as_array().unwrap().clone()
}

fn token(received: &Value) -> &str {
    received["brokerProperties"]["lockToken"].as_str().unwrap()
}

async fn settle(world: &World, key: &str, operation: &str, tokens: &[&str]) -> Value {
    let headers = [("authorization", key), ("content-type", "application/json")];
    let body = json!({ "lockTokens": tokens }).to_string();
    let answer = world
        .send("POST", &format!("{SUB}:{operation}"), &headers, body)
        .await;
    answer.is(200).json()
}

#[tokio::test]
async fn events_are_published_received_and_settled() {
    let (world, key) = world().await;
    let events = json!([
        cloud("1", "a"),
        cloud("2", "a"),
        cloud("3", "b"),
        cloud("4", "b")
    ]);
    assert_eq!(
        publish(&world, &key, events).await.is(200).json(),
        json!({})
    );
    let received = receive(&world, &key, 100).await;
    assert_eq!(received.len(), 4);
    assert_eq!(received[0]["event"], cloud("1", "a"));
    assert_eq!(received[0]["brokerProperties"]["deliveryCount"], 1);
    let tokens: Vec<&str> = received.iter().map(token).collect();

    let done = settle(&world, &key, "acknowledge", &[tokens[0], "BAD"]).await;
    assert_eq!(done["succeededLockTokens"], json!([tokens[0]]));
    let failed = &done["failedLockTokens"][0];
    assert_eq!(
        (&failed["lockToken"], &failed["error"]["code"]),
        (&json!("BAD"), &json!("BadToken"))
    );
    assert!(!failed["error"]["message"].as_str().unwrap().is_empty());
    let done = settle(&world, &key, "Acknowledge", &tokens[..1]).await;
    assert_eq!(done["failedLockTokens"][0]["error"]["code"], "TokenLost");

    let renewed = settle(&world, &key, "renewLock", &tokens[1..2]).await;
    assert_eq!(
        renewed,
        json!({"failedLockTokens": [], "succeededLockTokens": [tokens[1]]})
    );
    settle(
        &world,
        &key,
        "release?releaseDelayInSeconds=0",
        &tokens[1..2],
    )
    .await;
    let again = receive(&world, &key, 1).await;
    assert_eq!(again[0]["event"]["id"], "2");
    assert_eq!(again[0]["brokerProperties"]["deliveryCount"], 2);
    settle(
        &world,
        &key,
        "release?releaseDelayInSeconds=3600",
        &[token(&again[0])],
    )
    .await;

    settle(&world, &key, "reject", &tokens[2..3]).await;
    wait_for("the dead letter", || {
        world
            .node
            .subscription_stats("shop", "work")
            .is_some_and(|s| s.dead_lettered == 1)
    })
    .await;
    let letters = world.get("/deadletters?subscription=work").await.json();
    assert_eq!(
        (&letters[0]["id"], &letters[0]["reason"]),
        (&json!("3"), &json!("Rejected"))
    );

    // What is locked, or acknowledged, stays so over a restart.
    let world = world.reopen(foretell_server::Application::none()).await;
    let done = settle(&world, &key, "acknowledge", &tokens[3..]).await;
    assert_eq!(done["succeededLockTokens"], json!([tokens[3]]));
    let shown = world.get(SUB).await.json();
    assert_eq!(
        (&shown["running"], &shown["lag"]),
        (&json!(true), &json!(1)),
        "{shown}"
    );
    assert_eq!(shown["to"], "pull");
    world.node.close().await;
}

#[tokio::test]
async fn a_receiver_gets_what_is_published_while_it_waits() {
    let (world, key) = world().await;
    let waiting = receive(&world, &key, 10);
    let publishing = async {
        tokio::task::yield_now().await;
        let headers = [
            ("authorization", &*key),
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
        ];
        world
            .send("POST", "/Topics/SHOP:Publish", &headers, "[1]")
            .await
            .is(200);
    };
    let (received, ()) = tokio::join!(waiting, publishing);
    assert_eq!(received[0]["event"]["data"], json!([1]));
    // A server that stops ends the wait.
    let waiting = receive(&world, &key, 10);
    let stopping = async {
        tokio::task::yield_now().await;
        world.node.begin_stop();
    };
    assert_eq!(tokio::join!(waiting, stopping).0, Vec::<Value>::new());
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let (world, key) = world().await;
    for (path, said) in [
        (":receive?maxEvents=0", "maxEvents is 0"),
        (":receive?maxEvents=101", "maxEvents is 101"),
        (":receive?maxEvents=x", "a number is expected"),
        (":receive?maxWaitTime=9", "maxWaitTime is 9"),
        (":receive?maxWaitTime=121", "maxWaitTime is 121"),
        (":receive?other=1", "no query parameter"),
        (
            ":release?releaseDelayInSeconds=5",
            "expected 0, 10, 60, 600, 3600",
        ),
        (":acknowledge", "must be an object"),
    ] {
        let answer = ask(&world, &key, &format!("{SUB}{path}")).await.is(400);
        assert!(answer.message().contains(said), "{path}: {answer}");
        assert_eq!(answer.json()["error"]["code"], "BadRequest");
    }
    let auth = [("authorization", &*key)];
    for (body, said) in [
        (json!({"lockTokens": []}), "missing or empty"),
        (json!({"lockTokens": [1]}), "array of strings"),
        (json!({"lockTokens": vec!["x"; 1_001]}), "at most 1000"),
        (json!({"tokens": []}), "is not known"),
    ] {
        let answer = world
            .send("POST", &format!("{SUB}:reject"), &auth, body.to_string())
            .await;
        assert!(answer.is(400).message().contains(said), "{said}");
    }
    let mut missing = cloud("1", "a");
    missing.as_object_mut().unwrap().remove("source");
    publish(&world, &key, json!([missing])).await.is(400);
    let many: Vec<Value> = (0..1_001).map(|n| cloud(&n.to_string(), "a")).collect();
    publish(&world, &key, json!(many)).await.is(413);
    let grid = json!([event("1", "a", json!(1))]).to_string();
    let headers = [
        ("authorization", &*key),
        ("content-type", "application/json"),
    ];
    world
        .send("POST", "/topics/shop:publish", &headers, grid)
        .await
        .is(400);
    assert!(world.read("").await.is_empty());

    for (path, wrong) in [
        ("/topics/shop:publish", "SharedAccessKey eA=="),
        (
            "/topics/shop/eventsubscriptions/work:receive",
            "SharedAccessKey eA==",
        ),
        (
            "/topics/shop/eventsubscriptions/work:acknowledge",
            "Basic eA==",
        ),
    ] {
        ask(&world, wrong, path).await.is(401);
        world.send("POST", path, &[], Body::empty()).await.is(401);
    }
    for path in [
        "/topics/none:publish",
        "/topics/none/eventsubscriptions/work:receive",
        "/topics/shop/eventsubscriptions/none:receive",
        "/topics/shop/eventsubscriptions/work:forget",
        "/topics/shop:forget",
    ] {
        ask(&world, &key, path).await.is(404);
    }
    let hook = json!({"properties": {"destination": {"endpointType": "WebHook",
        "properties": {"endpointUrl": "http://127.0.0.1:1/"}}}});
    world
        .put("/topics/shop/eventSubscriptions/hook", hook)
        .await
        .is(201);
    let answer = ask(&world, &key, "/topics/shop/eventsubscriptions/hook:receive")
        .await
        .is(400);
    assert!(answer.message().contains("pushes its events"), "{answer}");
    world
        .put(
            "/topics/grid",
            json!({"properties": {"inputSchema": "EventGridSchema"}}),
        )
        .await
        .is(201);
    let admin = format!("Bearer {}", world.admin());
    let answer = ask(&world, &admin, "/topics/grid:publish").await.is(400);
    assert!(
        answer.message().contains("/topics/grid/api/events"),
        "{answer}"
    );
    world.node.close().await;
}

#[tokio::test]
async fn the_application_file_defines_it_too() {
    let toml = "[topics.shop.subscriptions.work]\nto = \"pull\"\nlock = \"90s\"\nordering = \"subject\"\nmax_delivery_attempts = 3\nevent_ttl_minutes = 10080\ndead_letter = \"given-up\"";
    let world = World::with(toml).await;
    let shown = world.get(SUB).await.is(200).json();
    let queue = &shown["properties"]["deliveryConfiguration"]["queue"];
    assert_eq!(queue["receiveLockDurationInSeconds"], 90, "{shown}");
    assert_eq!(queue["maxDeliveryCount"], 3, "{shown}");
    assert_eq!(queue["eventTimeToLive"], "P7D", "{shown}");
    assert_eq!(queue["ordering"], "subject", "{shown}");
    let container = &queue["deadLetterDestinationWithResourceIdentity"]["deadLetterDestination"];
    let container = &container["properties"]["blobContainerName"];
    assert_eq!(container, "given-up", "{shown}");
    let key = format!("Bearer {}", world.admin());
    publish(
        &world,
        &key,
        json!([cloud("1", "a"), cloud("2", "a"), cloud("3", "b")]),
    )
    .await
    .is(200);
    let received = receive(&world, &key, 10).await;
    let ids: Vec<_> = received.iter().map(|one| &one["event"]["id"]).collect();
    assert_eq!(ids, ["1", "3"]);
    world.node.close().await;
    for (wrong, said) in [
        ("to = \"pull\"\nlock = \"59s\"", "locked for 59 seconds"),
        ("to = \"pull\"\nlock = \"soon\"", "is not a duration"),
        ("to = \"pull\"\nordering = \"time\"", "is not an ordering"),
        ("to = \"pull\"\nmax_delivery_attempts = 11", "from 1 to 10"),
        (
            "to = \"webhook:http://h/\"\nlock = \"60s\"",
            "events are pushed",
        ),
        (
            "to = \"webhook:http://h/\"\nordering = \"time\"",
            "is not an ordering",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let toml = format!("[topics.shop.subscriptions.work]\n{wrong}");
        let error = crate::support::application(folder.path(), &toml).unwrap_err();
        assert!(error.message().contains(said), "{error}");
    }
}
