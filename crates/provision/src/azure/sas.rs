//! Shared access signatures of blobs, as the resource manager gives them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_types::{Error, Result};
use ring::hmac;

use super::arm::text;
use super::native::encode;
use crate::Properties;

/// The version that the resource manager signs by.
const VERSION: &str = "2015-04-05";

/// What is signed, in this order: the parameter of the token, if it is one, and the argument that
/// it comes from.
const PARTS: [(&str, &str); 13] = [
    ("sp", "permissions"),
    ("st", "sharedAccessStartTime"),
    ("se", "sharedAccessExpiryTime"),
    ("", "canonicalizedResource"),
    ("si", "identifier"),
    ("sip", "iPAddressOrRange"),
    ("spr", "protocols"),
    ("sv", ""),
    ("rscc", "cacheControl"),
    ("rscd", "contentDisposition"),
    ("rsce", "contentEncoding"),
    ("rscl", "contentLanguage"),
    ("rsct", "contentType"),
];

/// The token of `listStorageAccountServiceSAS`, made with one of the account's keys.
pub fn service_sas(args: &Properties, key: &str) -> Result<String> {
    let resource = text(args, "resource");
    if !matches!(resource, "b" | "c") {
        return Err(Error::invalid(format!(
            "resource is {resource:?}: expected \"b\" for a blob, or \"c\" for a container"
        )));
    }
    if text(args, "canonicalizedResource").is_empty() {
        return Err(Error::invalid(
            "canonicalizedResource is missing: /blob/ACCOUNT/CONTAINER, or a blob of it",
        ));
    }
    let value = |argument| match argument {
        "" => VERSION,
        argument => text(args, argument),
    };
    let signed: Vec<&str> = PARTS.iter().map(|(_, argument)| value(argument)).collect();
    let key = STANDARD
        .decode(key)
        .map_err(|_| Error::invalid("the account's key is no base64"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signature = hmac::sign(&key, signed.join("\n").as_bytes());
    let mut token = vec![format!("sr={resource}")];
    for (name, argument) in PARTS {
        let value = value(argument);
        if !name.is_empty() && !value.is_empty() {
            token.push(format!("{name}={}", encode(value)));
        }
    }
    token.push(format!("sig={}", encode(&STANDARD.encode(signature))));
    Ok(token.join("&"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Value;

    #[test]
    fn a_token_is_signed_over_what_it_permits() {
        let args = Value::from_json(json!({
            "accountName": "orders", "canonicalizedResource": "/blob/orders/code",
            "resource": "c", "permissions": "r", "protocols": "https",
            "sharedAccessStartTime": "2021-01-01", "sharedAccessExpiryTime": "2030-01-01",
            "contentType": "application/json", "cacheControl": "max-age=5",
            "contentDisposition": "inline", "contentEncoding": "deflate"
        }));
        let args = args.as_map().unwrap();
        // Made by a few lines of Python, from the description of the service.
        assert_eq!(
            service_sas(args, "c2VjcmV0IGtleQ==").unwrap(),
            "sr=c&sp=r&st=2021-01-01&se=2030-01-01&spr=https&sv=2015-04-05&rscc=max-age%3D5&rscd=inline&rsce=deflate&rsct=application%2Fjson&sig=EBcYtWcUBP7kz%2Fr9J1b7xRrayEnnQPF5YM82Yn3OWLg%3D"
        );
        let mut other = args.clone();
        other.insert("resource".to_owned(), "x".into());
        assert!(
            service_sas(&other, "")
                .unwrap_err()
                .message()
                .contains("\"c\"")
        );
    }
}
