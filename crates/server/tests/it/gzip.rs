//! Bodies that were compressed for the way.

use std::io::Write;

use crate::support::{Answer, World, cloud, event};
use flate2::Compression;
use flate2::write::GzEncoder;
use foretell_types::limits::{PUBLISH_BODY_BYTES, STORE_BODY_BYTES};
use serde_json::{Value, json};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

async fn send(world: &World, path: &str, encoding: &str, body: Vec<u8>) -> Answer {
    let content_type = match path.ends_with("api/events") {
        true => "application/json",
        false => "application/cloudevents-batch+json",
    };
    let headers = [
        ("content-type", content_type),
        ("content-encoding", encoding),
    ];
    world.call("POST", path, &headers, body).await
}

const PUBLISH: &str = "/topics/shop/api/events";
/// Where CloudEvents in a batch are taken.
const OTHERS: [&str; 3] = [
    "/topics/shop:publish",
    "/topics/shop/events",
    "/topics/shop/imports/00000000000000000000000000000000000000000000000000000000000000aa?first_row=0",
];

#[tokio::test]
async fn every_way_in_takes_gzip() {
    let world = World::new().await;
    let grid = json!([event("grid", "s", json!("x".repeat(1_000)))]).to_string();
    send(&world, PUBLISH, "gzip", gzip(grid.as_bytes()))
        .await
        .is(200);
    for (n, path) in OTHERS.iter().enumerate() {
        let batch = json!([cloud(&format!("cloud{n}"), "s")]).to_string();
        send(&world, path, "X-Gzip", gzip(batch.as_bytes()))
            .await
            .is(200);
    }
    // Two members, one after the other, are one body.
    let (one, two) = grid.split_at(20);
    let mut members = gzip(one.as_bytes());
    members.extend(gzip(two.as_bytes()));
    send(&world, PUBLISH, "gzip", members).await.is(200);
    send(&world, PUBLISH, "identity", grid.into_bytes())
        .await
        .is(200);
    let ids: Vec<Value> = world
        .read("")
        .await
        .iter()
        .map(|event| event["id"].clone())
        .collect();
    assert_eq!(ids, ["grid", "cloud0", "cloud1", "cloud2"]);
    assert_eq!(world.read("").await[0]["data"], "x".repeat(1_000));
    // Administration too.
    let headers = [("content-encoding", "gzip")];
    world
        .call("PUT", "/topics/other", &headers, gzip(b"{}"))
        .await
        .is(201);
}

#[tokio::test]
async fn unknown_encodings_are_refused_by_name() {
    let world = World::new().await;
    let body = json!([event("1", "s", json!(1))]).to_string().into_bytes();
    for encoding in ["br", "deflate", "zstd", "gzip, gzip", "gzip;q=1"] {
        for path in [PUBLISH, OTHERS[0], OTHERS[1], OTHERS[2]] {
            let refused = send(&world, path, encoding, body.clone()).await.is(415);
            assert_eq!(refused.json()["error"]["code"], "UnsupportedMediaType");
            assert!(refused.message().contains(encoding), "{refused}");
        }
    }
    assert!(world.read("").await.is_empty());
}

#[tokio::test]
async fn a_limit_holds_for_what_is_unpacked() {
    let world = World::new().await;
    let filled = |bytes: usize| {
        let mut body = json!([event("1", "s", json!(1))]).to_string().into_bytes();
        body.resize(bytes, b' ');
        gzip(&body)
    };
    assert!(filled(STORE_BODY_BYTES).len() < 20_000);
    send(&world, PUBLISH, "gzip", filled(PUBLISH_BODY_BYTES + 1))
        .await
        .is(413);
    send(&world, OTHERS[1], "gzip", filled(STORE_BODY_BYTES + 1))
        .await
        .is(413);
    // One that would be 100 times the limit, and one that is broken behind it.
    send(&world, PUBLISH, "gzip", filled(100 * PUBLISH_BODY_BYTES))
        .await
        .is(413);
    let mut broken = filled(2 * PUBLISH_BODY_BYTES);
    broken.truncate(broken.len() - 9);
    send(&world, PUBLISH, "gzip", broken).await.is(413);
    assert!(world.read("").await.is_empty());
    send(&world, PUBLISH, "gzip", filled(PUBLISH_BODY_BYTES))
        .await
        .is(200);
    assert_eq!(world.read("").await.len(), 1);
}

#[tokio::test]
async fn what_is_not_whole_is_refused() {
    let world = World::new().await;
    let whole = gzip(json!([event("1", "s", json!(1))]).to_string().as_bytes());
    for cut in 0..whole.len() {
        let refused = send(&world, PUBLISH, "gzip", whole[..cut].to_vec()).await;
        assert_eq!(refused.status, 400, "{cut} of {}: {refused}", whole.len());
    }
    send(&world, PUBLISH, "gzip", whole.clone()).await.is(200);
    for at in 0..whole.len() {
        let mut wrong = whole.clone();
        wrong[at] ^= 0x10;
        // Some bits mean nothing; with any other content the event would be a conflict.
        let answer = send(&world, PUBLISH, "gzip", wrong).await;
        assert!(matches!(answer.status, 200 | 400), "{at}: {answer}");
    }
    assert_eq!(world.read("").await.len(), 1);
    let trailing = [whole.clone(), b"trailing".to_vec()].concat();
    send(&world, PUBLISH, "gzip", trailing).await.is(400);
    send(&world, PUBLISH, "gzip", b"plain".to_vec())
        .await
        .is(400);
}
