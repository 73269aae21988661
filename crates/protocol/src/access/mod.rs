//! Who may do what: keys derived from one master key, shared access signatures, bearer tokens and
//! their roles, and how requests carry them. Secrets are compared in constant time and never shown.

mod credentials;
mod expiry;
mod issuer;
mod key;
mod role;
mod sas;
mod seal;
mod signed_root;
mod token;
mod token_keys;

pub use credentials::Credentials;
pub use expiry::parse_expiry;
pub use issuer::{check_issuer_url, discovery_url, keys_url};
pub use key::{Key, KeySlot, MasterKey};
pub use role::{Grants, Permission};
pub use sas::sas_token;
pub use signed_root::SignedRoot;
pub use token::{Token, TokenRules};
pub use token_keys::TokenKeys;

use foretell_types::{Error, ErrorKind, Instant, Result};

/// Checks that a request may publish to or receive from a topic.
///
/// `keys` are the topic's two keys, `topic_path` the path that names it (`/topics/shop`): a
/// signature must have been made for it or for a path beneath it. Scheme and host of the signed
/// resource are not compared, since a proxy may show others to the client; its query is ignored.
pub fn check_topic(
    credentials: &Credentials,
    keys: [&Key; 2],
    topic_path: &str,
    now: Instant,
) -> Result<()> {
    match credentials {
        Credentials::None => Err(unauthorized(
            "no key was sent: use the header aeg-sas-key, aeg-sas-token, or Authorization with SharedAccessKey, SharedAccessSignature or Bearer",
        )),
        Credentials::Key(sent) => {
            // Both are always compared, so that the time doesn't tell which one matched.
            let matches = keys.map(|key| key.matches(sent.as_bytes()));
            if matches[0] | matches[1] {
                Ok(())
            } else {
                Err(unauthorized(
                    "the request authorization key is not authorized for this topic: see foretell topic keys",
                ))
            }
        }
        Credentials::Signature(signature) => sas::check(signature, keys, topic_path, now),
        Credentials::Token(_) => Err(no_issuer()),
    }
}

/// Checks that a request carries the admin key.
pub fn check_admin(credentials: &Credentials, key: &Key) -> Result<()> {
    match credentials {
        Credentials::None => Err(unauthorized(
            "no admin key was sent: use Authorization with Bearer or SharedAccessKey, or the header aeg-sas-key; foretell keys shows it",
        )),
        Credentials::Key(sent) if key.matches(sent.as_bytes()) => Ok(()),
        Credentials::Key(_) => Err(unauthorized(
            "the key that was sent is not the admin key: foretell keys shows it",
        )),
        Credentials::Token(_) => Err(no_issuer()),
        Credentials::Signature(_) => Err(unauthorized(
            "a shared access signature doesn't authorize this: send the admin key",
        )),
    }
}

/// Tokens are checked before, where there is someone who issues them.
fn no_issuer() -> Error {
    unauthorized(
        "a bearer token was sent, and no issuer is known whose tokens are taken: set [access.oidc] in foretell.toml",
    )
}

fn unauthorized(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unauthorized, message)
}
