//! The log as plainly as it can be said: every rule in memory, without segments, index or cache.

mod append;
mod erase;
mod read;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foretell_types::NewEvent;

use crate::request::Key;

pub use self::append::{Answer, Placed};
pub use self::erase::{ERASURES, record};

#[derive(Clone, Debug)]
pub struct Event {
    pub event: Arc<NewEvent>,
    pub revision: Option<u64>,
    /// Nanoseconds since the epoch.
    pub recorded: i64,
    /// What its data is encrypted under.
    pub key: Option<Key>,
    /// The data is gone.
    pub erased: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Tells it from others of the name, also of the same UUID.
    pub number: u64,
    pub uuid: uuid::Uuid,
    pub reuse_ids: bool,
    pub erasable: bool,
    pub created: i64,
    /// Position `n` is at `n - 1`.
    pub events: Vec<Event>,
    /// The number of events of each stream.
    pub streams: HashMap<String, u64>,
    /// The last position of each identity, by a hash: a model is copied often.
    ids: HashMap<u128, u64>,
}

impl Topic {
    pub fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// The last revision of a stream.
    pub fn revision(&self, subject: &str) -> Option<u64> {
        self.streams.get(subject).map(|count| count - 1)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub topics: BTreeMap<String, Topic>,
    pub registers: BTreeMap<String, Vec<u8>>,
    /// How many keys of a topic's subject are destroyed; those without any aren't here.
    destroyed: BTreeMap<(uuid::Uuid, String), u32>,
    pub commits: u64,
    pub frames: u64,
    /// Topics ever made.
    pub made: u64,
    /// The latest recorded time.
    pub recorded: i64,
}

/// A hash of source and id.
fn identity(event: &NewEvent) -> u128 {
    let text = format!("{}\0{}", event.source, event.id);
    xxhash_rust::xxh3::xxh3_128(text.as_bytes())
}
