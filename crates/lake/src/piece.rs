//! A batch of events, sorted by the partition of their keys.

use crate::key::NONE;
use crate::values::{NOWHERE, Values, place};

/// Keys spread over partitions: key number k is in partition k mod `count`, as number k div
/// `count` there. Each partition is folded on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partitions {
    bits: u32,
}

/// Events of a partition: about as many as the processor's cache holds.
const EVENTS: u64 = 128 * 1024;
/// More of them cost more than they save while events are spread.
const MOST_BITS: u32 = 10;

impl Partitions {
    pub(crate) fn of(events: u64) -> Partitions {
        let wanted = events.div_ceil(EVENTS).max(1);
        Partitions {
            bits: wanted.next_power_of_two().trailing_zeros().min(MOST_BITS),
        }
    }

    pub(crate) fn count(self) -> usize {
        1 << self.bits
    }

    pub(crate) fn of_key(self, key: u32) -> usize {
        (key & ((1 << self.bits) - 1)) as usize
    }

    /// The number of a key within its partition.
    pub(crate) fn within(self, key: u32) -> u32 {
        key >> self.bits
    }

    /// How many numbers a partition has, of so many keys.
    pub(crate) fn keys(self, keys: usize) -> usize {
        (keys >> self.bits) + 1
    }
}

/// An argument with its filter.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) values: Values,
    /// Which events pass the filter; `None` if all do.
    pub(crate) passes: Option<Vec<bool>>,
}

/// Events side by side.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    /// Key numbers; within the partition once they are sorted by it.
    pub(crate) keys: Vec<u32>,
    /// Event times, in nanoseconds.
    pub(crate) times: Vec<i64>,
    /// Known times, where they aren't the event times.
    pub(crate) known: Option<Vec<i64>>,
    pub(crate) inputs: Vec<Input>,
}

impl Events {
    /// Each event at its place among `count`.
    pub(crate) fn placed(&self, keys: &[u32], places: &[u32], count: usize) -> Events {
        Events {
            keys: place(keys, places, count),
            times: place(&self.times, places, count),
            known: self.known.as_ref().map(|known| place(known, places, count)),
            inputs: self
                .inputs
                .iter()
                .map(|input| Input {
                    values: input.values.placed(places, count),
                    passes: input
                        .passes
                        .as_ref()
                        .map(|passes| place(passes, places, count)),
                })
                .collect(),
        }
    }
}

/// Events of a batch that have a key that is asked about, in the order of partitions, and within
/// one in the order of the batch.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where each partition begins, and the end.
    starts: Vec<u32>,
    pub(crate) events: Events,
}

impl Piece {
    /// Sorts a batch; partitions that aren't wanted are left out.
    pub(crate) fn sort(
        events: &Events,
        partitions: Partitions,
        wanted: impl Fn(usize) -> bool,
    ) -> Piece {
        let is_wanted: Vec<bool> = (0..partitions.count()).map(wanted).collect();
        let is_wanted = |key: u32| key != NONE && is_wanted[partitions.of_key(key)];
        let mut starts = vec![0u32; partitions.count() + 1];
        for key in events.keys.iter().filter(|key| is_wanted(**key)) {
            starts[partitions.of_key(*key) + 1] += 1;
        }
        for partition in 0..partitions.count() {
            starts[partition + 1] += starts[partition];
        }
        let mut next = starts.clone();
        let mut places = Vec::with_capacity(events.keys.len());
        for key in &events.keys {
            if !is_wanted(*key) {
                places.push(NOWHERE);
                continue;
            }
            let place = &mut next[partitions.of_key(*key)];
            places.push(*place);
            *place += 1;
        }
        let within: Vec<u32> = events
            .keys
            .iter()
            .map(|key| partitions.within(*key))
            .collect();
        let count = starts[partitions.count()] as usize;
        Piece {
            events: events.placed(&within, &places, count),
            starts,
        }
    }

    /// Where the events of a partition lie.
    pub(crate) fn range(&self, partition: usize) -> std::ops::Range<usize> {
        self.starts[partition] as usize..self.starts[partition + 1] as usize
    }
}
