use std::sync::{Arc, OnceLock};

use foretell_types::limits::{COMMIT_EVENTS, CONDITIONS, REGISTER_BYTES};
use foretell_types::{
    AppendCondition, Error, ErrorKind, ExpectedRevision, NewEvent, Position, Result, Revision,
    TopicName, validate,
};

use crate::bugs::{self, Bug};
use crate::codec::{FRAME_HEADER, SealedData, data_parts, encode_event, encode_register};
use crate::erasure::Context;
use crate::hashes::{self, Digest};
use crate::index::{IdentityKeys, content_of, content_of_filled, identity_key};
use crate::log::Shared;

/// An atomic batch: events of any topics, registers, new and deleted topics, under conditions.
/// All of it becomes durable and visible, or none.
#[derive(Clone, Debug, Default)]
pub struct Append {
    pub(crate) entries: Vec<Entry>,
    pub(crate) conditions: Vec<(String, AppendCondition)>,
    pub(crate) expectations: Vec<(String, String, ExpectedRevision)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Event {
        topic: Arc<str>,
        event: NewEvent,
    },
    Register {
        key: String,
        value: Option<Vec<u8>>,
    },
    CreateTopic {
        name: TopicName,
        uuid: uuid::Uuid,
        reuse_ids: bool,
        erasable: bool,
    },
    DeleteTopic {
        name: String,
    },
}

impl Entry {
    pub fn is_topic(&self) -> bool {
        matches!(self, Entry::CreateTopic { .. } | Entry::DeleteTopic { .. })
    }

    /// About the size of its frame.
    fn size(&self) -> usize {
        match self {
            Entry::Event { event, .. } => {
                let subject = event.subject.as_ref().map_or(0, String::len);
                let texts = event.id.len() + event.source.len() + event.event_type.len();
                128 + 64 * event.extensions.len() + texts + subject + event.data.len()
            }
            Entry::Register { key, value } => 64 + key.len() + value.as_ref().map_or(0, Vec::len),
            Entry::CreateTopic { .. } | Entry::DeleteTopic { .. } => 0,
        }
    }
}

impl Append {
    pub fn new() -> Append {
        Append::default()
    }

    /// Adds events to a topic, in this order.
    #[must_use]
    pub fn events(mut self, topic: &str, events: impl IntoIterator<Item = NewEvent>) -> Append {
        let topic: Arc<str> = topic.into();
        self.entries
            .extend(events.into_iter().map(|event| Entry::Event {
                topic: topic.clone(),
                event,
            }));
        self
    }

    /// Sets a register (the last write wins), or removes it.
    #[must_use]
    pub fn register(mut self, key: impl Into<String>, value: Option<Vec<u8>>) -> Append {
        self.entries.push(Entry::Register {
            key: key.into(),
            value,
        });
        self
    }

    /// Makes a topic. Its events can be in the same commit, behind this.
    #[must_use]
    pub fn create_topic(mut self, name: TopicName, uuid: uuid::Uuid, reuse_ids: bool) -> Append {
        self.entries.push(Entry::CreateTopic {
            name,
            uuid,
            reuse_ids,
            erasable: false,
        });
        self
    }

    /// Makes a topic whose events' data is encrypted under keys of their subjects, see
    /// [`EventLog::erase`]. Every event of it needs a subject.
    ///
    /// [`EventLog::erase`]: crate::EventLog::erase
    #[must_use]
    pub fn create_erasable_topic(mut self, name: TopicName, uuid: uuid::Uuid) -> Append {
        self.entries.push(Entry::CreateTopic {
            name,
            uuid,
            reuse_ids: false,
            erasable: true,
        });
        self
    }

    pub(crate) fn makes_erasable_topic(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| matches!(entry, Entry::CreateTopic { erasable: true, .. }))
    }

    /// If this append makes the topic: its identity, if it is erasable.
    fn made(&self, topic: &str) -> Option<Option<uuid::Uuid>> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::CreateTopic {
                name,
                uuid,
                erasable,
                ..
            } if name.as_str() == topic => Some(erasable.then_some(*uuid)),
            _ => None,
        })
    }

    /// Deletes a topic for good; its name can be used again.
    #[must_use]
    pub fn delete_topic(mut self, name: &str) -> Append {
        self.entries.push(Entry::DeleteTopic {
            name: name.to_owned(),
        });
        self
    }

    /// The append fails unless the stream is at this revision.
    #[must_use]
    pub fn expect(mut self, topic: &str, subject: &str, revision: ExpectedRevision) -> Append {
        self.expectations
            .push((topic.to_owned(), subject.to_owned(), revision));
        self
    }

    /// The append fails if the condition on the topic does; it need not be a topic written to.
    #[must_use]
    pub fn condition(mut self, topic: &str, condition: AppendCondition) -> Append {
        self.conditions.push((topic.to_owned(), condition));
        self
    }

    pub(crate) fn is_conditional(&self) -> bool {
        !self.conditions.is_empty() || !self.expectations.is_empty()
    }

    fn check(&self) -> Result<()> {
        if self.entries.is_empty() {
            return Err(Error::invalid("the append is empty"));
        }
        if self.entries.len() > COMMIT_EVENTS {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the commit has {} events: at most {COMMIT_EVENTS} are allowed",
                    self.entries.len()
                ),
            ));
        }
        if self.conditions.len() + self.expectations.len() > CONDITIONS {
            return Err(Error::invalid(format!(
                "at most {CONDITIONS} conditions are allowed"
            )));
        }
        self.conditions
            .iter()
            .try_for_each(|(_, condition)| condition.fail_if_events_match.check())
    }
}

/// An append whose frames are encoded, but for what only the writer knows.
pub(crate) struct Encoded {
    pub append: Append,
    pub bytes: Vec<u8>,
    /// For each entry: where its frame ends in `bytes`, and the identity of an event.
    pub frames: Vec<EncodedFrame>,
    /// Whether two of its events may have the same identity.
    pub twins: bool,
    digests: OnceLock<Vec<Digest>>,
}

pub(crate) struct EncodedFrame {
    pub end: usize,
    pub key: u128,
    /// What stands for the content of an event with a time that the server filled in.
    filled: Option<u128>,
    /// The topic and the generation of the key that the data is encrypted under.
    pub sealed: Option<(uuid::Uuid, u32)>,
}

impl Encoded {
    /// Validates, encrypts and encodes, on the caller's thread.
    pub fn new(append: Append, shared: &Shared) -> Result<Encoded> {
        append.check()?;
        // Most logs have no erasable topics.
        let may_be_erasable = shared.has_keys();
        let mut last: Option<(&Arc<str>, Option<uuid::Uuid>)> = None;
        let mut bytes = Vec::with_capacity(append.entries.iter().map(Entry::size).sum());
        let mut frames = Vec::with_capacity(append.entries.len());
        for entry in &append.entries {
            let (mut filled, mut sealed) = (None, None);
            match entry {
                Entry::Event { topic, event } => {
                    validate(event)?;
                    if may_be_erasable {
                        let keys = match last {
                            Some((of, keys)) if Arc::ptr_eq(of, topic) => keys,
                            // Not that of a topic of this name which is there still.
                            _ => append
                                .made(topic)
                                .filter(|made| made.is_some() || !bugs::on(Bug::KeysOfFormerTopic))
                                .unwrap_or_else(|| shared.erasable_topic(topic)),
                        };
                        last = Some((topic, keys));
                        sealed = keys
                            .map(|keys| seal(shared, keys, topic, event))
                            .transpose()?;
                    }
                    let data = sealed.as_ref().map(|(_, generation, bytes)| SealedData {
                        generation: *generation,
                        form: data_parts(&event.data).0,
                        bytes,
                    });
                    encode_event(&mut bytes, event, data);
                    filled = (event.time_filled).then(|| content_of_filled(event, data));
                }
                Entry::Register { key, value } => {
                    check_register(key, value.as_deref())?;
                    encode_register(&mut bytes, key, value.as_deref());
                }
                // The writer encodes these: they depend on the topics there are.
                Entry::CreateTopic { .. } | Entry::DeleteTopic { .. } => {}
            }
            frames.push(EncodedFrame {
                end: bytes.len(),
                key: 0,
                filled,
                sealed: sealed.map(|(topic, generation, _)| (topic, generation)),
            });
        }
        identify(&append.entries, &mut frames, shared.seed);
        let (taken, most) = (bytes.len(), shared.commit_bytes);
        if taken > most {
            let message = format!("the commit takes {taken} bytes: at most {most} are allowed");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let twins = may_have_twins(&frames);
        Ok(Encoded {
            append,
            bytes,
            frames,
            twins,
            digests: OnceLock::new(),
        })
    }

    /// What the bodies of its frames hash to: nothing yet for those that the writer encodes. Who
    /// asks first computes it.
    pub fn digests(&self) -> &[Digest] {
        self.digests.get_or_init(|| {
            let mut begin = 0;
            let bodies = self.frames.iter().map(|frame| {
                let frame = std::mem::replace(&mut begin, frame.end)..frame.end;
                self.bytes[frame].get(FRAME_HEADER..).unwrap_or(&[])
            });
            hashes::of_texts(&bodies.collect::<Vec<_>>())
        })
    }

    /// The digest of a frame, if someone has asked for it.
    pub fn digest(&self, frame: usize) -> Option<Digest> {
        self.digests.get().map(|digests| digests[frame])
    }

    /// What is equal for events of equal content.
    pub fn content(&self, frame: usize) -> u128 {
        let filled = self.frames[frame].filled;
        filled.unwrap_or_else(|| content_of(&self.digests()[frame]))
    }

    /// Whether the writer has a query to answer for it, which may take a while.
    pub fn asks(&self) -> bool {
        !self.append.conditions.is_empty()
    }

    /// Reads what the writer needs first, and does nothing else. Another processor has written it:
    /// so the writer waits for that of many appends at once.
    pub fn bring_near(&self) {
        const LINE: usize = 64;
        const MOST: usize = 8 * LINE;
        let first = |text: &str| text.as_bytes().first().copied().unwrap_or(0);
        let bytes = self.bytes.iter().take(MOST).step_by(LINE);
        let mut read = bytes.fold(0, |all, byte| all ^ byte);
        if let Some(Entry::Event { topic, event }) = self.append.entries.first() {
            read ^= first(topic) ^ first(&event.event_type);
            read ^= event.subject.as_deref().map_or(0, first);
        }
        if let Some((topic, subject, _)) = self.append.expectations.first() {
            read ^= first(topic) ^ first(subject);
        }
        read ^= self.frames.first().map_or(0, |frame| frame.key as u8);
        std::hint::black_box(read);
    }
}

/// Puts the identities of events.
fn identify(entries: &[Entry], frames: &mut [EncodedFrame], seed: u64) {
    if let ([Entry::Event { event, .. }], [frame]) = (entries, &mut *frames) {
        frame.key = identity_key(&event.source, &event.id, seed);
        return;
    }
    let mut keys = IdentityKeys::default();
    for entry in entries {
        if let Entry::Event { event, .. } = entry {
            keys.add(&event.source, &event.id);
        }
    }
    let mut keys = keys.of_seed(seed);
    for (frame, entry) in frames.iter_mut().zip(entries) {
        if matches!(entry, Entry::Event { .. }) {
            frame.key = keys.next().unwrap_or_default();
        }
    }
}

/// Whether any two keys may be the same. What isn't an event has key 0.
fn may_have_twins(frames: &[EncodedFrame]) -> bool {
    if frames.len() < 2 {
        return false;
    }
    // A part of each key, at a place that another part of it gives, or the next free one.
    let mut seen = vec![0u32; (frames.len() * 2).next_power_of_two()];
    let last = seen.len() - 1;
    frames.iter().filter(|frame| frame.key != 0).any(|frame| {
        let (part, mut at) = (frame.key as u32 | 1, (frame.key >> 32) as usize & last);
        while seen[at] != 0 && seen[at] != part {
            at = (at + 1) & last;
        }
        std::mem::replace(&mut seen[at], part) == part
    })
}

/// Encrypts the data of an event under the key that its subject has now.
fn seal(
    shared: &Shared,
    keys: uuid::Uuid,
    topic: &str,
    event: &NewEvent,
) -> Result<(uuid::Uuid, u32, Vec<u8>)> {
    let Some(subject) = event.subject.as_deref() else {
        return Err(Error::invalid(format!(
            "topic {topic:?} is erasable: an event of it needs a subject, whose key its data is encrypted under"
        )));
    };
    let (form, data) = data_parts(&event.data);
    let context = Context {
        topic: keys,
        id: &event.id,
        source: &event.source,
        subject,
        form,
    };
    let key = shared.keys()?.current(keys, subject)?;
    let sealed = key
        .seal(&context, data)
        .ok_or_else(|| Error::new(ErrorKind::TooLarge, "the data is too large to be encrypted"))?;
    Ok((keys, key.generation, sealed))
}

fn check_register(key: &str, value: Option<&[u8]>) -> Result<()> {
    if key.is_empty() || key.len() > 1_024 || value.is_some_and(|v| v.len() > REGISTER_BYTES) {
        let bytes = value.map_or(0, <[u8]>::len);
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "register {key:?} with {bytes} bytes is beyond the limits (1,024 for the key, {REGISTER_BYTES} for the value)"
            ),
        ));
    }
    Ok(())
}

/// What became of an append. It is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// For each event, in the order of the append.
    pub events: Vec<AppendedEvent>,
}

/// Where an event is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppendedEvent {
    pub position: Position,
    /// `None` for an event without a subject.
    pub revision: Option<Revision>,
    /// It was there already, with the same source, id and content: this is its first place.
    pub duplicate: bool,
}
