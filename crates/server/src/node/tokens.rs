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
#[path = "tokens_tests.rs"]
mod tests;
