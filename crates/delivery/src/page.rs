//! Reading ahead: a page of events off the async threads, while others are delivered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_log::ReadOptions;
use foretell_types::limits::{RECEIVE_EVENTS, SUBSCRIPTION_EXCEPTIONS};
use foretell_types::{Instant, Position, RecordedEvent, Result};
use tokio::time::Instant as Timer;

use crate::checkpoint::Pending;
use crate::context::Context;
use crate::dispatch::Dispatcher;
use crate::queue::kept_bytes;
use crate::subscription::Work;

/// Events that a page holds at most.
pub(crate) const PAGE_EVENTS: usize = 1_024;
/// Positions that a page goes through at most, with those that the filter leaves out.
const PAGE_POSITIONS: u64 = 16_384;
/// A page ends with the event that goes beyond so many bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// After an error reading is tried again after this time.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// What was read after a position.
pub(crate) struct Page {
    /// The last position that was read.
    pub upto: u64,
    /// How many events the filter left out.
    pub filtered: u64,
    pub events: Vec<Arc<RecordedEvent>>,
}

impl Page {
    /// Reads on. Blocks on the journal.
    pub fn read(context: &Context, after: u64, room: usize) -> Result<Page> {
        let options = ReadOptions {
            limit: Some(PAGE_POSITIONS),
            ..ReadOptions::after(Position::new(after))
        };
        let mut reader = context.read(options)?;
        let mut page = Page {
            upto: after,
            filtered: 0,
            events: Vec::new(),
        };
        let mut bytes = 0;
        while page.events.len() < room.min(PAGE_EVENTS)
            && bytes < PAGE_BYTES
            && let Some(event) = reader.next_recorded()?
        {
            page.upto = event.position.get();
            if (context.options.filter)(&event.event) {
                bytes += kept_bytes(&event);
                page.events.push(Arc::new(event));
            } else {
                page.filtered += 1;
            }
        }
        Ok(page)
    }
}

impl Dispatcher {
    /// Whether to read on: there is more, not enough can go, and the bounded set of exceptions
    /// has room.
    pub(crate) fn wants_more(&self) -> bool {
        let enough = match &self.context.options.work {
            Work::Push { handler, .. } => {
                let batch = handler.batches().map(|handler| handler.batch());
                let enough = batch.map_or(0, |batch| batch.max_events as usize);
                self.context
                    .options
                    .concurrency
                    .max(PAGE_EVENTS)
                    .max(enough)
            }
            // A backlog that nobody receives stays a position.
            Work::Pull(_) => RECEIVE_EVENTS,
        };
        !self.context.options.paused
            && *self.head.borrow() > self.queue.upto
            && self.queue.ready() < enough
            && self.queue.len() < SUBSCRIPTION_EXCEPTIONS
    }

    pub(crate) fn read_on(&mut self) {
        self.head.borrow_and_update();
        if self.reading.is_some() || !self.wants_more() || Timer::now() < self.read_after {
            return;
        }
        let (context, after) = (self.context.clone(), self.queue.upto);
        let room = SUBSCRIPTION_EXCEPTIONS - self.queue.len();
        let read = move || Page::read(&context, after, room);
        self.reading = Some(tokio::task::spawn_blocking(read));
    }

    pub(crate) fn take_page(&mut self, page: Result<Page>) {
        match page {
            Ok(page) => {
                self.queue.upto = page.upto;
                self.progress.unsaved.changed = true;
                self.stats
                    .filtered
                    .fetch_add(page.filtered, Ordering::Relaxed);
                let now = self.context.now();
                for event in page.events {
                    let position = event.position.get();
                    // One that is scheduled waits like a retry: for its time.
                    let scheduled = event.not_before().filter(|time| *time > now);
                    let pending = Pending {
                        generation: self.context.generation,
                        replayed: position <= self.context.replay_upto,
                        due_ms: scheduled.map_or(0, rounded_up_ms),
                        ..Pending::default()
                    };
                    self.queue.push(position, Some(event), pending);
                }
            }
            Err(error) if !self.context.is_there() => self.gone(&error),
            Err(error) => {
                tracing::error!(subscription = %self.context.key, %error, "the topic can't be read, will be tried again");
                self.read_after = Timer::now() + READ_AGAIN;
            }
        }
    }
}

/// Milliseconds since the epoch, not before a time.
fn rounded_up_ms(time: Instant) -> u64 {
    let whole = i64::from(!time.nanos.is_multiple_of(1_000_000));
    (time.as_millis() + whole).max(1) as u64
}
