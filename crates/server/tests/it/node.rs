//! A node's life: listening, stopping, holding its directory.

use std::sync::Arc;

use crate::support::http::{Hook, Wire};
use crate::support::{DEADLINE, World, application, event, open, wait_for};
use axum::body::Body;
use foretell_log::DirectoryLock;
use foretell_server::Application;
use foretell_types::ErrorKind;
use serde_json::json;
use tokio::sync::oneshot;

#[tokio::test]
async fn a_stop_finishes_what_was_begun() {
    let world = World::new().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let listening = foretell_server::listen(&world.node, "localhost:0")
        .await
        .unwrap();
    let url = listening.url();
    let data = world.folder.path().join("data");
    let serving = foretell_server::serve(world.node.clone(), listening, async {
        let _ = stopped.await;
    });
    let serving = tokio::spawn(serving);
    let announced = || DirectoryLock::holder(&data).is_some_and(|h| h.url.as_ref() == Some(&url));
    wait_for("the url in the lock file", announced).await;
    let shown = world.get("/topics/shop").await.json();
    let endpoint = format!("{url}/topics/shop/api/events");
    assert_eq!(shown["properties"]["endpoint"], json!(endpoint));
    world
        .send("GET", "/readyz", &[], Body::empty())
        .await
        .is(200);
    let body = json!([event("1", "s", json!(1))]).to_string();
    let mut wire = Wire::open(&url).await;
    let head = format!(
        "POST /topics/shop/api/events HTTP/1.1\r\nhost: x\r\naeg-sas-key: {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        world.admin(),
        body.len()
    );
    wire.write(&head).await;
    // The server asks for the body: the request is being worked on.
    wire.until("100 Continue\r\n\r\n").await;
    stop.send(()).unwrap();
    wait_for("stopping", || world.node.is_stopping()).await;
    world
        .send("GET", "/readyz", &[], Body::empty())
        .await
        .is(503);
    world
        .send("GET", "/healthz", &[], Body::empty())
        .await
        .is(200);
    assert!(!serving.is_finished());
    wire.write(&body).await;
    wire.end().await;
    assert!(wire.read.contains("HTTP/1.1 200 OK"), "{}", wire.read);
    tokio::time::timeout(DEADLINE, serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(world.read("").await.len(), 1);
    assert_eq!(
        world
            .put("/topics/late", json!({}))
            .await
            .is(503)
            .header("retry-after"),
        Some("5")
    );
    world.node.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_waited_for() {
    let world = World::new().await;
    let listening = foretell_server::listen(&world.node, "127.0.0.1:0")
        .await
        .unwrap();
    let url = listening.url();
    let never = std::future::pending();
    tokio::spawn(foretell_server::serve(world.node.clone(), listening, never));
    for (path, length) in [("api/events", 1_048_577), ("events", 8_388_609)] {
        let mut wire = Wire::open(&url).await;
        let head = format!(
            "POST /topics/shop/{path} HTTP/1.1\r\nhost: x\r\naeg-sas-key: {}\r\ncontent-length: {length}\r\n\r\n",
            world.admin()
        );
        wire.write(&head).await;
        wire.until("RequestEntityTooLarge").await;
        assert!(wire.read.starts_with("HTTP/1.1 413"), "{}", wire.read);
    }
}

#[tokio::test]
async fn listening() {
    let world = World::empty().await;
    let taken = foretell_server::listen(&world.node, "127.0.0.1:0")
        .await
        .unwrap();
    let address = taken.url().replace("http://", "");
    let error = foretell_server::listen(&world.node, &*address)
        .await
        .unwrap_err();
    assert!(error.message().contains("--listen"), "{error}");
    let error = foretell_server::listen(&world.node, "0.0.0.0:0")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(
        error.message().contains("allow_insecure_network"),
        "{error}"
    );
    let error = foretell_server::listen(&world.node, "nothing")
        .await
        .unwrap_err();
    assert!(error.message().contains("\"nothing\""), "{error}");
    let world = World::with("[access]\nallow_insecure_network = true").await;
    foretell_server::listen(&world.node, "0.0.0.0:0")
        .await
        .unwrap();
}

#[tokio::test]
async fn one_node_holds_a_directory() {
    let hook = Hook::start().await;
    let world = World::with(&format!(
        "[topics.shop.subscriptions.hook]\nto = \"webhook:{}\"",
        hook.url
    ))
    .await;
    let data = world.folder.path().join("data");
    let error = open(&data, Application::none()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(
        error.message().contains(&std::process::id().to_string()),
        "{error}"
    );
    world.node.close().await;
    world.node.close().await;
    // One that fails at its end lets go: no task of it holds the directory.
    let mut topics = String::new();
    for index in 0..501 {
        topics += &format!("[topics.shop.subscriptions.s{index:03}]\nto = \"pull\"\n");
    }
    assert!(
        application(world.folder.path(), &topics).is_err(),
        "more than the limit"
    );
    let World { folder, node } = world;
    wait_for("the node is let go", || Arc::strong_count(&node) == 1).await;
    drop(node);
    let half = application(
        folder.path(),
        &topics.replace("[topics.shop.subscriptions.s500]\nto = \"pull\"\n", ""),
    )
    .unwrap();
    let node = open(&data, Application::none()).await.unwrap();
    drop(node);
    // The file's 500 and the one that was there are one too many.
    let error = open(&data, half).await.unwrap_err();
    assert!(error.message().contains("500"), "{error}");
    open(&data, Application::none()).await.unwrap();
}
