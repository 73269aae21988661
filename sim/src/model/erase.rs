use foretell_types::{ErrorKind, NewEvent};
use uuid::Uuid;

use super::{Model, Topic};
use crate::request::{Create, Entry, Key, Request};

/// The register that names the key store of a log that has one.
const KEY_STORE: &str = "keystore";
/// Registers that say which keys were destroyed.
pub const ERASURES: &str = "erased/";

impl Model {
    /// What an append is turned into when it is sent: its events are encrypted under the keys that
    /// their subjects have now. Refused if one of an erasable topic has no subject.
    pub fn send(&self, request: &mut Request) -> Result<(), ErrorKind> {
        let made = |name: &String| {
            request.entries.iter().find_map(|entry| match entry {
                Entry::Create(made) if made.name == *name => {
                    Some(made.erasable.then_some(made.uuid))
                }
                _ => None,
            })
        };
        let there = |name: &String| {
            let topic = self.topics.get(name).filter(|topic| topic.erasable);
            topic.map(|topic| topic.uuid)
        };
        let key = |entry: &Entry| match entry {
            Entry::Event(name, event) => {
                match (made(name).unwrap_or_else(|| there(name)), &event.subject) {
                    (Some(topic), Some(subject)) => {
                        Ok(Some((topic, self.generation(topic, subject))))
                    }
                    (Some(_), None) => Err(ErrorKind::Invalid),
                    (None, _) => Ok(None),
                }
            }
            _ => Ok(None),
        };
        request.keys = request.entries.iter().map(key).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Likewise, what the log adds to an append that makes an erasable topic.
    pub fn name_keys(request: &mut Request, key_store: Option<Uuid>) {
        let makes = |entry: &Entry| matches!(entry, Entry::Create(Create { erasable: true, .. }));
        if request.entries.iter().any(makes) {
            let named = key_store.map(|id| id.as_bytes().to_vec());
            let register = Entry::Register(KEY_STORE.to_owned(), named);
            request.entries.push(register);
        }
    }

    /// The generation of a subject's key.
    fn generation(&self, topic: Uuid, subject: &str) -> u32 {
        let destroyed = self.destroyed.get(&(topic, subject.to_owned()));
        destroyed.copied().unwrap_or(0)
    }

    /// Whether a topic takes an event that was encrypted so.
    pub(super) fn takes(&self, topic: &Topic, event: &NewEvent, key: Option<Key>) -> bool {
        match (key, topic.erasable, &event.subject) {
            (None, false, _) => true,
            (Some((of, generation)), true, Some(subject)) => {
                of == topic.uuid && generation == self.generation(of, subject)
            }
            _ => false,
        }
    }

    /// Of these subjects, those with something to erase, with the generations of their keys;
    /// refused if one has no events.
    pub fn erasable(
        &self,
        topic: &Topic,
        subjects: &[String],
    ) -> Result<Vec<(String, u32)>, ErrorKind> {
        let mut wanted = Vec::new();
        for subject in subjects {
            let events = topic.events.iter().rev();
            let mut of_subject = events.filter(|e| e.event.subject.as_ref() == Some(subject));
            let last = of_subject.next().ok_or(ErrorKind::NotFound)?;
            let found = (subject.clone(), self.generation(topic.uuid, subject));
            if !last.erased && !wanted.contains(&found) {
                wanted.push(found);
            }
        }
        Ok(wanted)
    }

    /// The keys are destroyed, and the log says so.
    pub fn erase(&mut self, topic: Uuid, keys: &[(String, u32)], recorded: i64) {
        let name = format!("{ERASURES}{}", self.commits);
        let record = Request {
            entries: vec![Entry::Register(name, Some(record(topic, keys)))],
            ..Request::default()
        };
        let _ = self.append(&record, recorded);
        for (subject, generation) in keys {
            self.destroyed
                .insert((topic, subject.clone()), generation + 1);
        }
        let events = self.topics.values_mut().flat_map(|topic| &mut topic.events);
        for event in events {
            let Some((of, generation)) = event.key else {
                continue;
            };
            let subject = event.event.subject.as_ref();
            let gone =
                |(erased, until): &(String, u32)| subject == Some(erased) && generation <= *until;
            event.erased |= of == topic && keys.iter().any(gone);
        }
    }
}

/// What a register says of destroyed keys.
pub fn record(topic: Uuid, keys: &[(String, u32)]) -> Vec<u8> {
    let keys = keys.iter();
    let lines = keys.map(|(subject, generation)| format!("{topic} {generation} {subject}\n"));
    lines.collect::<String>().into_bytes()
}
