use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::{Error, Result};

/// Place of an event in its topic's total order. The first event has position 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(NonZeroU64);

impl Position {
    /// The position of a topic's first event.
    pub const FIRST: Position = Position(NonZeroU64::MIN);

    /// `None` for zero, which is no position.
    pub fn new(value: u64) -> Option<Position> {
        NonZeroU64::new(value).map(Position)
    }

    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The position after this one.
    pub fn next(self) -> Position {
        Position(self.0.saturating_add(1))
    }

    /// The position before this one; `None` before the first.
    pub fn previous(self) -> Option<Position> {
        Position::new(self.get() - 1)
    }

    /// A position as a count of events: 0 for "before the first".
    pub fn as_count(position: Option<Position>) -> u64 {
        position.map_or(0, Position::get)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Position> {
        text.parse::<NonZeroU64>().map(Position).map_err(|_| {
            Error::invalid(format!(
                "{text:?} is not a position: expected a whole number from 1"
            ))
        })
    }
}

/// Place of an event in its stream (the events of one topic with one subject), from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a stream's first event.
    pub const FIRST: Revision = Revision(0);

    pub const fn new(value: u64) -> Revision {
        Revision(value)
    }

    pub fn get(self) -> u64 {
        self.0
    }

    /// The revision after `last`, where `None` is a stream without events.
    pub fn after(last: Option<Revision>) -> Revision {
        Revision(last.map_or(0, |revision| revision.0 + 1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
