//! Event Grid namespaces and their topics.

use crate::support::{World, cloud};
use foretell_server::Application;
use serde_json::json;

#[tokio::test]
async fn topics_of_two_namespaces_are_kept_apart() {
    let world = World::empty().await;
    world
        .put("/namespaces/north/topics/orders", json!({}))
        .await
        .is(404);
    for name in ["north", "south"] {
        world
            .put(&format!("/namespaces/{name}"), json!({}))
            .await
            .is(201);
        world
            .put(&format!("/Namespaces/{name}/Topics/orders"), json!({}))
            .await
            .is(201);
    }
    world.put("/namespaces/North", json!({})).await.is(200);
    let shown = world.get("/namespaces/north").await.is(200).json();
    assert_eq!(shown["topics"], json!(["orders"]));
    let queue =
        json!({"properties": {"deliveryConfiguration": {"deliveryMode": "Queue", "queue": {}}}});
    let path = "/namespaces/north/topics/orders/eventSubscriptions/work";
    let made = world.put(path, queue).await.is(201).json();
    assert!(
        made["id"]
            .as_str()
            .unwrap()
            .contains("/namespaces/north/topics/orders/"),
        "{made}"
    );
    // The keys of the namespace, and no other's.
    let keys = async |world: &World, name: &str| {
        let path = format!("/namespaces/{name}/listKeys");
        world.post(&path, json!({})).await.is(200).json()["key1"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (north, south) = (keys(&world, "north").await, keys(&world, "south").await);
    let publish = async |world: &World, key: &str| {
        let authorization = format!("SharedAccessKey {key}");
        let headers = [
            ("authorization", &*authorization),
            ("content-type", "application/cloudevents+json"),
        ];
        let path = "/namespaces/north/topics/orders:publish";
        world
            .send("POST", path, &headers, cloud("1", "s").to_string())
            .await
            .status
    };
    assert_eq!(publish(&world, &south).await, 401);
    assert_eq!(publish(&world, &north).await, 200);
    let authorization = format!("SharedAccessKey {north}");
    let headers = [("authorization", &*authorization)];
    let path = "/namespaces/north/topics/orders/eventsubscriptions/work:receive";
    let received = world.send("POST", path, &headers, "").await.is(200).json();
    assert_eq!(received["value"][0]["event"]["id"], "1");
    let south_events = world
        .get("/topics/south.orders/events")
        .await
        .is(200)
        .json();
    assert_eq!(south_events, json!([]));

    world
        .post(
            "/topics/north.orders/regenerateKey",
            json!({"keyName": "key1"}),
        )
        .await
        .is(400);
    world
        .post(
            "/namespaces/north/regenerateKey",
            json!({"keyName": "key1"}),
        )
        .await
        .is(200);
    assert_eq!(publish(&world, &north).await, 401);
    let world = world.reopen(Application::none()).await;
    assert_eq!(publish(&world, &keys(&world, "north").await).await, 200);
    assert!(
        world
            .delete("/namespaces/north")
            .await
            .is(409)
            .message()
            .contains("orders")
    );
    world
        .delete("/namespaces/north/topics/orders")
        .await
        .is(200);
    world.delete("/namespaces/north").await.is(200);
    world.get("/namespaces/north").await.is(404);
    for bad in ["foretell", "a.b", "ab", "a_b"] {
        world
            .put(&format!("/namespaces/{bad}"), json!({}))
            .await
            .is(400);
    }
    world.node.close().await;
}
