use std::sync::Arc;

use foretell_log::{EventLog, ReadOptions, Reader};
use foretell_storage::Account;
use foretell_types::{Error, Instant, Position, RecordedEvent, Result};
use uuid::Uuid;

use crate::checkpoint::{Pending, register};
use crate::handler::Invocation;
use crate::identity;
use crate::subscription::SubscriptionOptions;

/// Positions that lie at most so far apart are read in one go.
const STRIDE: u64 = 256;

/// What the loop of a subscription and its tasks share; it never changes.
pub(crate) struct Context {
    pub options: SubscriptionOptions,
    /// `TOPIC/SUBSCRIPTION`.
    pub key: Arc<str>,
    pub topic: Arc<str>,
    /// Tells the topic from a later one of the same name.
    pub topic_uuid: Uuid,
    /// Tells the subscription from a later one of the same name.
    pub id: Uuid,
    /// Of what is read on, and how far that is a replay; see [`Checkpoint`].
    ///
    /// [`Checkpoint`]: crate::Checkpoint
    pub generation: u64,
    pub replay_upto: u64,
    pub log: EventLog,
    pub storage: Account,
}

impl Context {
    pub fn now(&self) -> Instant {
        self.log.environment().clock.now()
    }

    /// The topic is still the one that was subscribed to, and the subscription wasn't forgotten.
    pub fn is_there(&self) -> bool {
        let same = |info: foretell_log::TopicInfo| info.uuid == self.topic_uuid;
        self.log.topic(&self.topic).is_ok_and(same)
            && subscription_id(&self.log, &self.key) == Some(self.id)
    }

    /// When the time to live of an event begins.
    pub fn lives_from(event: &RecordedEvent) -> Instant {
        let not_before = event.not_before();
        not_before.map_or(event.recorded_time, |time| time.max(event.recorded_time))
    }

    pub fn invocation_id(&self, generation: u64, position: u64) -> Uuid {
        identity::invocation(self.id, generation, position)
    }

    pub fn invocation(&self, event: &Arc<RecordedEvent>, pending: &Pending) -> Invocation {
        Invocation {
            subscription: self.key.clone(),
            topic: self.topic.clone(),
            event: event.clone(),
            id: self.invocation_id(pending.generation, event.position.get()),
            attempts: pending.attempts as u32,
            first_attempt: Instant::from_nanos(pending.first_attempt as i64),
            replayed: pending.replayed,
        }
    }

    /// A reader of this topic, never of a later one of the same name.
    pub fn read(&self, options: ReadOptions) -> Result<Reader> {
        let reader = self.log.read(&self.topic, options)?;
        if self.log.topic(&self.topic)?.uuid != self.topic_uuid {
            let message = format!("topic {:?} was deleted and made anew", self.topic);
            return Err(Error::not_found(message));
        }
        Ok(reader)
    }

    /// The events at positions in ascending order. Blocks on the journal.
    pub fn events(&self, positions: &[u64]) -> Vec<Result<RecordedEvent>> {
        let mut reader: Option<(Reader, u64)> = None;
        positions
            .iter()
            .map(|position| {
                let mut from = match reader.take() {
                    Some((open, next)) if (next..next + STRIDE).contains(position) => open,
                    _ => {
                        let options = ReadOptions {
                            from: Position::new(*position),
                            ..ReadOptions::default()
                        };
                        self.read(options)?
                    }
                };
                while let Some(event) = from.next_event()? {
                    if event.position.get() >= *position {
                        let event = event.to_recorded()?;
                        reader = Some((from, position + 1));
                        return Ok(event);
                    }
                }
                let message = format!("position {position} of topic {:?} is not there", self.topic);
                Err(Error::not_found(message))
            })
            .collect()
    }

    /// The event at a position.
    pub async fn event(self: &Arc<Self>, position: u64) -> Result<RecordedEvent> {
        let context = self.clone();
        tokio::task::spawn_blocking(move || context.events(&[position]).pop())
            .await
            .map_err(|error| Error::unavailable(error.to_string()))?
            .unwrap_or_else(|| Err(Error::not_found("no event was read")))
    }
}

/// The id that a subscription was made with; `None` if there is no such subscription.
pub(crate) fn subscription_id(log: &EventLog, key: &str) -> Option<Uuid> {
    Uuid::from_slice(&log.register(&register::id(key))?).ok()
}
