use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use foretell_types::limits::TOKEN_KEYS;
use foretell_types::{Error, Result};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::{Map, Value};

use super::token::{Algorithm, Token};
use super::unauthorized;

/// The keys that an issuer signs with: a JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, Default)]
pub struct TokenKeys(Vec<TokenKey>);

#[derive(Clone, Debug)]
struct TokenKey {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    public: Public,
}

#[derive(Clone, Debug)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl TokenKeys {
    /// Keys for other purposes, or of kinds that no token here is signed with, are left out.
    pub fn from_json(bytes: &[u8]) -> Result<TokenKeys> {
        let set: Value = serde_json::from_slice(bytes)
            .map_err(|error| Error::invalid(format!("the key set is malformed JSON: {error}")))?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or_else(|| Error::invalid("the key set has no array \"keys\""))?;
        if keys.len() > TOKEN_KEYS {
            return Err(Error::invalid(format!(
                "the key set has {} keys: at most {TOKEN_KEYS} are read",
                keys.len()
            )));
        }
        let read = keys
            .iter()
            .filter_map(|key| TokenKey::read(key.as_object()?));
        Ok(TokenKeys(read.collect()))
    }

    /// Whether the key is there that the token names.
    pub fn has_key_of(&self, token: &Token<'_>) -> bool {
        self.0.iter().any(|key| key.can_be_of(token))
    }

    /// Checks the token's signature. Fails as well if its key isn't there.
    pub fn verify(&self, token: &Token<'_>) -> Result<()> {
        if !self.has_key_of(token) {
            return Err(unauthorized(match &token.key_id {
                Some(id) => format!("the token's issuer has no key {:?} for it", short(id)),
                None => "the token's issuer has no key for it".to_owned(),
            }));
        }
        let mut candidates = self.0.iter().filter(|key| key.can_be_of(token));
        match candidates.any(|key| key.verifies(token)) {
            true => Ok(()),
            false => Err(unauthorized("the token's signature is wrong")),
        }
    }
}

impl TokenKey {
    fn read(key: &Map<String, Value>) -> Option<TokenKey> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let operations = key.get("key_ops").and_then(Value::as_array);
        if operations.is_some_and(|all| !all.iter().any(|one| one == "verify")) {
            return None;
        }
        let algorithm = match text("alg") {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        let bytes = |name: &str| decode(text(name)?);
        let point = |size: usize| {
            let (x, y) = (padded(bytes("x")?, size)?, padded(bytes("y")?, size)?);
            Some([vec![4], x, y].concat())
        };
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => Public::Rsa {
                n: without_zeros(bytes("n")?),
                e: without_zeros(bytes("e")?),
            },
            ("EC", Some("P-256")) => Public::P256(point(32)?),
            ("EC", Some("P-384")) => Public::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes("x")?),
            _ => return None,
        };
        Some(TokenKey {
            id: text("kid").map(str::to_owned),
            algorithm,
            public,
        })
    }

    /// Whether the token may be signed with this key: its id, if the token has one, and what the
    /// key is for. The kind of a key decides with which algorithms it is used, never the token.
    fn can_be_of(&self, token: &Token<'_>) -> bool {
        let kind = match self.public {
            Public::Rsa { .. } => token.algorithm.rsa().is_some(),
            Public::P256(_) => token.algorithm == Algorithm::Es256,
            Public::P384(_) => token.algorithm == Algorithm::Es384,
            Public::Ed25519(_) => token.algorithm == Algorithm::EdDsa,
        };
        kind && self.algorithm.is_none_or(|own| own == token.algorithm)
            && (token.key_id.is_none() || token.key_id == self.id)
    }

    fn verifies(&self, token: &Token<'_>) -> bool {
        let (message, signature) = (token.signed.as_bytes(), &token.signature);
        let verified =
            match &self.public {
                Public::Rsa { n, e } => match token.algorithm.rsa() {
                    Some(parameters) => {
                        RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
                    }
                    None => return false,
                },
                Public::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature),
                Public::P384(point) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, signature),
                Public::Ed25519(point) => {
                    UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
                }
            };
        verified.is_ok()
    }
}

/// Some issuers pad.
fn decode(text: &str) -> Option<Vec<u8>> {
    let decoded = URL_SAFE_NO_PAD.decode(text);
    decoded.or_else(|_| URL_SAFE.decode(text)).ok()
}

/// Numbers of RSA are read without zeros before them.
fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// A coordinate in the full width of its curve.
fn padded(bytes: Vec<u8>, size: usize) -> Option<Vec<u8>> {
    let missing = size.checked_sub(bytes.len())?;
    Some([vec![0; missing], bytes].concat())
}

fn short(text: &str) -> String {
    text.chars().take(128).collect()
}
