use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::tree::Secret;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What encryption adds to data.
const ADDED_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// The key of a subject.
pub(crate) struct SubjectKey {
    pub generation: u32,
    cipher: XChaCha20Poly1305,
    nonces: Secret,
}

/// What data belongs to: ciphertext of one event can't pass for another's.
pub(crate) struct Context<'a> {
    pub topic: uuid::Uuid,
    pub id: &'a str,
    pub source: &'a str,
    pub subject: &'a str,
    /// The form of the data: JSON, text or binary.
    pub form: u8,
}

impl Context<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.topic.as_bytes().to_vec();
        bytes.push(self.form);
        for text in [self.id, self.source, self.subject] {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}

impl SubjectKey {
    pub fn new(generation: u32, secret: &Secret) -> SubjectKey {
        let key = Zeroizing::new(*blake3::keyed_hash(secret, b"data").as_bytes());
        SubjectKey {
            generation,
            cipher: XChaCha20Poly1305::new(&Key::from(*key)),
            nonces: Zeroizing::new(*blake3::keyed_hash(secret, b"nonces").as_bytes()),
        }
    }

    /// Encrypts data. The nonce is a keyed hash of data and context, so the same event sent again
    /// has the same ciphertext, and nothing else has the same nonce.
    pub fn seal(&self, context: &Context<'_>, data: &[u8]) -> Option<Vec<u8>> {
        let aad = context.bytes();
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(&(aad.len() as u64).to_le_bytes());
        hasher.update(&aad);
        hasher.update(data);
        let mut nonce = [0; NONCE_BYTES];
        hasher.finalize_xof().fill(&mut nonce);
        let payload = Payload {
            msg: data,
            aad: &aad,
        };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        let mut out = Vec::with_capacity(data.len() + ADDED_BYTES);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Some(out)
    }

    /// Decrypts what [`SubjectKey::seal`] gave; `None` if it is anything else.
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: sealed,
            aad: &context.bytes(),
        };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_event_is_opened() {
        let key = SubjectKey::new(0, &Zeroizing::new([1; 32]));
        let context = |id| Context {
            topic: uuid::Uuid::nil(),
            id,
            source: "/s",
            subject: "a",
            form: 1,
        };
        let sealed = key.seal(&context("1"), b"secret").unwrap();
        assert_eq!(sealed.len(), 6 + ADDED_BYTES);
        assert_eq!(key.seal(&context("1"), b"secret").unwrap(), sealed);
        assert_eq!(key.open(&context("1"), &sealed).unwrap(), b"secret");
        assert_ne!(
            key.seal(&context("1"), b"secreT").unwrap()[..24],
            sealed[..24]
        );
        assert_eq!(key.open(&context("2"), &sealed), None);
        let other = SubjectKey::new(0, &Zeroizing::new([2; 32]));
        assert_eq!(other.open(&context("1"), &sealed), None);
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(key.open(&context("1"), &flipped), None);
            assert_eq!(key.open(&context("1"), &sealed[..at]), None);
        }
    }
}
