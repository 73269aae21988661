//! The embedded engine beside its peers: the same events, the same driver, in the same run.

mod appending;
mod disk;
mod drive;
pub mod engine;
pub mod event;
mod fjall;
mod following;
mod group;
pub mod lane;
mod ours;
pub mod pass;
mod raw;
mod reading;
mod tephra;
#[cfg(test)]
mod tests;
mod umadb;

use std::time::Duration;

pub use drive::fill;
pub use event::mix;
pub use ours::Ours;

use crate::Result;
use crate::awake::Awake;
use crate::compare;
use crate::results::Results;

/// Streams over which events are spread.
pub const FEW_STREAMS: u32 = 2_000;
pub const MANY_STREAMS: u32 = 1_000_000;

/// How long, how often, how much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    passes: usize,
    warm_up: Duration,
    measured: Duration,
    /// Each of the many streams has an event before the measure.
    fill_streams: bool,
    disk_events: usize,
    opened_events: u64,
    hot_streams: u32,
}

const QUICK: Plan = Plan {
    passes: 3,
    warm_up: Duration::from_millis(200),
    measured: Duration::from_millis(800),
    fill_streams: false,
    disk_events: 64_000,
    opened_events: 1_000_000,
    hot_streams: 1_000,
};
const FULL: Plan = Plan {
    passes: 5,
    warm_up: Duration::from_secs(1),
    measured: Duration::from_secs(4),
    fill_streams: true,
    disk_events: 640_000,
    opened_events: 10_000_000,
    hot_streams: 5_000,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Threads,
    Task,
    Batches,
    Hashing,
    Latency,
    Disk,
    Scan,
    Streams,
    Following,
}

impl Part {
    pub fn from_name(name: &str) -> Option<Part> {
        Some(match name {
            "threads" => Part::Threads,
            "task" => Part::Task,
            "batches" => Part::Batches,
            "hashing" => Part::Hashing,
            "latency" => Part::Latency,
            "disk" => Part::Disk,
            "scan" => Part::Scan,
            "streams" => Part::Streams,
            "following" => Part::Following,
            _ => return None,
        })
    }
}

pub fn run(
    quick: bool,
    only: Option<Part>,
    without: &[String],
    results: &mut Results,
) -> Result<()> {
    appending::check_peers(without)?;
    let wanted = |part| only.is_none_or(|only| only == part);
    let plan = if quick { QUICK } else { FULL };
    let by_many = [Part::Threads, Part::Task, Part::Batches, Part::Hashing];
    if by_many.into_iter().any(wanted) {
        // Spinning processes would hold up those peers whose syncs change metadata.
        let awake = Awake::asked();
        if wanted(Part::Threads) {
            appending::many_threads(plan, without, results)?;
        }
        if wanted(Part::Task) {
            appending::one_async_task(plan, without, results)?;
        }
        if wanted(Part::Batches) {
            appending::batches(plan, without, results)?;
        }
        if wanted(Part::Hashing) {
            appending::hashing(plan, results)?;
        }
        let note = awake.map(|awake| awake.note("appending by many"));
        results.note(note.unwrap_or_else(|| {
            "the processors were not kept awake while appending by many was measured".to_owned()
        }));
    }
    if wanted(Part::Latency) {
        let awake = Awake::start();
        appending::latency(plan, results)?;
        results.note(awake.note("appending by one"));
    }
    if wanted(Part::Disk) {
        disk::run(plan, results)?;
    }
    if wanted(Part::Scan) {
        reading::open_and_scan(plan, results)?;
    }
    if wanted(Part::Streams) {
        reading::hot_streams(plan, results)?;
    }
    if wanted(Part::Following) {
        following::followers(plan, results)?;
    }
    results.note(format!(
        "medians of {} passes of {:?}, engines in turn, each pass on a new folder, of appending also in a new process; an event is 256 bytes of JSON",
        plan.passes, plan.measured
    ));
    compare::note(results);
    if !without.is_empty() {
        let without = without.join(", ");
        results.note(format!("appending was measured without {without}"));
    }
    results.note("appends are conditional: on the revision of a stream (Foretell, fjall), or on no event of its tag since the writer's last position (tephra, umadb-core); the raw writer checks nothing");
    results.note(if plan.fill_streams {
        "of the 1,000,000 streams, each has an event before the measure"
    } else {
        "the 1,000,000 streams are empty at first (the full run gives each an event before)"
    });
    results.note("umadb-core runs with its server's writer thread and a page cache of 1 GB; fjall and the raw writer with a thread that groups what waits");
    results.note(
        "processor time is that of all threads of the process, those that make the events included",
    );
    results.note("but for cold streams, opening and reading find all files in the page cache");
    Ok(())
}

/// The number of events of a stream, all of them read.
pub fn read_stream(store: &Ours, stream: u32) -> Result<u64> {
    engine::Engine::read_stream(store, stream)
}
