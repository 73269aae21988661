use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use foretell_types::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::MasterKey;

/// The root of a log's hash tree at a time, signed (Ed25519, RFC 8032) with a key that derives
/// from the data directory's master key. Who keeps one can tell later whether the log that an
/// event is proven by still holds what it held then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedRoot {
    /// Number of frames of the log.
    pub leaves: u64,
    /// 64 hexadecimal digits.
    pub root: String,
    /// When it was signed, RFC 3339.
    pub time: String,
    /// 32 bytes in base64.
    pub public_key: String,
    /// 64 bytes in base64, over the lines `foretell root 1`, leaves, root, time.
    pub signature: String,
}

impl SignedRoot {
    pub fn sign(master: &MasterKey, leaves: u64, root: String, time: String) -> SignedRoot {
        let signer = master.root_signer(0);
        let mut signed = SignedRoot {
            leaves,
            root,
            time,
            public_key: STANDARD.encode(signer.verifying_key().as_bytes()),
            signature: String::new(),
        };
        signed.signature = STANDARD.encode(signer.sign(signed.text().as_bytes()).to_bytes());
        signed
    }

    fn text(&self) -> String {
        format!(
            "foretell root 1\n{}\n{}\n{}\n",
            self.leaves, self.root, self.time
        )
    }

    /// Checks the signature, by the public key that it names, and that this is the trusted one if
    /// there is one.
    pub fn check(&self, trusted: Option<&str>) -> Result<()> {
        let void = |what: &str| {
            Error::new(
                ErrorKind::Damaged,
                format!("the signed root is void: {what}"),
            )
        };
        if trusted.is_some_and(|trusted| trusted != self.public_key) {
            return Err(void("it is signed with another key than the trusted one"));
        }
        let bytes = |text: &str| STANDARD.decode(text).ok();
        let key = bytes(&self.public_key)
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok())
            .ok_or_else(|| void("its public key is none"))?;
        let signature = bytes(&self.signature)
            .and_then(|bytes| Some(Signature::from_bytes(&bytes.try_into().ok()?)))
            .ok_or_else(|| void("its signature is none"))?;
        key.verify_strict(self.text().as_bytes(), &signature)
            .map_err(|_| void("its signature is wrong"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_is_accepted() {
        let master = MasterKey::new([7; 32]);
        let good = SignedRoot::sign(&master, 5, "ab".repeat(32), "2024-05-01T00:00:00Z".into());
        assert!(good.check(None).is_ok());
        assert!(good.check(Some(&good.public_key)).is_ok());
        assert!(good.check(Some("other")).is_err());
        let other = SignedRoot::sign(
            &MasterKey::new([8; 32]),
            5,
            good.root.clone(),
            good.time.clone(),
        );
        for bad in [
            SignedRoot {
                leaves: 6,
                ..good.clone()
            },
            SignedRoot {
                root: "ac".repeat(32),
                ..good.clone()
            },
            SignedRoot {
                time: "2024-05-02T00:00:00Z".into(),
                ..good.clone()
            },
            SignedRoot {
                public_key: other.public_key,
                ..good.clone()
            },
            SignedRoot {
                signature: other.signature,
                ..good.clone()
            },
            SignedRoot {
                signature: String::new(),
                ..good.clone()
            },
            SignedRoot {
                public_key: "x".into(),
                ..good
            },
        ] {
            assert_eq!(
                bad.check(None).unwrap_err().kind(),
                ErrorKind::Damaged,
                "{bad:?}"
            );
        }
    }
}
