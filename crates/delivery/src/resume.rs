//! What is delivered beside the topic's new events: what the last run left, and replays.

use std::sync::Arc;

use foretell_types::limits::SUBSCRIPTION_EXCEPTIONS;
use foretell_types::{ErrorKind, RecordedEvent, Result};

use crate::checkpoint::{Checkpoint, Pending, register};
use crate::dispatch::Dispatcher;
use crate::page::PAGE_EVENTS;
use crate::replay::Replay;

/// Replays taken into the queue at once.
const REPLAYS_AT_ONCE: usize = 256;
/// Pending events read at once when a subscription starts.
const PIECE: usize = 64;

impl Dispatcher {
    /// Takes in what the last run left: pending positions, journaled outcomes, replays.
    pub(crate) fn load(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let context = self.context.clone();
        let prefix = register::outcomes(&context.key);
        for (key, _) in context.log.registers(&prefix) {
            let place = register::place(&key[prefix.len()..]).unwrap_or_default();
            let pending = checkpoint.pending.get(&place.0);
            let replay = register::replay(&context.key, place.0, place.1);
            let open = place.0 > checkpoint.upto
                || pending.is_some_and(|pending| pending.generation == place.1)
                || context.log.register(&replay).is_some();
            if !open {
                self.progress.unsaved.registers.push(key);
                self.progress.unsaved.changed = true;
            } else {
                self.journaled.insert(place);
            }
        }
        let mut pending = checkpoint.pending.into_iter();
        loop {
            // In pieces: the queue keeps of the events only what memory allows.
            let piece: Vec<(u64, Pending)> = pending.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            let positions: Vec<u64> = piece.iter().map(|(position, _)| *position).collect();
            let events = context.events(&positions);
            for ((position, pending), event) in piece.into_iter().zip(events) {
                let event = self.readable(position, event)?;
                self.queue.push(position, event, pending);
            }
        }
        self.replays.look(&context.log, &context.key);
        Ok(())
    }

    /// An event that was read; `None` if it can't be. It waits in the queue then and is asked for
    /// again and again, while others go on.
    fn readable(
        &self,
        position: u64,
        event: Result<RecordedEvent>,
    ) -> Result<Option<Arc<RecordedEvent>>> {
        match event {
            Ok(event) => Ok(Some(Arc::new(event))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged) => {
                tracing::error!(subscription = %self.context.key, position, %error, "a pending event can't be read");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes dead letters that were replayed into the queue.
    pub(crate) async fn take_replays(&mut self) {
        if self.replays.is_empty() {
            return;
        }
        // A page that is being read has its room already.
        let used = self.queue.len() + self.reading.as_ref().map_or(0, |_| PAGE_EVENTS);
        let room = SUBSCRIPTION_EXCEPTIONS.saturating_sub(used);
        let found = self.replays.take(&self.queue, room.min(REPLAYS_AT_ONCE));
        if found.is_empty() {
            return;
        }
        let context = self.context.clone();
        let positions: Vec<u64> = found.iter().map(|(position, _)| *position).collect();
        let events = tokio::task::spawn_blocking(move || context.events(&positions)).await;
        for ((position, generation), event) in found.into_iter().zip(events.unwrap_or_default()) {
            match event {
                Ok(event) => self.push_replay((position, generation), event),
                Err(error) => {
                    tracing::error!(subscription = %self.context.key, position, %error, "a replayed event can't be read");
                }
            }
        }
    }

    fn push_replay(&mut self, replay: Replay, event: RecordedEvent) {
        let pending = Pending {
            generation: replay.1,
            replayed: true,
            ..Pending::default()
        };
        self.queue.push(replay.0, Some(Arc::new(event)), pending);
        self.progress.unsaved.replays.push(replay);
        self.progress.unsaved.changed = true;
    }
}
