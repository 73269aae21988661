//! Metrics and verification.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::http::Hook;
use crate::support::{World, event, wait_for};
use axum::body::Body;
use serde_json::{Value, json};

#[tokio::test]
async fn what_watches_it() {
    let world = World::new().await;
    let body = json!({"properties": {"destination": {"endpointType": "WebHook",
        "properties": {"endpointUrl": "http://127.0.0.1:1/"}}}});
    world
        .put("/topics/shop/eventSubscriptions/hook", body)
        .await
        .is(201);
    world
        .publish(json!([
            event("1", "s", json!(1)),
            event("2", "s", json!(2))
        ]))
        .await
        .is(200);
    world.publish(json!([{}])).await.is(400);
    let metrics = world
        .send("GET", "/metrics", &[], Body::empty())
        .await
        .is(200);
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4")
    );
    let text = metrics.text();
    let scrape = scrape(&text);
    assert!(scrape.docs.len() > 20, "{text}");
    for line in [
        "foretell_topic_events{topic=\"shop\"} 2",
        "foretell_published_events_total 2",
        "foretell_publish_refused_total 1",
        "foretell_subscription_lag{topic=\"shop\",subscription=\"hook\"} ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(world.get("/functions").await.is(200).json(), json!([]));
    world.get("/functions/none/logs").await.is(404);
    tokio::time::timeout(Duration::from_secs(30), world.node.close())
        .await
        .unwrap();
}

/// As another program reads it.
fn scrape(text: &str) -> prometheus_parse::Scrape {
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let is_bucket = |line: &&str| !line.contains("_bucket{") || line.contains("le=\"+Inf\"");
    // Nothing was read past: a histogram's buckets are one sample, its sum and count are others.
    assert_eq!(
        series.filter(is_bucket).count(),
        scrape.samples.len(),
        "{text}"
    );
    scrape
}

#[tokio::test]
async fn what_a_subscription_does_is_counted() {
    use prometheus_parse::Value;
    let world = World::with("[delivery]\nretry_schedule = [\"1h\"]\n").await;
    world.put("/topics/shop", json!({})).await.is(201);
    let hook = Hook::start().await;
    let to = |name: &str, url: &str| {
        let path = format!("/topics/shop/eventSubscriptions/{name}");
        let body = json!({"properties": {"destination": {"endpointType": "WebHook", "properties": {"endpointUrl": url}}}});
        let world = &world;
        async move { world.put(&path, body).await.is(201) }
    };
    to("good", &hook.url).await;
    to("dead", "http://127.0.0.1:1/").await;
    let pull =
        json!({"properties": {"deliveryConfiguration": {"deliveryMode": "Queue", "queue": {}}}});
    world
        .put("/topics/shop/eventSubscriptions/pull", pull)
        .await
        .is(201);
    let stats = |name: &str| world.node.subscription_stats("shop", name).unwrap();
    world
        .publish(json!([
            event("1", "a", json!(1)),
            event("2", "b", json!(1))
        ]))
        .await
        .is(200);
    world
        .post("/topics/shop/eventsubscriptions/pull:receive", json!(null))
        .await
        .is(200);
    wait_for("deliveries", || {
        stats("good").delivered == 2 && stats("dead").waiting == 2 && stats("good").pending == 0
    })
    .await;
    wait_for("a lock", || stats("pull").waiting == 1).await;
    let text = world
        .send("GET", "/metrics", &[], Body::empty())
        .await
        .is(200)
        .text();
    let scrape = scrape(&text);
    let value = |name: &str, subscription: &str, outcome: Option<&str>| {
        let name = format!("foretell_subscription_{name}");
        let found = scrape.samples.iter().find(|sample| {
            sample.metric == name
                && sample.labels.get("subscription") == Some(subscription)
                && outcome.is_none_or(|outcome| sample.labels.get("outcome") == Some(outcome))
        });
        match found.map(|sample| &sample.value) {
            Some(Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value)) => {
                Some(*value)
            }
            Some(Value::Histogram(counts)) => Some(counts.last().unwrap().count),
            _ => None,
        }
    };
    for (name, subscription, outcome, expected) in [
        ("lag", "good", None, Some(0.0)),
        ("lag", "dead", None, Some(2.0)),
        ("lag", "pull", None, Some(2.0)),
        ("behind_seconds", "good", None, Some(0.0)),
        ("retrying", "dead", None, Some(2.0)),
        ("retrying", "pull", None, None),
        ("locked", "pull", None, Some(1.0)),
        ("attempts_total", "good", Some("Delivered"), Some(2.0)),
        ("attempts_total", "dead", Some("Delivered"), Some(0.0)),
        ("attempts_total", "dead", Some("SocketError"), Some(2.0)),
        ("attempts_total", "dead", Some("Busy"), None),
        ("delivery_seconds", "good", None, Some(2.0)),
        ("delivery_seconds", "dead", None, Some(0.0)),
    ] {
        assert_eq!(
            value(name, subscription, outcome),
            expected,
            "{name} {subscription} {outcome:?}: {text}"
        );
    }
    let behind = value("behind_seconds", "dead", None).unwrap();
    assert!(behind > 0.0 && behind < 60.0, "{behind}");
    let appends = scrape
        .samples
        .iter()
        .find(|sample| sample.metric == "foretell_append_seconds");
    let Value::Histogram(counts) = &appends.unwrap().value else {
        panic!("{text}")
    };
    assert_eq!(counts.last().unwrap().count, 1.0);
    let shown = world
        .get("/topics/shop/eventSubscriptions/dead")
        .await
        .json();
    assert!(
        shown["behindSeconds"].as_f64().unwrap() >= behind,
        "{shown}"
    );
    world.node.close().await;
}

#[tokio::test]
async fn everything_is_verified() {
    let world = World::new().await;
    let events = json!([event("1", "s", json!(1)), event("2", "s", json!(2))]);
    world.publish(events).await.is(200);
    let lines = verify(&world).await;
    let last = lines.last().unwrap();
    // Beside the two: the definition of the topic. The product's own topics count.
    let counts = (&last["events"], &last["topics"]);
    assert_eq!(counts, (&json!(3), &json!(5)), "{last}");
    assert_eq!(last["root"].as_str().unwrap().len(), 64);
    let before = &lines[..lines.len() - 1];
    assert!(before.iter().all(|line| line["progress"].is_array()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_written_to_is_verified() {
    let world = World::new().await;
    let done = AtomicBool::new(false);
    let publishing = async {
        let mut count = 0;
        while !done.load(Ordering::SeqCst) {
            let events = json!([event(&count.to_string(), "s", json!(1))]);
            world.publish(events).await.is(200);
            count += 1;
        }
    };
    let verifying = async {
        for round in 0..500 {
            let lines = verify(&world).await;
            let last = lines.last().unwrap();
            assert!(last["root"].is_string(), "round {round}: {last}");
        }
        done.store(true, Ordering::SeqCst);
    };
    futures::join!(publishing, verifying);
}

async fn verify(world: &World) -> Vec<Value> {
    let text = world.post("/verify", json!(null)).await.is(200).text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
