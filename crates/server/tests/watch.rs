//! Metrics and verification.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use support::{World, event};

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
    let mut typed = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                ["counter", "gauge"].contains(&kind) && typed.insert(name),
                "{line}"
            );
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<u64>().unwrap();
            let name = series.split('{').next().unwrap();
            assert!(typed.contains(name), "{line}");
            let labels = series.strip_prefix(name).unwrap();
            assert!(labels.is_empty() || labels.ends_with("\"}"), "{line}");
        }
    }
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

#[tokio::test]
async fn everything_is_verified() {
    let world = World::new().await;
    let events = json!([event("1", "s", json!(1)), event("2", "s", json!(2))]);
    world.publish(events).await.is(200);
    let lines = verify(&world).await;
    let last = lines.last().unwrap();
    // Beside the two: the definition of the topic. The product's own topics count.
    let counts = (&last["events"], &last["topics"]);
    assert_eq!(counts, (&json!(3), &json!(4)), "{last}");
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
