use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of the buckets, in milliseconds; beyond them is one more.
pub const BUCKETS_MS: [u64; 10] = [
    1, 5, 25, 100, 500, 2_500, 10_000, 60_000, 600_000, 3_600_000,
];

/// How long something took, how often.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    sum_us: AtomicU64,
}

/// [`Histogram`] at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HistogramSnapshot {
    /// How many fell into each bucket alone.
    pub buckets: [u64; BUCKETS_MS.len() + 1],
    pub sum_us: u64,
}

impl Histogram {
    /// Takes in a time; one that a clock which was set back makes negative counts as none.
    pub fn observe_nanos(&self, nanos: i64) {
        let us = nanos.max(0) as u64 / 1_000;
        let bucket = BUCKETS_MS.partition_point(|most| most * 1_000 < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            buckets: std::array::from_fn(|index| self.buckets[index].load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_their_bucket() {
        let times = Histogram::default();
        for nanos in [
            -5,
            0,
            1_000_000,
            1_001_000,
            3_600_000_000_000,
            3_600_000_001_000,
        ] {
            times.observe_nanos(nanos);
        }
        let found = times.snapshot();
        assert_eq!(found.buckets, [3, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(found.sum_us, 1_000 + 1_001 + 3_600_000_000 * 2 + 1);
    }
}
