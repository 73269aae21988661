//! Nothing is delivered to an endpoint that didn't say yes.

use std::sync::Arc;

use crate::support::{World, application, event, wait_for};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use foretell_server::Application;
use parking_lot::Mutex;
use serde_json::{Value, json};

const PATH: &str = "/topics/shop/eventSubscriptions/hook";

/// An endpoint that answers handshakes as it is told.
struct Endpoint {
    url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    says: Mutex<&'static str>,
    asked: Mutex<Vec<Value>>,
    deleted: Mutex<Vec<Value>>,
    events: Mutex<Vec<Value>>,
    headers: Mutex<Vec<http::HeaderMap>>,
}

impl Endpoint {
    async fn start(says: &'static str) -> Endpoint {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        *seen.says.lock() = says;
        let app = axum::Router::new()
            .route("/hook", axum::routing::any(take))
            .with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Endpoint { url, seen }
    }

    fn body(&self) -> Value {
        json!({"properties": {"destination": {"endpointType": "WebHook",
            "properties": {"endpointUrl": self.url, "validation": "always"}}}})
    }

    fn toml(&self) -> String {
        format!(
            "[delivery]\nretry_schedule = [\"1ms\"]\n[topics.shop.subscriptions.hook]\nto = \"webhook:{}\"\nvalidation = \"always\"",
            self.url
        )
    }

    fn delivered(&self) -> usize {
        self.seen.events.lock().len()
    }

    fn asked(&self) -> usize {
        self.seen.asked.lock().len()
    }
}

async fn take(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let says = *seen.says.lock();
    let options = request.method() == http::Method::OPTIONS;
    let deletion = request
        .headers()
        .get("aeg-event-type")
        .is_some_and(|value| value == "SubscriptionDeletion");
    let handshake = request.headers().contains_key("aeg-event-type")
        && request.headers()["aeg-event-type"] == "SubscriptionValidation";
    seen.headers.lock().push(request.headers().clone());
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await;
    let body: Value = serde_json::from_slice(&bytes.unwrap()).unwrap_or_default();
    if deletion {
        seen.deleted.lock().push(body);
        // It is told once, whatever it answers.
        return http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if options || handshake {
        seen.asked.lock().push(body.clone());
    } else {
        seen.events.lock().push(body);
        return http::StatusCode::OK.into_response();
    }
    match says {
        "no" => (http::StatusCode::IM_A_TEAPOT, "not mine").into_response(),
        "nothing" => http::StatusCode::OK.into_response(),
        _ if options => [
            ("webhook-allowed-origin", "*"),
            ("webhook-allowed-rate", "6000"),
        ]
        .into_response(),
        _ => {
            let code = &body[0]["data"]["validationCode"];
            json!({ "validationResponse": code })
                .to_string()
                .into_response()
        }
    }
}

async fn publish(world: &World, id: &str) {
    let events = json!([event(id, "s", json!(1))]);
    world.publish(events).await.is(200);
}

#[tokio::test]
async fn an_endpoint_is_asked_when_it_is_new() {
    let endpoint = Endpoint::start("yes").await;
    let world = World::with("[delivery]\nretry_schedule = [\"1ms\"]\n[topics.shop]").await;
    let made = world.put(PATH, endpoint.body()).await.is(201).json();
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    assert_eq!(
        (&made["running"], &made["validation"]),
        (&json!(true), &Value::Null)
    );
    let asked = endpoint.seen.asked.lock()[0].clone();
    assert_eq!(
        asked[0]["topic"],
        world.get("/topics/shop").await.json()["id"]
    );
    publish(&world, "1").await;
    wait_for("the event", || endpoint.delivered() == 1).await;
    // Another filter is no other endpoint.
    let mut body = endpoint.body();
    body["properties"]["filter"] = json!({"subjectBeginsWith": "s"});
    world.put(PATH, body.clone()).await.is(200);
    assert_eq!(endpoint.asked(), 1);
    // What is not wanted there changes nothing.
    let other = Endpoint::start("no").await;
    let error = world.put(PATH, other.body()).await.is(400).message();
    for word in [
        "\"hook\"",
        "418 not mine",
        "expected 200",
        "--validation never",
    ] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(other.asked(), 2);
    let new = "/topics/shop/eventSubscriptions/new";
    world.put(new, other.body()).await.is(400);
    world.get(new).await.is(404);
    publish(&world, "2").await;
    wait_for("the event", || endpoint.delivered() == 2).await;
    // CloudEvents' own way of asking.
    body["properties"]["eventDeliverySchema"] = json!("CloudEventSchemaV1_0");
    let made = world.put(new, body.clone()).await.is(201).json();
    assert_eq!(made["rate"], 6_000);
    assert_eq!(world.get(PATH).await.json()["rate"], Value::Null);
    // It is kept to as long as the endpoint isn't asked again.
    body["properties"]["filter"] = json!({});
    assert_eq!(world.put(new, body).await.is(200).json()["rate"], 6_000);
    publish(&world, "3").await;
    wait_for("both", || endpoint.delivered() == 4).await;
    assert_eq!(endpoint.seen.asked.lock()[1], Value::Null);
    assert_eq!(other.delivered(), 0);
    world.node.close().await;
}

#[tokio::test]
async fn who_says_nothing_is_confirmed_by_hand() {
    let endpoint = Endpoint::start("nothing").await;
    let world = World::new().await;
    world.node.announce("http://127.0.0.1:4077").unwrap();
    let made = world.put(PATH, endpoint.body()).await.is(201).json();
    let state = &made["properties"]["provisioningState"];
    assert_eq!(
        (state, &made["running"]),
        (&json!("AwaitingManualAction"), &json!(false))
    );
    let message = made["validation"]["message"].as_str().unwrap();
    assert!(message.contains("200 and no body, expected"), "{message}");
    publish(&world, "1").await;
    let world = world.reopen(Application::none()).await;
    world.node.announce("http://127.0.0.1:4077").unwrap();
    let found = world.get(PATH).await.is(200).json();
    assert_eq!(found["validation"], made["validation"]);
    assert_eq!(
        (&found["lag"], &found["running"]),
        (&json!(1), &json!(false))
    );
    let sent = endpoint.seen.asked.lock()[0][0]["data"]["validationUrl"].clone();
    assert_eq!(found["validation"]["url"], sent);
    // It needs no key but the code; the code serves once.
    let confirm = async |path: &str| world.send("GET", path, &[], Body::empty()).await;
    let path = sent.as_str().unwrap().replace("http://127.0.0.1:4077", "");
    confirm(path.split('?').next().unwrap()).await.is(404);
    confirm(&format!("{path}x")).await.is(404);
    assert_eq!(endpoint.delivered(), 0);
    let confirmed = confirm(&path.replace("/validate", "/Validate")).await;
    assert_eq!(confirmed.is(200).json()["provisioningState"], "Succeeded");
    confirm(&path).await.is(404);
    wait_for("what waited", || endpoint.delivered() == 1).await;
    let found = world.get(PATH).await.json();
    assert_eq!(found["properties"]["provisioningState"], "Succeeded");
    assert_eq!(endpoint.asked(), 1);
    let config = world.get("/topics/foretell.config/events").await;
    let written: Vec<Value> = config.json().as_array().unwrap().clone();
    let of_hook = |e: &&Value| e["subject"] == "topics/shop/eventSubscriptions/hook";
    let versions: Vec<_> = written
        .iter()
        .filter(of_hook)
        .map(|e| e["data"]["version"].clone())
        .collect();
    assert_eq!(
        versions,
        [4, 4],
        "older programs would deliver to who did not say yes"
    );
    let config = config.text();
    let code = path.split("code=").last().unwrap();
    assert!(!config.contains(code), "no secret in the log");
    world.node.close().await;
}

#[tokio::test]
async fn what_the_file_names_is_asked_by_the_server() {
    let endpoint = Endpoint::start("no").await;
    let world = World::with(&endpoint.toml()).await;
    let found = world.get(PATH).await.is(200).json();
    assert_eq!(found["properties"]["provisioningState"], "Creating");
    publish(&world, "1").await;
    let listening = foretell_server::listen(&world.node, "127.0.0.1:0")
        .await
        .unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(foretell_server::serve(
        world.node.clone(),
        listening,
        async move { drop(stopped.await) },
    ));
    wait_for("more than one try", || endpoint.asked() > 3).await;
    assert_eq!(endpoint.delivered(), 0);
    *endpoint.seen.says.lock() = "yes";
    wait_for("the event", || endpoint.delivered() == 1).await;
    let found = world.get(PATH).await.json();
    assert_eq!(found["properties"]["provisioningState"], "Succeeded");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    // What was validated once stays so.
    let asked = endpoint.asked();
    let same = application(world.folder.path(), &endpoint.toml()).unwrap();
    let world = world.reopen(same).await;
    let found = world.get(PATH).await.json();
    assert_eq!(found["properties"]["provisioningState"], "Succeeded");
    publish(&world, "2").await;
    wait_for("the event", || endpoint.delivered() == 2).await;
    assert_eq!(endpoint.asked(), asked);
    world.node.close().await;
}

#[tokio::test]
async fn secret_headers_are_sent_and_not_told() {
    let endpoint = Endpoint::start("yes").await;
    let toml = format!(
        "{}\n[topics.shop.subscriptions.hook.attributes]\nauthorization = {{ secret = \"Bearer hush\" }}\nx-n = {{ source_field = \"data\" }}\nx-tenant = \"acme\"",
        endpoint.toml().replace("always", "never")
    );
    let world = World::with(&toml).await;
    publish(&world, "1").await;
    wait_for("the event", || endpoint.delivered() == 1).await;
    let headers = endpoint.seen.headers.lock()[0].clone();
    assert_eq!(headers["authorization"], "Bearer hush");
    assert_eq!(headers["x-tenant"], "acme");
    let shown = world.get(PATH).await.is(200).text();
    assert!(
        shown.contains("\"acme\"") && !shown.contains("hush"),
        "{shown}"
    );
    let head = world.get("/topics/foretell.config").await.json()["head"].clone();
    let config = world.get("/topics/foretell.config/events").await.text();
    assert!(config.contains("authorization") && !config.contains("hush"));
    let same = application(world.folder.path(), &toml).unwrap();
    let world = world.reopen(same).await;
    let again = world.get("/topics/foretell.config").await.json()["head"].clone();
    assert_eq!(head, again, "the same secret is no change");
    publish(&world, "2").await;
    wait_for("the event", || endpoint.delivered() == 2).await;
    world.node.close().await;
    let wrong = toml.replace("x-tenant", "aeg-tenant");
    let error = application(world.folder.path(), &wrong).unwrap_err();
    assert!(error.message().contains("\"aeg-tenant\""), "{error}");
}

#[tokio::test]
async fn this_machine_is_not_asked_unless_told() {
    let endpoint = Endpoint::start("no").await;
    let world = World::new().await;
    let mut body = endpoint.body();
    body["properties"]["destination"]["properties"]["validation"] = Value::Null;
    let made = world.put(PATH, body).await.is(201).json();
    assert_eq!(made["running"], true);
    assert_eq!(endpoint.asked(), 0);
    world.node.close().await;
}

fn hook_at(url: &str) -> Value {
    json!({"properties": {"destination": {"endpointType": "WebHook",
        "properties": {"endpointUrl": url, "validation": "never"}}}})
}

#[tokio::test]
async fn a_webhook_is_not_at_an_internal_address() {
    let world = World::new().await;
    world.node.announce("http://127.0.0.1:4077").unwrap();
    for (url, word) in [
        ("http://169.254.169.254/latest", "link-local"),
        ("http://[fe80::1]/", "link-local"),
        ("http://127.0.0.1:4077/deadletters/replay", "administration"),
        (
            "http://localhost:4077/topics/shop/erasures",
            "administration",
        ),
        ("http://[::1]:4077/", "administration"),
    ] {
        let error = world.put(PATH, hook_at(url)).await.is(403).message();
        assert!(error.contains(word), "{error}");
        assert!(error.contains("allow_internal_addresses"), "{error}");
    }
    for url in [
        "http://127.0.0.1:4077/topics/shop/api/events?api-version=2018-01-01",
        "http://127.0.0.1:4076/deadletters/replay",
    ] {
        let made = world.put(PATH, hook_at(url)).await;
        assert!(made.status < 300, "{made}");
    }
    world.node.close().await;
}

/// Also what is behind another name, or was defined before the server listened.
#[tokio::test]
async fn a_delivery_to_the_administration_is_refused() {
    let send = async |world: &World, path: &str| {
        let headers = [("aeg-event-type", "Notification")];
        world.call("POST", path, &headers, "[]").await
    };
    let world = World::new().await;
    send(&world, "/topics/shop/api/events").await.is(200);
    let refused = send(&world, "/deadletters/replay").await.is(403);
    assert!(refused.message().contains("allow_internal_addresses"));
    send(&world, "/topics/shop/regenerateKey").await.is(403);
    world.node.close().await;
    let allowed = "[delivery]\nallow_internal_addresses = true\n[topics.shop]";
    let world = World::with(allowed).await;
    world.node.announce("http://127.0.0.1:4077").unwrap();
    send(&world, "/deadletters/replay").await.is(200);
    let own = hook_at("http://127.0.0.1:4077/deadletters/replay");
    world.put(PATH, own).await.is(201);
    world.node.close().await;
}

#[tokio::test]
async fn a_webhook_is_told_that_its_subscription_is_deleted() {
    let endpoint = Endpoint::start("yes").await;
    let world = World::new().await;
    let clouds = "/topics/shop/eventSubscriptions/clouds";
    let mut body = endpoint.body();
    world.put(PATH, body.clone()).await.is(201);
    world
        .put("/topics/shop/eventSubscriptions/two", body.clone())
        .await
        .is(201);
    body["properties"]["eventDeliverySchema"] = json!("CloudEventSchemaV1_0");
    world.put(clouds, body).await.is(201);
    // Where nobody listens that is no error either.
    let nobody = json!({"properties": {"destination": {"endpointType": "WebHook",
        "properties": {"endpointUrl": "http://127.0.0.1:9/"}}}});
    let gone = "/topics/shop/eventSubscriptions/gone";
    world.put(gone, nobody).await.is(201);
    world.delete(gone).await.is(200);
    world.delete(clouds).await.is(200);
    let id = world.get(PATH).await.json()["id"].clone();
    world.delete(PATH).await.is(200);
    wait_for("the notice", || endpoint.seen.deleted.lock().len() == 1).await;
    let event = endpoint.seen.deleted.lock()[0][0].clone();
    assert_eq!(
        event["eventType"],
        "Microsoft.EventGrid.SubscriptionDeletedEvent"
    );
    assert_eq!(event["data"]["eventSubscriptionId"], id);
    world.delete("/topics/shop").await.is(200);
    wait_for("the other", || endpoint.seen.deleted.lock().len() == 2).await;
    world.node.close().await;
}

#[tokio::test]
async fn an_endpoint_that_says_yes_later_says_its_rate_too() {
    let endpoint = Endpoint::start("nothing").await;
    let world = World::new().await;
    world.node.announce("http://127.0.0.1:4077").unwrap();
    let mut body = endpoint.body();
    body["properties"]["eventDeliverySchema"] = json!("CloudEventSchemaV1_0");
    let made = world.put(PATH, body).await.is(201).json();
    let url = made["validation"]["url"].as_str().unwrap();
    let path = url.replace("http://127.0.0.1:4077", "");
    let headers = [
        ("webhook-allowed-origin", "eventgrid.azure.net"),
        ("webhook-allowed-rate", "300"),
    ];
    let confirmed = world.send("POST", &path, &headers, Body::empty()).await;
    confirmed.is(200);
    let found = world.get(PATH).await.json();
    assert_eq!(
        (&found["rate"], &found["running"]),
        (&json!(300), &json!(true))
    );
    // An older program would not keep to it.
    let config = world.get("/topics/foretell.config/events").await.json();
    assert_eq!(
        config.as_array().unwrap().last().unwrap()["data"]["version"],
        4
    );
    world.node.close().await;
}
