use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Kernel;
use crate::Scalar;

/// How often there is each value: distinct values are counted by it, and the mode is found.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Distinct {
    times: BTreeMap<Sorted, u64>,
}

/// A value in the order of all values: 1 and 1.0 are one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sorted(Scalar<'static>);

impl PartialEq for Sorted {
    fn eq(&self, other: &Sorted) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Sorted {}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Sorted) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sorted {
    fn cmp(&self, other: &Sorted) -> std::cmp::Ordering {
        self.0.total_order(&other.0)
    }
}

impl Distinct {
    /// About how many bytes of memory it takes beside itself.
    pub(super) fn bytes(&self) -> usize {
        let values = self.times.keys();
        values.map(|value| value.0.bytes() + size_of::<u64>()).sum()
    }

    /// The value that is there most often; of several, the smallest.
    pub fn mode(&self) -> Scalar<'static> {
        let mut best: Option<(&Sorted, u64)> = None;
        for (value, times) in &self.times {
            if best.is_none_or(|(_, most)| *times > most) {
                best = Some((value, *times));
            }
        }
        best.map_or(Scalar::Null, |(value, _)| value.0.clone())
    }
}

impl Kernel for Distinct {
    type Value = Scalar<'static>;

    fn lift(&mut self, value: &Scalar<'static>) {
        *self.times.entry(Sorted(value.clone())).or_default() += 1;
    }

    fn combine(&mut self, other: &Distinct) {
        for (value, times) in &other.times {
            *self.times.entry(value.clone()).or_default() += times;
        }
    }

    fn remove(&mut self, value: &Scalar<'static>) {
        let value = Sorted(value.clone());
        if let Some(times) = self.times.get_mut(&value) {
            *times -= 1;
            if *times == 0 {
                self.times.remove(&value);
            }
        }
    }

    fn near(&self) -> u64 {
        self.times.first_key_value().map_or(0, |(_, times)| *times)
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
