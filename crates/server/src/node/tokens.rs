//! Bearer tokens: the issuer's keys, fetched and kept. What a token says is for `protocol` to
//! read.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use foretell_protocol::{Grants, Token, TokenKeys, TokenRules, discovery_url, keys_url};
use foretell_types::limits::{
    TOKEN_KEYS_AGE_MOST_S, TOKEN_KEYS_AGE_S, TOKEN_KEYS_BYTES, TOKEN_KEYS_TIMEOUT_MS,
    TOKEN_KEYS_WAIT_S, TOKENS_VERIFIED,
};
use foretell_types::{Error, ErrorKind, Instant, Result};
use futures::StreamExt;
use parking_lot::RwLock;

use super::app_file::OidcTable;

/// The one issuer whose tokens are taken.
pub struct Tokens {
    rules: TokenRules,
    keys_url: Option<String>,
    client: reqwest::Client,
    known: RwLock<Known>,
    /// One fetch at a time; who waits for it finds what it brought.
    fetching: tokio::sync::Mutex<()>,
}

/// SHA-256 of a token.
type Digest = [u8; 32];

/// What the fetches brought.
#[derive(Default)]
struct Known {
    keys: Arc<TokenKeys>,
    /// Digests of tokens whose signatures were checked with these keys: a client sends its token
    /// with each request.
    verified: HashSet<Digest>,
    /// When the keys were fetched.
    fetched: Option<Instant>,
    /// When they were last asked for, and what went wrong then.
    tried: Option<Instant>,
    failure: Option<Error>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens(by {})", self.rules.issuer)
    }
}

impl Tokens {
    pub fn new(table: &OidcTable) -> Result<Tokens> {
        // A provider that is installed already serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(TOKEN_KEYS_TIMEOUT_MS as u64))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("foretell/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::unavailable(format!("can't make an HTTP client: {error}")))?;
        Ok(Tokens {
            rules: table.rules(),
            keys_url: table.jwks_url.clone(),
            client,
            known: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// Sees to it that the key is there that a token names, if the issuer has it. Keys that are
    /// old are fetched anew meanwhile. What fails is told by [`Tokens::check`].
    pub async fn prepare(self: &Arc<Tokens>, text: &str, now: Instant) {
        let Ok(token) = Token::read(text) else { return };
        // For others nobody is asked.
        if token.check_parties(&self.rules).is_err() {
            return;
        }
        if self.known.read().keys_at(now).has_key_of(&token) {
            if self.known.read().is_old(now) && self.fetching.try_lock().is_ok() {
                let tokens = self.clone();
                tokio::spawn(async move { tokens.fetch(now, |known| known.is_old(now)).await });
            }
            return;
        }
        self.fetch(now, |known| !known.keys_at(now).has_key_of(&token))
            .await;
    }

    /// What a token allows. Fails with `Unavailable` if its key isn't known, and the issuer could
    /// not be asked for it.
    pub fn check(&self, text: &str, now: Instant) -> Result<Grants> {
        let token = Token::read(text)?;
        token.check_parties(&self.rules)?;
        let digest = digest(text);
        let (keys, failure, verified) = {
            let known = self.known.read();
            let verified = known.verified.contains(&digest);
            (known.keys_at(now), known.failure.clone(), verified)
        };
        if let (Some(failure), false) = (failure, keys.has_key_of(&token)) {
            return Err(failure);
        }
        if !(verified && keys.has_key_of(&token)) {
            keys.verify(&token)?;
            self.known.write().remember(&keys, digest);
        }
        token.check_times(now)?;
        Ok(token.grants(&self.rules))
    }

    /// Fetches the keys if they are still wanted once nobody else does, and it wasn't done lately.
    async fn fetch(&self, now: Instant, wanted: impl Fn(&Known) -> bool) {
        let _one_at_a_time = self.fetching.lock().await;
        {
            let known = self.known.read();
            if known.was_tried_lately(now) || !wanted(&known) {
                return;
            }
        }
        let fetched = self.ask().await;
        let mut known = self.known.write();
        known.tried = Some(now);
        match fetched {
            Ok(keys) => {
                known.keys = Arc::new(keys);
                known.verified.clear();
                known.fetched = Some(now);
                known.failure = None;
            }
            Err(error) => {
                tracing::warn!(%error, "the keys of the issuer of bearer tokens can't be fetched");
                known.failure = Some(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "the token can't be checked, since the keys of {} can't be fetched: {error}",
                        self.rules.issuer
                    ),
                ));
            }
        }
    }

    async fn ask(&self) -> Result<TokenKeys> {
        let url = match &self.keys_url {
            Some(url) => url.clone(),
            None => {
                let url = discovery_url(&self.rules.issuer);
                let description = self.get(&url).await?;
                keys_url(&self.rules.issuer, &description).map_err(|error| error.context(&url))?
            }
        };
        TokenKeys::from_json(&self.get(&url).await?).map_err(|error| error.context(&url))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>> {
        let failed = |error: reqwest::Error| {
            Error::unavailable(format!("{url}: {}", reason(&error.without_url())))
        };
        let response = self.client.get(url).send().await.map_err(failed)?;
        if !response.status().is_success() {
            let status = response.status();
            return Err(Error::unavailable(format!("{url} answered {status}")));
        }
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(failed)?);
            if body.len() > TOKEN_KEYS_BYTES {
                return Err(Error::unavailable(format!(
                    "{url} answered more than {TOKEN_KEYS_BYTES} bytes"
                )));
            }
        }
        Ok(body)
    }
}

impl Known {
    /// The keys, unless they are too old to be believed.
    fn keys_at(&self, now: Instant) -> Arc<TokenKeys> {
        match since(self.fetched, now) {
            Some(age) if age < TOKEN_KEYS_AGE_MOST_S as i64 => self.keys.clone(),
            _ => Arc::default(),
        }
    }

    /// A token that was checked with these keys, if they are still in force.
    fn remember(&mut self, keys: &Arc<TokenKeys>, digest: Digest) {
        if !Arc::ptr_eq(keys, &self.keys) {
            return;
        }
        if self.verified.len() >= TOKENS_VERIFIED {
            self.verified.clear();
        }
        self.verified.insert(digest);
    }

    /// Who waited for a fetch may have come before it.
    fn was_tried_lately(&self, now: Instant) -> bool {
        let apart = self
            .tried
            .map(|tried| now.as_nanos().abs_diff(tried.as_nanos()));
        apart.is_some_and(|nanos| nanos < TOKEN_KEYS_WAIT_S as u64 * 1_000_000_000)
    }

    fn is_old(&self, now: Instant) -> bool {
        since(self.fetched, now).is_none_or(|age| age >= TOKEN_KEYS_AGE_S as i64)
    }
}

fn digest(text: &str) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    bytes
}

/// An error with what it came from.
fn reason(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", reason(source)),
        None => error.to_string(),
    }
}

/// Seconds since a time; `None` if it lies in the future, for clocks are set back.
fn since(time: Option<Instant>, now: Instant) -> Option<i64> {
    let nanos = now.as_nanos().checked_sub(time?.as_nanos())?;
    (nanos >= 0).then_some(nanos / 1_000_000_000)
}

#[cfg(test)]
mod tests {
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
}
