//! Shared access signatures: `r={resource}&e={expiry}&s={signature}`, each part URL-encoded, the
//! signature base64(HMAC-SHA256(base64decode(key), "r=…&e=…")).
//! Source: "Authenticate publishing clients using access keys or shared access signatures".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_types::{Error, Instant, Result, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use subtle::ConstantTimeEq;

use super::expiry::parse_expiry;
use super::{Key, unauthorized};

/// What RFC 3986 calls unreserved stays as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Signs a token for a resource (the topic's endpoint) that is valid up to `expiry`.
///
/// Fails if the key isn't base64.
pub fn sas_token(resource: &str, expiry: Instant, key: &Key) -> Result<String> {
    let expiry = Timestamp::from_instant(expiry).to_string();
    let signed = format!("r={}&e={}", encode(resource), encode(&expiry));
    let signature = key
        .sign(&signed)
        .ok_or_else(|| Error::invalid("the key is not base64: nothing can be signed with it"))?;
    Ok(format!(
        "{signed}&s={}",
        encode(&STANDARD.encode(signature))
    ))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Verifies over the literal text before `&s=`: encoding it again would not give what the many
/// encoders of the SDKs gave.
pub(super) fn check(token: &str, keys: [&Key; 2], topic_path: &str, now: Instant) -> Result<()> {
    let Some((signed, signature)) = token.rsplit_once("&s=") else {
        return Err(malformed("it doesn't end in &s=SIGNATURE"));
    };
    let signature: Vec<u8> = percent_decode_str(signature).collect();
    let signature = STANDARD
        .decode(signature)
        .map_err(|_| malformed("its signature is not base64"))?;
    let matches = keys.map(|key| {
        key.sign(signed)
            .is_some_and(|own| bool::from(own[..].ct_eq(&signature)))
    });
    if !(matches[0] | matches[1]) {
        return Err(unauthorized(
            "the shared access signature was not made with a key of this topic",
        ));
    }
    // From here on the token is its signer's own words.
    let expiry = parameter(signed, "e").ok_or_else(|| malformed("it has no expiry e"))?;
    let expires = parse_expiry(&expiry).map_err(|error| malformed(error.message()))?;
    if expires <= now {
        return Err(unauthorized(format!(
            "the shared access signature expired at {}",
            Timestamp::from_instant(expires)
        )));
    }
    let resource = parameter(signed, "r").ok_or_else(|| malformed("it has no resource r"))?;
    if !names(&resource, topic_path) {
        return Err(unauthorized(format!(
            "the shared access signature is for another resource: its path must begin with {topic_path}"
        )));
    }
    Ok(())
}

fn malformed(why: &str) -> Error {
    unauthorized(format!(
        "the shared access signature can't be read: {why} (expected r=RESOURCE&e=EXPIRY&s=SIGNATURE)"
    ))
}

/// A decoded parameter; .NET writes a space as a plus.
fn parameter(signed: &str, name: &str) -> Option<String> {
    let value = signed
        .split('&')
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| *key == name)?
        .1
        .replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
}

/// Whether a resource's path is the topic's or lies beneath it, without regard to case.
/// `/topics/shop:publish` is the topic's too.
fn names(resource: &str, topic_path: &str) -> bool {
    let plain = resource.split(['?', '#']).next().unwrap_or("");
    let after_scheme = plain.split_once("://").map_or(plain, |(_, rest)| rest);
    let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
    let mut own = segments(path);
    segments(topic_path).all(|segment| {
        own.next().is_some_and(|other| {
            let other = other.split(':').next().unwrap_or("");
            other.eq_ignore_ascii_case(segment)
        })
    })
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}
