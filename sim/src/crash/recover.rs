//! The end of a life, and the next opening.

use std::path::Path;

use foretell_log::{Archive, EventLog, LogOptions};

use super::Cycle;
use super::erase::finish_erasures;
use crate::check;
use crate::disk::{Disk, Fault, Loss, Plan, Struck};
use crate::failure::Failure;
use crate::random::environment;

pub const FOLDER: &str = "/log";
/// The folder of the keys of erasable subjects.
pub const KEYS: &str = "/keys";

impl Cycle {
    /// The machine stops, or by so many percent only the process: what of the disk is left.
    pub(super) fn end(&mut self, only_the_process: u64) {
        let loss = match self.random.below(10) {
            _ if self.random.chance(only_the_process) => None,
            0..=2 => Some(Loss::All),
            _ => Some(Loss::Some),
        };
        self.say(|| format!("the end: power lost {loss:?}"));
        match loss {
            None => self.disk.plan(None),
            Some(loss) => {
                self.counts.power_losses += 1;
                self.disk = Disk::crash(&self.disk, loss);
            }
        }
    }

    /// Opens the log, which may take several attempts, and checks everything.
    pub(super) fn open(&mut self) -> Result<EventLog, Failure> {
        let log = self.open_at_last()?;
        self.disk.plan(None);
        self.settle(&log)?;
        check::everything(&log, &self.model, &self.random)?;
        Ok(log)
    }

    fn open_at_last(&mut self) -> Result<EventLog, Failure> {
        for attempt in 0.. {
            // A group without an answer may have left a torn end, which takes work to clear.
            let unknown = self.maybe.is_some();
            let planned = attempt < 4 && self.random.chance(if unknown { 65 } else { 45 });
            let calls = [8, 14, 60][self.random.below(3) as usize];
            let mut plan = planned.then(|| self.plan_of(calls));
            if unknown && attempt == 0 && self.random.chance(40) {
                // One of the syncs by which a torn end is kept and cleared fails.
                plan = Some(Plan {
                    fault: Fault::Error,
                    after: 2 + self.random.below(5),
                    least: Struck::Syncing,
                });
            }
            self.disk.plan(plan);
            self.counts.openings += 1;
            self.say(|| format!("opens, with {plan:?}"));
            let environment = environment(&self.disk, &self.clock, &self.random);
            let opened =
                EventLog::open_folder_with(Path::new(FOLDER), &environment, &self.options())
                    .and_then(|log| finish_erasures(&log).map(|()| log));
            let struck = self.disk.struck().map(|(fault, _)| fault);
            match (opened, struck) {
                (Ok(_), Some(Fault::Stop)) => {}
                (Ok(log), _) => {
                    self.opened_at_once = attempt == 0;
                    return Ok(log);
                }
                (Err(error), None) => return Err(Failure::said("opening", &error)),
                (Err(error), Some(_)) => self.say(|| format!("can't open: {error}")),
            }
            // What an opening left undone, the next one must know of without a power loss too.
            self.end(if struck == Some(Fault::Error) { 85 } else { 55 });
        }
        Err(Failure::new("opening", "there is no next attempt"))
    }

    fn options(&self) -> LogOptions {
        let blobs = || self.archive.beside(&self.disk, &self.random);
        LogOptions {
            archive: self.archived.clone().map(|rule| Archive {
                blobs: blobs(),
                rule: Some(rule),
            }),
            ..self.options.clone()
        }
    }

    /// A fault within about so many calls.
    pub(super) fn plan_of(&self, calls: u64) -> Plan {
        let fault = match self.random.below(10) {
            0..=4 => Fault::Stop,
            5..=6 => Fault::Error,
            7..=8 => Fault::Full,
            _ => Fault::LowSpace,
        };
        Plan {
            fault,
            after: self.random.below(calls),
            least: match self.random.below(20) {
                0..=3 => Struck::Reading,
                4..=16 => Struck::Writing,
                _ => Struck::Syncing,
            },
        }
    }
}
