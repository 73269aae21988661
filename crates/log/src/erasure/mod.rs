//! Erasure: the data of events of an erasable topic is encrypted under a key of its subject, and
//! erasing a subject destroys the key. Keys lie in a store outside the log, its archive and its
//! backups. `tree` says how all keys come from one secret, and what is left of it when one is
//! destroyed; `store` keeps that in files; `cipher` encrypts.

mod cipher;
mod store;
mod tree;

use foretell_types::{Error, ErrorKind, Result};

use crate::append::{Append, Appended};
use crate::bugs::{self, Bug};
use crate::log::{EventLog, Shared};
use crate::read::{ReadOptions, Reader};

pub(crate) use cipher::Context;
pub(crate) use store::{KeyStore, decoder};

/// The register that names the key store of a log.
pub(crate) const KEY_STORE_REGISTER: &str = "keystore";

/// A subject whose key is destroyed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErasedKey {
    /// Of the topic.
    pub topic: uuid::Uuid,
    pub subject: String,
    /// A subject has a new key, of the next generation, once one was destroyed.
    pub generation: u32,
}

/// What was erased.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Erased {
    /// Without the subjects that had nothing left to erase.
    pub keys: Vec<ErasedKey>,
    /// Where the log says so; `None` if there was nothing left to erase.
    pub record: Option<Appended>,
}

/// See [`EventLog::erase`].
pub(crate) fn erase(
    log: &EventLog,
    shared: &std::sync::Arc<Shared>,
    topic: &str,
    subjects: &[String],
    record: impl FnOnce(&[ErasedKey]) -> Result<Append>,
) -> Result<Erased> {
    let uuid = {
        let index = shared.index.read();
        let (_, found) = index.catalog.topic(topic)?;
        if !found.erasable {
            let message = format!(
                "topic {topic:?} is not erasable: its events are stored as they were published, and only deleting the topic removes them"
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        found.uuid
    };
    let keys = shared.keys()?;
    let _one = shared.erasing.lock();
    let mut wanted = Vec::new();
    for subject in subjects {
        let options = ReadOptions {
            backward: true,
            limit: Some(1),
            ..ReadOptions::stream(subject.clone())
        };
        let mut reader = Reader::new(shared.clone(), topic, options)?;
        let Some(last) = reader.next_stored()? else {
            let message = format!("topic {topic:?} has no events of subject {subject:?}");
            return Err(Error::not_found(message));
        };
        let generation = last.sealed().unwrap_or(0);
        if keys.key(uuid, subject, generation)?.is_some() && !wanted.contains(subject) {
            wanted.push(subject.clone());
        }
    }
    if wanted.is_empty() {
        return Ok(Erased {
            keys: Vec::new(),
            record: None,
        });
    }
    let erased = keys.close(uuid, &wanted)?;
    if bugs::on(Bug::KeysDestroyedBeforeRecord) {
        keys.destroy(&erased)?;
    }
    // Behind everything that was encrypted under these keys.
    let recorded = record(&erased)
        .and_then(|append| log.append(append))
        .and_then(|ticket| ticket.wait());
    let recorded = recorded.inspect_err(|_| keys.reopen(&erased))?;
    keys.recorded(&erased);
    keys.destroy(&erased)?;
    Ok(Erased {
        keys: erased,
        record: Some(recorded),
    })
}

impl Shared {
    /// Whether there are keys of erasable subjects.
    pub fn has_keys(&self) -> bool {
        self.keys.get().is_some()
    }

    pub fn keys(&self) -> Result<&KeyStore> {
        self.keys.get().ok_or_else(|| {
            let place = match &self.key_folder {
                Some(folder) => format!(
                    "lies in {}: bring it back from its own backup",
                    folder.display()
                ),
                None => "was given to the log".to_owned(),
            };
            Error::unavailable(format!("the data is encrypted, and no key store {place}"))
        })
    }

    /// The identity of a topic, if its events are erasable.
    pub fn erasable_topic(&self, name: &str) -> Option<uuid::Uuid> {
        let index = self.index.read();
        let topic = index.catalog.topic(name).ok()?.1;
        topic.erasable.then_some(topic.uuid)
    }

    /// The key store that a register of the log names.
    fn named_keys(&self) -> Result<Option<uuid::Uuid>> {
        let index = self.index.read();
        let Some(named) = index.catalog.registers.get(KEY_STORE_REGISTER) else {
            return Ok(None);
        };
        let id = uuid::Uuid::from_slice(named);
        id.map(Some).map_err(|_| {
            Error::new(
                ErrorKind::Damaged,
                "the register that names the key store is malformed",
            )
        })
    }

    /// Opens the key store, if the log names one.
    pub fn open_keys(&self) -> Result<()> {
        let (Some(named), Some(folder)) = (self.named_keys()?, &self.key_folder) else {
            return Ok(());
        };
        let Some(keys) = KeyStore::open(folder, &self.environment)? else {
            tracing::warn!(
                folder = %folder.display(),
                "the key store is missing: data of erasable topics can't be read"
            );
            return Ok(());
        };
        if keys.id != named {
            let message = format!(
                "{} holds key store {}, and the log's is {named}: bring that back from its backup",
                folder.display(),
                keys.id
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let _ = self.keys.set(keys);
        Ok(())
    }

    /// The key store, made if the log names none yet; gives its identity.
    pub fn make_keys(&self) -> Result<uuid::Uuid> {
        let _one = self.erasing.lock();
        if self.keys.get().is_none() {
            let Some(folder) = &self.key_folder else {
                return Err(Error::invalid(
                    "an erasable topic needs a folder for its keys",
                ));
            };
            if self.named_keys()?.is_none() {
                let keys = KeyStore::open_or_create(folder, &self.environment)?;
                let _ = self.keys.set(keys);
            }
        }
        self.keys().map(|keys| keys.id)
    }
}
