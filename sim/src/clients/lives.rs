//! Topics that come and go.
//!
//! Each name has one client that makes topics of it and deletes them, one step after the other.
//! It deletes a topic on the condition that nothing came after what it has just read: so all is
//! known that the topic ever held.

use foretell_log::{EventLog, ReadOptions};
use foretell_types::{AppendCondition, Position, Query, RecordedEvent};
use uuid::Uuid;

use super::history::{Facts, Kind, Lived, Outcome};
use super::schedule::{Schedule, TOPICS};
use crate::failure::Failure;
use crate::request::{Create, Entry, Request};

/// How it stands with a name.
#[derive(Default)]
pub(super) enum Life {
    #[default]
    Absent,
    /// It is a topic: its number in the history.
    There(usize),
    /// It was asked for, by this operation.
    Making(usize, Uuid),
    /// Likewise; with all that the topic held if it is deleted.
    Deleting(usize, usize, Vec<RecordedEvent>),
}

impl Life {
    /// The operation whose outcome decides.
    pub fn decided_by(&self) -> Option<usize> {
        match self {
            Life::Making(op, _) | Life::Deleting(op, ..) => Some(*op),
            Life::Absent | Life::There(_) => None,
        }
    }
}

impl Schedule {
    /// The client of a name makes a topic or deletes it, if it is time; whether it did.
    pub(super) fn tend(&mut self, log: &EventLog, client: usize) -> Result<bool, Failure> {
        let Some(name) = TOPICS.get(client) else {
            return Ok(false);
        };
        match self.lives[client] {
            Life::Absent if self.random.chance(40) => self.make(log, client, name).map(|()| true),
            Life::There(topic) if self.random.chance(6) => self.delete(log, client, topic),
            _ => Ok(false),
        }
    }

    fn make(&mut self, log: &EventLog, client: usize, name: &str) -> Result<(), Failure> {
        let uuid = Uuid::from_u128(u128::from(self.random.number()));
        let mut request = Request::default();
        request.entries.push(Entry::Create(Create {
            name: name.to_owned(),
            uuid,
            reuse_ids: false,
            erasable: false,
        }));
        if self.random.chance(50) {
            let event = self.workload.event().into();
            request.entries.push(Entry::Event(name.to_owned(), event));
        }
        self.lives[client] = Life::Making(self.history.ops.len(), uuid);
        self.submit(log, client, request)
    }

    fn delete(&mut self, log: &EventLog, client: usize, topic: usize) -> Result<bool, Failure> {
        let name = TOPICS[client].to_owned();
        let all = ReadOptions::default();
        let Outcome::Events(events) = self.read(log, client, name.clone(), all)? else {
            return Ok(true);
        };
        let condition = AppendCondition {
            fail_if_events_match: Query::all(),
            after: Position::new(events.len() as u64),
        };
        let request = Request {
            entries: vec![Entry::Delete(name.clone())],
            conditions: vec![(name, condition)],
            ..Request::default()
        };
        self.lives[client] = Life::Deleting(self.history.ops.len(), topic, events);
        self.submit(log, client, request)?;
        Ok(true)
    }

    /// Takes in whether the step that a name's client asked for happened, at some point from one
    /// time to the other.
    fn step_of(&mut self, name: usize, happened: bool, when: (u64, u64)) {
        self.lives[name] = match (std::mem::take(&mut self.lives[name]), happened) {
            (Life::Making(_, uuid), true) => {
                self.history.lived.push(Lived {
                    name: TOPICS[name].to_owned(),
                    uuid,
                    made: when,
                    deleted: None,
                    events: Vec::new(),
                });
                Life::There(self.history.lived.len() - 1)
            }
            (Life::Deleting(_, topic, events), true) => {
                let lived = &mut self.history.lived[topic];
                (lived.deleted, lived.events) = (Some(when), events);
                Life::Absent
            }
            (Life::Making(..), false) => Life::Absent,
            (Life::Deleting(_, topic, _), false) => Life::There(topic),
            (as_it_was, _) => as_it_was,
        };
    }

    /// A client was told of one of its appends; what stays unknown is told when the log is opened.
    pub(super) fn told(&mut self, client: usize, op: usize) {
        let step = self.lives.get(client).and_then(Life::decided_by);
        if step != Some(op) {
            return;
        }
        let op = &self.history.ops[op];
        let when = (op.invoked, op.returned);
        match op.outcome {
            Outcome::Appended(_) => self.step_of(client, true, when),
            Outcome::Refused(_) => self.step_of(client, false, when),
            _ => {}
        }
    }

    /// Looks what became of the steps whose outcome stayed unknown: nothing becomes of them later.
    pub(super) fn look_after(&mut self, log: &EventLog) {
        for (name, text) in TOPICS.into_iter().enumerate() {
            let Some(op) = self.lives[name].decided_by() else {
                continue;
            };
            let when = (self.history.ops[op].invoked, self.time);
            let there = log.topic(text).ok().map(|topic| topic.uuid);
            let happened = match self.lives[name] {
                Life::Making(_, uuid) => there == Some(uuid),
                _ => there.is_none(),
            };
            self.step_of(name, happened, when);
        }
    }

    /// Somebody asks what topic a name is.
    pub(super) fn topic(&mut self, log: &EventLog, client: usize, name: &str) {
        let outcome = match log.topic(name) {
            Ok(topic) => Outcome::Topic(Facts {
                uuid: topic.uuid,
                head: Position::as_count(topic.head),
                streams: topic.streams,
            }),
            Err(error) => Outcome::Refused(error.kind()),
        };
        self.note(client, Kind::Topic(name.to_owned()), outcome);
    }
}
