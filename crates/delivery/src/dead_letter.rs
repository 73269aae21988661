//! Events given up on: a blob in a container as Event Grid writes it, and an event of the system
//! topic `foretell.deadletters`, so that they can be listed and replayed.

use foretell_log::{Append, EventLog, ReadOptions};
use foretell_types::{
    Data, Error, ErrorKind, ExtensionValue, Instant, NewEvent, Position, RecordedEvent, Result,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::checkpoint::{GivenUp, Pending, register};
use crate::context::Context;

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

/// The dead letter of an event that is given up now.
pub(crate) fn letter(
    context: &Context,
    event: &RecordedEvent,
    pending: &Pending,
    given_up: &GivenUp,
) -> DeadLetter {
    let (options, now) = (&context.options, context.now());
    let position = event.position.get();
    let id = context.invocation_id(pending.generation, position);
    let name = options.dead_letters.form.blob_name(context, now, id);
    DeadLetter {
        topic: options.topic.clone(),
        subscription: options.name.clone(),
        position,
        generation: pending.generation,
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        subject: event.subject.clone(),
        reason: given_up.reason.clone(),
        attempts: pending.attempts,
        last_outcome: pending.last_outcome.clone(),
        message: given_up.message.clone(),
        blob: format!("{}/{name}", options.dead_letters.container),
        time: Timestamp::from_instant(now).to_string(),
    }
}

/// Appends the event that records a dead letter, in one commit with `append`. Makes the topic if
/// it isn't there.
pub(crate) async fn record(
    log: &EventLog,
    append: Append,
    letter: &DeadLetter,
    invocation: uuid::Uuid,
) -> Result<()> {
    let added = system_event(ADDED, invocation.to_string(), letter);
    if log.topic(DEAD_LETTERS).is_err() {
        let uuid = log.environment().random.uuid();
        let create = Append::new().create_topic(DEAD_LETTERS.parse()?, uuid, false);
        match log.append(create)?.await {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            // Made by another at the same time.
            _ => {}
        }
    }
    let append = append.events(DEAD_LETTERS, [added]);
    log.append(append)?.await.map(|_| ())
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
    pub event_type: Option<String>,
    /// `MaxDeliveryAttemptsExceeded`, …; without regard to case.
    pub reason: Option<String>,
    /// Given up then or later.
    pub since: Option<Instant>,
    /// Given up then or earlier.
    pub until: Option<Instant>,
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
            && self
                .event_type
                .as_ref()
                .is_none_or(|event_type| *event_type == letter.event_type)
            && self
                .reason
                .as_ref()
                .is_none_or(|reason| reason.eq_ignore_ascii_case(&letter.reason))
            && self.is_in_time(letter)
    }

    fn is_in_time(&self, letter: &DeadLetter) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let time = letter.time.parse::<Timestamp>().map(|time| time.instant());
        time.is_ok_and(|time| {
            self.since.is_none_or(|since| time >= since)
                && self.until.is_none_or(|until| time <= until)
        })
    }
}

/// The dead letters that were not replayed, in the order in which they were given up.
pub fn list(log: &EventLog, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>> {
    let mut reader = match log.read(DEAD_LETTERS, ReadOptions::default()) {
        Ok(reader) => reader,
        // Nothing was ever given up.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
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
/// returns; a running subscription must be told ([`crate::Subscription::wake`]). Gives those that
/// were sent: not those whose topic or subscription is gone.
pub async fn replay(log: &EventLog, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>> {
    let reading = log.clone();
    let wanted = filter.clone();
    let mut letters = tokio::task::spawn_blocking(move || list(&reading, &wanted))
        .await
        .map_err(|error| Error::unavailable(error.to_string()))??;
    letters.retain(|letter| is_wanted(log, letter));
    let now = log.environment().clock.now().as_nanos().max(1) as u64;
    for batch in letters.chunks(1_000) {
        let mut append = Append::new();
        for letter in batch {
            let name = format!("{}/{}", letter.topic, letter.subscription);
            let generation = now.max(letter.generation + 1);
            let key = register::replay(&name, letter.position, generation);
            let id = format!("{name}/{}/{generation}", letter.position);
            let mut event = system_event(REPLAYED, id, letter);
            event.set_extension("generation", ExtensionValue::String(generation.to_string()));
            append = append
                .register(key, Some(Vec::new()))
                .events(DEAD_LETTERS, [event]);
        }
        log.append(append)?.await?;
    }
    Ok(letters)
}

/// Its subscription is there, and its topic is the one that held the event.
fn is_wanted(log: &EventLog, letter: &DeadLetter) -> bool {
    let name = format!("{}/{}", letter.topic, letter.subscription);
    let given_up = letter.time.parse::<Timestamp>().map(|time| time.instant());
    log.register(&register::checkpoint(&name)).is_some()
        && log
            .topic(&letter.topic)
            .is_ok_and(|topic| given_up.is_ok_and(|time| topic.created <= time))
}
