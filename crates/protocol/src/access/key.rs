use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Which of a topic's two keys, so that one can be renewed while the other is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySlot {
    Key1,
    Key2,
}

impl KeySlot {
    pub fn name(self) -> &'static str {
        match self {
            KeySlot::Key1 => "key1",
            KeySlot::Key2 => "key2",
        }
    }
}

/// The secret of a data directory, from which all its keys derive: none other is stored.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// From 32 bytes of a cryptographic source of randomness.
    pub fn new(random: [u8; 32]) -> MasterKey {
        MasterKey(random)
    }

    /// base64(HMAC-SHA256(master, `purpose`)).
    pub fn derive(&self, purpose: &str) -> Key {
        Key(STANDARD.encode(hmac_sha256(&self.0, purpose.as_bytes())))
    }

    /// A topic's key; `generation` counts its renewals from 0.
    pub fn topic_key(&self, topic: Uuid, slot: KeySlot, generation: u32) -> Key {
        self.derive(&format!("topic|{topic}|{}|{generation}", slot.name()))
    }

    /// A key of an Event Grid namespace, good for all its topics.
    pub fn namespace_key(&self, namespace: Uuid, slot: KeySlot, generation: u32) -> Key {
        self.derive(&format!(
            "namespace|{namespace}|{}|{generation}",
            slot.name()
        ))
    }

    /// A key of a storage account: 64 bytes, as Azure's are.
    pub fn storage_key(&self, account: Uuid, slot: KeySlot, generation: u32) -> Key {
        let purpose = format!("storage|{account}|{}|{generation}", slot.name());
        // HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(&self.0) else {
            unreachable!("HMAC refused a key")
        };
        mac.update(purpose.as_bytes());
        Key(STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// 32 bytes for a purpose.
    pub(super) fn purpose(&self, purpose: &str) -> [u8; 32] {
        hmac_sha256(&self.0, purpose.as_bytes())
    }

    /// The code that the endpoint of a webhook gives back, or that someone confirms with.
    pub fn validation_code(&self, id: Uuid) -> String {
        let mac = hmac_sha256(&self.0, format!("validation|{id}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&mac[..16]);
        let code = uuid::Builder::from_random_bytes(bytes).into_uuid();
        code.to_string()
    }

    /// The key that roots of the log are signed with.
    pub fn root_signer(&self, generation: u32) -> SigningKey {
        let purpose = format!("root|{generation}");
        SigningKey::from_bytes(&hmac_sha256(&self.0, purpose.as_bytes()))
    }

    /// The key of administration, reading, SQL and erasure.
    pub fn admin_key(&self, generation: u32) -> Key {
        self.derive(&format!("admin|{generation}"))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// A key as its holder sends it: base64 text.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// A key that was given in text; base64 is only needed to sign with it.
    pub fn from_text(text: impl Into<String>) -> Key {
        Key(text.into())
    }

    /// The secret itself, to be shown to its owner.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether these bytes are the key, in constant time.
    pub(super) fn matches(&self, sent: &[u8]) -> bool {
        bool::from(self.0.as_bytes().ct_eq(sent))
    }

    /// HMAC-SHA256 under the bytes of the key; `None` if it isn't base64.
    pub(super) fn sign(&self, text: &str) -> Option<[u8; 32]> {
        let secret = STANDARD.decode(&self.0).ok()?;
        Some(hmac_sha256(&secret, text.as_bytes()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

pub(super) fn hmac_sha256(secret: &[u8], text: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        unreachable!("HMAC refused a key")
    };
    mac.update(text);
    mac.finalize().into_bytes().into()
}
