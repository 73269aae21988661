use std::fmt;

use foretell_types::Result;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;

use super::{Token, unauthorized};

/// What a request shows of itself. The first found counts: header `aeg-sas-key`, header
/// `aeg-sas-token`, `Authorization`, query parameter `aeg-sas-key`.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    None,
    /// A key, in its base64 text.
    Key(String),
    /// A shared access signature, literally as it was sent.
    Signature(String),
    /// A bearer token.
    Token(String),
}

impl Credentials {
    /// From the headers and the query (the text after `?`, undecoded).
    ///
    /// Fails with `Unauthorized` if `Authorization` has a scheme that nobody here understands.
    pub fn from_request(headers: &HeaderMap, query: Option<&str>) -> Result<Credentials> {
        if let Some(key) = text(headers, "aeg-sas-key")? {
            return Ok(Credentials::Key(key.to_owned()));
        }
        if let Some(token) = text(headers, "aeg-sas-token")? {
            return Ok(Credentials::Signature(token.to_owned()));
        }
        if let Some(value) = text(headers, AUTHORIZATION.as_str())? {
            return authorization(value);
        }
        let key = query.and_then(|query| {
            query
                .split('&')
                .filter_map(|part| part.split_once('='))
                .find(|(name, _)| name.eq_ignore_ascii_case("aeg-sas-key"))
        });
        // A plus stays one: base64 has it, and has no spaces.
        Ok(key.map_or(Credentials::None, |(_, value)| {
            Credentials::Key(percent_decode_str(value).decode_utf8_lossy().into_owned())
        }))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::None => "None",
            Credentials::Key(_) => "Key(…)",
            Credentials::Signature(_) => "Signature(…)",
            Credentials::Token(_) => "Token(…)",
        })
    }
}

fn authorization(value: &str) -> Result<Credentials> {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let secret = rest.trim().to_owned();
    match scheme.to_ascii_lowercase().as_str() {
        "sharedaccesssignature" => Ok(Credentials::Signature(secret)),
        "bearer" if Token::is_one(&secret) => Ok(Credentials::Token(secret)),
        "sharedaccesskey" | "bearer" => Ok(Credentials::Key(secret)),
        _ => Err(unauthorized(
            "the scheme of the header Authorization is not known: expected SharedAccessKey, SharedAccessSignature or Bearer",
        )),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| unauthorized(format!("the header {name} is not plain text")))?
        .trim();
    Ok(Some(text).filter(|text| !text.is_empty()))
}
