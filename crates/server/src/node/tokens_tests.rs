use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foretell_protocol::Permission;
use foretell_types::limits::TOKEN_LEEWAY_S;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::*;

const ISSUER: &str = "https://issuer.test";
const BEGIN_S: i64 = 1_800_000_000;

fn at(seconds: i64) -> Instant {
    Instant::from_nanos((BEGIN_S + seconds) * 1_000_000_000)
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is answered to whom asks for keys; nothing is an error.
#[derive(Default)]
struct Keys {
    answer: Mutex<String>,
    asked: AtomicUsize,
}

async fn answer(State(keys): State<Arc<Keys>>) -> (http::StatusCode, String) {
    keys.asked.fetch_add(1, Ordering::SeqCst);
    match keys.answer.lock().clone() {
        none if none.is_empty() => (http::StatusCode::BAD_GATEWAY, none),
        answer => (http::StatusCode::OK, answer),
    }
}

/// A pair, and the key set with it.
fn key(id: &str) -> (Ed25519KeyPair, String) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let x = b64(pair.public_key().as_ref());
    let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": id });
    (pair, json!({ "keys": [public] }).to_string())
}

fn token(id: &str, pair: &Ed25519KeyPair) -> String {
    token_until(id, pair, BEGIN_S + 1_000_000)
}

fn token_until(id: &str, pair: &Ed25519KeyPair, exp: i64) -> String {
    let header = json!({ "alg": "EdDSA", "kid": id }).to_string();
    let claims = json!({ "iss": ISSUER, "aud": "a", "exp": exp, "roles": ["Foretell Reader"] });
    let signed = format!("{}.{}", b64(header), b64(claims.to_string()));
    format!("{signed}.{}", b64(pair.sign(signed.as_bytes())))
}

async fn tokens() -> (Arc<Tokens>, Arc<Keys>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let keys = Arc::new(Keys::default());
    let app = axum::Router::new().route("/keys", axum::routing::get(answer));
    let app = app.with_state(keys.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let table = format!("issuer = {ISSUER:?}\naudience = \"a\"\njwks_url = {url:?}");
    let table: OidcTable = toml::from_str(&table).unwrap();
    table.check().unwrap();
    (Arc::new(Tokens::new(&table).unwrap()), keys)
}

async fn checked(tokens: &Arc<Tokens>, text: &str, now: Instant) -> Result<(), ErrorKind> {
    tokens.prepare(text, now).await;
    let checked = tokens.check(text, now).map_err(|error| error.kind())?;
    checked
        .check(Permission::Read, None)
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn keys_grow_old() {
    let (tokens, keys) = tokens().await;
    let asked = || keys.asked.load(Ordering::SeqCst);
    let (one, public) = key("one");
    let (two, other) = key("two");
    let (first, second) = (token("one", &one), token("two", &two));
    // Not there yet: asked again after the wait, and not before.
    let (wait, age) = (TOKEN_KEYS_WAIT_S as i64, TOKEN_KEYS_AGE_S as i64);
    let unavailable = Err(ErrorKind::Unavailable);
    assert_eq!(checked(&tokens, &first, at(0)).await, unavailable);
    keys.answer.lock().clone_from(&public);
    assert_eq!(checked(&tokens, &first, at(wait - 1)).await, unavailable);
    assert_eq!(asked(), 1);
    assert_eq!(checked(&tokens, &first, at(wait)).await, Ok(()));
    assert_eq!(asked(), 2);
    // What was checked once is checked again for all but its signature.
    let brief = token_until("one", &one, BEGIN_S + wait);
    for _ in 0..2 {
        assert_eq!(checked(&tokens, &brief, at(wait)).await, Ok(()));
    }
    assert_eq!(tokens.known.read().verified.len(), 2);
    let late = at(wait + TOKEN_LEEWAY_S as i64);
    let unauthorized = Err(ErrorKind::Unauthorized);
    assert_eq!(checked(&tokens, &brief, late).await, unauthorized);
    // An unknown key: asked for once, and again after the wait.
    assert_eq!(checked(&tokens, &second, at(2 * wait)).await, unauthorized);
    assert_eq!(
        checked(&tokens, &second, at(3 * wait - 1)).await,
        unauthorized
    );
    assert_eq!(asked(), 3);
    // Another takes its place; the old one is gone once the keys are old.
    *keys.answer.lock() = other;
    let old = 2 * wait + age;
    assert_eq!(checked(&tokens, &first, at(old - 1)).await, Ok(()));
    assert_eq!(asked(), 3);
    assert_eq!(checked(&tokens, &first, at(old)).await, Ok(()), "meanwhile");
    while asked() < 4 || tokens.known.read().fetched != Some(at(old)) {
        tokio::task::yield_now().await;
    }
    assert_eq!(checked(&tokens, &first, at(old)).await, unauthorized);
    assert_eq!(checked(&tokens, &second, at(old)).await, Ok(()));
    // An issuer that is gone: what is known goes on for a day.
    keys.answer.lock().clear();
    let last = old + TOKEN_KEYS_AGE_MOST_S as i64;
    assert_eq!(checked(&tokens, &second, at(last - 1)).await, Ok(()));
    assert_eq!(
        checked(&tokens, &second, at(last + wait)).await,
        unavailable
    );
    assert_eq!(checked(&tokens, &first, at(last + wait)).await, unavailable);
    // A clock that was set back hinders nobody.
    *keys.answer.lock() = public;
    assert_eq!(checked(&tokens, &first, at(100)).await, Ok(()));
}

#[tokio::test]
async fn many_who_wait_ask_once() {
    let (tokens, keys) = tokens().await;
    let (pair, public) = key("one");
    *keys.answer.lock() = public;
    let text = token("one", &pair);
    let all = (0..100).map(|n| checked(&tokens, &text, at(n % 5)));
    let all = futures::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(keys.asked.load(Ordering::SeqCst), 1);
}
