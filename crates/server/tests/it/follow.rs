//! Following a topic, as server-sent events and as JSON lines.

use crate::support::http::{Wire, stream_until};
use crate::support::{DEADLINE, World, cloud, event};
use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::oneshot;

async fn follow(world: &World, query: &str, accept: &str) -> BodyDataStream {
    let path = format!("/topics/shop/events{query}");
    let key = format!("Bearer {}", world.admin());
    let headers = [("accept", accept), ("authorization", &*key)];
    let response = world.raw("GET", &path, &headers, Body::empty()).await;
    assert_eq!(response.status(), 200);
    response.into_body().into_data_stream()
}

async fn ends(mut stream: BodyDataStream) -> bool {
    let next = tokio::time::timeout(DEADLINE, stream.next()).await;
    !matches!(next.unwrap(), Some(Ok(_)))
}

#[tokio::test]
async fn server_sent_events_over_a_socket() {
    let world = World::new().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let listening = foretell_server::listen(&world.node, "127.0.0.1:0")
        .await
        .unwrap();
    let url = listening.url();
    let serving = tokio::spawn(foretell_server::serve(
        world.node.clone(),
        listening,
        async {
            let _ = stopped.await;
        },
    ));
    world
        .publish(json!([event("1", "a", json!(1))]))
        .await
        .is(200);
    let ask = |last: &str| {
        format!(
            "GET /topics/shop/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nauthorization: Bearer {}\r\n{last}\r\n",
            world.admin()
        )
    };
    let mut wire = Wire::open(&url).await;
    wire.write(&ask("")).await;
    wire.until("id: 1\nevent: order.placed\ndata: {").await;
    assert!(
        wire.read.contains("content-type: text/event-stream"),
        "{}",
        wire.read
    );
    world
        .publish(json!([
            event("2", "a", json!(2)),
            event("3", "b", json!(3))
        ]))
        .await
        .is(200);
    wire.until("id: 3\n").await;
    let mut again = Wire::open(&url).await;
    again.write(&ask("last-event-id: 2\r\n")).await;
    again.until("id: 3\n").await;
    assert!(!again.read.contains("id: 2\n") && !again.read.contains("id: 1\n"));
    // At the largest id there is nothing, and no overflow.
    let mut far = Wire::open(&url).await;
    far.write(&ask(&format!("last-event-id: {}\r\n", u64::MAX)))
        .await;
    far.until(": foretell").await;
    let mut wrong = Wire::open(&url).await;
    wrong
        .write(&ask("last-event-id: x\r\nconnection: close\r\n"))
        .await;
    wrong.end().await;
    assert!(wrong.read.starts_with("HTTP/1.1 400"), "{}", wrong.read);
    stop.send(()).unwrap();
    // It ends as a whole answer ends.
    wire.end().await;
    assert!(wire.read.ends_with("0\r\n\r\n"), "{}", wire.read);
    far.end().await;
    assert!(!far.read.contains("id: "), "{}", far.read);
    tokio::time::timeout(DEADLINE, serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn following_ends_where_it_must() {
    let world = World::new().await;
    let ndjson = "application/x-ndjson";
    let until = follow(&world, "?follow=true&until=2", ndjson).await;
    let limit = follow(&world, "?follow=true&limit=1&type=late", ndjson).await;
    let from = follow(
        &world,
        "?follow=true&from=3&subject_prefix=s",
        "text/event-stream",
    )
    .await;
    for id in 1..=2 {
        world
            .publish(json!([event(&id.to_string(), "s/1", json!(1))]))
            .await
            .is(200);
    }
    let mut until = until;
    stream_until(&mut until, "\"position\":2").await;
    assert!(ends(until).await);
    let mut late = cloud("3", "s/2");
    late["type"] = json!("late");
    world.publish(json!([late])).await.is(200);
    let mut limit = limit;
    stream_until(&mut limit, "\"position\":3").await;
    assert!(ends(limit).await);
    let mut from = from;
    let read = stream_until(&mut from, "id: 3\n").await;
    assert!(!read.contains("id: 2"), "{read}");
    world.get("/topics/shop/events?follow=x").await.is(400);
    for query in ["?follow=true&backward=true", "?from=1&after=1"] {
        let headers = [("accept", ndjson)];
        let path = format!("/topics/shop/events{query}");
        world
            .call("GET", &path, &headers, Body::empty())
            .await
            .is(400);
    }
    // Done already, or empty.
    assert!(ends(follow(&world, "?follow=true&from=9&until=3", ndjson).await).await);
    assert!(ends(follow(&world, "?follow=true&limit=0", ndjson).await).await);
}

#[tokio::test]
async fn a_deleted_topic_is_followed_no_more() {
    let world = World::new().await;
    let mut empty = follow(&world, "", "text/event-stream").await;
    stream_until(&mut empty, ": foretell").await;
    let lines = follow(&world, "?follow=true", "application/x-ndjson").await;
    world.put("/topics/other", json!({})).await.is(201);
    world.delete("/topics/other").await.is(200);
    world
        .publish(json!([event("1", "s", json!(1))]))
        .await
        .is(200);
    stream_until(&mut empty, "id: 1\n").await;
    world.delete("/topics/shop").await.is(200);
    world.put("/topics/shop", json!({})).await.is(201);
    world
        .publish(json!([event("new", "s", json!(1))]))
        .await
        .is(200);
    assert!(ends(empty).await);
    assert!(ends(lines).await);
}

#[tokio::test]
async fn arrow_follows() {
    let world = World::new().await;
    let accept = "application/vnd.apache.arrow.stream";
    let mut stream = follow(&world, "?follow=true&limit=3", accept).await;
    let publish = async |id: &str| {
        let events = json!([event(id, "s", json!(1))]);
        world.publish(events).await.is(200);
    };
    let mut read = Vec::new();
    let next = async |stream: &mut BodyDataStream| {
        let next = tokio::time::timeout(DEADLINE, stream.next()).await;
        next.unwrap().map(|piece| piece.unwrap())
    };
    publish("1").await;
    // It is there before there is more.
    while rows(&read) == 0 {
        read.extend_from_slice(&next(&mut stream).await.unwrap());
    }
    publish("2").await;
    publish("3").await;
    while let Some(piece) = next(&mut stream).await {
        read.extend_from_slice(&piece);
    }
    assert_eq!(rows(&read), 3);
    assert!(read.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
}

/// The rows of the batches that are there.
fn rows(bytes: &[u8]) -> usize {
    match arrow_ipc::reader::StreamReader::try_new(bytes, None) {
        Ok(batches) => batches.map_while(Result::ok).map(|b| b.num_rows()).sum(),
        Err(_) => 0,
    }
}
