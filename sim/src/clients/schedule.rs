//! Who acts next: a client, the writer, the work in the background, or misfortune.

use std::path::Path;

use foretell_log::{EventLog, LogOptions, ReadOptions};
use foretell_types::ErrorKind;

use super::client::Client;
use super::history::History;
use super::lives::Life;
use crate::disk::{Disk, Fault, Loss, Plan, Struck};
use crate::failure::Failure;
use crate::random::{HandClock, Seeded, environment};
use crate::workload::Workload;

/// The names of topics; the client of the same number tends one.
pub(super) const TOPICS: [&str; 2] = ["alpha", "beta"];

/// What the log that is open has met with.
#[derive(Clone, Copy, Default)]
pub(super) struct Met {
    /// Any fault: answers may stay unknown.
    pub fault: bool,
    /// A full disk, or one nearly so.
    pub full: bool,
    /// Somebody was told that an outcome is unknown.
    pub unknown: bool,
}

pub struct Schedule {
    pub(super) random: Seeded,
    pub(super) workload: Workload,
    pub(super) disk: Disk,
    clock: HandClock,
    pub(super) clients: Vec<Client>,
    pub(super) lives: [Life; 2],
    pub(super) met: Met,
    pub(super) time: u64,
    pub(super) trace: bool,
    pub openings: u64,
    pub faults: u64,
    pub history: History,
}

impl Schedule {
    pub fn new(seed: u64, trace: bool) -> Schedule {
        let random = Seeded::new(seed);
        let clients = 2 + random.below(4);
        Schedule {
            workload: Workload::new(random.fork()),
            disk: Disk::new(random.fork()),
            clock: HandClock::default(),
            clients: (0..clients).map(|_| Client::default()).collect(),
            lives: Default::default(),
            met: Met::default(),
            time: 0,
            trace,
            openings: 0,
            faults: 0,
            history: History::default(),
            random,
        }
    }

    pub fn written(&self) -> u64 {
        self.disk.written()
    }

    pub fn run(&mut self) -> Result<(), Failure> {
        let opened = self.open();
        let mut log = opened.map_err(|error| Failure::said("opening", &error))?;
        for _ in 0..150 + self.random.below(250) {
            self.time += 1;
            match self.random.below(100) {
                0..=64 => self.act(&log)?,
                65..=80 => {
                    self.clock.move_by_chance(&self.random);
                    log.write();
                }
                81..=93 => self.seal(&log)?,
                94..=97 if self.disk.struck().is_none() => {
                    let plan = self.plan(30);
                    self.disk.plan(Some(plan));
                }
                // The process ends, and what waits is never written.
                98 => {
                    drop(log);
                    log = self.open_again(None)?;
                }
                _ => {}
            }
            if self.meet() {
                drop(log);
                let loss = self.random.chance(70).then_some(Loss::Some);
                log = self.open_again(loss)?;
            }
        }
        self.disk.plan(None);
        log.write();
        for client in 0..self.clients.len() {
            self.time += 1;
            self.ask(client)?;
        }
        if self.met.unknown {
            drop(log);
            log = self.open_again(None)?;
        }
        self.look(&log)
    }

    /// A fault within so many calls.
    fn plan(&self, calls: u64) -> Plan {
        let fault = match self.random.below(10) {
            0..=4 => Fault::Stop,
            5..=7 => Fault::Error,
            8 => Fault::Full,
            _ => Fault::LowSpace,
        };
        Plan {
            fault,
            after: self.random.below(calls),
            least: match self.random.below(10) {
                0..=2 => Struck::Reading,
                3..=7 => Struck::Writing,
                _ => Struck::Syncing,
            },
        }
    }

    /// Takes in a fault that may have struck; whether the log is to be opened anew.
    fn meet(&mut self) -> bool {
        let struck = self.disk.struck().map(|(fault, _)| fault);
        self.met.fault |= struck.is_some();
        self.met.full |= matches!(struck, Some(Fault::Full | Fault::LowSpace));
        match struck {
            Some(Fault::Stop) => return true,
            // It is so for a while.
            Some(Fault::LowSpace) if self.random.chance(90) => {}
            Some(_) => {
                self.faults += 1;
                self.disk.plan(None);
            }
            None => {}
        }
        // The writer may have stopped. Somebody notices, sooner or later.
        self.met.unknown && self.random.chance(15)
    }

    fn open(&mut self) -> Result<EventLog, foretell_types::Error> {
        self.openings += 1;
        let options = LogOptions {
            segment_bytes: 4 * 1024,
            cache_bytes: 64 * 1024,
            revision_cache_bytes: 64,
            seal_in_background: false,
            write_in_background: false,
            read_ahead: false,
            ..LogOptions::default()
        };
        let environment = environment(&self.disk, &self.clock, &self.random);
        EventLog::open_folder_with(Path::new("/log"), &environment, &options)
    }

    /// All that was asked for is without an answer then, unless the log had answered. It may take
    /// several attempts.
    fn open_again(&mut self, mut loss: Option<Loss>) -> Result<EventLog, Failure> {
        self.met.fault = true;
        for client in 0..self.clients.len() {
            self.ask(client)?;
        }
        let mut faults = self.random.below(4);
        loop {
            if let Some(loss) = loss {
                self.disk = Disk::crash(&self.disk, loss);
            }
            let plan = (faults > 0).then(|| self.plan(20));
            self.disk.plan(plan);
            match (self.open(), self.disk.struck()) {
                (Err(error), None) => return Err(Failure::said("opening", &error)),
                (Err(_), _) | (_, Some((Fault::Stop, _))) => {}
                (Ok(log), _) => {
                    self.disk.plan(None);
                    self.met = Met::default();
                    self.look_after(&log);
                    return Ok(log);
                }
            }
            faults -= 1;
            loss = self.random.chance(50).then_some(Loss::Some);
        }
    }

    fn seal(&mut self, log: &EventLog) -> Result<(), Failure> {
        match log.seal() {
            // After some faults nothing more is sealed until the log is opened anew.
            Err(error) if error.kind() == ErrorKind::Unavailable && self.met.fault => Ok(()),
            Err(error) if self.disk.struck().is_none() => Err(Failure::said("sealing", &error)),
            _ => Ok(()),
        }
    }

    /// What the log holds in the end.
    fn look(&mut self, log: &EventLog) -> Result<(), Failure> {
        for (name, text) in TOPICS.into_iter().enumerate() {
            self.time += 1;
            self.topic(log, name, text);
            if let Life::There(topic) = self.lives[name] {
                let events = log
                    .read(text, ReadOptions::default())
                    .and_then(foretell_log::Reader::collect)
                    .map_err(|error| Failure::said("reading", &error))?;
                self.history.lived[topic].events = events;
            }
        }
        let registers = log.registers("").into_iter();
        self.history.registers = registers.map(|(k, v)| (k, v.to_vec())).collect();
        log.verify(&mut |_, _| {})
            .map(drop)
            .map_err(|error| Failure::said("verify", &error))
    }
}
