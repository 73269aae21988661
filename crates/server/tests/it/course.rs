//! Where subscriptions begin, pause and begin again, through the node.

use std::sync::atomic::Ordering;

use crate::support::http::Hook;
use crate::support::{World, application, event, wait_for};
use foretell_server::Application;
use serde_json::{Value, json};

const PATH: &str = "/topics/shop/eventSubscriptions/hook";

fn to(hook: &Hook) -> Value {
    json!({"properties": {"destination": {"endpointType": "WebHook",
        "properties": {"endpointUrl": hook.url}}}})
}

async fn publish(world: &World, ids: &[&str]) {
    let events: Vec<Value> = ids.iter().map(|id| event(id, "s", json!(1))).collect();
    world.publish(json!(events)).await.is(200);
}

#[tokio::test]
async fn a_subscription_begins_at_a_time() {
    let hook = Hook::start().await;
    let world = World::new().await;
    let mut times = Vec::new();
    for id in ["1", "2", "3", "4", "5"] {
        publish(&world, &[id]).await;
        let last = world.read("").await.pop().unwrap();
        times.push(last["recordedtime"].as_str().unwrap().to_owned());
    }
    // Each round sees what the rounds before published too, but for those that begin now.
    for (from, first) in [
        (times[3].as_str(), 4),
        ("2020-01-01", 1),
        ("2999-01-01T00:00:00Z", 8),
        ("beginning", 1),
        ("5", 5),
    ] {
        hook.taken.events.lock().clear();
        let put = format!("{PATH}?from={from}");
        world.put(&put, to(&hook)).await.is(201);
        publish(&world, &[&format!("after {from}")]).await;
        let events = world.read(&format!("?from={first}")).await;
        let expected: Vec<_> = events.iter().map(|e| e["id"].as_str().unwrap()).collect();
        wait_for(from, || hook.ids() == expected).await;
        world.delete(PATH).await.is(200);
    }
    // For who can send a body only.
    hook.taken.events.lock().clear();
    let mut body = to(&hook);
    body["properties"]["from"] = json!(times[1]);
    let unlike = world.put(&format!("{PATH}?from=3"), body.clone()).await;
    assert!(unlike.is(400).message().contains("send one"));
    let made = world.put(PATH, body).await.is(201).json();
    assert_eq!(made["properties"]["from"], Value::Null);
    let all = world.read("?from=2").await.len();
    wait_for("the second", || hook.ids().len() == all).await;
    assert_eq!(hook.ids()[0], "2");
    world.delete(PATH).await.is(200);
    let wrong = world.put(&format!("{PATH}?from=noon"), to(&hook)).await;
    assert!(wrong.is(400).message().contains("RFC 3339"));
    world.node.close().await;
}

#[tokio::test]
async fn a_pause_and_a_rewind_outlive_the_server() {
    let hook = Hook::start().await;
    let toml = format!(
        "[delivery]\nretry_schedule = [\"1ms\"]\n[topics.shop.subscriptions.hook]\nto = \"webhook:{}\"",
        hook.url
    );
    let world = World::with(&toml).await;
    publish(&world, &["1", "2"]).await;
    wait_for("both", || hook.ids() == ["1", "2"]).await;
    // Also what foretell.toml names can be paused.
    let paused = world.post(&format!("{PATH}/PAUSE"), Value::Null).await;
    assert_eq!(paused.is(200).json()["paused"], true);
    world
        .post(&format!("{PATH}/pause"), Value::Null)
        .await
        .is(200);
    publish(&world, &["3"]).await;
    let same = application(world.folder.path(), &toml).unwrap();
    let world = world.reopen(same).await;
    let shown = world.get(PATH).await.json();
    assert_eq!((&shown["paused"], &shown["lag"]), (&json!(true), &json!(1)));
    assert_eq!(shown["running"], true);
    let rewound = world
        .post(&format!("{PATH}/rewind?to=2"), Value::Null)
        .await;
    assert_eq!(rewound.is(200).json()["lag"], 2);
    let same = application(world.folder.path(), &toml).unwrap();
    let world = world.reopen(same).await;
    assert_eq!(hook.ids(), ["1", "2"], "nothing was delivered");
    let resumed = world.post(&format!("{PATH}/resume"), Value::Null).await;
    assert_eq!(resumed.is(200).json()["paused"], false);
    wait_for("again", || hook.ids() == ["1", "2", "2", "3"]).await;
    for (to, status) in [
        ("?to=now", 400),
        ("?to=0", 400),
        ("", 400),
        ("?to=9", 400),
        ("?to=2999-01-01", 200),
        ("?to=beginning", 200),
    ] {
        let answer = world.post(&format!("{PATH}/rewind{to}"), Value::Null).await;
        answer.is(status);
    }
    wait_for("all again", || hook.ids().len() == 7).await;
    world
        .post("/topics/shop/eventSubscriptions/nobody/pause", Value::Null)
        .await
        .is(404);
    // The configuration knows when it was paused.
    let config = world.get("/topics/foretell.config/events").await.json();
    let paused: Vec<bool> = config
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["subject"] == "topics/shop/eventSubscriptions/hook")
        .map(|event| event["data"]["paused"] == true)
        .collect();
    assert_eq!(paused, [false, true, false]);
    world.node.close().await;
}

#[tokio::test]
async fn a_changed_definition_stays_paused() {
    let hook = Hook::start().await;
    let world = World::new().await;
    world.put(PATH, to(&hook)).await.is(201);
    world
        .post(&format!("{PATH}/pause"), Value::Null)
        .await
        .is(200);
    let mut body = to(&hook);
    body["properties"]["filter"] = json!({"subjectBeginsWith": "s"});
    let put = world.put(PATH, body).await.is(200).json();
    assert_eq!(put["paused"], true);
    publish(&world, &["1"]).await;
    let world = world.reopen(Application::none()).await;
    assert_eq!(world.get(PATH).await.json()["paused"], true);
    assert_eq!(hook.taken.requests.load(Ordering::SeqCst), 0);
    world
        .post(&format!("{PATH}/resume"), Value::Null)
        .await
        .is(200);
    wait_for("the event", || hook.ids() == ["1"]).await;
    world.node.close().await;
}
