//! fjall, a key-value store, as the least that an event store over one would be: an event lies
//! below (stream, revision), and an append goes in if the key of the revision behind the expected
//! one is free. One write batch with one sync for all appends that wait.

use std::collections::HashSet;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::engine::{Condition, Engine, Kind, Pending};
use super::event::{Event, subject};
use super::group::GroupWriter;
use crate::Result;

pub const NAME: &str = "fjall 3";
pub const KIND: Kind = Kind {
    name: NAME,
    open: |folder| Ok(Box::new(Fjall::open(folder)?)),
};

type Key = Vec<u8>;

struct Request {
    /// Must be free.
    next: Key,
    items: Vec<(Key, Vec<u8>)>,
}

pub struct Fjall(GroupWriter<Request>);

impl Fjall {
    pub fn open(folder: &Path) -> Result<Fjall> {
        let database = Database::builder(folder).open()?;
        let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
        let mut position = events.len()? as u64;
        let write = move |group: &[Request]| write(&database, &events, &mut position, group);
        Ok(Fjall(GroupWriter::start(write)))
    }
}

fn write(
    database: &Database,
    events: &Keyspace,
    position: &mut u64,
    group: &[Request],
) -> Result<Vec<Result<u64>>> {
    let mut batch = database.batch().durability(Some(PersistMode::SyncData));
    let mut staged = HashSet::new();
    let mut answers = Vec::with_capacity(group.len());
    for request in group {
        if staged.contains(&request.next) || events.contains_key(&request.next)? {
            answers.push(Err("the stream isn't where it was expected".into()));
            continue;
        }
        for (key, value) in &request.items {
            staged.insert(key);
            batch.insert(events, key.as_slice(), value.as_slice());
        }
        *position += request.items.len() as u64;
        answers.push(Ok(*position));
    }
    batch.commit()?;
    Ok(answers)
}

fn request(events: &[Event], condition: Condition) -> Result<Request> {
    // Only of the first event's stream is the revision known here: the others lie below their
    // number, which costs as much.
    let mut items = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let revision = if index == 0 {
            condition.events
        } else {
            1 << 63 | event.number
        };
        items.push((key(event.stream, revision)?, event.rest()));
    }
    Ok(Request {
        next: key(condition.stream, condition.events)?,
        items,
    })
}

fn key(stream: u32, revision: u64) -> Result<Key> {
    let mut key = subject(stream)?.into_bytes();
    key.extend_from_slice(&revision.to_be_bytes());
    Ok(key)
}

impl Engine for Fjall {
    fn append(&self, events: &[Event], condition: Condition) -> Result<u64> {
        self.0.append(request(events, condition)?)
    }

    fn begin(&self, events: &[Event], condition: Condition) -> Result<Pending> {
        self.0.begin(request(events, condition)?)
    }
}
