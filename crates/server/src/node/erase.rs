//! Erasure of subjects: it is recorded as an event of the system topic `foretell.erasures`, and
//! certified.

use std::sync::Arc;

use foretell_log::{Append, ErasedKey, EventLog, ReadOptions};
use foretell_protocol::SignedRoot;
use foretell_types::{Data, Error, ErrorKind, NewEvent, RecordedEvent, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Node, blocking};

/// The topic that says what was erased.
pub const ERASURES: &str = "foretell.erasures";
const ERASED: &str = "foretell.subject.erased";

/// What is never encrypted.
const READABLE: [&str; 4] = [
    "the event's attributes: id, source, type, subject, time, tags and other extensions",
    "its position, revision and recorded time",
    "the length of its data, and whether that was JSON, text or binary",
    "its place in the hash tree: proofs hold as before",
];

/// What destroying a key does not reach.
const OUT_OF_REACH: [&str; 5] = [
    "answers already given: to readers, followers, subscriptions and exports",
    "what functions made from it: events, blobs, their outcomes in the log, and what they logged",
    "dead letters of it in the storage account",
    "copies of the key store made before: destroy these backups too",
    "what the file system or the disk keeps of files that were overwritten",
];

/// What was erased, when, and what of it remains.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    pub subject: String,
    #[serde(flatten)]
    pub erasure: Erasure,
    /// When the log recorded the erasure.
    pub time: String,
    /// The event that says so.
    pub record: Place,
    /// The log with that event in it.
    pub log: SignedRoot,
    pub readable: [&'static str; 4],
    pub out_of_reach: [&'static str; 5],
}

/// Where an event is.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Place {
    pub topic: &'static str,
    pub position: u64,
}

/// The data of the event that records an erasure; its subject is the one that was erased.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erasure {
    pub topic: String,
    pub topic_id: uuid::Uuid,
    pub key_store: uuid::Uuid,
    /// Of the key that is destroyed.
    pub generation: u32,
    /// Events of the subject at that time.
    pub events: u64,
}

impl Node {
    /// Erases subjects of an erasable topic, for good, also from what projections keep. A subject
    /// with nothing left to erase has the certificate of the last time.
    pub async fn erase(
        self: &Arc<Node>,
        topic: &str,
        subjects: Vec<String>,
    ) -> Result<Vec<Certificate>> {
        if subjects.is_empty() {
            return Err(Error::invalid(
                "no subject is named: name what is to be erased",
            ));
        }
        let topic = self.topic(topic)?.config.name.clone();
        // One after the other: what one erasure drops must not be built anew with what the next
        // has recorded and not destroyed yet.
        let _one = self.erasures.lock().await;
        let node = self.clone();
        let (topic, subjects) = blocking(move || {
            let record = |keys: &[ErasedKey]| {
                let events = keys.iter().map(|key| node.erasure_event(&topic, key));
                Ok(Append::new().events(ERASURES, events.collect::<Result<Vec<_>>>()?))
            };
            node.log.erase(&topic, &subjects, record)?;
            Ok((topic, subjects))
        })
        .await?;
        self.forget_erased().await?;
        self.forget_columns().await?;
        let node = self.clone();
        blocking(move || {
            let log = &node.log;
            let id = log.topic(&topic)?.uuid;
            let (leaves, root) = log.root()?;
            let signed = node.sign_root(leaves, &root);
            let certified = |subject: &String| certificate(log, id, subject, &signed);
            subjects.iter().map(certified).collect()
        })
        .await
    }

    fn erasure_event(&self, topic: &str, key: &ErasedKey) -> Result<NewEvent> {
        let last = self.log.revision(topic, &key.subject)?;
        let erasure = Erasure {
            topic: topic.to_owned(),
            topic_id: key.topic,
            key_store: self.log.key_store().unwrap_or_default(),
            generation: key.generation,
            events: last.map_or(0, |last| last.get() + 1),
        };
        let json = serde_json::to_string(&erasure)
            .map_err(|error| Error::invalid(format!("the erasure can't be recorded: {error}")))?;
        Ok(NewEvent {
            id: self.new_id().to_string(),
            source: "/foretell/erasures".to_owned(),
            event_type: ERASED.to_owned(),
            subject: Some(key.subject.clone()),
            data: Data::Json(json),
            ..NewEvent::default()
        })
    }
}

fn certificate(
    log: &EventLog,
    topic: uuid::Uuid,
    subject: &str,
    signed: &SignedRoot,
) -> Result<Certificate> {
    let options = ReadOptions {
        backward: true,
        ..ReadOptions::stream(subject)
    };
    let mut reader = log.read(ERASURES, options)?;
    while let Some(event) = reader.next_recorded()? {
        let erasure = erasure_of(&event)?;
        if erasure.topic_id == topic {
            return Ok(Certificate {
                subject: subject.to_owned(),
                erasure,
                time: Timestamp::from_instant(event.recorded_time).to_string(),
                record: Place {
                    topic: ERASURES,
                    position: event.position.get(),
                },
                log: signed.clone(),
                readable: READABLE,
                out_of_reach: OUT_OF_REACH,
            });
        }
    }
    let message = format!("no event of {ERASURES} says that {subject:?} was erased");
    Err(Error::new(ErrorKind::Damaged, message))
}

fn erasure_of(event: &RecordedEvent) -> Result<Erasure> {
    let text = match &event.data {
        Data::Json(text) => text,
        _ => "null",
    };
    serde_json::from_str(text).map_err(|error| {
        let position = event.position;
        let message = format!("position {position} of {ERASURES} is malformed: {error}");
        Error::new(ErrorKind::Damaged, message)
    })
}

/// The topic that an event of the erasures is about, and the key that it says is destroyed.
pub(super) fn erased_by(event: RecordedEvent) -> Result<(String, ErasedKey)> {
    let erasure = erasure_of(&event)?;
    let key = ErasedKey {
        topic: erasure.topic_id,
        subject: event.event.subject.unwrap_or_default(),
        generation: erasure.generation,
    };
    Ok((erasure.topic, key))
}

/// Destroys the keys of everything that the log says is erased: the process may have died before
/// it had, or an older copy of the key store been brought back.
pub(super) fn finish_erasures(log: &EventLog) -> Result<()> {
    let mut keys = Vec::new();
    let mut reader = log.read(ERASURES, ReadOptions::default())?;
    while let Some(event) = reader.next_recorded()? {
        keys.push(erased_by(event)?.1);
    }
    destroy(log, &keys)
}

/// Destroys keys that an event of the erasures names, unless they are destroyed.
pub(super) fn destroy(log: &EventLog, keys: &[ErasedKey]) -> Result<()> {
    match log.key_store() {
        // Without a key store nothing of the log can be read that was ever encrypted.
        None => Ok(()),
        Some(_) => log.destroy_keys(keys),
    }
}
