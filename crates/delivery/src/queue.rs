use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use foretell_types::{Data, ExtensionValue, RecordedEvent};

use crate::checkpoint::{Checkpoint, Pending};

/// Bytes of events kept between reading and delivering; beyond, they are read again.
pub(crate) const KEEP_BYTES: usize = 8 * 1024 * 1024;

/// The unsettled positions of a subscription: which may go next, and what waits for what. Within
/// a subject one position goes at a time, in the order in which they came.
#[derive(Default)]
pub(crate) struct Queue {
    pub upto: u64,
    /// Positions after this one were only read ahead, and aren't journaled; `None`: all are.
    touched: Option<u64>,
    /// A subject's events go one after the other.
    ordered: bool,
    entries: BTreeMap<u64, Entry>,
    lines: HashMap<Arc<str>, VecDeque<u64>>,
    ready: VecDeque<u64>,
    waiting: BTreeSet<(u64, u64)>,
    kept_bytes: usize,
}

/// A position to deliver; its event if it is still kept.
pub(crate) type Popped = (u64, Pending, Option<Arc<RecordedEvent>>);

struct Entry {
    /// It was taken, and is neither settled nor put back.
    out: bool,
    pending: Pending,
    subject: Option<Arc<str>>,
    event: Option<Arc<RecordedEvent>>,
}

/// About what an event takes in memory.
pub(crate) fn kept_bytes(event: &RecordedEvent) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let extensions = event.extensions.iter().map(|(name, value)| match value {
        ExtensionValue::String(text) => name.len() + text.len() + 64,
        _ => name.len() + 64,
    });
    let data = match &event.data {
        Data::Json(text) | Data::Text(text) => text.capacity(),
        Data::Binary(bytes) => bytes.capacity(),
        Data::None => 0,
    };
    let attributes = event.id.len() + event.source.len() + event.event_type.len();
    let optional = text(&event.subject) + text(&event.datacontenttype) + text(&event.dataschema);
    512 + data + attributes + optional + extensions.sum::<usize>()
}

impl Queue {
    pub fn new(upto: u64, ordered: bool) -> Queue {
        Queue {
            upto,
            ordered,
            ..Queue::default()
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many wait for a time.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The first position that isn't settled.
    pub fn first(&self) -> Option<u64> {
        self.entries.keys().next().copied()
    }

    pub fn contains(&self, position: u64) -> bool {
        self.entries.contains_key(&position)
    }

    /// Takes in a position that isn't there; without an event, one whose subject isn't known.
    pub fn push(&mut self, position: u64, event: Option<Arc<RecordedEvent>>, pending: Pending) {
        debug_assert!(!self.contains(position), "a position is in the queue once");
        let subject = event
            .as_ref()
            .and_then(|event| event.subject.as_deref())
            .filter(|_| self.ordered);
        let (subject, first) = match subject.map(|name| (name, self.lines.get_key_value(name))) {
            Some((_, Some((name, _)))) => (Some(name.clone()), false),
            Some((name, None)) => (Some(Arc::from(name)), true),
            None => (None, true),
        };
        if let Some(subject) = &subject {
            let line = self.lines.entry(subject.clone()).or_default();
            line.push_back(position);
        }
        let event = event.filter(|event| self.keep(event));
        let entry = Entry {
            out: false,
            pending,
            subject,
            event,
        };
        self.entries.insert(position, entry);
        if first {
            self.enqueue(position);
        }
    }

    /// Whether there is room for an event; takes the room.
    fn keep(&mut self, event: &RecordedEvent) -> bool {
        let bytes = kept_bytes(event);
        let keep = self.kept_bytes + bytes <= KEEP_BYTES;
        if keep {
            self.kept_bytes += bytes;
        }
        keep
    }

    fn enqueue(&mut self, position: u64) {
        let Some(entry) = self.entries.get(&position).filter(|entry| !entry.out) else {
            return;
        };
        if entry.pending.due_ms > 0 {
            self.waiting.insert((entry.pending.due_ms, position));
        } else if entry.pending.given_up.is_some() {
            // Nothing is called for it, and nobody has to ask.
            self.ready.push_front(position);
        } else {
            self.ready.push_back(position);
        }
    }

    /// The next position to deliver.
    pub fn pop(&mut self) -> Option<Popped> {
        let position = self.ready.pop_front()?;
        self.touched = self.touched.map(|touched| touched.max(position));
        self.lend(position)
    }

    fn lend(&mut self, position: u64) -> Option<Popped> {
        let entry = self.entries.get_mut(&position)?;
        entry.out = true;
        let event = entry.event.take();
        if let Some(event) = &event {
            self.kept_bytes -= kept_bytes(event);
        }
        Some((position, entry.pending.clone(), event))
    }

    /// What [`Queue::pop`] would give.
    pub fn front(&self) -> Option<(u64, &Pending)> {
        let position = self.ready.front()?;
        Some((*position, &self.entries.get(position)?.pending))
    }

    /// When the next of those that wait is due, in milliseconds, and its position.
    pub fn first_waiting(&self) -> Option<(u64, u64)> {
        self.waiting.first().copied()
    }

    pub fn get(&self, position: u64) -> Option<&Pending> {
        Some(&self.entries.get(&position)?.pending)
    }

    /// Takes out a position that waits; `None` if it doesn't.
    pub fn take(&mut self, position: u64) -> Option<Popped> {
        let due = self.entries.get(&position)?.pending.due_ms;
        if !self.waiting.remove(&(due, position)) {
            return None;
        }
        self.lend(position)
    }

    /// Takes what is wanted along with a position that was taken, `most` in all: those that wait
    /// behind it in its line, then what is ready. Ends with the first that isn't wanted.
    pub fn pop_along(
        &mut self,
        first: Popped,
        most: usize,
        mut wanted: impl FnMut(u64, &Pending, &RecordedEvent) -> bool,
    ) -> Vec<Popped> {
        let mut batch = vec![first];
        // How far the line of the last one was taken.
        let mut depth = 0;
        while batch.len() < most {
            let last = batch.last().map_or(0, |(position, ..)| *position);
            let in_line = self
                .line(last)
                .and_then(|line| line.get(depth + 1))
                .copied();
            let mut check = |position: &u64| match self.entries.get(position) {
                Some(Entry {
                    pending,
                    event: Some(event),
                    ..
                }) => wanted(*position, pending, event),
                _ => false,
            };
            let next = if let Some(next) = in_line.filter(&mut check) {
                depth += 1;
                Some(next)
            } else {
                depth = 0;
                let next = self.ready.front().copied().filter(&mut check);
                next.and_then(|_| self.ready.pop_front())
            };
            match next.and_then(|next| self.lend(next)) {
                Some(taken) => batch.push(taken),
                None => break,
            }
        }
        batch
    }

    /// The line in which a position stands.
    fn line(&self, position: u64) -> Option<&VecDeque<u64>> {
        self.lines
            .get(self.entries.get(&position)?.subject.as_ref()?)
    }

    /// Puts a position back that was not settled, until its time comes.
    pub fn put_back(&mut self, position: u64, pending: Pending, event: Option<Arc<RecordedEvent>>) {
        let event = event.filter(|event| self.keep(event));
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.out = false;
            entry.pending = pending;
            entry.event = event;
            // Of a batch all are put back; the first of a subject goes first again.
            let first = self
                .line(position)
                .is_none_or(|line| line.front() == Some(&position));
            if first {
                self.enqueue(position);
            }
        }
    }

    /// A position is settled; the next of its subject may go.
    pub fn settle(&mut self, position: u64) {
        let Some(entry) = self.entries.remove(&position) else {
            return;
        };
        let Some(subject) = entry.subject else { return };
        let Some(line) = self.lines.get_mut(&subject) else {
            return;
        };
        let front = line.pop_front();
        debug_assert_eq!(front, Some(position), "only the front of a line is settled");
        match line.front().copied() {
            Some(next) => self.enqueue(next),
            None => {
                self.lines.remove(&subject);
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
            let given_up = self.get(position).is_some_and(|p| p.given_up.is_some());
            match given_up {
                true => self.ready.push_front(position),
                false => self.ready.push_back(position),
            }
        }
        None
    }

    /// What is only read ahead shall not be journaled, but read again.
    pub fn forget_ahead(&mut self) {
        self.touched = Some(self.upto);
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let ahead = self
            .touched
            .and_then(|touched| self.entries.range(touched + 1..).next());
        let ahead = ahead.map(|(position, _)| *position);
        let upto = ahead.map_or(self.upto, |ahead| ahead - 1);
        let mut checkpoint = Checkpoint::starting_after(upto);
        checkpoint.pending = self
            .entries
            .range(..ahead.unwrap_or(u64::MAX))
            .map(|(position, entry)| (*position, entry.pending.clone()))
            .collect();
        checkpoint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretell_types::{Instant, NewEvent, Position};

    fn event(position: u64, bytes: usize) -> Option<Arc<RecordedEvent>> {
        Some(Arc::new(RecordedEvent {
            event: NewEvent {
                subject: Some(format!("s{}", position % 7)),
                data: Data::Json("x".repeat(bytes)),
                extensions: vec![("e".into(), ExtensionValue::String("y".repeat(bytes)))],
                ..NewEvent::default()
            },
            position: Position::new(position)?,
            revision: None,
            recorded_time: Instant::from_nanos(0),
            erased: false,
        }))
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_back() {
        let mut queue = Queue::new(0, true);
        for position in 1..=2_000 {
            queue.push(position, event(position, 10_000), Pending::default());
            assert!(queue.kept_bytes <= KEEP_BYTES);
        }
        assert!(queue.kept_bytes > KEEP_BYTES / 2);
        let mut last = [0; 7];
        let mut tries = 0;
        while let Some((position, mut pending, event)) = queue.pop() {
            tries += 1;
            if pending.attempts == 0 && position % 3 == 0 {
                pending.attempts = 1;
                pending.due_ms = 1_000 + position;
                queue.put_back(position, pending, event);
                assert_eq!(queue.wake(999 + position), Some(1_000 + position));
                assert_eq!(queue.wake(1_000 + position), None);
                continue;
            }
            let before = std::mem::replace(&mut last[position as usize % 7], position);
            assert!(before < position, "in order");
            queue.settle(position);
            assert_eq!(queue.checkpoint().pending.len(), queue.len());
        }
        assert_eq!((queue.len(), queue.kept_bytes, tries), (0, 0, 2_666));
        assert!(queue.lines.is_empty());
    }
}
