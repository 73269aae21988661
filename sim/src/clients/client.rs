//! What a client does when it is its turn, and what it remembers.

use std::collections::BTreeMap;
use std::sync::Arc;

use foretell_log::{EventLog, ReadOptions, Ticket};
use foretell_types::{AppendCondition, ErrorKind, ExpectedRevision, Position, Revision};

use super::history::{Kind, Op, Outcome};
use super::lives::Life;
use super::schedule::{Schedule, TOPICS};
use crate::crash::{answer, poll};
use crate::disk::{Fault, Struck};
use crate::failure::Failure;
use crate::model::Placed;
use crate::request::{Entry, Request};
use crate::workload::{query, read_options, subject};

/// A client: what it waits for, and what it remembers.
#[derive(Default)]
pub(super) struct Client {
    pub(super) waits: Option<(usize, Ticket)>,
    /// Sent again after its outcome stayed unknown.
    again: Option<Request>,
    heads: BTreeMap<String, u64>,
    revisions: BTreeMap<(String, String), u64>,
}

impl Schedule {
    /// A client asks for something, or for its answer.
    pub(super) fn act(&mut self, log: &EventLog) -> Result<(), Failure> {
        let client = self.random.below(self.clients.len() as u64) as usize;
        if self.clients[client].waits.is_some() {
            return self.ask(client);
        }
        if self.tend(log, client)? {
            return Ok(());
        }
        let topic = TOPICS[self.random.below(2) as usize].to_owned();
        match self.random.below(20) {
            0..=11 => self.append(log, client, &topic),
            12..=16 => {
                let head = self.clients[client].heads.get(&topic).copied();
                let options = match self.random.chance(30) {
                    true => ReadOptions::default(),
                    false => read_options(&self.random, head.unwrap_or(0)),
                };
                self.read(log, client, topic, options).map(drop)
            }
            17..=18 => self.revision(log, client, topic),
            _ => {
                self.topic(log, client, &topic);
                Ok(())
            }
        }
    }

    fn append(&mut self, log: &EventLog, client: usize, topic: &str) -> Result<(), Failure> {
        let again = self.clients[client].again.take();
        let request = again.unwrap_or_else(|| self.request(client, topic));
        self.submit(log, client, request)
    }

    pub(super) fn submit(
        &mut self,
        log: &EventLog,
        client: usize,
        request: Request,
    ) -> Result<(), Failure> {
        let ticket = request
            .append()
            .and_then(|append| log.append(append))
            .map_err(|error| Failure::said("submitting", &error))?;
        self.clients[client].waits = Some((self.history.ops.len(), ticket));
        self.note(client, Kind::Append(request), Outcome::Unknown);
        Ok(())
    }

    pub(super) fn note(&mut self, client: usize, kind: Kind, outcome: Outcome) {
        if self.trace {
            crate::print(&format!(
                "{:>5} client {client} {kind:?} {outcome:?}\n",
                self.time
            ));
        }
        self.history.ops.push(Op {
            client,
            kind,
            invoked: self.time,
            returned: self.time,
            outcome,
        });
    }

    fn request(&mut self, client: usize, topic: &str) -> Request {
        let mut request = Request::default();
        for _ in 0..1 + self.random.below(3) {
            let event = Arc::new(self.workload.event());
            let other = TOPICS[self.random.below(2) as usize];
            let topic = if self.random.chance(10) { other } else { topic };
            request.entries.push(Entry::Event(topic.to_owned(), event));
        }
        if self.random.chance(50) {
            // Says which of the client's appends was the last.
            let number = self.history.ops.len().to_string().into_bytes();
            let key = format!("client/{client}");
            request.entries.push(Entry::Register(key, Some(number)));
        }
        let memory = &self.clients[client];
        if self.random.chance(30) {
            let written = request
                .events()
                .find_map(|(_, event)| event.subject.clone());
            let subject = written.or_else(|| subject(&self.random));
            let subject = subject.unwrap_or_else(|| "cart/1".into());
            let of = (topic.to_owned(), subject.clone());
            let expected = memory
                .revisions
                .get(&of)
                .map_or(ExpectedRevision::None, |r| {
                    ExpectedRevision::Exact(Revision::new(*r))
                });
            request
                .expectations
                .push((topic.to_owned(), subject, expected));
        }
        if self.random.chance(30) {
            let condition = AppendCondition {
                fail_if_events_match: query(&self.random),
                after: Position::new(memory.heads.get(topic).copied().unwrap_or(0)),
            };
            request.conditions.push((topic.to_owned(), condition));
        }
        request
    }

    /// Asks for the answer; once the log is gone, or a fault struck, there may be none.
    pub(super) fn ask(&mut self, client: usize) -> Result<(), Failure> {
        let Some((number, mut ticket)) = self.clients[client].waits.take() else {
            return Ok(());
        };
        let Some(found) = poll(&mut ticket) else {
            self.clients[client].waits = Some((number, ticket));
            return Ok(());
        };
        let outcome = match answer(found) {
            Ok(placed) => Outcome::Appended(placed),
            Err(ErrorKind::Io | ErrorKind::Unavailable) if self.met.fault => Outcome::Unknown,
            Err(ErrorKind::Full) if !self.met.full => {
                return Err(Failure::new("answers", "full, with space left"));
            }
            Err(kind) => Outcome::Refused(kind),
        };
        if self.trace {
            let time = self.time;
            crate::print(&format!("{time:>5} client {client} is told {outcome:?}\n"));
        }
        let op = &mut self.history.ops[number];
        (op.returned, op.outcome) = (self.time, outcome.clone());
        let request = op.request().cloned();
        let Some(request) = request else {
            return Ok(());
        };
        let step = self.lives.get(client).and_then(Life::decided_by) == Some(number);
        self.told(client, number);
        let memory = &mut self.clients[client];
        match outcome {
            Outcome::Appended(placed) => memory.learn(&request, &placed),
            Outcome::Unknown => {
                self.met.unknown = true;
                memory.again = Some(request).filter(|_| !step && self.random.chance(70));
            }
            Outcome::Refused(ErrorKind::NotFound) => *memory = Client::default(),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn read(
        &mut self,
        log: &EventLog,
        client: usize,
        topic: String,
        options: ReadOptions,
    ) -> Result<Outcome, Failure> {
        let before = self.disk.struck();
        let read = log
            .read(&topic, options.clone())
            .and_then(foretell_log::Reader::collect);
        let outcome = self.outcome("reading", read.map(Outcome::Events), before)?;
        let memory = &mut self.clients[client];
        for event in match &outcome {
            Outcome::Events(events) => &events[..],
            _ => &[],
        } {
            memory.see(&topic, event.position.get());
            if let (Some(subject), Some(revision)) = (&event.event.subject, event.revision) {
                let of = (topic.clone(), subject.clone());
                let known = memory.revisions.entry(of).or_insert(0);
                *known = revision.get().max(*known);
            }
        }
        self.note(client, Kind::Read(topic, options), outcome.clone());
        Ok(outcome)
    }

    /// What came of a question that the log answers at once: unless a fault struck in it, the only
    /// error is that there is no such topic.
    fn outcome(
        &self,
        check: &'static str,
        answer: foretell_types::Result<Outcome>,
        before: Option<(Fault, Struck)>,
    ) -> Result<Outcome, Failure> {
        match answer {
            Ok(outcome) => Ok(outcome),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Outcome::Refused(ErrorKind::NotFound))
            }
            Err(_) if self.disk.struck() != before => Ok(Outcome::Unknown),
            Err(error) => Err(Failure::said(check, &error)),
        }
    }

    fn revision(&mut self, log: &EventLog, client: usize, topic: String) -> Result<(), Failure> {
        let subject = subject(&self.random).unwrap_or_else(|| "cart/1".into());
        let before = self.disk.struck();
        let found = log.revision(&topic, &subject);
        let found = found.map(|found| Outcome::Revision(found.map(Revision::get)));
        let outcome = self.outcome("revisions", found, before)?;
        if let Outcome::Revision(Some(last)) = outcome {
            let of = (topic.clone(), subject.clone());
            self.clients[client].revisions.insert(of, last);
        }
        self.note(client, Kind::Revision(topic, subject), outcome);
        Ok(())
    }
}

impl Client {
    fn see(&mut self, topic: &str, position: u64) {
        let head = self.heads.entry(topic.to_owned()).or_insert(0);
        *head = position.max(*head);
    }

    fn learn(&mut self, request: &Request, placed: &[Placed]) {
        for ((topic, event), placed) in request.events().zip(placed) {
            self.see(topic, placed.position);
            if let (Some(subject), Some(revision)) = (&event.subject, placed.revision) {
                let of = (topic.to_owned(), subject.clone());
                self.revisions.insert(of, revision);
            }
        }
    }
}
