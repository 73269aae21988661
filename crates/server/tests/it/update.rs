//! Updates of topics and subscriptions, and what the configuration tells of its past.

use crate::support::http::Hook;
use crate::support::{Answer, World, event, wait_for};
use foretell_server::Application;
use serde_json::{Value, json};

const TOPIC: &str = "/topics/shop";
const PATH: &str = "/topics/shop/eventSubscriptions/hook";

fn hook(url: &str) -> Value {
    json!({"properties": {"destination": {"endpointType": "WebHook", "properties": {"endpointUrl": url}}}})
}

async fn patch(world: &World, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/merge-patch+json")];
    world.call("PATCH", path, &headers, body.to_string()).await
}

async fn config_events(world: &World) -> Vec<Value> {
    let answer = world.get("/topics/foretell.config/events").await;
    answer.is(200).json().as_array().unwrap().clone()
}

#[tokio::test]
async fn a_topic_is_changed_where_the_update_says_so() {
    let world = World::empty().await;
    let made = json!({
        "tags": {"team": "till", "old": "x"},
        "properties": {"inputSchema": "EventGridSchema", "quota": {"eventsPerSecond": 10}},
    });
    world.put(TOPIC, made).await.is(201);
    let update = json!({
        "tags": {"old": null, "new": "y"},
        "properties": {"quota": {"bytesPerSecond": 100_000}},
    });
    let changed = patch(&world, TOPIC, &update).await.is(200).json();
    assert_eq!(changed["tags"], json!({"team": "till", "new": "y"}));
    let properties = &changed["properties"];
    let quota = json!({"eventsPerSecond": 10, "bytesPerSecond": 100_000});
    assert_eq!(properties["quota"], quota);
    assert_eq!(properties["inputSchema"], "EventGridSchema");
    let before = world.get(TOPIC).await.json();
    for (wrong, named) in [
        (json!([]), "the body"),
        (json!({"name": "other"}), "name"),
        (json!({"location": "moon"}), "location"),
        (json!({"colour": "red"}), "colour"),
        (json!({"tags": {"a": 1}}), "tags.a"),
        (
            json!({"properties": {"endpoint": "http://x"}}),
            "properties.endpoint",
        ),
        (
            json!({"properties": {"erasable": true}}),
            "properties.erasable",
        ),
        (
            json!({"properties": {"colour": "red"}}),
            "properties.colour",
        ),
        (
            json!({"properties": {"quota": {"eventsPerSecond": 0}}}),
            "properties.quota.eventsPerSecond",
        ),
        (
            json!({"properties": {"disableLocalAuth": true}}),
            "properties.disableLocalAuth",
        ),
        // The first half alone would do.
        (
            json!({"tags": {"a": "b"}, "properties": {"inputSchema": "X"}}),
            "properties.inputSchema",
        ),
    ] {
        let answer = patch(&world, TOPIC, &wrong).await.is(400);
        assert!(answer.message().contains(named), "{wrong}: {answer}");
    }
    assert_eq!(world.get(TOPIC).await.json(), before);
    patch(&world, "/topics/nothing", &update).await.is(404);
    patch(&world, "/topics/foretell.config", &update)
        .await
        .is(403);
    let gone = json!({"tags": null, "properties": {"quota": null}});
    let changed = patch(&world, TOPIC, &gone).await.is(200).json();
    assert_eq!(
        (&changed["tags"], &changed["properties"]["quota"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_subscription_is_changed_where_the_update_says_so() {
    let world = World::new().await;
    let mut made = hook("http://127.0.0.1:1/one?code=1");
    let destination = &mut made["properties"]["destination"]["properties"];
    destination["maxEventsPerBatch"] = json!(10);
    destination["deliveryAttributeMappings"] = json!([
        {"name": "authorization", "type": "Static", "properties": {"value": "Bearer s3cret", "isSecret": true}},
    ]);
    made["properties"]["filter"] = json!({"includedEventTypes": ["a"], "subjectBeginsWith": "x/"});
    made["properties"]["labels"] = json!(["one"]);
    world.put(PATH, made).await.is(201);
    // As Event Grid's update parameters have it, and as a namespace has it.
    for (update, begins, attempts) in [
        (
            json!({"filter": {"subjectBeginsWith": "y/"}, "labels": ["two", "three"]}),
            "y/",
            30,
        ),
        (
            json!({"properties": {"retryPolicy": {"maxDeliveryAttempts": 3}}}),
            "y/",
            3,
        ),
        (json!({"filter": null, "retryPolicy": null}), "", 30),
    ] {
        let changed = patch(&world, PATH, &update).await.is(200).json();
        let properties = &changed["properties"];
        assert_eq!(properties["filter"]["subjectBeginsWith"], begins);
        assert_eq!(properties["retryPolicy"]["maxDeliveryAttempts"], attempts);
        assert_eq!(properties["labels"], json!(["two", "three"]));
        let destination = &properties["destination"]["properties"];
        assert_eq!(destination["maxEventsPerBatch"], 10);
        assert_eq!(
            destination["deliveryAttributeMappings"][0]["name"],
            "authorization"
        );
    }
    let before = world.get(PATH).await.json()["properties"].clone();
    for (wrong, named) in [
        (json!({"name": "other"}), "name"),
        (json!({"topic": "other"}), "topic"),
        (json!({"colour": "red"}), "colour"),
        (
            json!({"properties": {"provisioningState": "x"}}),
            "properties.provisioningState",
        ),
        (json!({"properties": {}, "filter": {}}), "filter"),
        (json!({"destination": null}), "properties.destination"),
        (
            json!({"destination": {"properties": {"endpointUrl": "ftp://x"}}}),
            "endpointUrl",
        ),
        (json!({"filter": {"colour": 1}}), "properties.filter.colour"),
        (json!({"labels": [""]}), "labels"),
        (
            json!({"expirationTimeUtc": "tomorrow"}),
            "expirationTimeUtc",
        ),
        (json!({"expirationTimeUtc": "2020-01-01T00:00:00Z"}), "past"),
        (
            json!({"labels": ["x"], "retryPolicy": {"maxDeliveryAttempts": 31}}),
            "maxDeliveryAttempts",
        ),
    ] {
        let answer = patch(&world, PATH, &wrong).await.is(400);
        assert!(answer.message().contains(named), "{wrong}: {answer}");
    }
    assert_eq!(world.get(PATH).await.json()["properties"], before);
    patch(&world, "/topics/shop/eventSubscriptions/new", &json!({}))
        .await
        .is(404);
    // Nothing of a destination goes over to one of another kind, and back.
    let function = json!({"destination": {"endpointType": "AzureFunction", "properties": {"resourceId": "/sites/app/functions/f"}}});
    let changed = patch(&world, PATH, &function).await.is(200).json();
    assert_eq!(changed["to"], "function:app/f");
    let pulled = json!({"deliveryConfiguration": {"deliveryMode": "Queue", "queue": {"maxDeliveryCount": 2}}});
    let changed = patch(&world, PATH, &pulled).await.is(200).json();
    assert_eq!(
        (&changed["to"], &changed["properties"]["labels"][0]),
        (&json!("pull"), &json!("two"))
    );
    let changed = patch(&world, PATH, &hook("http://127.0.0.1:1/two"))
        .await
        .is(200)
        .json();
    assert_eq!(changed["to"], "webhook:http://127.0.0.1:1/two");
    assert_eq!(
        changed["properties"]["retryPolicy"]["maxDeliveryAttempts"],
        30
    );
}

#[tokio::test]
async fn what_a_file_names_is_not_updated() {
    let toml = "[topics.shop]\ntags = { team = \"till\" }\nquota = { events_per_second = 5 }\n[topics.shop.subscriptions.hook]\nto = \"webhook:http://127.0.0.1:1/\"\nlabels = [\"a\"]\nexpires = \"2100-01-01T00:00:00Z\"\n";
    let world = World::with(toml).await;
    let shown = world.get(TOPIC).await.json();
    assert_eq!(shown["tags"]["team"], "till");
    assert_eq!(shown["properties"]["quota"]["eventsPerSecond"], 5);
    let shown = world.get(PATH).await.json();
    assert_eq!(
        shown["properties"]["expirationTimeUtc"],
        "2100-01-01T00:00:00Z"
    );
    assert_eq!(shown["properties"]["labels"], json!(["a"]));
    patch(&world, TOPIC, &json!({"tags": {}})).await.is(409);
    patch(&world, PATH, &json!({"labels": []})).await.is(409);
}

/// What was published and not delivered yet goes where the definition says now.
#[tokio::test]
async fn progress_stays_when_the_definition_changes() {
    let world = World::with("[delivery]\nretry_schedule = [\"20ms\"]").await;
    world.put(TOPIC, json!({})).await.is(201);
    let (one, two) = (Hook::start().await, Hook::start().await);
    world.put(PATH, hook(&one.url)).await.is(201);
    world
        .publish(json!([event("1", "a", json!(1))]))
        .await
        .is(200);
    wait_for("the first", || one.ids() == ["1"]).await;
    one.taken
        .fail
        .store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    world
        .publish(json!([
            event("2", "a", json!(1)),
            event("3", "b", json!(1))
        ]))
        .await
        .is(200);
    wait_for("refusals", || {
        one.taken.requests.load(std::sync::atomic::Ordering::SeqCst) > 2
    })
    .await;
    // Of what waits, and of what comes, only what the new filter wants; nothing again.
    let mut changed = hook(&two.url);
    changed["properties"]["filter"] = json!({"subjectBeginsWith": "c"});
    world.put(PATH, changed).await.is(200);
    world
        .publish(json!([
            event("4", "b", json!(1)),
            event("5", "c", json!(1))
        ]))
        .await
        .is(200);
    wait_for("the rest", || two.ids().len() >= 3).await;
    let mut ids = two.ids();
    ids.sort();
    assert_eq!(ids, ["2", "3", "5"]);
    assert_eq!(one.ids(), ["1"]);
}

#[tokio::test]
async fn an_expired_subscription_delivers_nothing_more() {
    let world = World::new().await;
    let to = Hook::start().await;
    let soon = world.node.now().plus_nanos(1_500_000_000);
    let mut made = hook(&to.url);
    made["properties"]["expirationTimeUtc"] =
        json!(foretell_types::Timestamp::from_instant(soon).to_string());
    let made = world.put(PATH, made).await.is(201).json();
    assert_eq!(
        (&made["running"], &made["expired"]),
        (&json!(true), &Value::Null)
    );
    world
        .publish(json!([event("1", "a", json!(1))]))
        .await
        .is(200);
    wait_for("the first", || to.ids() == ["1"]).await;
    wait_for("its end", || {
        world.node.subscription_stats("shop", "hook").is_none()
    })
    .await;
    let shown = world.get(PATH).await.json();
    assert_eq!(
        (&shown["running"], &shown["expired"]),
        (&json!(false), &json!(true))
    );
    world
        .publish(json!([event("2", "a", json!(1))]))
        .await
        .is(200);
    let world = world.reopen(Application::none()).await;
    let shown = world.get(PATH).await.json();
    assert_eq!(
        (&shown["running"], &shown["lag"]),
        (&json!(false), &json!(1))
    );
    // Put again it goes on where it was.
    patch(&world, PATH, &json!({"expirationTimeUtc": null}))
        .await
        .is(200);
    wait_for("the rest", || to.ids() == ["1", "2"]).await;
}

#[tokio::test]
async fn every_change_is_an_event() {
    let world = World::empty().await;
    world
        .put(TOPIC, json!({"tags": {"a": "1", "b": "2"}}))
        .await
        .is(201);
    patch(&world, TOPIC, &json!({"tags": {"a": null}}))
        .await
        .is(200);
    let mut made = hook("http://127.0.0.1:1/one");
    made["properties"]["labels"] = json!(["x"]);
    made["properties"]["destination"]["properties"]["deliveryAttributeMappings"] = json!([
        {"name": "x-key", "type": "Static", "properties": {"value": "s3cret-value", "isSecret": true}},
    ]);
    world.put(PATH, made).await.is(201);
    world
        .put(PATH, hook("http://127.0.0.1:1/two"))
        .await
        .is(200);
    let keys = world
        .post("/topics/shop/regenerateKey", json!({"keyName": "key2"}))
        .await
        .is(200)
        .json();
    world.delete(PATH).await.is(200);
    let before = world.node.config();
    let world = world.reopen(Application::none()).await;
    assert_eq!(world.node.config().topics, before.topics);
    world.delete(TOPIC).await.is(200);
    let events = config_events(&world).await;
    let told: Vec<_> = events
        .iter()
        .map(|e| (e["type"].as_str().unwrap(), e["subject"].as_str().unwrap()))
        .collect();
    let (topic, subscription) = ("topics/shop", "topics/shop/eventSubscriptions/hook");
    assert_eq!(
        told,
        [
            ("foretell.topic.created", topic),
            ("foretell.topic.updated", topic),
            ("foretell.subscription.created", subscription),
            ("foretell.subscription.updated", subscription),
            ("foretell.topic.key_regenerated", topic),
            ("foretell.subscription.deleted", subscription),
            ("foretell.topic.deleted", topic),
        ]
    );
    let text = json!(events).to_string();
    for secret in [
        "s3cret-value",
        keys["key1"].as_str().unwrap(),
        keys["key2"].as_str().unwrap(),
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
    // The state is the definition as it was, also where something was taken out of it.
    let state = |subject: &'static str, at: &str| {
        let path = format!("/topics/foretell.config/state/{subject}?at={at}");
        let world = &world;
        async move { world.get(&path).await }
    };
    let tags = |answer: Answer| answer.is(200).json()["state"]["definition"]["tags"].clone();
    assert_eq!(tags(state(topic, "1").await), json!({"a": "1", "b": "2"}));
    assert_eq!(tags(state(topic, "2").await), json!({"b": "2"}));
    let now = state(topic, "5").await.is(200).json();
    assert_eq!(now["state"]["key_generations"], json!([0, 1]));
    let then = state(subscription, "3").await.is(200).json();
    assert_eq!(then["state"]["definition"]["labels"], json!(["x"]));
    let now = state(subscription, "4").await.is(200).json();
    let definition = now["state"]["definition"].as_object().unwrap();
    assert_eq!(definition["target"], "webhook:http://127.0.0.1:1/two");
    assert!(
        !definition.contains_key("labels") && !definition.contains_key("attributes"),
        "{now}"
    );
    let time = events[2]["recordedtime"].as_str().unwrap();
    let then = state(subscription, time).await.is(200).json();
    assert_eq!(then["state"]["definition"]["labels"], json!(["x"]));
    assert_eq!(
        state(subscription, "6").await.is(200).json()["state"],
        json!(null)
    );
}
