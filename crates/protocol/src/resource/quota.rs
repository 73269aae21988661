use foretell_types::limits::{QUOTA_BYTES_MOST, QUOTA_EVENTS_MOST};
use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::field::Fields;

/// How much a topic takes each second; `None`: as much as the log takes. Not Event Grid's, whose
/// topics have it fixed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u32>,
}

impl Quota {
    pub fn is_none(&self) -> bool {
        *self == Quota::default()
    }

    /// Reads `quota` of a topic's properties.
    pub(super) fn from_json(properties: &Fields<'_>) -> Result<Quota> {
        let Some(quota) = properties.object("quota")? else {
            return Ok(Quota::default());
        };
        quota.only(&["eventsPerSecond", "bytesPerSecond"])?;
        Ok(Quota {
            events_per_second: quota.count("eventsPerSecond", QUOTA_EVENTS_MOST)?,
            bytes_per_second: quota.count("bytesPerSecond", QUOTA_BYTES_MOST)?,
        })
    }

    pub fn check(&self) -> Result<()> {
        for (name, given, most) in [
            ("events", self.events_per_second, QUOTA_EVENTS_MOST),
            ("bytes", self.bytes_per_second, QUOTA_BYTES_MOST),
        ] {
            if given.is_some_and(|given| !(1..=most).contains(&(given as usize))) {
                return Err(Error::invalid(format!(
                    "the quota of {name} per second must be a whole number from 1 to {most}"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn to_json(self) -> Value {
        let mut quota = json!({});
        for (name, given) in [
            ("eventsPerSecond", self.events_per_second),
            ("bytesPerSecond", self.bytes_per_second),
        ] {
            if let Some(given) = given {
                quota[name] = given.into();
            }
        }
        quota
    }
}
