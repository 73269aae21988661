use std::collections::BTreeMap;

use foretell_types::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// A subscription's progress, as it is journaled: everything up to `upto` is settled, but for the
/// exceptions in `pending`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of the layout of this value.
    version: u32,
    /// The low-water count: positions up to this one were read.
    pub upto: u64,
    /// Positions up to `upto` that aren't settled.
    pub pending: BTreeMap<u64, Pending>,
}

/// A position that was read but isn't settled.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Pending {
    /// 0, or the generation that a replay began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// Failed attempts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u64,
    /// When to try again, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub due_ms: u64,
    /// When the first attempt began, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_attempt: u64,
    /// When the last attempt began, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last_attempt: u64,
    /// The secret of the lock that a receiver holds until `due_ms`; 0 if none does.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lock: u64,
    /// What the last attempt came to, by Event Grid's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_outcome: String,
    /// It is given up; what is left is to write its dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
}

/// Why a delivery was given up.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GivenUp {
    /// Event Grid's `deadLetterReason`.
    pub reason: String,
    /// The last failure in words, cut.
    pub message: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

const VERSION: u32 = 1;

impl Checkpoint {
    /// The progress of a subscription that begins after a number of events.
    pub fn starting_after(count: u64) -> Checkpoint {
        Checkpoint {
            version: VERSION,
            upto: count,
            pending: BTreeMap::new(),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint> {
        let checkpoint: Checkpoint = serde_json::from_slice(bytes).map_err(|error| {
            Error::new(
                ErrorKind::Damaged,
                format!("a checkpoint is malformed: {error}"),
            )
        })?;
        if checkpoint.version > VERSION {
            return Err(Error::new(
                ErrorKind::NewerFormat,
                format!(
                    "a checkpoint has version {}: use a newer foretell",
                    checkpoint.version
                ),
            ));
        }
        Ok(checkpoint)
    }
}

/// Names of the registers that hold what a subscription must not forget.
pub(crate) mod register {
    pub fn checkpoint(subscription: &str) -> String {
        format!("subscription/{subscription}/checkpoint")
    }

    /// What tells a subscription from an earlier one of the same name.
    pub fn id(subscription: &str) -> String {
        format!("subscription/{subscription}/id")
    }

    pub fn outcomes(subscription: &str) -> String {
        format!("subscription/{subscription}/outcome/")
    }

    pub fn outcome(subscription: &str, generation: u64, position: u64) -> String {
        format!("{}{position}/{generation}", outcomes(subscription))
    }

    pub fn replays(subscription: &str) -> String {
        format!("subscription/{subscription}/replay/")
    }

    pub fn replay(subscription: &str, position: u64, generation: u64) -> String {
        format!("{}{position}/{generation}", replays(subscription))
    }

    pub fn all(subscription: &str) -> String {
        format!("subscription/{subscription}/")
    }
}
