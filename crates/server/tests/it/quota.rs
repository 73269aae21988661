//! Quotas of topics, and limits of requests that the application sets.

use crate::support::{World, application, cloud, event};
use serde_json::{Value, json};

fn events(first: usize, count: usize) -> Value {
    (first..first + count)
        .map(|n| event(&n.to_string(), "s", json!(1)))
        .collect()
}

#[tokio::test]
async fn beyond_its_quota_a_topic_takes_nothing() {
    let world = World::with("[topics.shop.quota]\nevents_per_second = 10\n").await;
    // Far beyond what a slow machine lets flow in between.
    world.publish(events(0, 5_000)).await.is(200);
    let refused = world.publish(events(5_000, 10)).await.is(429);
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((400..=500).contains(&wait), "{wait}");
    assert_eq!(refused.json()["error"]["code"], "TooManyRequests");
    assert!(
        refused.message().contains("10 events per second"),
        "{refused}"
    );
    let headers = [("content-type", "application/cloudevents+json")];
    for path in [
        "/topics/shop:publish",
        "/topics/shop/events",
        "/topics/shop/streams/s",
    ] {
        let body = cloud("1", "s").to_string();
        let refused = world.call("POST", path, &headers, body).await.is(429);
        assert!(refused.header("retry-after").is_some(), "{path}");
    }
    assert_eq!(world.get("/topics/shop").await.json()["head"], 5_000);
    let metrics = world.get("/metrics").await.text();
    assert!(
        metrics.contains("foretell_publish_over_quota_total 4"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_quota_comes_and_goes() {
    let world = World::new().await;
    let quota = json!({"properties": {"quota": {"bytesPerSecond": 10}}});
    let patch = |body: Value| {
        let world = &world;
        async move {
            world
                .call("PATCH", "/topics/shop", &[], body.to_string())
                .await
        }
    };
    patch(quota).await.is(200);
    world.publish(events(0, 100)).await.is(200);
    world.publish(events(100, 1)).await.is(429);
    patch(json!({"properties": {"quota": null}})).await.is(200);
    world.publish(events(100, 1)).await.is(200);
}

#[tokio::test]
async fn requests_are_limited_as_the_application_says() {
    let toml = "[topics.shop]\n[limits]\npublish_body_bytes = 3000000\npublish_events = 6000\nevent_bytes = 1000\n";
    let world = World::with(toml).await;
    world.publish(events(0, 6_000)).await.is(200);
    world.publish(events(0, 6_001)).await.is(413);
    let large = json!([event("a", "s", json!("x".repeat(1_000)))]);
    let refused = world.publish(large).await.is(413);
    assert!(refused.message().contains("at most 1000"), "{refused}");
    let body = format!("[{}]", " ".repeat(3_000_000));
    world
        .call("POST", "/topics/shop/api/events", &[], body)
        .await
        .is(413);
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let many: Value = (0..1_001).map(|n| cloud(&n.to_string(), "s")).collect();
    let answer = world
        .call("POST", "/topics/shop:publish", &headers, many.to_string())
        .await;
    answer.is(413);
    for (wrong, named) in [
        ("publish_events = 0", "publish_events is 0"),
        (
            "publish_body_bytes = 100000000",
            "publish_body_bytes is 100000000",
        ),
        ("event_bytes = 2000000", "event_bytes is 2000000"),
        ("colour = 1", "colour"),
    ] {
        let toml = format!("[limits]\n{wrong}\n");
        let error = application(world.folder.path(), &toml).unwrap_err();
        assert!(error.message().contains(named), "{error}");
    }
}
