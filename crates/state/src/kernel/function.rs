use serde::{Deserialize, Serialize};

use crate::Program;

/// An aggregate function, with its settings.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Function {
    Count,
    CountDistinct,
    ApproximateDistinct,
    Sum,
    Average,
    Deviation,
    Min,
    Max,
    First,
    Last,
    /// The value that so many came after, from 1: the last but one.
    NthLast(usize),
    /// The last so many values, as an array.
    Collect(usize),
    Mode,
    /// The half-life in nanoseconds.
    DecayedSum(i64),
    DecayedCount(i64),
    SinceLast(TimeUnit),
    SinceFirst(TimeUnit),
    /// A function of the state so far and the whole event.
    Fold(Program),
}

impl Function {
    /// Whether it takes numbers only.
    pub fn is_numeric(&self) -> bool {
        matches!(
            self,
            Function::Sum | Function::Average | Function::Deviation | Function::DecayedSum(_)
        )
    }
}

/// What a duration is told in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum TimeUnit {
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    /// 86,400 seconds.
    Day,
    Week,
}

impl TimeUnit {
    /// The unit of a name, singular or plural. Months and years have no fixed length.
    pub fn parse(name: &str) -> Option<TimeUnit> {
        let name = name.to_ascii_lowercase();
        Some(match name.strip_suffix('s').unwrap_or(&name) {
            "nanosecond" => TimeUnit::Nanosecond,
            "microsecond" => TimeUnit::Microsecond,
            "millisecond" => TimeUnit::Millisecond,
            "second" => TimeUnit::Second,
            "minute" => TimeUnit::Minute,
            "hour" => TimeUnit::Hour,
            "day" => TimeUnit::Day,
            "week" => TimeUnit::Week,
            _ => return None,
        })
    }

    pub fn nanos(self) -> i64 {
        match self {
            TimeUnit::Nanosecond => 1,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Minute => 60 * 1_000_000_000,
            TimeUnit::Hour => 3_600 * 1_000_000_000,
            TimeUnit::Day => 86_400 * 1_000_000_000,
            TimeUnit::Week => 7 * 86_400 * 1_000_000_000,
        }
    }

    /// Nanoseconds in this unit, rounded once.
    pub fn of_nanos(self, nanos: i64) -> f64 {
        let unit = self.nanos();
        let (whole, rest) = (nanos / unit, nanos % unit);
        if rest == 0 {
            return whole as f64;
        }
        whole as f64 + rest as f64 / unit as f64
    }
}
