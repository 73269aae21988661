//! Several clients at once, interleaved by a seeded scheduler. What they saw must be explained by
//! one order of all appends, and the same seed must give the same history.

mod client;
mod explain;
mod history;
mod schedule;

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::history::{Final, History, Kind, Op, Outcome};
use self::schedule::Schedule;
use crate::failure::{Failure, same};

/// What a run did, and the hashes of all answers and of all bytes written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ran {
    pub operations: u64,
    pub openings: u64,
    pub answers: u64,
    pub written: u64,
}

/// Runs a seed twice, and explains what the clients saw.
pub fn twice(seed: u64, trace: bool) -> Result<Ran, (Failure, u64)> {
    let (first, history) = once(seed, trace)?;
    let at = |failure| (failure, first.operations);
    explain::history(&history).map_err(at)?;
    let (second, _) = once(seed, false)?;
    same(
        "the same history twice",
        || "the run".into(),
        &second,
        &first,
    )
    .map_err(at)?;
    Ok(first)
}

fn once(seed: u64, trace: bool) -> Result<(Ran, History), (Failure, u64)> {
    let mut schedule = Schedule::new(seed, trace);
    let ended = schedule.run();
    let history = &schedule.history;
    let operations = history.ops.len() as u64;
    ended.map_err(|failure| (failure, operations))?;
    let mut answers = 0;
    for op in &history.ops {
        answers = xxh3_64_with_seed(format!("{op:?}").as_bytes(), answers);
    }
    let ran = Ran {
        operations,
        openings: schedule.openings,
        answers: xxh3_64_with_seed(format!("{:?}", history.end).as_bytes(), answers),
        written: schedule.written(),
    };
    Ok((ran, schedule.history))
}
