//! Values of Pulumi.STACK.yaml that Pulumi's passphrase provider sealed: `secure: v1:NONCE:TEXT`,
//! under a key of the passphrase and the file's `encryptionsalt`.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_types::{Error, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};

use super::node::{Data, Node};

/// How often Pulumi hashes a passphrase.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();
/// What a salt holds, sealed, by which a wrong passphrase shows.
const CHECK: &str = "pulumi";

/// Opens what is sealed in one file.
pub struct Opener<'a> {
    file: &'a Node,
    passphrase: Option<&'a str>,
    /// Made for the first value: it takes its time.
    key: Option<LessSafeKey>,
}

/// The text of a sealed value, if a node is one.
fn sealed(node: &Node) -> Option<&str> {
    match &node.data {
        Data::Map(entries) => match entries.as_slice() {
            [(name, value)] if name == "secure" => value.text(),
            _ => None,
        },
        _ => None,
    }
}

/// Whether anything in it is sealed.
pub fn is_sealed(node: &Node) -> bool {
    sealed(node).is_some()
        || match &node.data {
            Data::Map(entries) => entries.iter().any(|(_, node)| is_sealed(node)),
            Data::List(items) => items.iter().any(is_sealed),
            _ => false,
        }
}

impl<'a> Opener<'a> {
    /// `file` is the whole of Pulumi.STACK.yaml.
    pub fn new(file: &'a Node, passphrase: Option<&'a str>) -> Opener<'a> {
        Opener {
            file,
            passphrase,
            key: None,
        }
    }

    /// A value with what is sealed in it opened. The error says what is wrong, and not with which
    /// value.
    pub fn open(&mut self, node: &Node) -> Result<Node> {
        if let Some(text) = sealed(node) {
            if self.key.is_none() {
                self.key = Some(self.derive()?);
            }
            let key = self.key.as_ref();
            let opened = key.and_then(|key| unseal(key, text));
            let opened = opened.ok_or_else(|| {
                Error::invalid("it was sealed with another salt than the file's encryptionsalt, or changed since")
            })?;
            return Ok(Node {
                line: node.line,
                data: Data::Text(opened),
            });
        }
        let data = match &node.data {
            Data::Map(entries) => Data::Map(
                entries
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.open(value)?)))
                    .collect::<Result<_>>()?,
            ),
            Data::List(items) => Data::List(
                items
                    .iter()
                    .map(|item| self.open(item))
                    .collect::<Result<_>>()?,
            ),
            other => other.clone(),
        };
        Ok(Node {
            line: node.line,
            data,
        })
    }

    fn derive(&self) -> Result<LessSafeKey> {
        let text = |name: &str| self.file.get(name).and_then(Node::text);
        let provider = text("secretsprovider").filter(|name| *name != "passphrase");
        let Some(salt) = text("encryptionsalt").filter(|_| provider.is_none()) else {
            return Err(Error::invalid(match provider {
                Some(provider) => format!("it is sealed by {provider}, which isn't asked here"),
                None => "it is sealed by Pulumi Cloud, which isn't asked here".to_owned(),
            }));
        };
        let Some(passphrase) = self.passphrase else {
            return Err(Error::invalid(
                "it is sealed with a passphrase: put that into PULUMI_CONFIG_PASSPHRASE, or its file's name into PULUMI_CONFIG_PASSPHRASE_FILE",
            ));
        };
        let malformed = || Error::invalid("the file's encryptionsalt is malformed");
        let parts = salt
            .strip_prefix("v1:")
            .and_then(|rest| rest.split_once(':'));
        let (salt, check) = parts.ok_or_else(malformed)?;
        let salt = STANDARD.decode(salt).map_err(|_| malformed())?;
        let mut bytes = [0; 32];
        derive(
            PBKDF2_HMAC_SHA256,
            ITERATIONS,
            &salt,
            passphrase.as_bytes(),
            &mut bytes,
        );
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| malformed())?;
        let key = LessSafeKey::new(key);
        if unseal(&key, check).as_deref() != Some(CHECK) {
            return Err(Error::invalid(
                "the passphrase isn't the one that the file was sealed with: see PULUMI_CONFIG_PASSPHRASE",
            ));
        }
        Ok(key)
    }
}

/// None if the text is malformed or was sealed under another key.
fn unseal(key: &LessSafeKey, text: &str) -> Option<String> {
    let (nonce, sealed) = text.strip_prefix("v1:")?.split_once(':')?;
    let nonce = Nonce::try_assume_unique_for_key(&STANDARD.decode(nonce).ok()?).ok()?;
    let mut bytes = STANDARD.decode(sealed).ok()?;
    let opened = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
    String::from_utf8(opened.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::node::parse;
    use super::*;
    use crate::wire::{Accepts, to_json};

    // The salt is one of Pulumi's own tests; the values were sealed by Python's `cryptography`.
    const FILE: &str = "
encryptionsalt: v1:fozI5u6B030=:v1:F+6ZduKKd8G0/V7L:PGMFeIzwobWRKmEAzUdaQHqC5mMRIQ==
config:
  fish: {secure: 'v1:MTIzNDU2Nzg5MDEy:GwNskiR2mAZ9NXhFXEZUchTHE4ED+a9a1Q=='}
  deep:
    list:
      - secure: v1:YWJjZGVmZ2hpamts:uGdJi6HJGGjXnMGXuUAcpw==
      - {a: {secure: 'v1:QUJDREVGR0hJSktM:pdG5fgTRDtp5oSmYrkXflR8UVxslgUmeQ3Y='}, b: 1}
    plain: {secure: true}
";

    fn opened(file: &str, passphrase: Option<&str>, key: &str) -> Result<serde_json::Value> {
        let file = parse(file).unwrap();
        let node = file.get("config").unwrap().get(key).unwrap();
        let node = Opener::new(&file, passphrase).open(node)?;
        Ok(to_json(&node.value(), Accepts::ALL))
    }

    #[test]
    fn what_pulumi_sealed_is_opened() {
        let get = |key| opened(FILE, Some("password"), key).unwrap();
        assert_eq!(get("fish"), "swordfish");
        let deep = serde_json::json!({
            "list": ["", {"a": "ü € \n x", "b": 1}],
            "plain": {"secure": true}
        });
        assert_eq!(get("deep"), deep);
        let other = "
secretsprovider: passphrase
encryptionsalt: v1:c2FsdHNhbHQ=:v1:bm9uY2VvZmNoZWNr:f6ONvd3UUjsnXQBzzlXzGjgCDffPgg==
config:
  cat: {secure: 'v1:YW5vdGhlcm5vbmNl:rEMKVFkPuQqc39E1li2wDKUZspKm'}
";
        assert_eq!(opened(other, Some("pässword 1"), "cat").unwrap(), "tiger");
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let check = |file: &str, passphrase, expected: &str| {
            let error = opened(file, passphrase, "fish").unwrap_err();
            assert!(error.message().contains(expected), "{error}");
        };
        check(FILE, None, "PULUMI_CONFIG_PASSPHRASE_FILE");
        check(FILE, Some("Password"), "isn't the one");
        check(
            &FILE.replace("F+6Z", "F+6z"),
            Some("password"),
            "isn't the one",
        );
        check(&FILE.replace("v1:foz", "v2:foz"), None, "PULUMI_CONFIG");
        check(&FILE.replace("v1:foz", "v2:foz"), Some("x"), "malformed");
        check(
            &FILE.replace("GwNs", "GwNS"),
            Some("password"),
            "another salt",
        );
        check(
            &FILE.replace("encryptionsalt", "other"),
            Some("x"),
            "Pulumi Cloud",
        );
        let kms = format!("{FILE}secretsprovider: awskms://key\n");
        check(&kms, Some("password"), "awskms://key");
    }
}
