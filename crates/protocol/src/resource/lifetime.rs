//! What a subscription says of itself: its labels, and until when it delivers.

use foretell_types::limits::{LABEL_CHARS, LABELS};
use foretell_types::{Error, Instant, Result, Timestamp};
use serde_json::Value;

use super::SubscriptionDefinition;
use crate::field::Fields;

const EXPIRATION: &str = "expirationTimeUtc";

impl SubscriptionDefinition {
    pub(super) fn take_lifetime(&mut self, properties: &Fields<'_>) -> Result<()> {
        self.labels = properties.texts("labels")?.unwrap_or_default();
        if let Some(text) = properties.text(EXPIRATION)?.filter(|text| !text.is_empty()) {
            let time = Timestamp::from_text_or_utc(text);
            let time = time.map_err(|error| error.context(properties.name_of(EXPIRATION)))?;
            self.expires_ms = Some(time.instant().as_millis());
        }
        Ok(())
    }

    pub(super) fn check_labels(&self) -> Result<()> {
        let wrong = |label: &&String| !(1..=LABEL_CHARS).contains(&label.chars().count());
        if self.labels.len() > LABELS || self.labels.iter().any(|label| wrong(&label)) {
            return Err(Error::invalid(format!(
                "labels: at most {LABELS} of 1 to {LABEL_CHARS} characters are allowed"
            )));
        }
        Ok(())
    }

    /// When it expires; `None`: never.
    pub fn expires(&self) -> Option<Timestamp> {
        let nanos = self.expires_ms?.saturating_mul(1_000_000);
        Some(Timestamp::from_instant(Instant::from_nanos(nanos)))
    }

    /// Whether nothing is delivered any more.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires_ms.is_some_and(|end| end <= now.as_millis())
    }

    pub(super) fn lifetime_to_json(&self, properties: &mut Value) {
        properties["labels"] = self.labels.clone().into();
        let expires = self.expires().map(|time| time.to_string());
        properties[EXPIRATION] = expires.into();
    }
}
