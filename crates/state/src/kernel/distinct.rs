use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Kernel;
use crate::Scalar;

/// Of so many values the texts are brought near before one is counted.
const NEAR: usize = 4;

/// How often there is each value: distinct values are counted by it, and the mode is found.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Distinct {
    times: BTreeMap<Sorted<'static>, Times>,
}

/// How often a value is there. It can be changed where it was found by a value that lives less
/// long than those in the map, which no exclusive reference allows.
#[derive(Default, Debug, Serialize, Deserialize)]
struct Times(AtomicU64);

impl Times {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, times: u64) {
        self.0.store(times, Ordering::Relaxed);
    }
}

impl Clone for Times {
    fn clone(&self) -> Times {
        Times(AtomicU64::new(self.get()))
    }
}

/// A value in the order of all values: 1 and 1.0 are one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sorted<'a>(Scalar<'a>);

impl PartialEq for Sorted<'_> {
    fn eq(&self, other: &Sorted<'_>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Sorted<'_> {}

impl PartialOrd for Sorted<'_> {
    fn partial_cmp(&self, other: &Sorted<'_>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sorted<'_> {
    fn cmp(&self, other: &Sorted<'_>) -> std::cmp::Ordering {
        self.0.total_order(&other.0)
    }
}

impl Distinct {
    /// How often a value is there.
    fn times<'a>(&'a self, value: &'a Scalar<'_>) -> Option<&'a Times> {
        let times: &BTreeMap<Sorted<'a>, Times> = &self.times;
        times.get(&Sorted(value.borrowed()))
    }

    /// Counts a value; it is copied only if it is new.
    pub(super) fn count(&mut self, value: &Scalar<'_>) {
        match self.times(value) {
            Some(times) => times.set(times.get() + 1),
            None => {
                let value = Sorted(value.clone().into_owned());
                self.times.insert(value, Times(AtomicU64::new(1)));
            }
        }
    }

    /// About how many bytes of memory it takes beside itself.
    pub(super) fn bytes(&self) -> usize {
        let values = self.times.keys();
        values.map(|value| value.0.bytes() + size_of::<u64>()).sum()
    }

    /// The value that is there most often; of several, the smallest.
    pub fn mode(&self) -> Scalar<'static> {
        let mut best: Option<(&Sorted<'_>, u64)> = None;
        for (value, times) in &self.times {
            if best.is_none_or(|(_, most)| times.get() > most) {
                best = Some((value, times.get()));
            }
        }
        best.map_or(Scalar::Null, |(value, _)| value.0.clone())
    }
}

impl Kernel for Distinct {
    type Value = Scalar<'static>;

    fn lift(&mut self, value: &Scalar<'static>) {
        self.count(value);
    }

    fn combine(&mut self, other: &Distinct) {
        for (value, times) in &other.times {
            let mine = self.times.entry(value.clone()).or_default();
            mine.set(mine.get() + times.get());
        }
    }

    fn remove(&mut self, value: &Scalar<'static>) {
        match self.times(value) {
            Some(times) if times.get() > 1 => times.set(times.get() - 1),
            Some(_) => {
                self.times.remove(&Sorted(value.clone()));
            }
            None => {}
        }
    }

    fn near(&self) -> u64 {
        let some = self.times.iter().take(NEAR);
        some.fold(0, |all, (value, times)| all ^ times.get() ^ value.0.near())
    }

    fn finish(&self) -> Scalar<'static> {
        Scalar::Int(self.times.len() as i128)
    }
}

/// Registers of a HyperLogLog are 2 to this power: a standard error of 1.6 %.
const PRECISION: u32 = 12;

/// About how many distinct values there are: a HyperLogLog, whose memory is bounded. Nothing can
/// be removed from it. Source: P. Flajolet et al., "HyperLogLog" (2007), with linear counting for
/// few values.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Approximate {
    /// Empty until the first value.
    registers: Vec<u8>,
}

impl Approximate {
    pub(super) fn bytes(&self) -> usize {
        self.registers.len()
    }

    pub fn lift(&mut self, value: &Scalar<'_>) {
        let hash = hash_of(value);
        if self.registers.is_empty() {
            self.registers = vec![0; 1 << PRECISION];
        }
        let index = (hash >> (64 - PRECISION)) as usize;
        let rank = ((hash << PRECISION) | 1 << (PRECISION - 1)).leading_zeros() as u8 + 1;
        self.registers[index] = self.registers[index].max(rank);
    }

    pub fn combine(&mut self, other: &Approximate) {
        if self.registers.is_empty() {
            self.registers.clone_from(&other.registers);
        }
        for (mine, other) in self.registers.iter_mut().zip(&other.registers) {
            *mine = (*mine).max(*other);
        }
    }

    pub fn finish(&self) -> Scalar<'static> {
        if self.registers.is_empty() {
            return Scalar::Int(0);
        }
        let count = self.registers.len() as f64;
        let sum: f64 = self
            .registers
            .iter()
            .map(|rank| 2f64.powi(-i32::from(*rank)))
            .sum();
        let estimate = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
        let zeros = self.registers.iter().filter(|rank| **rank == 0).count();
        let estimate = if estimate <= 2.5 * count && zeros > 0 {
            count * (count / zeros as f64).ln()
        } else {
            estimate
        };
        Scalar::Int(estimate.round() as i128)
    }
}

/// Equal values have equal hashes, on every machine.
fn hash_of(value: &Scalar<'_>) -> u64 {
    let kind: u8 = match value {
        Scalar::Int(_) | Scalar::Float(_) => 0,
        Scalar::Text(_) => 1,
        Scalar::Json(_) => 2,
        Scalar::Time(_) => 3,
        Scalar::Bool(_) => 4,
        Scalar::Null => 5,
    };
    let mut bytes = vec![kind];
    bytes.extend_from_slice(value.to_key().unwrap_or_default().as_bytes());
    xxh3_64(&bytes)
}
