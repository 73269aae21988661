//! Several events in one call: as many as are ready, never waiting for more. All of a batch get
//! the same outcome. A subject's events go together only in their order.

use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::limits::{BATCH_EVENTS, BATCH_KILOBYTES};
use foretell_types::{Data, Error, ExtensionValue, RecordedEvent, Result};

use crate::checkpoint::Pending;
use crate::context::Context;
use crate::dispatch::Dispatcher;
use crate::handler::{Failure, Handler, Invocation};
use crate::invoke::{Done, End};
use crate::queue::Popped;
use crate::subscription::Work;

/// How much one call takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    /// 1 to [`BATCH_EVENTS`].
    pub max_events: u32,
    /// 1 to [`BATCH_KILOBYTES`]; an event that is larger goes alone.
    pub preferred_kilobytes: u32,
}

impl Default for Batch {
    /// Event Grid's: one event.
    fn default() -> Batch {
        Batch {
            max_events: 1,
            preferred_kilobytes: 64,
        }
    }
}

impl Batch {
    pub fn check(&self) -> Result<()> {
        for (name, value, most) in [
            ("max_events", self.max_events, BATCH_EVENTS),
            (
                "preferred_kilobytes",
                self.preferred_kilobytes,
                BATCH_KILOBYTES,
            ),
        ] {
            if !(1..=most).contains(&(value as usize)) {
                return Err(Error::invalid(format!(
                    "{name} of a batch is {value}: 1 to {most} are allowed"
                )));
            }
        }
        Ok(())
    }
}

/// A handler that takes several events in one call. It returns nothing to apply: what it does lies
/// outside, for all of the batch or for none.
#[async_trait]
pub trait BatchHandler: Handler {
    fn batch(&self) -> Batch;

    /// Whether two events can go in one batch.
    fn fit(&self, one: &RecordedEvent, other: &RecordedEvent) -> bool;

    /// Handles at least one, at most [`Batch::max_events`]. The rules of [`Handler::handle`] hold.
    async fn handle_batch(&self, batch: Vec<Invocation>) -> Result<(), Failure>;
}

/// About what an event takes in a request.
fn json_bytes(event: &RecordedEvent) -> usize {
    let extensions = event.extensions.iter().map(|(name, value)| match value {
        ExtensionValue::String(text) => name.len() + text.len() + 6,
        _ => name.len() + 16,
    });
    let data = match &event.data {
        Data::Json(text) | Data::Text(text) => text.len(),
        Data::Binary(bytes) => bytes.len().div_ceil(3) * 4,
        Data::None => 4,
    };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let attributes = event.id.len() + event.source.len() + event.event_type.len();
    160 + attributes + text(&event.subject) + data + extensions.sum::<usize>()
}

/// A call with several events.
pub(crate) struct BatchAttempt {
    pub context: Arc<Context>,
    pub events: Vec<(Pending, Arc<RecordedEvent>)>,
}

impl BatchAttempt {
    pub async fn run(self) -> Vec<Done> {
        let context = &self.context;
        let Work::Push { handler, .. } = &context.options.work else {
            return Vec::new();
        };
        let Some(handler) = handler.batches() else {
            return Vec::new();
        };
        let invocations = self.events.iter();
        let invocations = invocations.map(|(pending, event)| context.invocation(event, pending));
        let handled = handler.handle_batch(invocations.collect()).await;
        let done = |(_, event)| Done {
            event: Some(event),
            end: match &handled {
                Ok(()) => End::Completed {
                    wrote_blobs: false,
                    register: None,
                },
                Err(failure) => End::Failed(failure.clone()),
            },
        };
        self.events.into_iter().map(done).collect()
    }
}

impl Dispatcher {
    /// What goes in one call with a position: nothing else unless the handler takes batches. What
    /// needs more than a call (an outcome or a dead letter to write, an event to read) goes alone.
    pub(crate) fn fill(&mut self, first: Popped) -> Vec<Popped> {
        let context = self.context.clone();
        let now = context.now();
        let now_ms = now.as_millis().max(0) as u64;
        let Work::Push { handler, retry, .. } = &context.options.work else {
            return vec![first];
        };
        let is_plain = |position: u64, pending: &Pending, event: &RecordedEvent| {
            pending.given_up.is_none()
                && pending.due_ms <= now_ms
                && !self.journaled.contains(&(position, pending.generation))
                && (pending.attempts == 0
                    || pending.replayed
                    || !retry.is_expired(Context::lives_from(event), now))
        };
        let (position, pending, event) = &first;
        let (Some(handler), Some(leader)) = (handler.batches(), event.clone()) else {
            return vec![first];
        };
        if !is_plain(*position, pending, &leader) {
            return vec![first];
        }
        let batch = handler.batch();
        let replayed = pending.replayed;
        let mut room =
            (batch.preferred_kilobytes as usize * 1024).saturating_sub(json_bytes(&leader));
        let wanted = |position: u64, pending: &Pending, event: &RecordedEvent| {
            let bytes = json_bytes(event) + 1;
            let fits = bytes <= room
                && replayed == pending.replayed
                && is_plain(position, pending, event)
                && handler.fit(&leader, event);
            room -= if fits { bytes } else { 0 };
            fits
        };
        let mut taken = self
            .queue
            .pop_along(first, batch.max_events as usize, wanted);
        // Lines are in this order already, but for dead letters: they came as they were asked for.
        let as_read = |(_, pending, _): &Popped| pending.generation == context.generation;
        if taken.iter().all(as_read) {
            taken.sort_by_key(|(position, ..)| *position);
        }
        taken
    }
}
