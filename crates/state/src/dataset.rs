use crate::{Aggregate, Definition, Expr, Output};

/// A dataset, compiled: the columns of a projection at some instants, and what came after each.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub name: String,
    /// The projection. Its inputs are followed by those that only the labels and the instants
    /// read.
    pub features: Definition,
    pub instants: Instants,
    pub labels: Option<Labels>,
    pub split: Split,
    /// As it was written.
    pub text: String,
}

/// Which keys at which instants are rows. Times are nanoseconds since the epoch.
#[derive(Clone, PartialEq, Debug)]
pub enum Instants {
    /// Each key about which something is known, at every instant from one to another, both
    /// inclusive.
    Every { interval: i64, from: i64, to: i64 },
    /// At each event that passes, for each key that it touches.
    Events(Option<Expr>),
    /// At the rows of a table that is given when the dataset is built; its columns.
    Rows { key: String, time: String },
}

impl Instants {
    /// The instants of [`Instants::Every`].
    pub fn count(interval: i64, from: i64, to: i64) -> u64 {
        let span = i128::from(to) - i128::from(from);
        u64::try_from(span / i128::from(interval) + 1).unwrap_or(0)
    }
}

/// What is folded over (instant, instant + horizon].
#[derive(Clone, PartialEq, Debug)]
pub struct Labels {
    /// Nanoseconds.
    pub horizon: i64,
    /// How late an event may come: a horizon is over when so much more time has passed.
    pub lateness: i64,
    pub aggregates: Vec<Aggregate>,
    pub outputs: Vec<Output>,
}

/// Which rows are for training, which for tests.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Split {
    /// Where the later parts begin, in order.
    pub times: Vec<i64>,
    /// How many of a hundred keys are in each part.
    pub shares: Vec<u32>,
}

impl Split {
    /// The names of so many parts.
    pub fn names(parts: usize) -> &'static [&'static str] {
        match parts {
            0 | 1 => &[],
            2 => &["train", "test"],
            _ => &["train", "validation", "test"],
        }
    }

    /// The names of the parts; none if there is no split.
    pub fn parts(&self) -> &'static [&'static str] {
        match self.times.len() {
            0 => Split::names(self.shares.len()),
            times => Split::names(times + 1),
        }
    }

    /// The part of an instant. `None` if its horizon reaches into the next part: what was learned
    /// from would then overlap with what is tested.
    pub fn of_time(&self, time: i64, horizon: i64) -> Option<usize> {
        let part = self.times.partition_point(|begins| *begins <= time);
        let next = self.times.get(part);
        let ends = time.saturating_add(horizon);
        next.is_none_or(|next| ends <= *next).then_some(part)
    }

    /// The part of a key, by where a hash of it falls among a hundred.
    pub fn of_hundredth(&self, hundredth: u32) -> usize {
        let mut until = 0;
        let within = self.shares.iter().position(|share| {
            until += share;
            hundredth < until
        });
        within.unwrap_or(self.shares.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_over_a_boundary_is_in_no_part() {
        let split = Split {
            times: vec![100, 200],
            shares: vec![],
        };
        let check = |time: i64, horizon: i64, expected: Option<usize>| {
            assert_eq!(split.of_time(time, horizon), expected, "{time} {horizon}");
        };
        check(90, 10, Some(0));
        check(91, 10, None);
        check(99, 0, Some(0));
        check(100, 100, Some(1));
        check(101, 100, None);
        check(200, 1_000, Some(2));
    }

    #[test]
    fn keys_fall_into_their_shares() {
        let split = Split {
            times: vec![],
            shares: vec![70, 20, 10],
        };
        let found: Vec<usize> = [0, 69, 70, 89, 90, 99]
            .map(|n| split.of_hundredth(n))
            .into();
        assert_eq!(found, [0, 0, 1, 1, 2, 2]);
        assert_eq!(split.parts(), ["train", "validation", "test"]);
    }
}
