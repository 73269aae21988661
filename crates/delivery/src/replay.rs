use std::collections::{BTreeSet, HashSet};

use foretell_log::EventLog;

use crate::checkpoint::register;
use crate::queue::Queue;

/// A position that is to be delivered again, and the generation that this begins.
pub(crate) type Replay = (u64, u64);

/// The dead letters that were replayed and aren't in the queue yet.
#[derive(Default)]
pub(crate) struct Replays {
    waiting: BTreeSet<Replay>,
    /// Taken into the queue, or not readable; their registers may still be there.
    taken: HashSet<Replay>,
}

impl Replays {
    /// Looks for new ones in the log.
    pub fn look(&mut self, log: &EventLog, subscription: &str) {
        let prefix = register::replays(subscription);
        for (key, _) in log.registers(&prefix) {
            match register::place(&key[prefix.len()..]) {
                Some(replay) if !self.taken.contains(&replay) => {
                    self.waiting.insert(replay);
                }
                Some(_) => {}
                None => tracing::error!(key, "the register of a replay is malformed"),
            }
        }
    }

    /// Takes at most `room` whose position was read and is settled: an earlier generation that is
    /// still at work goes first.
    pub fn take(&mut self, queue: &Queue, room: usize) -> Vec<Replay> {
        let mut found: Vec<Replay> = Vec::new();
        for (position, generation) in &self.waiting {
            if *position > queue.upto || found.len() >= room {
                break;
            }
            let twin = found.last().is_some_and(|(last, _)| last == position);
            if !twin && !queue.contains(*position) {
                found.push((*position, *generation));
            }
        }
        for replay in &found {
            self.waiting.remove(replay);
            self.taken.insert(*replay);
        }
        found
    }

    /// Their registers are gone.
    pub fn forget(&mut self, replays: &[Replay]) {
        for replay in replays {
            self.taken.remove(replay);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
