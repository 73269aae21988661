//! The store API: reads.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use serde_json::{Value, json};
use support::{Answer, World, cloud, event};

#[tokio::test]
async fn reads() {
    let world = World::new().await;
    let events: Vec<Value> = (1..=10)
        .map(|i| {
            let mut e = cloud(&i.to_string(), &format!("s/{}", i % 3));
            e["time"] = json!(format!("2024-01-{i:02}T00:00:00Z"));
            e["tags"] = json!(format!("t{} all", i % 2));
            e["type"] = json!(if i > 5 { "late" } else { "early" });
            e
        })
        .collect();
    world
        .post("/topics/shop/events", json!(events))
        .await
        .is(200);
    let max = u64::MAX;
    for (query, expected) in [
        ("".to_owned(), (1..=10).collect::<Vec<u64>>()),
        ("?from=9".into(), vec![9, 10]),
        ("?after=9".into(), vec![10]),
        (format!("?after={max}"), vec![]),
        (format!("?from={max}"), vec![]),
        (format!("?until={max}&limit={max}"), (1..=10).collect()),
        ("?from=5&until=4".into(), vec![]),
        ("?until=2".into(), vec![1, 2]),
        ("?limit=0".into(), vec![]),
        ("?limit=2&after=0".into(), vec![1, 2]),
        ("?type=late&limit=1".into(), vec![6]),
        ("?type=late&type=early".into(), (1..=10).collect()),
        ("?subject=s/0".into(), vec![3, 6, 9]),
        ("?subject=s/0&subject=s/1&until=4".into(), vec![1, 3, 4]),
        ("?subject_prefix=s/&limit=1".into(), vec![1]),
        ("?tag=t0&tag=all&limit=2".into(), vec![2, 4]),
        ("?at=2024-01-03".into(), vec![1, 2, 3]),
        ("?backward=true&limit=3".into(), vec![10, 9, 8]),
        ("?backward=true&from=2&until=4".into(), vec![4, 3, 2]),
        ("?backward&subject=s/0".into(), vec![9, 6, 3]),
        ("?backward=true&from=5&until=4".into(), vec![]),
    ] {
        let answer = world
            .get(&format!("/topics/shop/events{query}"))
            .await
            .is(200);
        let positions = |all: Vec<Value>| -> Vec<u64> {
            all.iter()
                .map(|e| e["position"].as_u64().unwrap())
                .collect()
        };
        let page: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        let last = expected.last().map(u64::to_string);
        assert_eq!(positions(page), expected, "{query}");
        assert_eq!(
            answer.header("foretell-last-position").map(str::to_owned),
            last,
            "{query}"
        );
        let lines = [("accept", "application/x-ndjson")];
        let path = format!("/topics/shop/events{query}");
        let text = world
            .call("GET", &path, &lines, Body::empty())
            .await
            .is(200)
            .text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(positions(lines.collect()), expected, "{query}");
    }
    let page = world.get("/topics/shop/events?limit=9").await;
    assert_eq!(page.header("foretell-more"), Some("true"));
    let page = world.get("/topics/shop/events?limit=10").await;
    assert_eq!(page.header("foretell-more"), Some("false"));
    let page = world.get("/topics/shop/streams/s/0?backward=true").await;
    assert_eq!(page.header("etag"), Some("\"2\""));
    for query in [
        "?form=1",
        "?from=0",
        "?from=x",
        "?from=1&after=1",
        "?limit=-1",
        "?until=0",
        "?at=5x",
        "?backward=maybe",
        "?follow=true",
        "?after=18446744073709551616",
        "?subject=%FF",
    ] {
        let answer = world.get(&format!("/topics/shop/events{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {answer}");
    }
    let answer = world.get("/topics/shop/events?form=1").await;
    assert!(answer.message().contains("\"form\""), "{answer}");
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_large() {
    let world = World::new().await;
    let data = "x".repeat(1_000_000);
    for id in 0..18 {
        world
            .publish(json!([event(&id.to_string(), "s", json!(data))]))
            .await
            .is(200);
    }
    let (mut after, mut pages) = (0, 0);
    loop {
        let page = world
            .get(&format!("/topics/shop/events?after={after}"))
            .await
            .is(200);
        after = page
            .header("foretell-last-position")
            .unwrap()
            .parse()
            .unwrap();
        pages += 1;
        if page.header("foretell-more") == Some("false") {
            break;
        }
    }
    assert_eq!((after, pages), (18, 2));
    let lines = [("accept", "application/x-ndjson")];
    let path = "/topics/shop/events";
    let text = world.call("GET", path, &lines, Body::empty()).await.text();
    assert_eq!(text.lines().count(), 18);
}

#[tokio::test]
async fn system_topics_are_read_only() {
    let world = World::new().await;
    let events = world
        .get("/topics/foretell.config/events")
        .await
        .is(200)
        .json();
    assert_eq!(events[0]["subject"], "topics/shop");
    world
        .get("/topics/Foretell.Deadletters/events")
        .await
        .is(200);
    let state = world
        .get("/topics/foretell.config/state/topics/shop")
        .await
        .is(200)
        .json();
    assert_eq!(state["state"]["name"], "shop");
    for path in ["/api/events", "/events", "/streams/s"] {
        let path = format!("/topics/foretell.config{path}");
        world.post(&path, json!([cloud("1", "s")])).await.is(403);
    }
    world
        .put("/topics/foretell.config", json!({}))
        .await
        .is(403);
    world.put("/topics/foretell.mine", json!({})).await.is(403);
    world.delete("/topics/foretell.config").await.is(403);
    world.get("/topics/foretell.nothing/events").await.is(404);
    let list = |answer: Answer| answer.json().as_array().unwrap().len();
    assert_eq!(list(world.get("/topics").await), 1);
    assert_eq!(list(world.get("/topics?system=true").await), 5);
}
