//! Bearer tokens of a real issuer on the loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{Answer, World, application, cloud, event};
use axum::body::Body;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foretell_types::limits::TOKEN_KEYS_BYTES;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// An issuer with its description and its keys.
struct Issuer {
    url: String,
    published: Arc<Published>,
}

#[derive(Default)]
struct Published {
    /// What it answers in place of its keys.
    keys: Mutex<String>,
    fetches: AtomicUsize,
    url: Mutex<String>,
}

/// A key that an issuer signs with.
struct Signer {
    id: String,
    pair: EcdsaKeyPair,
}

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn new(id: &str) -> Signer {
        let (with, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(with, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(with, pkcs8.as_ref(), &random).unwrap();
        let id = id.to_owned();
        Signer { id, pair }
    }

    fn public(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": b64(x), "y": b64(y) })
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": self.id, "typ": "JWT" }).to_string();
        let signed = format!("{}.{}", b64(header), b64(claims.to_string()));
        let random = SystemRandom::new();
        let signature = self.pair.sign(&random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64(signature))
    }
}

async fn keys(State(published): State<Arc<Published>>) -> (http::StatusCode, String) {
    published.fetches.fetch_add(1, Ordering::SeqCst);
    match published.keys.lock().clone() {
        none if none.is_empty() => (http::StatusCode::SERVICE_UNAVAILABLE, none),
        keys => (http::StatusCode::OK, keys),
    }
}

async fn description(State(published): State<Arc<Published>>) -> String {
    let url = published.url.lock().clone();
    json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string()
}

impl Issuer {
    async fn start(signers: &[&Signer]) -> Issuer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let published = Arc::new(Published::default());
        published.url.lock().clone_from(&url);
        let app = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                axum::routing::get(description),
            )
            .route("/keys", axum::routing::get(keys))
            .with_state(published.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let issuer = Issuer { url, published };
        issuer.publish(signers);
        issuer
    }

    fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.public()).collect();
        *self.published.keys.lock() = json!({ "keys": keys }).to_string();
    }

    fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::SeqCst)
    }

    fn claims(&self, roles: &[&str]) -> Value {
        json!({ "iss": self.url, "aud": "foretell", "exp": seconds() + 600, "roles": roles })
    }

    /// A world that takes this issuer's tokens, with topics `shop` and `other`.
    async fn world(&self) -> World {
        let toml = format!(
            "[access.oidc]\nissuer = \"{}\"\naudience = \"foretell\"\n[topics.shop]\n[topics.shop.subscriptions.work]\nto = \"pull\"\n[topics.other]\n[topics.erased]\nerasable = true\n",
            self.url
        );
        World::with(&toml).await
    }
}

async fn ask(world: &World, method: &str, path: &str, token: &str, body: String) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    world.send(method, path, &headers, body).await
}

async fn publish(world: &World, token: &str, id: &str) -> Answer {
    let events = json!([event(id, "s", json!(1))]).to_string();
    ask(world, "POST", "/topics/shop/api/events", token, events).await
}

#[tokio::test]
async fn each_endpoint_takes_the_role_that_it_needs() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let world = issuer.world().await;
    publish(
        &world,
        &signer.sign(&issuer.claims(&["EventGridDataSender"])),
        "1",
    )
    .await
    .is(200);
    let grid = json!([event("2", "s", json!(1))]).to_string();
    let one = cloud("3", "s").to_string();
    let sender = [
        "EventGrid Data Sender",
        "EventGrid Data Sender@shop",
        "EventGrid Data Contributor",
        "Foretell Administrator",
    ];
    let receiver = [
        "EventGrid Data Receiver",
        "EventGridDataReceiver@SHOP",
        "Foretell Administrator",
    ];
    let reader = [
        "Foretell Reader",
        "Foretell Reader@shop",
        "Foretell Administrator",
    ];
    let inspector = [
        "Foretell Reader",
        "EventGrid EventSubscription Reader",
        "EventGrid Contributor@shop",
    ];
    let manager = [
        "EventGrid Contributor",
        "EventGrid Contributor@shop",
        "Foretell Administrator",
    ];
    let subscriber = [
        "EventGrid EventSubscription Contributor@shop",
        "EventGrid Contributor",
    ];
    let all = ["Foretell Administrator"];
    let none = "{\"lockTokens\":[\"x\"]}";
    let pull = "/topics/shop/eventsubscriptions/work";
    let cases: Vec<(&str, String, String, &[&str])> = vec![
        ("POST", "/topics/shop/api/events".into(), grid, &sender),
        ("POST", "/topics/Shop:publish".into(), one.clone(), &sender),
        ("POST", "/topics/shop/events".into(), one, &sender),
        ("POST", format!("{pull}:receive"), String::new(), &receiver),
        (
            "POST",
            format!("{pull}:acknowledge"),
            none.into(),
            &receiver,
        ),
        ("POST", format!("{pull}:release"), none.into(), &receiver),
        ("POST", format!("{pull}:reject"), none.into(), &receiver),
        ("POST", format!("{pull}:renewLock"), none.into(), &receiver),
        ("GET", "/topics/shop/events".into(), String::new(), &reader),
        (
            "GET",
            "/topics/shop/streams/s".into(),
            String::new(),
            &reader,
        ),
        ("GET", "/topics/shop/state/s".into(), String::new(), &reader),
        (
            "GET",
            "/topics/shop/proofs/1".into(),
            String::new(),
            &reader,
        ),
        (
            "GET",
            "/deadletters?topic=shop".into(),
            String::new(),
            &reader,
        ),
        ("GET", "/topics".into(), String::new(), &inspector[..2]),
        ("GET", "/topics/shop".into(), String::new(), &inspector),
        (
            "GET",
            "/topics/shop/eventSubscriptions".into(),
            String::new(),
            &inspector,
        ),
        ("GET", pull.into(), String::new(), &inspector),
        (
            "POST",
            "/topics/shop/listKeys".into(),
            String::new(),
            &manager,
        ),
        (
            "POST",
            "/topics/shop/regenerateKey".into(),
            "{\"keyName\":\"key1\"}".into(),
            &manager,
        ),
        ("POST", format!("{pull}/pause"), String::new(), &subscriber),
        (
            "POST",
            format!("{pull}/rewind?to=beginning"),
            String::new(),
            &subscriber,
        ),
        ("POST", format!("{pull}/resume"), String::new(), &subscriber),
        (
            "POST",
            "/deadletters/replay?topic=shop".into(),
            String::new(),
            &subscriber,
        ),
        (
            "GET",
            "/functions".into(),
            String::new(),
            &["Foretell Reader"],
        ),
        ("POST", "/verify".into(), String::new(), &all),
        (
            "POST",
            "/topics/erased/erasures".into(),
            "{\"subjects\":[\"s\"]}".into(),
            &["Foretell Eraser@erased", "Foretell Eraser"],
        ),
    ];
    // What nothing above allows.
    let others = [
        "EventGrid Data Sender@other",
        "Foretell Eraser@other",
        "Owner",
    ];
    for (method, path, body, roles) in cases {
        for role in roles {
            let token = signer.sign(&issuer.claims(&[role]));
            let answer = ask(&world, method, &path, &token, body.clone()).await;
            // Whose data is to be erased isn't there: for that one must be allowed to ask.
            let allowed = if path.ends_with("erasures") { 404 } else { 200 };
            assert_eq!(answer.status, allowed, "{role}: {method} {path}: {answer}");
        }
        let token = signer.sign(&issuer.claims(&others));
        let refused = ask(&world, method, &path, &token, body.clone()).await;
        assert_eq!(refused.status, 403, "{method} {path}: {refused}");
        assert_eq!(refused.json()["error"]["code"], "Forbidden");
        assert!(
            refused.message().contains("EventGrid Data Sender@other"),
            "{refused}"
        );
        let mut expired = issuer.claims(roles);
        expired["exp"] = json!(seconds() - 3_600);
        let refused = ask(&world, method, &path, &signer.sign(&expired), body).await;
        assert_eq!(refused.status, 401, "{method} {path}: {refused}");
        assert_eq!(refused.json()["error"]["code"], "Unauthorized");
    }
    assert_eq!(issuer.fetches(), 1, "the keys are kept");
    // An administrator erases nothing.
    let token = signer.sign(&issuer.claims(&all));
    let body = "{\"subjects\":[\"s\"]}".to_owned();
    ask(&world, "POST", "/topics/erased/erasures", &token, body)
        .await
        .is(403);
    // A topic is made and deleted by who manages it.
    let token = signer.sign(&issuer.claims(&["EventGrid Contributor@mine"]));
    ask(&world, "PUT", "/topics/mine", &token, "{}".into())
        .await
        .is(201);
    ask(&world, "PUT", "/topics/theirs", &token, "{}".into())
        .await
        .is(403);
    ask(&world, "DELETE", "/topics/mine", &token, String::new())
        .await
        .is(200);
    // Without any role that is known.
    publish(&world, &signer.sign(&issuer.claims(&[])), "9")
        .await
        .is(403);
}

#[tokio::test]
async fn keys_rotate() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let issuer = Issuer::start(&[&one]).await;
    let world = issuer.world().await;
    let claims = issuer.claims(&["EventGrid Data Sender"]);
    publish(&world, &one.sign(&claims), "1").await.is(200);
    // Unknown keys are asked for at a bounded rate: the fetch was a moment ago.
    issuer.publish(&[&one, &two]);
    for _ in 0..20 {
        let refused = publish(&world, &two.sign(&claims), "2").await.is(401);
        assert!(refused.message().contains("no key \"two\""), "{refused}");
    }
    assert_eq!(issuer.fetches(), 1);
    // For the tokens of others nobody is asked.
    let world = issuer.world().await;
    for (claim, value) in [("iss", "https://other.test"), ("aud", "other")] {
        let mut other = claims.clone();
        other[claim] = json!(value);
        publish(&world, &two.sign(&other), "2").await.is(401);
    }
    publish(&world, "a.b.c", "2").await.is(401);
    assert_eq!(issuer.fetches(), 1);
    publish(&world, &two.sign(&claims), "2").await.is(200);
    assert_eq!(issuer.fetches(), 2);
    // One that was stolen, under a name that is known.
    publish(&world, &Signer::new("one").sign(&claims), "3")
        .await
        .is(401);
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_no_reason_to_refuse_keys() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let claims = issuer.claims(&["EventGrid Data Sender"]);
    for broken in [
        String::new(),
        "{".to_owned(),
        "{}".to_owned(),
        " ".repeat(TOKEN_KEYS_BYTES + 1),
    ] {
        let world = issuer.world().await;
        let fetches = issuer.fetches();
        *issuer.published.keys.lock() = broken;
        for _ in 0..3 {
            let refused = publish(&world, &signer.sign(&claims), "1").await.is(503);
            assert!(refused.header("retry-after").is_some());
            assert_eq!(refused.json()["error"]["code"], "ServiceUnavailable");
            assert!(refused.message().contains(&issuer.url), "{refused}");
        }
        assert_eq!(
            issuer.fetches(),
            fetches + 1,
            "it is not asked again at once"
        );
        // A token is asked for nowhere else.
        world
            .send(
                "GET",
                "/healthz",
                &[("authorization", "Bearer a.b.c")],
                Body::empty(),
            )
            .await
            .is(200);
        let keys = world
            .post("/topics/shop/listKeys", json!(null))
            .await
            .is(200)
            .json();
        let body = json!([event("1", "s", json!(1))]).to_string();
        let key = [("aeg-sas-key", keys["key1"].as_str().unwrap())];
        world
            .send("POST", "/topics/shop/api/events", &key, body)
            .await
            .is(200);
    }
}

#[tokio::test]
async fn settings_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    for (table, says) in [
        (
            "issuer = \"http://issuer.test\"\naudience = \"a\"",
            "not encrypted",
        ),
        ("issuer = \"issuer\"\naudience = \"a\"", "not an https URL"),
        (
            "issuer = \"https://i.test\"\naudience = []",
            "audience is empty",
        ),
        (
            "issuer = \"https://i.test\"\naudience = \"\"",
            "audience is empty",
        ),
        ("issuer = \"https://i.test\"", "audience"),
        (
            "issuer = \"https://i.test\"\naudience = 7",
            "an array of texts",
        ),
        (
            "issuer = \"https://i.test\"\naudience = \"a\"\njwks_url = \"http://i.test\"",
            "jwks_url",
        ),
        (
            "issuer = \"https://i.test\"\naudience = \"a\"\nroles = \"x\"",
            "roles",
        ),
    ] {
        let error = application(folder.path(), &format!("[access.oidc]\n{table}\n")).unwrap_err();
        assert!(error.message().contains(says), "{table}: {error}");
    }
    let good = "[access.oidc]\nissuer = \"https://i.test\"\naudience = [\"a\", \"b\"]\njwks_url = \"https://i.test/k\"\nroles_claim = \"r\"\n";
    application(folder.path(), good).unwrap();
    // Where nobody issues tokens none is taken.
    let world = World::new().await;
    let refused = publish(&world, "a.b.c", "1").await.is(401);
    assert!(refused.message().contains("[access.oidc]"), "{refused}");
}
