//! Bearer tokens: JSON Web Tokens (RFC 7519) in the compact form (RFC 7515), signed with a key
//! that the issuer publishes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foretell_types::limits::{TOKEN_BYTES, TOKEN_LEEWAY_S};
use foretell_types::{Error, Instant, Result, Timestamp};
use ring::signature;
use serde_json::{Map, Value};

use super::role::Grants;
use super::unauthorized;

/// Whose tokens are taken, and for whom they must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRules {
    pub issuer: String,
    /// One of these must be among the token's own.
    pub audiences: Vec<String>,
    /// The claim with the roles: its name, or the way to it, with dots.
    pub roles_claim: String,
}

/// How tokens are signed. None of these works with a secret: who can check can't sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
];

impl Algorithm {
    pub(super) fn parse(name: &str) -> Option<Algorithm> {
        let found = ALGORITHMS.iter().find(|(known, _)| *known == name);
        found.map(|(_, algorithm)| *algorithm)
    }

    /// The parameters of RSA; `None` for curves.
    pub(super) fn rsa(self) -> Option<&'static signature::RsaParameters> {
        Some(match self {
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
        })
    }
}

/// A token that was read, and not believed yet.
#[derive(Clone)]
pub struct Token<'a> {
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    claims: Map<String, Value>,
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({:?}, key {:?})", self.algorithm, self.key_id)
    }
}

impl<'a> Token<'a> {
    /// Whether a bearer's secret has the form of a token; keys have no dots.
    pub fn is_one(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Fails with `Unauthorized`, like all here.
    pub fn read(text: &'a str) -> Result<Token<'a>> {
        if text.len() > TOKEN_BYTES {
            return Err(unauthorized(format!(
                "the token is larger than {TOKEN_BYTES} bytes"
            )));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it doesn't have three parts"));
        };
        let signed = &text[..header.len() + 1 + claims.len()];
        let header = object(header, "header")?;
        let claims = object(claims, "claims")?;
        // What must be understood, and isn't.
        if header.contains_key("crit") {
            return Err(malformed("its header asks for extensions"));
        }
        let name = header.get("alg").and_then(Value::as_str).unwrap_or("none");
        let algorithm = Algorithm::parse(name).ok_or_else(|| {
            let taken: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
            unauthorized(format!(
                "the token is signed by {:?}: {} are taken",
                short(name),
                taken.join(", ")
            ))
        })?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(malformed("its kid is no text")),
        };
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| malformed("its signature is not base64url"))?;
        Ok(Token {
            signed,
            signature,
            algorithm,
            key_id,
            claims,
        })
    }

    /// Checks from whom and for whom the token says that it is: nobody is asked for keys for
    /// others.
    pub fn check_parties(&self, rules: &TokenRules) -> Result<()> {
        let issuer = self.text("iss").unwrap_or("");
        if issuer != rules.issuer {
            return Err(unauthorized(format!(
                "the token is by the issuer {:?}: expected {:?}",
                short(issuer),
                rules.issuer
            )));
        }
        let audiences = match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let wanted = |audience: &&str| rules.audiences.iter().any(|own| own == audience);
        if audiences.iter().any(wanted) {
            return Ok(());
        }
        Err(unauthorized(format!(
            "the token is for the audience {:?}: expected {}",
            short(&audiences.join(", ")),
            rules.audiences.join(" or ")
        )))
    }

    /// Checks that the token is valid at a time, with some leeway.
    pub fn check_times(&self, now: Instant) -> Result<()> {
        let leeway = TOKEN_LEEWAY_S as i64;
        let expires = self.time("exp")?;
        let expires = expires.ok_or_else(|| unauthorized("the token has no expiry exp"))?;
        if seconds(now).saturating_sub(leeway) >= expires {
            return Err(unauthorized(format!(
                "the token expired at {}",
                shown(expires)
            )));
        }
        match self.time("nbf")? {
            Some(begins) if seconds(now).saturating_add(leeway) < begins => Err(unauthorized(
                format!("the token is not valid before {}", shown(begins)),
            )),
            _ => Ok(()),
        }
    }

    /// What the token's roles allow.
    pub fn grants(&self, rules: &TokenRules) -> Grants {
        Grants::read(claim(&self.claims, &rules.roles_claim))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// A time in whole seconds; parts of them are cut off.
    fn time(&self, name: &str) -> Result<Option<i64>> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => match value.as_i64().or_else(|| Some(value.as_f64()? as i64)) {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(malformed(&format!("its {name} is no number"))),
            },
        }
    }
}

/// A claim of this name, which may hold dots; or else the one that the dots lead to.
fn claim<'a>(claims: &'a Map<String, Value>, way: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(way) {
        return Some(found);
    }
    let mut steps = way.split('.');
    let first = claims.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

fn object(part: &str, what: &str) -> Result<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| malformed(&format!("its {what} is not base64url")))?;
    serde_json::from_slice(&bytes)
        .map_err(|_| malformed(&format!("its {what} is not a JSON object")))
}

fn malformed(why: &str) -> Error {
    unauthorized(format!(
        "the token can't be read: {why} (expected a JSON Web Token, HEADER.CLAIMS.SIGNATURE)"
    ))
}

fn seconds(time: Instant) -> i64 {
    time.as_nanos().div_euclid(1_000_000_000)
}

fn shown(seconds: i64) -> String {
    Timestamp::from_instant(Instant::from_nanos(seconds.saturating_mul(1_000_000_000))).to_string()
}

fn short(text: &str) -> String {
    text.chars().take(128).collect()
}
