//! Who may publish.

use crate::support::{World, event};
use axum::body::Body;
use foretell_protocol::{Key, sas_token};
use foretell_types::Instant;
use serde_json::json;

const PATH: &str = "/topics/shop/api/events";

#[tokio::test]
async fn keys_and_signatures() {
    let world = World::new().await;
    let keys = world
        .post("/topics/shop/listKeys", json!(null))
        .await
        .is(200)
        .json();
    let now = Instant::from_nanos(i64::MAX);
    let text = |name: &str| keys[name].as_str().unwrap().to_owned();
    let (one, two) = (text("key1"), text("key2"));
    let sign = |path: &str, key: &str, at| {
        sas_token(
            &format!("https://host{path}?apiVersion=2018-01-01"),
            at,
            &Key::from_text(key),
        )
        .unwrap()
    };
    let good = sign(PATH, &two, now);
    let other = sign("/topics/other/api/events", &two, now);
    let expired = sign(PATH, &two, Instant::from_nanos(1));
    let admin = world.admin();
    let cases: Vec<(&str, String, u16)> = vec![
        ("aeg-sas-key", one.clone(), 200),
        ("aeg-sas-key", two.clone(), 200),
        ("aeg-sas-key", admin, 200),
        ("authorization", format!("SharedAccessKey {one}"), 200),
        ("aeg-sas-token", good.clone(), 200),
        (
            "authorization",
            format!("SharedAccessSignature {good}"),
            200,
        ),
        ("aeg-sas-token", other, 401),
        ("aeg-sas-token", expired, 401),
        ("aeg-sas-key", format!("{one}x"), 401),
        ("authorization", "Basic abc".to_owned(), 401),
        ("x-nothing", "x".to_owned(), 401),
    ];
    for (header, value, status) in cases {
        let body = json!([event("1", "s", json!(1))]).to_string();
        let answer = world.send("POST", PATH, &[(header, &*value)], body).await;
        assert_eq!(answer.status, status, "{header}: {value}: {answer}");
        if status == 401 {
            assert_eq!(answer.json()["error"]["code"], "Unauthorized");
            assert!(answer.header("x-ms-request-id").is_some());
        }
    }
    assert_eq!(world.read("").await.len(), 1);
    // A topic's key doesn't read, nor administer.
    for path in ["/topics/shop/events", "/topics"] {
        let headers = [("aeg-sas-key", &*one)];
        world
            .send("GET", path, &headers, Body::empty())
            .await
            .is(401);
    }
}

#[tokio::test]
async fn the_admin_key_is_needed() {
    let world = World::new().await;
    let keys = world
        .post("/topics/shop/listKeys", json!(null))
        .await
        .json();
    let key = keys["key1"].as_str().unwrap();
    for (method, path) in [
        ("GET", "/topics"),
        ("GET", "/topics/shop"),
        ("PUT", "/topics/shop"),
        ("DELETE", "/topics/shop"),
        ("POST", "/topics/shop/listKeys"),
        ("POST", "/topics/shop/regenerateKey"),
        ("GET", "/topics/shop/eventSubscriptions"),
        ("GET", "/topics/shop/eventSubscriptions/s"),
        ("PUT", "/topics/shop/eventSubscriptions/s"),
        ("DELETE", "/topics/shop/eventSubscriptions/s"),
        ("GET", "/topics/shop/events?x=1"),
        ("GET", "/topics/shop/streams?x=1"),
        ("GET", "/topics/shop/streams/s"),
        ("GET", "/topics/shop/state"),
        ("GET", "/topics/shop/state/s"),
        ("GET", "/topics/shop/imports/x"),
        ("POST", "/topics/shop/imports/x"),
        ("GET", "/topics/shop/proofs/1"),
        ("GET", "/deadletters"),
        ("POST", "/deadletters/replay"),
        ("GET", "/functions"),
        ("GET", "/functions/app/logs"),
        ("POST", "/functions/app/f/invoke"),
        ("POST", "/verify"),
        ("GET", "/backup"),
        ("GET", "/backup/0000000000.segment"),
    ] {
        for headers in [
            &[][..],
            &[("aeg-sas-key", key)],
            &[("authorization", "Bearer x")],
        ] {
            let answer = world.send(method, path, headers, Body::empty()).await;
            assert_eq!(answer.status, 401, "{method} {path}: {answer}");
        }
    }
    for path in [
        "/topics/shop/events",
        "/topics/shop/streams/s",
        "/topics/shop/api/events",
    ] {
        world.send("POST", path, &[], "[]").await.is(401);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        world.send("GET", path, &[], Body::empty()).await.is(200);
    }
}

#[tokio::test]
async fn a_key_must_hold_when_the_body_is_there() {
    let world = World::new().await;
    let keys = world
        .post("/topics/shop/listKeys", json!(null))
        .await
        .json();
    let headers = [("aeg-sas-key", keys["key1"].as_str().unwrap())];
    let (send, receive) = futures::channel::mpsc::unbounded();
    let body = Body::from_stream(receive);
    let mut asked = Box::pin(world.send("POST", PATH, &headers, body));
    assert!(futures::poll!(&mut asked).is_pending());
    world.delete("/topics/shop").await.is(200);
    world.put("/topics/shop", json!({})).await.is(201);
    let body = json!([event("1", "s", json!(1))]).to_string();
    send.unbounded_send(Ok::<_, std::io::Error>(body)).unwrap();
    drop(send);
    asked.await.is(401);
    let keys = world
        .post("/topics/shop/listKeys", json!(null))
        .await
        .json();
    assert_eq!(world.read("").await.len(), 0);
    assert_ne!(keys["key1"], headers[0].1);
}
