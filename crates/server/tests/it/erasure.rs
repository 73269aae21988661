//! Erasure over HTTP.

use crate::support::{World, event};
use serde_json::{Value, json};

#[tokio::test]
async fn a_subject_is_erased_and_certified() {
    let world = World::empty().await;
    let body = json!({"properties": {"erasable": true}});
    let made = world
        .put("/topics/people", body.clone())
        .await
        .is(201)
        .json();
    assert_eq!(made["properties"]["erasable"], true);
    // An update that says nothing of it leaves it; it can't be had later.
    let changed = world.put("/topics/people", json!({})).await.is(200).json();
    assert_eq!(changed["properties"]["erasable"], true);
    world.put("/topics/plain", json!({})).await.is(201);
    world.put("/topics/plain", body).await.is(409);

    let publish = |events: Value| {
        let headers = [("content-type", "application/json")];
        let events = events.to_string();
        let world = &world;
        async move {
            world
                .call("POST", "/topics/people/api/events", &headers, events)
                .await
        }
    };
    let events = json!([
        event("1", "person/1", json!({"name": "Ada"})),
        event("2", "person/2", json!({"name": "Bob"})),
        event("3", "person/1", json!({"name": "Ada L."})),
    ]);
    publish(events.clone()).await.is(200);
    let state = world
        .get("/topics/people/state/person/1")
        .await
        .is(200)
        .json();
    assert_eq!(state["state"], json!({"name": "Ada L."}));

    let erase = |subjects: Value| {
        let body = json!({"subjects": subjects});
        let world = &world;
        async move { world.post("/topics/people/erasures", body).await }
    };
    erase(json!(["nobody"])).await.is(404);
    erase(json!([])).await.is(400);
    erase(json!("person/1")).await.is(400);
    world
        .post("/topics/plain/erasures", json!({"subjects": ["a"]}))
        .await
        .is(409);
    let certificates = erase(json!(["person/1"])).await.is(200).json();
    let certificate = &certificates[0];
    assert_eq!(certificate["subject"], "person/1");
    assert_eq!(certificate["events"], 2);
    assert_eq!(
        certificate["topicId"],
        made["properties"]["metricResourceId"]
    );
    assert!(certificate["outOfReach"].as_array().unwrap().len() > 3);
    let again = erase(json!(["person/1"])).await.is(200).json();
    assert_eq!(again[0]["record"], certificate["record"]);

    let read = world.get("/topics/people/events").await.is(200).json();
    let erased = |n: usize| (read[n]["erased"].clone(), read[n]["data"].clone());
    assert_eq!(erased(0), (json!(true), json!(null)));
    assert_eq!(erased(1), (json!(null), json!({"name": "Bob"})));
    assert_eq!(erased(2), (json!(true), json!(null)));
    let state = world
        .get("/topics/people/state/person/1")
        .await
        .is(200)
        .json();
    assert_ne!(state["state"], json!({"name": "Ada L."}));
    // Sent again: the one that is there is known, the erased ones can't be compared.
    publish(json!([events[1]])).await.is(200);
    publish(json!([events[0]])).await.is(409);
    publish(json!([event(
        "4",
        "person/1",
        json!({"name": "Ada again"})
    )]))
    .await
    .is(200);
    let state = world
        .get("/topics/people/state/person/1")
        .await
        .is(200)
        .json();
    assert_eq!(state["state"], json!({"name": "Ada again"}));
    let record = &certificate["record"];
    let path = format!(
        "/topics/{}/proofs/{}",
        record["topic"].as_str().unwrap(),
        record["position"]
    );
    world.get(&path).await.is(200);
}
