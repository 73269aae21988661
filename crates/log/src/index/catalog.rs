//! What stands at a point of the journal: the topics and how far they go, the registers.

use std::collections::BTreeMap;

use bytes::Bytes;
use foretell_types::limits::TOPICS;
use foretell_types::{Error, ErrorKind, Result};
use hashbrown::HashMap;

use crate::bugs::{self, Bug};
use crate::codec::{
    Frame, FrameKind, Take, TopicFlags, put_bytes, put_varint, register_parts, topic_parts,
};
use crate::journal::Seq;

/// A topic, deleted or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Topic {
    pub name: Box<str>,
    pub uuid: uuid::Uuid,
    pub reuse_ids: bool,
    pub erasable: bool,
    pub deleted: bool,
    /// Nanoseconds since the epoch.
    pub created: i64,
    /// Position of the last event; 0 if there is none.
    pub head: u64,
    /// Number of streams.
    pub streams: u64,
}

/// Everything that frames say, but for the events themselves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Catalog {
    /// By their ids.
    pub topics: Vec<Topic>,
    names: HashMap<Box<str>, u32>,
    pub registers: BTreeMap<String, Bytes>,
    pub last: Seq,
    pub epoch: u64,
    /// The latest recorded time, in nanoseconds since the epoch.
    pub recorded: i64,
}

impl Catalog {
    /// The id of the topic of a name that isn't deleted.
    pub fn id(&self, name: &str) -> Result<u32> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| Error::not_found(format!("there is no topic {name:?}")))
    }

    pub fn topic(&self, name: &str) -> Result<(u32, &Topic)> {
        self.id(name).map(|id| (id, &self.topics[id as usize]))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// Takes in an event.
    pub fn event(&mut self, topic: u32, position: u64, revision: Option<u64>) -> Result<()> {
        let topic = self
            .topics
            .get_mut(topic as usize)
            .ok_or_else(|| damaged(format!("topic {topic} was never made")))?;
        let expected = topic.head + 1;
        if position != expected {
            return Err(damaged(format!(
                "topic {:?} has position {position} where {expected} must follow",
                topic.name
            )));
        }
        topic.head = expected;
        topic.streams += u64::from(revision == Some(0));
        Ok(())
    }

    /// Takes in a frame.
    pub fn apply(&mut self, frame: &Frame<'_>) -> Result<()> {
        self.recorded = self.recorded.max(frame.recorded);
        match frame.kind {
            FrameKind::Event => self.event(frame.topic, frame.position, frame.revision),
            FrameKind::Register => {
                let (key, value) =
                    register_parts(frame.body).ok_or_else(|| damaged("a register is malformed"))?;
                match value {
                    Some(value) => self.registers.insert(key.to_owned(), value.into()),
                    None if bugs::on(Bug::RegisterComesBack) => None,
                    None => self.registers.remove(key),
                };
                Ok(())
            }
            FrameKind::Topic => self.apply_topic(frame),
        }
    }

    fn apply_topic(&mut self, frame: &Frame<'_>) -> Result<()> {
        let (uuid, flags, name) = topic_parts(frame.body).ok_or_else(|| {
            damaged("a topic's frame is malformed, or of a newer foretell than this")
        })?;
        if flags.deleted {
            self.names.remove(name);
            if let Some(topic) = self.topics.get_mut(frame.topic as usize) {
                topic.deleted = !bugs::on(Bug::DeletedTopicComesBack);
            }
            return Ok(());
        }
        if frame.topic as usize != self.topics.len() || self.topics.len() >= TOPICS {
            return Err(damaged(format!("topic {} is out of order", frame.topic)));
        }
        let of_name = |topic: &Topic| bugs::on(Bug::DeletedTopicComesBack) && *topic.name == *name;
        let old = self.topics.iter().position(of_name);
        self.names
            .insert(name.into(), old.map_or(frame.topic, |old| old as u32));
        self.topics.push(Topic {
            name: name.into(),
            uuid,
            reuse_ids: flags.reuse_ids,
            erasable: flags.erasable,
            deleted: false,
            created: frame.recorded,
            head: 0,
            streams: 0,
        });
        Ok(())
    }

    /// Appends all but the registers.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.last.0);
        put_varint(out, self.epoch);
        out.extend_from_slice(&self.recorded.to_le_bytes());
        put_varint(out, self.topics.len() as u64);
        for topic in &self.topics {
            put_bytes(out, topic.name.as_bytes());
            out.extend_from_slice(topic.uuid.as_bytes());
            let flags = TopicFlags {
                deleted: topic.deleted && !bugs::on(Bug::DeletedFlagNotSealed),
                reuse_ids: topic.reuse_ids,
                erasable: topic.erasable,
            };
            out.push(flags.to_byte());
            out.extend_from_slice(&topic.created.to_le_bytes());
            put_varint(out, topic.head);
            put_varint(out, topic.streams);
        }
    }

    pub fn take(take: &mut Take<'_>) -> Option<Catalog> {
        let mut catalog = Catalog {
            last: Seq(take.varint()?),
            epoch: take.varint()?,
            recorded: take.u64()? as i64,
            ..Catalog::default()
        };
        for id in 0..take.count()? {
            let name: Box<str> = take.text()?.into();
            let uuid = uuid::Uuid::from_bytes(take.array()?);
            let flags = TopicFlags::from_byte(take.u8()?)?;
            let topic = Topic {
                name: name.clone(),
                uuid,
                deleted: flags.deleted,
                reuse_ids: flags.reuse_ids,
                erasable: flags.erasable,
                created: take.u64()? as i64,
                head: take.varint()?,
                streams: take.varint()?,
            };
            if !topic.deleted {
                catalog.names.insert(name, u32::try_from(id).ok()?);
            }
            catalog.topics.push(topic);
        }
        Some(catalog)
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Damaged, what)
}
