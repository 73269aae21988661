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
    /// 0, or the generation that the last rewind began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// Positions up to this one were in the topic already when the subscription was made or
    /// rewound: to deliver them is a replay. 0 if it began at the head.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replay_upto: u64,
    /// Positions up to `upto` that aren't settled.
    pub pending: BTreeMap<u64, Pending>,
}

/// A position that was read but isn't settled.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Pending {
    /// 0, or the generation that a rewind or the replay of a dead letter began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// It is delivered again on purpose, or was there before the subscription.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
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

/// Version 2 brought `generation` and `replay_upto`, without which an older program would take a
/// replay for what it isn't. A checkpoint without them has version 1.
const VERSION: u32 = 2;

impl Checkpoint {
    /// The progress of a subscription that begins after a number of events.
    pub fn starting_after(count: u64) -> Checkpoint {
        Checkpoint {
            version: 1,
            upto: count,
            ..Checkpoint::default()
        }
    }

    /// The same in this generation, with so many events that were there before.
    #[must_use]
    pub(crate) fn in_generation(self, generation: u64, replay_upto: u64) -> Checkpoint {
        // What was replayed is behind it; then an older program can read it again.
        let replay_upto = if replay_upto > self.upto {
            replay_upto
        } else {
            0
        };
        let is_plain = generation == 0 && replay_upto == 0;
        Checkpoint {
            version: if is_plain { 1 } else { VERSION },
            generation,
            replay_upto,
            ..self
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint> {
        let mut checkpoint: Checkpoint = serde_json::from_slice(bytes).map_err(|error| {
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
        if checkpoint.version == 1 {
            // Only dead letters were replayed then.
            for pending in checkpoint.pending.values_mut() {
                pending.replayed |= pending.generation > 0;
            }
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

    /// (position, generation) at the end of such a name.
    pub fn place(text: &str) -> Option<(u64, u64)> {
        let (position, generation) = text.split_once('/')?;
        Some((position.parse().ok()?, generation.parse().ok()?))
    }

    pub fn all(subscription: &str) -> String {
        format!("subscription/{subscription}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_programs_wrote_is_read_and_written_as_they_did() {
        let plain = r#"{"version":1,"upto":120,"pending":{"117":{"attempts":2,"due_ms":1714560000000,"first_attempt":1714559990000000000,"last_attempt":1714559999000000000,"last_outcome":"Busy"}}}"#;
        let read = Checkpoint::from_bytes(plain.as_bytes()).unwrap();
        assert_eq!((read.upto, read.pending[&117].attempts), (120, 2));
        assert!(!read.pending[&117].replayed);
        assert_eq!(String::from_utf8(read.to_bytes()).unwrap(), plain);
        // All that had a generation was the replay of a dead letter.
        let replay = r#"{"version":1,"upto":9,"pending":{"3":{"generation":77}}}"#;
        let read = Checkpoint::from_bytes(replay.as_bytes()).unwrap();
        assert!(read.pending[&3].replayed);
    }

    #[test]
    fn only_what_older_programs_must_not_read_has_the_newer_version() {
        let text = |checkpoint: &Checkpoint| String::from_utf8(checkpoint.to_bytes()).unwrap();
        let at_head = Checkpoint::starting_after(5).in_generation(0, 5);
        assert_eq!(text(&at_head), r#"{"version":1,"upto":5,"pending":{}}"#);
        let history = Checkpoint::starting_after(0).in_generation(0, 5);
        let written = r#"{"version":2,"upto":0,"replay_upto":5,"pending":{}}"#;
        assert_eq!(text(&history), written);
        assert_eq!(Checkpoint::from_bytes(written.as_bytes()).unwrap(), history);
        let rewound = Checkpoint::starting_after(5).in_generation(8, 5);
        assert!(text(&rewound).starts_with(r#"{"version":2,"upto":5,"generation":8,"#));
        let newer = written.replace("\"version\":2", "\"version\":3");
        let error = Checkpoint::from_bytes(newer.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NewerFormat);
    }

    /// What the fuzz target begins with.
    #[test]
    fn the_seeds_of_fuzzing_are_checkpoints() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/checkpoint");
        for entry in std::fs::read_dir(seeds).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let read = Checkpoint::from_bytes(&bytes).unwrap();
            assert_eq!(Checkpoint::from_bytes(&read.to_bytes()).unwrap(), read);
        }
    }
}
