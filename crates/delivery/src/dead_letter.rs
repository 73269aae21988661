//! Events given up on: a blob in a container as Event Grid writes it, and an event of the system
//! topic `foretell.deadletters`, so that they can be listed and replayed.

use foretell_log::{Append, EventLog, ReadOptions};
use foretell_types::{
    Data, Error, ExtensionValue, Instant, NewEvent, Position, RecordedEvent, Result, Timestamp,
    eventgrid,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::checkpoint::{Pending, register};

/// The topic that records dead letters.
pub const DEAD_LETTERS: &str = "foretell.deadletters";
const ADDED: &str = "foretell.deadletter.added";
const REPLAYED: &str = "foretell.deadletter.replayed";

/// An event that a subscription gave up on, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    pub topic: String,
    pub subscription: String,
    pub position: u64,
    #[serde(default)]
    pub generation: u64,
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub subject: Option<String>,
    /// `MaxDeliveryAttemptsExceeded`, `TimeToLiveExceeded`, …
    pub reason: String,
    pub attempts: u64,
    pub last_outcome: String,
    pub message: String,
    /// Where the event lies in the storage account: `CONTAINER/BLOB`.
    pub blob: String,
    pub time: String,
}

/// The name of a dead letter's blob: `SUBSCRIPTION/Y/M/D/H/ID.json`, UTC, without leading zeros.
pub(crate) fn blob_name(subscription: &str, now: Instant, id: uuid::Uuid) -> String {
    let (year, month, day, hour, ..) = Timestamp::from_instant(now).utc_parts();
    format!(
        "{}/{year}/{month}/{day}/{hour}/{id}.json",
        subscription.to_uppercase()
    )
}

/// The blob's content: an array with the event in the Event Grid schema and why it is here.
pub(crate) fn blob_content(
    event: &RecordedEvent,
    letter: &DeadLetter,
    pending: &Pending,
) -> Vec<u8> {
    let time = |nanos: u64| Timestamp::from_instant(Instant::from_nanos(nanos as i64)).to_string();
    let mut out = b"[".to_vec();
    eventgrid::write_open(&mut out, &event.event, Some(event.recorded_time));
    let more = serde_json::json!({
        "deadLetterReason": letter.reason,
        "deliveryAttempts": letter.attempts,
        "lastDeliveryOutcome": letter.last_outcome,
        "publishTime": Timestamp::from_instant(event.recorded_time).to_string(),
        "lastDeliveryAttemptTime": time(pending.last_attempt),
    });
    let more = more.to_string();
    out.push(b',');
    out.extend_from_slice(&more.as_bytes()[1..]);
    out.push(b']');
    out
}

/// The event that records a dead letter.
pub(crate) fn added(letter: &DeadLetter, invocation: uuid::Uuid) -> NewEvent {
    system_event(ADDED, format!("{invocation}"), letter)
}

fn system_event(event_type: &str, id: String, letter: &DeadLetter) -> NewEvent {
    NewEvent {
        id,
        source: "/foretell/delivery".to_owned(),
        event_type: event_type.to_owned(),
        subject: Some(format!("{}/{}", letter.topic, letter.subscription)),
        data: Data::Json(serde_json::to_string(letter).unwrap_or_default()),
        ..NewEvent::default()
    }
}

/// Which dead letters are meant; what isn't given does not restrict.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DeadLetterFilter {
    pub topic: Option<String>,
    pub subscription: Option<String>,
    pub subject: Option<String>,
    pub position: Option<u64>,
}

impl DeadLetterFilter {
    fn matches(&self, letter: &DeadLetter) -> bool {
        self.topic
            .as_ref()
            .is_none_or(|topic| *topic == letter.topic)
            && self
                .subscription
                .as_ref()
                .is_none_or(|name| *name == letter.subscription)
            && self
                .subject
                .as_ref()
                .is_none_or(|s| Some(s) == letter.subject.as_ref())
            && self
                .position
                .is_none_or(|position| position == letter.position)
    }
}

/// The dead letters that were not replayed, in the order in which they were given up.
pub fn list(log: &EventLog, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>> {
    let mut reader = log.read(DEAD_LETTERS, ReadOptions::default())?;
    let mut open: BTreeMap<(String, u64), (Position, DeadLetter)> = BTreeMap::new();
    while let Some(event) = reader.next_event()? {
        let Some(letter) = event
            .json()
            .and_then(|json| serde_json::from_str::<DeadLetter>(json).ok())
        else {
            continue;
        };
        let key = (
            format!("{}/{}", letter.topic, letter.subscription),
            letter.position,
        );
        if event.event_type == REPLAYED {
            open.remove(&key);
        } else if filter.matches(&letter) {
            open.insert(key, (event.position, letter));
        }
    }
    let mut letters: Vec<_> = open.into_values().collect();
    letters.sort_by_key(|(position, _)| *position);
    Ok(letters.into_iter().map(|(_, letter)| letter).collect())
}

/// Sends dead letters through their subscription again, as a new generation. Durable when it
/// returns; a running subscription must be told ([`crate::Subscription::wake`]).
pub async fn replay(log: &EventLog, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>> {
    let reading = log.clone();
    let wanted = filter.clone();
    let letters = tokio::task::spawn_blocking(move || list(&reading, &wanted))
        .await
        .map_err(|error| Error::unavailable(error.to_string()))??;
    let generation = log.environment().clock.now().as_nanos().max(1);
    for batch in letters.chunks(1_000) {
        let mut append = Append::new();
        for letter in batch {
            let name = format!("{}/{}", letter.topic, letter.subscription);
            let key = format!("{}{}", register::replays(&name), letter.position);
            let mut event = system_event(
                REPLAYED,
                format!("{name}/{}/{generation}", letter.position),
                letter,
            );
            event.set_extension("generation", ExtensionValue::String(generation.to_string()));
            append = append
                .register(key, Some(generation.to_string().into_bytes()))
                .events(DEAD_LETTERS, [event]);
        }
        log.append(append)?.await?;
    }
    Ok(letters)
}
