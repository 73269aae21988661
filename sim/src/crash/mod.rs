//! Cycles of work, fault, crash and recovery, each from its own seed.

mod erase;
mod life;
mod recover;
mod write;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::write::{answer, poll};
use foretell_log::{ArchiveRule, EventLog, LogOptions, Reader, Ticket};

use self::recover::KEYS;
use crate::archive::Archive;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::model::Model;
use crate::random::{HandClock, Seeded};
use crate::request::Request;
use crate::workload::Workload;

/// What happened, for the summary of a run.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    pub steps: u64,
    /// Openings after a crash, or after a process that ended.
    pub openings: u64,
    pub power_losses: u64,
    /// Faults other than a stop of the machine.
    pub faults: u64,
    pub acknowledged: u64,
    pub refused: u64,
    /// Pieces of work in the background: segments sealed, runs merged.
    pub sealed: u64,
    /// Segments that lie in the archive at the end of a life.
    pub archived: u64,
    /// Subjects that were erased.
    pub erased: u64,
    /// Groups without an answer that were found there, or not there.
    pub unknown_there: u64,
    pub unknown_gone: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.steps += other.steps;
        self.openings += other.openings;
        self.power_losses += other.power_losses;
        self.faults += other.faults;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.sealed += other.sealed;
        self.archived += other.archived;
        self.erased += other.erased;
        self.unknown_there += other.unknown_there;
        self.unknown_gone += other.unknown_gone;
    }
}

/// A reader that was made earlier, and what it still has to give.
struct Held {
    reader: Reader,
    topic: String,
    number: u64,
    left: VecDeque<u64>,
}

struct Cycle {
    random: Seeded,
    workload: Workload,
    disk: Disk,
    archive: Archive,
    /// Which segments are archived.
    archived: Option<ArchiveRule>,
    clock: HandClock,
    options: LogOptions,
    model: Model,
    /// What an append without an answer may have made of the model.
    maybe: Option<Model>,
    waiting: Vec<(Request, Ticket)>,
    held: Vec<Held>,
    /// The last opening took one attempt.
    opened_at_once: bool,
    counts: Counts,
    /// Says what happens, step by step.
    trace: bool,
}

/// Runs one cycle.
pub fn cycle(seed: u64, trace: bool) -> Result<Counts, (Failure, u64)> {
    let random = Seeded::new(seed);
    let mut cycle = Cycle {
        workload: Workload::new(random.fork()).with_erasable_topics(),
        disk: Disk::new(random.fork()),
        archive: Archive::default(),
        archived: archived(&random),
        clock: HandClock::default(),
        options: LogOptions {
            segment_bytes: [2, 3, 4, 8][random.below(4) as usize] * 1024,
            large_group_bytes: [0, 1024, 64 * 1024][random.below(3) as usize],
            cache_bytes: 64 * 1024,
            revision_cache_bytes: [0, 64, 256][random.below(3) as usize],
            seal_in_background: false,
            write_in_background: false,
            read_ahead: false,
            keys: Some(KEYS.into()),
            ..LogOptions::default()
        },
        model: Model::default(),
        maybe: None,
        waiting: Vec::new(),
        held: Vec::new(),
        opened_at_once: true,
        counts: Counts::default(),
        trace,
        random,
    };
    cycle
        .run()
        .map_err(|failure| (failure, cycle.counts.steps))?;
    Ok(cycle.counts)
}

/// Some logs have an archive, and keep little or nothing.
fn archived(random: &Seeded) -> Option<ArchiveRule> {
    random.chance(50).then(|| ArchiveRule {
        container: "archive".to_owned(),
        after: random
            .chance(30)
            .then(|| Duration::from_secs(random.below(20))),
        keep_bytes: random.chance(70).then(|| random.below(3) * 5_000),
    })
}

impl Cycle {
    fn run(&mut self) -> Result<(), Failure> {
        let lives = 2 + self.random.below(6);
        for _ in 0..lives {
            let log = self.open()?;
            self.live(&log)?;
            // Whoever still holds the log when the machine stops does nothing more with it.
            self.counts.archived += log.sealing().archived_segments;
            self.held.clear();
            self.waiting.clear();
            drop(log);
            self.end(30);
        }
        self.open().map(drop)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            let line = format!(
                "{:>5} {:>6}  {}\n",
                self.counts.steps,
                self.disk.calls(),
                what()
            );
            crate::print(&line);
        }
    }

    /// Sets the model, and forgets what may have been.
    fn settle(&mut self, log: &EventLog) -> Result<(), Failure> {
        let (frames, _) = log
            .root()
            .map_err(|error| Failure::said("opening", &error))?;
        if let Some(maybe) = self.maybe.take() {
            if frames == maybe.frames && frames != self.model.frames {
                self.model = maybe;
                self.counts.unknown_there += 1;
            } else {
                self.counts.unknown_gone += 1;
            }
        }
        if frames == self.model.frames {
            return Ok(());
        }
        let expected = self.model.frames;
        let message = format!("the log has {frames} frames, acknowledged are {expected}");
        Err(Failure::new("what is there after opening", message))
    }
}
