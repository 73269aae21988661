//! Where an issuer publishes its keys.
//! Source: OpenID Connect Discovery 1.0, sections 3 and 4.

use foretell_types::{Error, Result};
use http::Uri;
use serde_json::Value;

/// Where an issuer's own description lies.
pub fn discovery_url(issuer: &str) -> String {
    let issuer = issuer.trim_end_matches('/');
    format!("{issuer}/.well-known/openid-configuration")
}

/// The address of the keys in an issuer's description, which must be that issuer's.
pub fn keys_url(issuer: &str, description: &[u8]) -> Result<String> {
    let description: Value = serde_json::from_slice(description)
        .map_err(|error| Error::invalid(format!("the description is malformed JSON: {error}")))?;
    let text = |name: &str| description.get(name).and_then(Value::as_str);
    let named = text("issuer").unwrap_or("");
    if named != issuer {
        return Err(Error::invalid(format!(
            "the description is of the issuer {named:?}, not of {issuer:?}: correct issuer, or set jwks_url"
        )));
    }
    let url = text("jwks_uri").ok_or_else(|| Error::invalid("the description has no jwks_uri"))?;
    check_issuer_url(url)?;
    Ok(url.to_owned())
}

/// Keys come over https, or from this machine: who could change them could be anyone.
pub fn check_issuer_url(url: &str) -> Result<()> {
    let parsed: Option<Uri> = url.parse().ok();
    let host = parsed.as_ref().and_then(|url| url.host()).unwrap_or("");
    let here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match parsed.as_ref().and_then(Uri::scheme_str) {
        Some("https") if !host.is_empty() => Ok(()),
        Some("http") if here => Ok(()),
        Some("http") if !host.is_empty() => Err(Error::invalid(format!(
            "{url:?} is not encrypted: expected https, or http on the loopback"
        ))),
        _ => Err(Error::invalid(format!("{url:?} is not an https URL"))),
    }
}
