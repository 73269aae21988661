use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::handler::FailureKind;
use crate::histogram::{Histogram, HistogramSnapshot};
use crate::pace::Probation;

/// Counts of a running subscription since it was started.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) delivered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) filtered: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) pending: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) upto: AtomicU64,
    pub(crate) probation: Mutex<Option<Probation>>,
    pub(crate) first: AtomicU64,
    pub(crate) failures: [AtomicU64; FailureKind::ALL.len()],
    pub(crate) latency: Histogram,
}

/// [`Stats`] at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct StatsSnapshot {
    /// Events that the handler completed.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    pub dead_lettered: u64,
    /// Events that the filter left out.
    pub filtered: u64,
    pub in_flight: u64,
    /// Events read but not settled.
    pub pending: u64,
    /// Of these, those that wait for a time: retries, scheduled ones, locked ones.
    pub waiting: u64,
    /// Positions read.
    pub upto: u64,
    /// The endpoint isn't called at the moment.
    #[serde(skip)]
    pub probation: Option<Probation>,
    /// The first position that is pending; 0 if none is.
    #[serde(skip)]
    pub first: u64,
    /// Attempts that failed, by kind in the order of [`FailureKind::ALL`].
    #[serde(skip)]
    pub failures: [u64; FailureKind::ALL.len()],
    /// From the recorded time of an event to its delivery; of those that are pushed.
    #[serde(skip)]
    pub latency: HistogramSnapshot,
}

impl Stats {
    pub fn snapshot(&self) -> StatsSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            delivered: get(&self.delivered),
            failed: get(&self.failed),
            dead_lettered: get(&self.dead_lettered),
            filtered: get(&self.filtered),
            in_flight: get(&self.in_flight),
            pending: get(&self.pending),
            waiting: get(&self.waiting),
            upto: get(&self.upto),
            probation: self.probation.lock().ok().and_then(|probation| *probation),
            first: get(&self.first),
            failures: std::array::from_fn(|index| get(&self.failures[index])),
            latency: self.latency.snapshot(),
        }
    }

    pub(crate) fn add_failure(&self, kind: FailureKind) {
        Stats::add(&self.failed);
        Stats::add(&self.failures[kind as usize]);
    }

    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl StatsSnapshot {
    /// Events of a topic with this head that still wait for the subscription.
    pub fn lag(&self, head: u64) -> u64 {
        head.saturating_sub(self.upto) + self.pending
    }
}
