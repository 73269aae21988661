//! Imports.

use crate::support::{World, cloud};
use foretell_server::Application;
use serde_json::{Value, json};

fn rows(from: u64, count: u64) -> Value {
    let row = |i: u64| {
        let mut row = cloud(&i.to_string(), &format!("s/{}", i % 2));
        row["knowntime"] = json!(format!("2024-01-{:02}T00:00:00Z", i + 1));
        row
    };
    (from..from + count).map(row).collect()
}

#[tokio::test]
async fn an_import_goes_on_where_it_was() {
    let world = World::new().await;
    let id = "aB".repeat(32);
    let path = format!("/topics/shop/imports/{id}");
    let post = async |from: u64, count: u64| {
        let path = format!("{path}?first_row={from}");
        world.post(&path, rows(from, count)).await
    };
    assert_eq!(world.get(&path).await.is(200).json(), json!({"rows": 0}));
    assert_eq!(post(0, 4).await.is(200).json(), json!({"rows": 4}));
    assert_eq!(post(0, 4).await.is(200).json(), json!({"rows": 4}));
    assert_eq!(post(2, 4).await.is(200).json(), json!({"rows": 6}));
    assert_eq!(post(0, 1).await.is(200).json(), json!({"rows": 6}));
    assert!(post(7, 1).await.is(400).message().contains("row 7"));
    let far = format!("{path}?first_row={}", u64::MAX);
    world.post(&far, rows(0, 1)).await.is(400);
    world.post(&path, rows(6, 1)).await.is(400);
    world
        .post("/topics/shop/imports/short?first_row=0", rows(0, 1))
        .await
        .is(400);
    let mut wrong = rows(6, 2);
    wrong[1]["position"] = json!(1);
    world
        .post(&format!("{path}?first_row=6"), wrong)
        .await
        .is(400);
    // The same rows, whose client hangs up at once.
    let mut asked = Box::pin(post(6, 2));
    assert!(futures::poll!(&mut asked).is_pending());
    drop(asked);
    assert_eq!(post(6, 2).await.is(200).json(), json!({"rows": 8}));
    let read = world.read("").await;
    assert_eq!(read.len(), 8);
    assert_eq!(read[0]["knowntime"], "2024-01-01T00:00:00Z");
    let known = world
        .get("/topics/shop/state/s/0?known_at=2024-01-03")
        .await
        .json();
    assert_eq!(
        (&known["position"], &known["state"]["id"]),
        (&json!(3), &json!("2"))
    );
    world.publish(rows(20, 1)).await.is(400);
    let world = world.reopen(Application::none()).await;
    let path = path.to_uppercase().replace("/IMPORTS/", "/Imports/");
    assert_eq!(world.get(&path).await.is(200).json(), json!({"rows": 8}));
    world.delete("/topics/shop").await.is(200);
    world.put("/topics/shop", json!({})).await.is(201);
    assert_eq!(world.get(&path).await.is(200).json(), json!({"rows": 0}));
}
