//! Storage accounts beside the default one, and dead letters in them.

use crate::support::http::Hook;
use crate::support::{World, event, wait_for};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_server::Application;
use serde_json::{Value, json};

const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts";

#[tokio::test]
async fn accounts_have_keys_and_containers() {
    let world = World::empty().await;
    world
        .put("/storageaccounts/events1", json!({}))
        .await
        .is(201);
    world
        .put("/storageAccounts/events1", json!({}))
        .await
        .is(200);
    world
        .put("/storageAccounts/events1/containers/results", json!({}))
        .await
        .is(201);
    world
        .put("/storageAccounts/events1/containers/results", json!({}))
        .await
        .is(200);
    let listed = world.get("/storageAccounts").await.is(200).json();
    assert_eq!(
        listed,
        json!([{"name": "events1", "containers": ["results"]}])
    );
    let keys = async |world: &World, operation: &str, body: Value| {
        let path = format!("/storageAccounts/events1/{operation}");
        world.post(&path, body).await.is(200).json()
    };
    let first = keys(&world, "listKeys", json!({})).await;
    for name in ["key1", "key2"] {
        let key = STANDARD.decode(first[name].as_str().unwrap()).unwrap();
        assert_eq!(key.len(), 64);
    }
    let second = keys(&world, "regenerateKey", json!({"keyName": "key2"})).await;
    assert_eq!(second["key1"], first["key1"]);
    assert_ne!(second["key2"], first["key2"]);
    let world = world.reopen(Application::none()).await;
    assert_eq!(keys(&world, "listKeys", json!({})).await, second);
    for (path, status) in [
        ("/storageAccounts/Events1", 400),
        ("/storageAccounts/e-1", 400),
        ("/storageAccounts/foretell", 409),
        ("/storageAccounts/events1/containers/A", 400),
        ("/storageAccounts/events2/containers/results", 404),
    ] {
        world.put(path, json!({})).await.is(status);
    }
    world
        .get("/storageAccounts/events1/containers/other")
        .await
        .is(404);
    world
        .delete("/storageAccounts/events1/containers/results")
        .await
        .is(200);
    world.delete("/storageAccounts/events1").await.is(200);
    world.get("/storageAccounts/events1").await.is(404);
    world
        .put("/storageAccounts/events1", json!({}))
        .await
        .is(201);
    let third = keys(&world, "listKeys", json!({})).await;
    assert_ne!(third["key1"], second["key1"], "another account");
    world.node.close().await;
}

#[tokio::test]
async fn dead_letters_go_to_the_account_that_is_named() {
    let hook = Hook::start().await;
    hook.taken
        .fail
        .store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let world = World::new().await;
    world
        .put("/storageAccounts/events1", json!({}))
        .await
        .is(201);
    let body = |account: &str| {
        json!({"properties": {
            "destination": {"endpointType": "WebHook", "properties": {"endpointUrl": hook.url}},
            "retryPolicy": {"maxDeliveryAttempts": 1},
            "deadLetterDestination": {"endpointType": "StorageBlob", "properties": {
                "resourceId": format!("{ID}/{account}"), "blobContainerName": "given-up"}}}})
    };
    let path = "/topics/shop/eventSubscriptions/hook";
    let made = world.put(path, body("events1")).await.is(201).json();
    let id = made["properties"]["deadLetterDestination"]["properties"]["resourceId"].clone();
    assert!(
        id.as_str().unwrap().ends_with("/storageAccounts/events1"),
        "{id}"
    );
    let other = "/topics/shop/eventSubscriptions/other";
    let made = world.put(other, body("elsewhere")).await.is(201).json();
    let id = made["properties"]["deadLetterDestination"]["properties"]["resourceId"].clone();
    assert!(
        id.as_str().unwrap().ends_with("/storageAccounts/foretell"),
        "{id}"
    );
    world
        .publish(json!([event("1", "s", json!(1))]))
        .await
        .is(200);
    let folder = world.folder.path().join("data/storage");
    wait_for("the letters", || {
        folder.join("_accounts/events1/given-up/HOOK").is_dir()
            && folder.join("given-up/OTHER").is_dir()
    })
    .await;
    let mut letters = Value::Null;
    while letters.as_array().is_none_or(|all| all.len() < 2) {
        letters = world.get("/deadletters").await.is(200).json();
    }
    let blobs: Vec<_> = letters
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["blob"].as_str().unwrap())
        .collect();
    assert!(
        blobs
            .iter()
            .any(|blob| blob.starts_with("events1:given-up/HOOK/")),
        "{blobs:?}"
    );
    let message = world
        .delete("/storageAccounts/events1")
        .await
        .is(409)
        .message();
    assert!(message.contains("\"hook\""), "{message}");
    world.delete(path).await.is(200);
    world.delete("/storageAccounts/events1").await.is(200);
    world.node.close().await;
}

#[tokio::test]
async fn blobs_are_put_looked_at_and_deleted() {
    let world = World::empty().await;
    for path in [
        "/storageAccounts/events1",
        "/storageAccounts/events1/containers/code",
    ] {
        world.put(path, json!({})).await.is(201);
    }
    let at = |name: &str| format!("/storageAccounts/events1/containers/code/Blobs/{name}");
    let put =
        async |path: &str, content: &[u8]| world.call("PUT", path, &[], content.to_vec()).await;
    world.get(&at("a/B%20%C3%BC.zip")).await.is(404);
    put(&at("a/B%20%C3%BC.zip"), b"first").await.is(201);
    put(&at("a/B%20%C3%BC.zip"), b"second").await.is(200);
    let found = world.get(&at("a/B%20%C3%BC.zip")).await.is(200).json();
    assert_eq!(
        found,
        json!({"account": "events1", "container": "code", "name": "a/B ü.zip", "bytes": 6})
    );
    let stored = async || {
        let found = world.node.storage.get("events1:code", "a/B ü.zip").await;
        found.unwrap()
    };
    assert_eq!(stored().await.unwrap(), "second");
    let other = at("x").replace("code", "none");
    put(&other, b"").await.is(404);
    put(&at("a/../b"), b"").await.is(400);
    world.delete(&at("a/B%20%C3%BC.zip")).await.is(200);
    world.delete(&at("a/B%20%C3%BC.zip")).await.is(404);
    assert_eq!(stored().await, None);
}
