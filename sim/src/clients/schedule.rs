//! Who acts next: a client, the writer, the work in the background, or misfortune.

use std::path::Path;

use foretell_log::{EventLog, LogOptions, ReadOptions};
use foretell_types::Error;

use super::client::Client;
use super::history::History;
use crate::crash::poll;
use crate::disk::{Disk, Fault, Loss, Plan};
use crate::failure::Failure;
use crate::random::{HandClock, Seeded, environment};
use crate::request::{Entry, Request};
use crate::workload::Workload;

pub(super) const TOPICS: [&str; 2] = ["alpha", "beta"];

pub struct Schedule {
    pub(super) random: Seeded,
    pub(super) workload: Workload,
    pub(super) disk: Disk,
    clock: HandClock,
    pub(super) clients: Vec<Client>,
    pub(super) time: u64,
    pub(super) trace: bool,
    pub openings: u64,
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
            time: 0,
            trace,
            openings: 0,
            history: History::default(),
            random,
        }
    }

    pub fn written(&self) -> u64 {
        self.disk.written()
    }

    pub fn run(&mut self) -> Result<(), Failure> {
        let mut log = self.open()?;
        self.make_topics(&log)?;
        for _ in 0..150 + self.random.below(250) {
            self.time += 1;
            match self.random.below(100) {
                0..=64 => self.act(&log)?,
                65..=80 => {
                    self.clock.move_by_chance(&self.random);
                    log.write();
                }
                81..=95 => self.seal(&log)?,
                96..=97 => {
                    let after = self.random.below(30);
                    self.disk.plan(Some(Plan {
                        fault: Fault::Stop,
                        after,
                        writing_only: true,
                    }));
                }
                // The process ends, and what waits is never written.
                98 => {
                    drop(log);
                    log = self.open_again(None)?;
                }
                _ => {}
            }
            if self.disk.struck().is_some() {
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
        self.look(&log)
    }

    fn open(&mut self) -> Result<EventLog, Failure> {
        self.openings += 1;
        let options = LogOptions {
            segment_bytes: 4 * 1024,
            cache_bytes: 64 * 1024,
            seal_in_background: false,
            write_in_background: false,
        };
        let environment = environment(&self.disk, &self.clock, &self.random);
        EventLog::open_folder_with(Path::new("/log"), &environment, &options)
            .map_err(|error| broken("opening", &error))
    }

    /// All that was asked for is without an answer then, unless the log had answered.
    fn open_again(&mut self, loss: Option<Loss>) -> Result<EventLog, Failure> {
        for client in 0..self.clients.len() {
            self.ask(client)?;
        }
        match loss {
            None => self.disk.plan(None),
            Some(loss) => self.disk = Disk::crash(&self.disk, loss),
        }
        self.open()
    }

    fn make_topics(&mut self, log: &EventLog) -> Result<(), Failure> {
        let mut request = Request::default();
        for name in TOPICS {
            let id = uuid::Uuid::from_u128(u128::from(self.random.number()));
            request
                .entries
                .push(Entry::Create(name.to_owned(), id, false));
        }
        let mut ticket = request
            .append()
            .and_then(|append| log.append(append))
            .map_err(|error| broken("submitting", &error))?;
        log.write();
        match poll(&mut ticket) {
            Some(Ok(_)) => Ok(()),
            other => Err(Failure::new("answers", format!("{other:?}"))),
        }
    }

    fn seal(&mut self, log: &EventLog) -> Result<(), Failure> {
        match log.seal() {
            Err(error) if self.disk.struck().is_none() => Err(broken("sealing", &error)),
            _ => Ok(()),
        }
    }

    /// What the log holds in the end.
    fn look(&mut self, log: &EventLog) -> Result<(), Failure> {
        for topic in TOPICS {
            let events = log
                .read(topic, ReadOptions::default())
                .and_then(foretell_log::Reader::collect)
                .map_err(|error| broken("reading", &error))?;
            self.history.end.topics.insert(topic.to_owned(), events);
        }
        let registers = log.registers("").into_iter();
        self.history.end.registers = registers.map(|(k, v)| (k, v.to_vec())).collect();
        log.verify(&mut |_, _| {})
            .map(drop)
            .map_err(|error| broken("verify", &error))
    }
}

pub(super) fn broken(check: &'static str, error: &Error) -> Failure {
    Failure::new(check, format!("{error} ({:?})", error.kind()))
}
