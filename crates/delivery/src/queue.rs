use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foretell_types::RecordedEvent;
use std::collections::HashMap;

use crate::checkpoint::{Checkpoint, Pending};

/// Bytes of events kept between reading and delivering; beyond, they are read again.
const KEEP_BYTES: usize = 8 * 1024 * 1024;

/// The unsettled positions of a subscription: which may go next, and what waits for what. Within
/// a subject one position goes at a time, the lowest first.
#[derive(Default)]
pub(crate) struct Queue {
    pub upto: u64,
    entries: BTreeMap<u64, Entry>,
    subjects: HashMap<String, VecDeque<u64>>,
    ready: VecDeque<u64>,
    waiting: BTreeSet<(u64, u64)>,
    kept_bytes: usize,
}

struct Entry {
    pending: Pending,
    subject: Option<String>,
    event: Option<Arc<RecordedEvent>>,
}

impl Queue {
    pub fn new(upto: u64) -> Queue {
        Queue {
            upto,
            ..Queue::default()
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    pub fn contains(&self, position: u64) -> bool {
        self.entries.contains_key(&position)
    }

    /// Takes in a position. `ordered`: its subject's events go one after the other.
    pub fn push(&mut self, event: Arc<RecordedEvent>, pending: Pending, ordered: bool) {
        let position = event.position.get();
        let subject = event.subject.clone().filter(|_| ordered);
        let first = match &subject {
            Some(subject) => {
                let line = self.subjects.entry(subject.clone()).or_default();
                line.push_back(position);
                line.len() == 1
            }
            None => true,
        };
        let bytes = event.data.len() + 512;
        let keep = self.kept_bytes + bytes <= KEEP_BYTES;
        if keep {
            self.kept_bytes += bytes;
        }
        self.entries.insert(
            position,
            Entry {
                pending,
                subject,
                event: keep.then_some(event),
            },
        );
        if first {
            self.enqueue(position);
        }
    }

    fn enqueue(&mut self, position: u64) {
        let Some(entry) = self.entries.get(&position) else {
            return;
        };
        if entry.pending.due_ms > 0 {
            self.waiting.insert((entry.pending.due_ms, position));
        } else {
            self.ready.push_back(position);
        }
    }

    /// The next position to deliver; its event if it is still kept.
    pub fn pop(&mut self) -> Option<(u64, Pending, Option<Arc<RecordedEvent>>)> {
        let position = self.ready.pop_front()?;
        let entry = self.entries.get_mut(&position)?;
        let event = entry.event.take();
        if let Some(event) = &event {
            self.kept_bytes -= event.data.len() + 512;
        }
        Some((position, entry.pending.clone(), event))
    }

    /// Puts a failed position back until its time comes.
    pub fn retry(&mut self, position: u64, pending: Pending) {
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.pending = pending;
            self.enqueue(position);
        }
    }

    /// A position is settled; the next of its subject may go.
    pub fn settle(&mut self, position: u64) {
        let Some(entry) = self.entries.remove(&position) else {
            return;
        };
        let Some(subject) = entry.subject else { return };
        let Some(line) = self.subjects.get_mut(&subject) else {
            return;
        };
        line.pop_front();
        match line.front().copied() {
            Some(next) => self.enqueue(next),
            None => {
                self.subjects.remove(&subject);
            }
        }
    }

    /// Makes ready what is due; gives the time of what is due next, in milliseconds.
    pub fn wake(&mut self, now_ms: u64) -> Option<u64> {
        while let Some((due, position)) = self.waiting.first().copied() {
            if due > now_ms {
                return Some(due);
            }
            self.waiting.pop_first();
            self.ready.push_back(position);
        }
        None
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = Checkpoint::starting_after(self.upto);
        checkpoint.pending = self
            .entries
            .iter()
            .map(|(position, entry)| (*position, entry.pending.clone()))
            .collect();
        checkpoint
    }
}
