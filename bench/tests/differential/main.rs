//! Random appends and queries, asked of the log, of two other engines with dynamic consistency
//! boundaries, and of the plain model of `sim/`: all must answer alike.
//!
//! Ours lies on the simulated disk, in small segments that are sealed and merged in between, and
//! is opened anew at times. It takes several appends in one group; the others take them one after
//! the other, which must come to the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod peers;

use std::path::Path;

use foretell_log::{EventLog, LogOptions, ReadOptions};
use foretell_types::{
    AppendCondition, ErrorKind, ExpectedRevision, NewEvent, Position, Query, Revision,
};
use peers::{Peer, Tephra, Uma};
use sim::crash::{answer, poll};
use sim::disk::Disk;
use sim::model::{Model, Topic};
use sim::random::{HandClock, Seeded, environment, seed_of};
use sim::request::{Create, Entry, Request};
use sim::workload::{self, Workload, read_options};
use sim::{Failure, runner};

const SEED: u64 = 1;
const HISTORIES: u64 = 300;
const TOPIC: &str = "shop";

#[test]
fn all_engines_answer_alike() {
    let one = |number| History::run(seed_of(SEED, number));
    if let Err(found) = runner::many("histories", 0..HISTORIES, one, drop) {
        panic!(
            "history {} of seed {SEED}, step {}: {}",
            found.number, found.step, found.failure
        );
    }
}

struct History {
    random: Seeded,
    workload: Workload,
    disk: Disk,
    model: Model,
    peers: [Box<dyn Peer>; 2],
}

impl History {
    fn run(seed: u64) -> Result<(), (Failure, u64)> {
        let random = Seeded::new(seed);
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut history = History {
            workload: Workload::new(random.fork()),
            disk: Disk::new(random.fork()),
            model: Model::default(),
            peers: [
                Box::new(Uma::open(folders[0].path())),
                Box::new(Tephra::open(folders[1].path())),
            ],
            random,
        };
        let mut log = history.open();
        history.make_topic(&log);
        for step in 0..8 + history.random.below(16) {
            let at = |failure| (failure, step);
            history.append_group(&log).map_err(at)?;
            for _ in 0..history.random.below(3) {
                log.seal().unwrap();
            }
            if history.random.chance(10) {
                drop(log);
                log = history.open();
            }
            for _ in 0..3 {
                history.read(&log).map_err(at)?;
            }
        }
        Ok(())
    }

    fn open(&self) -> EventLog {
        let options = LogOptions {
            segment_bytes: 2 * 1024,
            cache_bytes: 64 * 1024,
            revision_cache_bytes: 64,
            seal_in_background: false,
            write_in_background: false,
            read_ahead: false,
            ..LogOptions::default()
        };
        let environment = environment(&self.disk, &HandClock::default(), &self.random);
        EventLog::open_folder_with(Path::new("/log"), &environment, &options).unwrap()
    }

    fn topic(&self) -> &Topic {
        &self.model.topics[TOPIC]
    }

    fn make_topic(&mut self, log: &EventLog) {
        let mut request = Request::default();
        let create = Entry::Create(Create {
            name: TOPIC.to_owned(),
            uuid: uuid::Uuid::nil(),
            reuse_ids: false,
            erasable: false,
        });
        request.entries.push(create);
        self.model.append(&request, 0).unwrap();
        let mut ticket = log.append(request.append().unwrap()).unwrap();
        log.write();
        poll(&mut ticket).unwrap().unwrap();
    }

    /// Several appends of those who know the same.
    fn append_group(&mut self, log: &EventLog) -> Result<(), Failure> {
        let appends = 1 + self.random.below(3);
        let requests: Vec<_> = (0..appends).map(|_| self.request()).collect();
        let hand_over = |(request, _): &(Request, _)| {
            let append = request.append().unwrap();
            log.append(append).unwrap()
        };
        let mut tickets: Vec<_> = requests.iter().map(hand_over).collect();
        log.write();
        for ((request, condition), ticket) in requests.iter().zip(&mut tickets) {
            let expected = self.model.append(request, 0);
            let ours = answer(poll(ticket).unwrap());
            alike("Foretell", request, &ours, &expected)?;
            let events: Vec<&NewEvent> = request.events().map(|(_, event)| event).collect();
            let last = match &expected {
                Ok(placed) => placed.last().map(|placed| placed.position),
                Err(kind) => {
                    assert_eq!(*kind, ErrorKind::ConditionFailed);
                    None
                }
            };
            for peer in &self.peers {
                let found = peer.append(&events, condition.as_ref());
                alike(peer.name(), request, &found, &last)?;
            }
        }
        Ok(())
    }

    /// An append, and its condition as the others have it.
    fn request(&mut self) -> (Request, Option<AppendCondition>) {
        let mut request = Request::default();
        for _ in 0..1 + self.random.below(4) {
            let event = self.workload.event().into();
            request.entries.push(Entry::Event(TOPIC.to_owned(), event));
        }
        let condition = match self.random.below(10) {
            0..=2 => None,
            3..=5 => {
                let written = request
                    .events()
                    .find_map(|(_, event)| event.subject.clone());
                let other = workload::subject(&self.random);
                let subject = match self.random.chance(70) {
                    true => written.or(other),
                    false => other,
                };
                subject.map(|subject| self.expectation(&mut request, subject))
            }
            _ => {
                let head = self.topic().head();
                let back = [0, 0, 1, 3, 20, head][self.random.below(6) as usize];
                let condition = AppendCondition {
                    fail_if_events_match: self.query(),
                    after: Position::new(head.saturating_sub(back)),
                };
                let of_topic = (TOPIC.to_owned(), condition.clone());
                request.conditions.push(of_topic);
                Some(condition)
            }
        };
        (request, condition)
    }

    /// Expects a revision that the stream has or had. To the others: no event of the stream comes
    /// after that one.
    fn expectation(&self, request: &mut Request, subject: String) -> AppendCondition {
        let mut positions: Vec<Option<u64>> = vec![None];
        let events = (1..).zip(&self.topic().events);
        let of_stream = events.filter(|(_, e)| e.event.subject.as_ref() == Some(&subject));
        positions.extend(of_stream.map(|(position, _)| Some(position)));
        let last = positions.len() - 1;
        let at = match self.random.chance(75) {
            true => last,
            false => self.random.below(last as u64 + 1) as usize,
        };
        let expected = match at.checked_sub(1) {
            None => ExpectedRevision::None,
            Some(revision) => ExpectedRevision::Exact(Revision::new(revision as u64)),
        };
        let of_topic = (TOPIC.to_owned(), subject.clone(), expected);
        request.expectations.push(of_topic);
        AppendCondition {
            fail_if_events_match: Query::subject(subject),
            after: positions[at].and_then(Position::new),
        }
    }

    /// A query that the others can be asked too: they have no prefixes.
    fn query(&self) -> Query {
        let mut query = workload::query(&self.random);
        for item in &mut query.items {
            item.subject_prefix = None;
        }
        query
    }

    fn read(&self, log: &EventLog) -> Result<(), Failure> {
        let options = ReadOptions {
            query: self.query(),
            time_from: None,
            time_until: None,
            ..read_options(&self.random, self.topic().head())
        };
        let named = |position: u64| {
            let event = &self.topic().events[position as usize - 1].event;
            (position, event.id.clone())
        };
        let expected = self.topic().read(&options, self.topic().head());
        let expected: Vec<_> = expected.into_iter().map(named).collect();
        let ours = log.read(TOPIC, options.clone()).unwrap().collect().unwrap();
        let ours = ours.into_iter().map(|e| (e.position.get(), e.event.id));
        alike("Foretell", &options, &ours.collect::<Vec<_>>(), &expected)?;
        for peer in &self.peers {
            alike(
                peer.name(),
                &options,
                &peer_read(&**peer, &options),
                &expected,
            )?;
        }
        Ok(())
    }
}

/// The others begin at a position; where to end, and so how many are left then, is ours to say.
fn peer_read(peer: &dyn Peer, options: &ReadOptions) -> Vec<(u64, String)> {
    let Some(until) = options.until.map(Position::get) else {
        return peer.read(options);
    };
    let all = peer.read(&ReadOptions {
        limit: None,
        ..options.clone()
    });
    let within = |(position, _): &(u64, String)| match options.backward {
        true => *position >= until,
        false => *position <= until,
    };
    let limit = options.limit.map_or(usize::MAX, |limit| limit as usize);
    all.into_iter().take_while(within).take(limit).collect()
}

fn alike<T: PartialEq + std::fmt::Debug>(
    engine: &str,
    asked: &dyn std::fmt::Debug,
    found: &T,
    expected: &T,
) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    let message = format!("{engine} says {found:?}, the model {expected:?}, asked for {asked:?}");
    Err(Failure::new("answers", message))
}
