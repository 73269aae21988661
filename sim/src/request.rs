//! An append as plain data, for the log and for the model.

use std::sync::Arc;

use foretell_log::Append;
use foretell_types::{AppendCondition, ExpectedRevision, NewEvent};

#[derive(Clone, Debug)]
pub enum Entry {
    Event(String, Arc<NewEvent>),
    Register(String, Option<Vec<u8>>),
    Create(Create),
    Delete(String),
}

/// A topic that is made.
#[derive(Clone, Debug)]
pub struct Create {
    pub name: String,
    pub uuid: uuid::Uuid,
    pub reuse_ids: bool,
    pub erasable: bool,
}

/// What the data of an event is encrypted under: the topic, and the generation of the subject's
/// key.
pub type Key = (uuid::Uuid, u32);

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub entries: Vec<Entry>,
    /// For each entry, what its data was encrypted under when it was sent.
    pub keys: Vec<Option<Key>>,
    pub expectations: Vec<(String, String, ExpectedRevision)>,
    pub conditions: Vec<(String, AppendCondition)>,
}

impl Request {
    pub fn is_conditional(&self) -> bool {
        !self.expectations.is_empty() || !self.conditions.is_empty()
    }

    /// What the data of an entry was encrypted under.
    pub fn key(&self, entry: usize) -> Option<Key> {
        self.keys.get(entry).copied().flatten()
    }

    pub fn events(&self) -> impl Iterator<Item = (&str, &NewEvent)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Event(topic, event) => Some((&**topic, &**event)),
            _ => None,
        })
    }

    /// As the log takes it.
    pub fn append(&self) -> foretell_types::Result<Append> {
        let mut append = Append::new();
        for entry in &self.entries {
            append = match entry {
                Entry::Event(topic, event) => append.events(topic, [NewEvent::clone(event)]),
                Entry::Register(key, value) => append.register(key.clone(), value.clone()),
                Entry::Create(made) if made.erasable => {
                    append.create_erasable_topic(made.name.parse()?, made.uuid)
                }
                Entry::Create(made) => {
                    append.create_topic(made.name.parse()?, made.uuid, made.reuse_ids)
                }
                Entry::Delete(name) => append.delete_topic(name),
            };
        }
        for (topic, subject, revision) in &self.expectations {
            append = append.expect(topic, subject, *revision);
        }
        for (topic, condition) in &self.conditions {
            append = append.condition(topic, condition.clone());
        }
        Ok(append)
    }
}
