use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use foretell_types::{Error, ErrorKind, Result};

use super::MasterKey;
use super::key::hmac_sha256;

const NONCE_BYTES: usize = 24;
const NAME_BYTES: usize = 16;

impl MasterKey {
    /// Encrypts a secret of a definition, so that it can be journaled. The same secret gives the
    /// same text: the nonce derives from it.
    pub fn seal(&self, secret: &str) -> Result<String> {
        let mut sealed =
            hmac_sha256(&self.purpose("secret nonces"), secret.as_bytes())[..NONCE_BYTES].to_vec();
        let nonce = XNonce::try_from(&sealed[..]).map_err(|_| unreadable())?;
        let cipher = XChaCha20Poly1305::new(&Key::from(self.purpose("secrets")));
        let text = cipher.encrypt(&nonce, secret.as_bytes());
        sealed.extend(text.map_err(|_| Error::invalid("the secret can't be encrypted"))?);
        Ok(STANDARD.encode(sealed))
    }

    /// A name for a secret: hexadecimal digits that tell of it only whether it is the same as
    /// another.
    pub fn secret_name(&self, secret: &str) -> String {
        let mac = hmac_sha256(&self.purpose("secret names"), secret.as_bytes());
        mac[..NAME_BYTES]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Reads what [`MasterKey::seal`] gave.
    pub fn unseal(&self, sealed: &str) -> Result<String> {
        let bytes = STANDARD.decode(sealed).map_err(|_| unreadable())?;
        let (nonce, text) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(unreadable)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| unreadable())?;
        let cipher = XChaCha20Poly1305::new(&Key::from(self.purpose("secrets")));
        let secret = cipher.decrypt(&nonce, text).map_err(|_| unreadable())?;
        String::from_utf8(secret).map_err(|_| unreadable())
    }
}

fn unreadable() -> Error {
    Error::new(
        ErrorKind::Damaged,
        "a secret was encrypted with another master key than the one in keys/master.key: put what has it again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets_apart() {
        let master = MasterKey::new([7; 32]);
        let name = master.secret_name("a");
        assert_eq!(name.len(), 2 * NAME_BYTES);
        assert_eq!(name, master.secret_name("a"));
        assert_ne!(name, master.secret_name("b"));
        assert_ne!(name, MasterKey::new([8; 32]).secret_name("a"));
    }

    #[test]
    fn round_trip_and_refusal() {
        let master = MasterKey::new([7; 32]);
        for secret in ["", "Bearer x", "ü"] {
            let sealed = master.seal(secret).unwrap();
            assert_eq!(sealed, master.seal(secret).unwrap());
            assert_eq!(master.unseal(&sealed).unwrap(), secret);
            assert!(MasterKey::new([8; 32]).unseal(&sealed).is_err());
            assert!(master.unseal(&sealed[4..]).is_err());
        }
        assert!(master.unseal("x").is_err() && master.unseal("").is_err());
    }
}
