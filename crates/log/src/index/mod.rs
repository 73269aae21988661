//! What the log knows in memory of what is durable. Readers share it; only the writer changes it.

mod identity;
mod topic;

use std::collections::BTreeMap;

use bytes::Bytes;
use foretell_types::limits::TOPICS;
use foretell_types::{Error, ErrorKind, Result};
use hashbrown::HashMap;

pub(crate) use identity::{content_hash, identity_key};
pub(crate) use topic::TopicIndex;

use crate::codec::{EventRef, Frame, FrameKind, register_parts, topic_parts};
use crate::journal::{Place, Seq};

/// Everything durable, by topic and by register.
#[derive(Default)]
pub(crate) struct Index {
    pub topics: Vec<TopicIndex>,
    names: HashMap<Box<str>, u32>,
    pub registers: BTreeMap<String, Bytes>,
    pub last: Seq,
    pub epoch: u64,
    /// The latest recorded time, in nanoseconds since the epoch.
    pub recorded: i64,
}

impl Index {
    /// The topic of a name that isn't deleted.
    pub fn topic(&self, name: &str) -> Result<&TopicIndex> {
        self.names
            .get(name)
            .map(|id| &self.topics[*id as usize])
            .ok_or_else(|| Error::not_found(format!("there is no topic {name:?}")))
    }

    pub fn topic_names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// Takes in a frame that is durable. `event` saves decoding where the caller has it.
    pub fn apply(&mut self, frame: &Frame<'_>, place: Place, seed: u64) -> Result<()> {
        self.recorded = self.recorded.max(frame.recorded);
        match frame.kind {
            FrameKind::Event => {
                let event = EventRef::read(frame)?;
                let topic = self
                    .topics
                    .get_mut(frame.topic as usize)
                    .ok_or_else(|| damaged(format!("topic {} was never made", frame.topic)))?;
                topic.push(&event, frame, place, seed)
            }
            FrameKind::Register => {
                let (key, value) =
                    register_parts(frame.body).ok_or_else(|| damaged("a register is malformed"))?;
                match value {
                    Some(value) => self.registers.insert(key.to_owned(), value.into()),
                    None => self.registers.remove(key),
                };
                Ok(())
            }
            FrameKind::Topic => self.apply_topic(frame),
        }
    }

    fn apply_topic(&mut self, frame: &Frame<'_>) -> Result<()> {
        let (uuid, deleted, reuse_ids, name) =
            topic_parts(frame.body).ok_or_else(|| damaged("a topic's frame is malformed"))?;
        if deleted {
            self.names.remove(name);
            if let Some(topic) = self.topics.get_mut(frame.topic as usize) {
                topic.delete();
            }
            return Ok(());
        }
        if frame.topic as usize != self.topics.len() || self.topics.len() >= TOPICS {
            return Err(damaged(format!("topic {} is out of order", frame.topic)));
        }
        self.names.insert(name.into(), frame.topic);
        self.topics.push(TopicIndex::new(
            frame.topic,
            name,
            uuid,
            reuse_ids,
            frame.recorded,
        ));
        Ok(())
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Damaged, what)
}
