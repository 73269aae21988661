//! Numbers, time and the environment of a log, all from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use foretell_log::{Clock, Environment, Random};
use foretell_types::Instant;

use crate::disk::Disk;

/// Numbers from a seed (SplitMix64), shared by whoever holds a clone.
#[derive(Clone, Debug)]
pub struct Seeded(Arc<AtomicU64>);

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        Seeded(Arc::new(AtomicU64::new(seed)))
    }

    /// Numbers of their own: what draws from one leaves the other as it is.
    pub fn fork(&self) -> Seeded {
        Seeded::new(self.number())
    }

    pub fn number(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mix(state)
    }

    /// A number from 0, smaller than the bound.
    pub fn below(&self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }

    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several; `None` if there is none.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}

/// The seed of the cycle of a number, in a run with a seed.
pub fn seed_of(seed: u64, number: u64) -> u64 {
    mix(seed ^ mix(number))
}

fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random for Seeded {
    fn next(&self) -> u64 {
        self.number()
    }
}

/// A clock that stands still until it is set, and may be set back.
#[derive(Clone, Debug)]
pub struct HandClock(Arc<AtomicI64>);

impl Default for HandClock {
    fn default() -> HandClock {
        HandClock(Arc::new(AtomicI64::new(1_700_000_000_000_000_000)))
    }
}

impl HandClock {
    pub fn nanos(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on a little, or at times back.
    pub fn move_by_chance(&self, random: &Seeded) {
        let step = random.below(3_000_000_000) as i64 - 300_000_000;
        self.0.fetch_add(step, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.nanos())
    }
}

pub fn environment(disk: &Disk, clock: &HandClock, random: &Seeded) -> Environment {
    Environment {
        clock: Arc::new(clock.clone()),
        random: Arc::new(random.clone()),
        files: Arc::new(disk.clone()),
    }
}
