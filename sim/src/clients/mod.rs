//! Several clients at once, interleaved by a seeded scheduler. What they saw must be explained by
//! one order of all appends, and the same seed must give the same history. Topics are deleted and made
//! anew under the same names, and the disk has faults.

mod client;
mod explain;
mod history;
mod lives;
mod schedule;

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::history::{Facts, History, Kind, Lived, Op, Outcome};
use self::schedule::Schedule;
use crate::failure::{Failure, same};

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ran {
    pub operations: u64,
    /// Appends and questions whose outcome nobody was told.
    pub unknown: u64,
    pub openings: u64,
    /// Faults that struck, but for a stop of the machine.
    pub faults: u64,
    pub topics_made: u64,
    pub topics_deleted: u64,
}

impl Ran {
    pub fn add(&mut self, other: &Ran) {
        self.operations += other.operations;
        self.unknown += other.unknown;
        self.openings += other.openings;
        self.faults += other.faults;
        self.topics_made += other.topics_made;
        self.topics_deleted += other.topics_deleted;
    }
}

/// Runs a seed twice, and explains what the clients saw.
pub fn twice(seed: u64, trace: bool) -> Result<Ran, (Failure, u64)> {
    let (first, hashes, history) = once(seed, trace)?;
    let at = |failure| (failure, first.operations);
    explain::history(&history).map_err(at)?;
    let (second, again, _) = once(seed, false)?;
    same(
        "the same history twice",
        || "the run".into(),
        &(second, again),
        &(first, hashes),
    )
    .map_err(at)?;
    Ok(first)
}

/// Also gives hashes of all answers, and of all bytes written.
fn once(seed: u64, trace: bool) -> Result<(Ran, [u64; 2], History), (Failure, u64)> {
    let mut schedule = Schedule::new(seed, trace);
    let ended = schedule.run();
    let history = &schedule.history;
    let operations = history.ops.len() as u64;
    ended.map_err(|failure| (failure, operations))?;
    let mut answers = 0;
    for op in &history.ops {
        answers = xxh3_64_with_seed(format!("{op:?}").as_bytes(), answers);
    }
    let unknown = history.ops.iter();
    let unknown = unknown.filter(|op| matches!(op.outcome, Outcome::Unknown));
    let deleted = history.lived.iter().filter(|lived| lived.deleted.is_some());
    let ran = Ran {
        operations,
        unknown: unknown.count() as u64,
        openings: schedule.openings,
        faults: schedule.faults,
        topics_made: history.lived.len() as u64,
        topics_deleted: deleted.count() as u64,
    };
    let end = format!("{:?} {:?}", history.lived, history.registers);
    let answers = xxh3_64_with_seed(end.as_bytes(), answers);
    Ok((ran, [answers, schedule.written()], schedule.history))
}
