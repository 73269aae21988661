//! A writer and the streams that are its own, so that what it expects of them holds while others
//! write: no condition of the bench fails.

use super::engine::Condition;
use super::event::{Event, mix};

/// Streams, over which the events are spread at random, and what they hold already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Streams {
    pub count: u32,
    /// Events that each stream has.
    pub filled: u32,
    /// The position of the last event there is.
    pub after: u64,
}

impl Streams {
    pub fn empty(count: u32) -> Streams {
        Streams {
            count,
            filled: 0,
            after: 0,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Lane {
    first: u32,
    step: u32,
    /// Events of each of its streams.
    counts: Vec<u64>,
    after: u64,
    random: u64,
    next: u64,
    events: Vec<Event>,
}

impl Lane {
    /// The lanes of so many writers: each stream is one's own.
    pub fn all(writers: usize, streams: Streams) -> Vec<Lane> {
        let step = writers as u32;
        (0..step)
            .map(|first| Lane {
                first,
                step,
                counts: vec![
                    u64::from(streams.filled);
                    (streams.count - first).div_ceil(step) as usize
                ],
                after: streams.after,
                random: mix(u64::from(first) + 1) | 1,
                // Ids are unique: what was there before the lanes has those of no lane.
                next: u64::from(first + 1) << 40,
                events: Vec::new(),
            })
            .collect()
    }

    /// The events of the next append, of random streams, on condition of the first one's.
    pub fn take(&mut self, batch: usize) -> (&[Event], Condition) {
        self.events.clear();
        let mut condition = None;
        for _ in 0..batch {
            let index = self.random() as usize % self.counts.len();
            let stream = self.first + index as u32 * self.step;
            condition.get_or_insert(Condition {
                stream,
                events: self.counts[index],
                after: self.after,
            });
            self.counts[index] += 1;
            let number = self.next;
            self.next += 1;
            self.events.push(Event { number, stream });
        }
        let nothing = Condition {
            stream: self.first,
            events: 0,
            after: 0,
        };
        (&self.events, condition.unwrap_or(nothing))
    }

    /// The append is durable, and its last event there.
    pub fn done(&mut self, position: u64) {
        self.after = position;
    }

    /// Xorshift (Marsaglia 2003).
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn no_stream_is_shared_and_no_id_comes_twice() {
        let (mut owners, mut numbers) = (HashMap::new(), HashSet::new());
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for (owner, mut lane) in Lane::all(7, Streams::empty(100)).into_iter().enumerate() {
            for position in 1..200 {
                let (events, condition) = lane.take(3);
                assert_eq!(condition.stream, events[0].stream);
                assert_eq!(
                    condition.events,
                    *counts.entry(condition.stream).or_default()
                );
                assert_eq!(condition.after, position - 1);
                for event in events {
                    assert_eq!(*owners.entry(event.stream).or_insert(owner), owner);
                    assert!(numbers.insert(event.number));
                    *counts.entry(event.stream).or_default() += 1;
                }
                lane.done(position);
            }
        }
        assert_eq!(owners.len(), 100);
        assert!(owners.keys().all(|stream| *stream < 100));
    }
}
