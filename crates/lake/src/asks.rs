//! The instants of one partition that are asked about, key by key in the order of their times.

use crate::fold::Question;
use crate::group::Group;
use crate::key::NONE;
use crate::piece::Partitions;

/// One instant: the number of its key within the partition, the time, what may be known, the row
/// of the label table.
type Ask = (u32, i64, i64, u32);

/// All instants, by partition.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) parts: Vec<Vec<Ask>>,
}

impl Asked {
    /// `keys` are the numbers of the instants' keys; a key that is null has no events.
    pub(crate) fn spread(
        question: &Question<'_>,
        keys: &[u32],
        without: u32,
        partitions: Partitions,
    ) -> Asked {
        let mut counts = vec![0; partitions.count()];
        let number = |key: u32| if key == NONE { without } else { key };
        for key in keys {
            counts[partitions.of_key(number(*key))] += 1;
        }
        let mut parts: Vec<Vec<Ask>> = counts.into_iter().map(Vec::with_capacity).collect();
        for (row, (key, time)) in keys.iter().zip(question.times).enumerate() {
            let known = question.known.bound(row, *time);
            let key = number(*key);
            let ask = (partitions.within(key), *time, known, row as u32);
            parts[partitions.of_key(key)].push(ask);
        }
        Asked { parts }
    }
}

/// Instants sorted by key, then time, then row.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// Where each key begins, and the end.
    starts: Vec<u32>,
    pub(crate) times: Vec<i64>,
    /// What may be known at each.
    pub(crate) known: Vec<i64>,
    pub(crate) rows: Vec<u32>,
}

impl Asks {
    pub(crate) fn sort(asked: &[Ask], keys: usize) -> Asks {
        let mut starts = vec![0u32; keys + 1];
        for (key, ..) in asked {
            starts[*key as usize + 1] += 1;
        }
        for key in 0..keys {
            starts[key + 1] += starts[key];
        }
        let mut next = starts.clone();
        let mut sorted = vec![(0i64, 0u32, 0i64); asked.len()];
        for (key, time, known, row) in asked {
            let place = &mut next[*key as usize];
            sorted[*place as usize] = (*time, *row, *known);
            *place += 1;
        }
        for key in 0..keys {
            sorted[starts[key] as usize..starts[key + 1] as usize].sort_unstable();
        }
        Asks {
            starts,
            times: sorted.iter().map(|(time, ..)| *time).collect(),
            known: sorted.iter().map(|(.., known)| *known).collect(),
            rows: sorted.iter().map(|(_, row, _)| *row).collect(),
        }
    }

    pub(crate) fn keys(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub(crate) fn range(&self, key: usize) -> std::ops::Range<usize> {
        self.starts[key] as usize..self.starts[key + 1] as usize
    }

    /// For each instant the first event of its key after the time that lies `before` ahead of it.
    pub(crate) fn first_after(&self, group: &Group, before: i64) -> Vec<u32> {
        let mut found = Vec::with_capacity(self.times.len());
        for key in 0..self.keys() {
            let range = group.range(key);
            let (mut at, end) = (range.start, range.end);
            for time in &self.times[self.range(key)] {
                at = gallop(&group.events.times, at, end, time.saturating_sub(before));
                found.push(at as u32);
            }
        }
        found
    }
}

/// The first place from `at` on whose time is after `time`. Instants come in order, so that the
/// answer is mostly near.
fn gallop(times: &[i64], at: usize, end: usize, time: i64) -> usize {
    let mut step = 1;
    let mut low = at;
    while low + step <= end && times[low + step - 1] <= time {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(end);
    low + times[low..high].partition_point(|found| *found <= time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn galloping_finds_what_a_search_finds() {
        let times: Vec<i64> = (0..200).map(|index| index / 3).collect();
        for at in 0..times.len() {
            for time in -1..70 {
                let expected = at + times[at..].partition_point(|found| *found <= time);
                assert_eq!(gallop(&times, at, times.len(), time), expected);
            }
        }
    }
}
