use std::sync::Arc;

use foretell_types::limits::{GROUP_BYTES, TOPICS};
use foretell_types::{AppendCondition, Error, ErrorKind, NewEvent, Position, Result, Revision};
use hashbrown::HashMap;

use crate::append::{Append, Appended, AppendedEvent, Encoded, Entry};
use crate::codec::{encode_topic, finish_frame};
use crate::index::{Index, Topic};
use crate::journal::Group;
use crate::log::Shared;

/// What the group being built adds to the index; checks see both.
pub(super) struct Stage {
    shared: Arc<Shared>,
    recorded: i64,
    topics: HashMap<Box<str>, StagedTopic>,
    created: usize,
}

/// A topic that the group touches.
struct StagedTopic {
    id: u32,
    reuse_ids: bool,
    deleted: bool,
    /// Made in this group: the index doesn't know it.
    fresh: bool,
    head: u64,
    /// The last revisions of streams that were asked for or written to.
    revisions: HashMap<Box<str>, Option<u64>>,
    identities: HashMap<u128, StagedIdentity>,
    events: Vec<StagedEvent>,
}

#[derive(Clone, Copy)]
struct StagedIdentity {
    position: u64,
    revision: Option<u64>,
    content: u64,
}

struct StagedEvent {
    position: u64,
    event_type: Box<str>,
    subject: Option<Box<str>>,
    tags: Box<str>,
}

impl Stage {
    pub fn new(shared: Arc<Shared>, recorded: i64) -> Stage {
        Stage {
            shared,
            recorded,
            topics: HashMap::new(),
            created: 0,
        }
    }

    /// The ids of the topics with new events.
    pub fn topics(&self) -> impl Iterator<Item = u32> {
        self.topics
            .values()
            .filter(|topic| !topic.events.is_empty())
            .map(|topic| topic.id)
    }

    /// Checks an append and adds it to the group, wholly or not at all.
    pub fn add(&mut self, index: &Index, encoded: &Encoded, group: &mut Group) -> Result<Appended> {
        let before = (group.body().len(), group.meta.frames);
        if before.0 + encoded.bytes.len() > GROUP_BYTES {
            return Err(Error::new(
                ErrorKind::Busy,
                "too much was appended at once: try again",
            ));
        }
        let append = &encoded.append;
        self.check_topics(index, append)?;
        let known = self.check_identity(index, encoded)?;
        let all_known = append
            .entries
            .iter()
            .zip(&known)
            .all(|(entry, known)| !matches!(entry, Entry::Event { .. }) || known.is_some());
        let has_events = append
            .entries
            .iter()
            .any(|e| matches!(e, Entry::Event { .. }));
        if !(has_events && all_known) {
            if append.is_conditional() && known.iter().any(Option::is_some) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "some events of this conditional append are there already and others are not",
                ));
            }
            self.check_conditions(index, append)?;
            self.look_up_streams(index, append)?;
        }
        let mut events = Vec::with_capacity(append.entries.len());
        let mut start = 0;
        for ((entry, frame), known) in append.entries.iter().zip(&encoded.frames).zip(known) {
            let bytes = &encoded.bytes[start..frame.end];
            start = frame.end;
            match (entry, known) {
                (Entry::Event { .. }, Some(known)) => events.push(known),
                (Entry::Event { topic, event }, None) => {
                    let topic = self.topic(index, topic)?;
                    match topic.identities.get(&frame.key) {
                        // The same event twice in one append.
                        Some(twin) if twin.content == frame.content => {
                            events.push(twin.appended(true)?);
                            continue;
                        }
                        _ => {}
                    }
                    let staged = topic.stage(event, frame.key, frame.content);
                    events.push(staged.appended(false)?);
                    let id = topic.id;
                    self.put(group, bytes, id, staged.position, staged.revision);
                }
                (Entry::Register { .. }, _) => self.put(group, bytes, 0, 0, None),
                (
                    Entry::CreateTopic {
                        name,
                        uuid,
                        reuse_ids,
                    },
                    _,
                ) => {
                    let id = self.create(index, name.as_str(), *reuse_ids);
                    let mut bytes = Vec::new();
                    encode_topic(&mut bytes, *uuid, false, *reuse_ids, name.as_str());
                    self.put(group, &bytes, id, 0, None);
                }
                (Entry::DeleteTopic { name }, _) => {
                    let topic = self.topic(index, name)?;
                    topic.deleted = true;
                    let id = topic.id;
                    let mut bytes = Vec::new();
                    encode_topic(&mut bytes, uuid::Uuid::nil(), true, false, name);
                    self.put(group, &bytes, id, 0, None);
                }
            }
        }
        if group.meta.frames > before.1 {
            mark_last(group, self.recorded);
            group.meta.commits += 1;
        }
        Ok(Appended { events })
    }

    /// Appends a frame to the group, its header filled in.
    fn put(
        &self,
        group: &mut Group,
        bytes: &[u8],
        topic: u32,
        position: u64,
        revision: Option<u64>,
    ) {
        let buffer = group.buffer();
        let at = buffer.len();
        buffer.extend_from_slice(bytes);
        finish_frame(
            &mut buffer[at..],
            false,
            topic,
            position,
            revision,
            self.recorded,
        );
        group.last_frame = at;
        group.meta.frames += 1;
    }

    fn topic(&mut self, index: &Index, name: &str) -> Result<&mut StagedTopic> {
        if !self.topics.contains_key(name) {
            let (id, topic) = index.catalog.topic(name)?;
            self.topics.insert(name.into(), StagedTopic::of(id, topic));
        }
        match self.topics.get_mut(name) {
            Some(topic) if !topic.deleted => Ok(topic),
            _ => Err(Error::not_found(format!("there is no topic {name:?}"))),
        }
    }

    fn create(&mut self, index: &Index, name: &str, reuse_ids: bool) -> u32 {
        let id = (index.catalog.topics.len() + self.created) as u32;
        self.created += 1;
        self.topics.insert(
            name.into(),
            StagedTopic {
                id,
                reuse_ids,
                deleted: false,
                fresh: true,
                head: 0,
                revisions: HashMap::new(),
                identities: HashMap::new(),
                events: Vec::new(),
            },
        );
        id
    }

    /// Every topic named exists, or is made earlier in the append; none is made twice.
    fn check_topics(&mut self, index: &Index, append: &Append) -> Result<()> {
        let mut made: Vec<&str> = Vec::new();
        let mut gone: Vec<&str> = Vec::new();
        for entry in &append.entries {
            match entry {
                Entry::Event { topic, .. } => {
                    if !made.contains(&&**topic) {
                        self.topic(index, topic)?;
                    }
                    if gone.contains(&&**topic) {
                        return Err(Error::not_found(format!("there is no topic {topic:?}")));
                    }
                }
                Entry::CreateTopic { name, .. } => {
                    if made.contains(&name.as_str()) || self.topic(index, name.as_str()).is_ok() {
                        return Err(Error::new(
                            ErrorKind::Conflict,
                            format!("there is a topic {name:?} already"),
                        ));
                    }
                    made.push(name.as_str());
                    if index.catalog.topics.len() + self.created + made.len() > TOPICS {
                        return Err(Error::invalid(format!(
                            "at most {TOPICS} topics are allowed"
                        )));
                    }
                }
                Entry::DeleteTopic { name } => {
                    self.topic(index, name)?;
                    if gone.contains(&name.as_str()) {
                        return Err(Error::not_found(format!("there is no topic {name:?}")));
                    }
                    gone.push(name);
                }
                Entry::Register { .. } => {}
            }
        }
        for topic in append.conditions.iter().map(|(topic, _)| topic) {
            self.topic(index, topic)?;
        }
        append
            .expectations
            .iter()
            .try_for_each(|(topic, ..)| self.topic(index, topic).map(|_| ()))
    }

    /// For each entry: the first place of an event that is known already.
    fn check_identity(
        &mut self,
        index: &Index,
        encoded: &Encoded,
    ) -> Result<Vec<Option<AppendedEvent>>> {
        let mut within: HashMap<(&str, u128), u64> = HashMap::new();
        let single = encoded.append.entries.len() == 1;
        let mut known = Vec::with_capacity(encoded.frames.len());
        for (entry, frame) in encoded.append.entries.iter().zip(&encoded.frames) {
            let Entry::Event { topic: name, event } = entry else {
                known.push(None);
                continue;
            };
            let conflict = || {
                Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "an event with id {:?} and source {:?} is there already, with other content",
                        event.id, event.source
                    ),
                )
            };
            let shared = self.shared.clone();
            let Some(topic) = self.topics.get(&**name).filter(|topic| !topic.deleted) else {
                // Made earlier in this append: only its own events can conflict.
                let before = within.insert((name, frame.key), frame.content);
                if before.is_some_and(|c| c != frame.content) && !reuses_ids(&encoded.append, name)
                {
                    return Err(conflict());
                }
                known.push(None);
                continue;
            };
            let found = topic.find(index, &shared, frame.key, event)?;
            match found {
                Some(found) if found.content == frame.content => {
                    known.push(Some(found.appended(true)?));
                    continue;
                }
                Some(_) if !topic.reuse_ids => return Err(conflict()),
                _ => known.push(None),
            }
            if !single
                && !topic.reuse_ids
                && within
                    .insert((name, frame.key), frame.content)
                    .is_some_and(|c| c != frame.content)
            {
                return Err(conflict());
            }
        }
        Ok(known)
    }

    /// Makes the last revisions of all streams that are written to known, so that nothing can
    /// fail once the first frame is in the group.
    fn look_up_streams(&mut self, index: &Index, append: &Append) -> Result<()> {
        for entry in &append.entries {
            let Entry::Event { topic, event } = entry else {
                continue;
            };
            if let Some(subject) = event.subject.as_deref()
                && let Some(topic) = self.topics.get_mut(&**topic)
            {
                topic.last_revision(index, subject)?;
            }
        }
        Ok(())
    }

    fn check_conditions(&mut self, index: &Index, append: &Append) -> Result<()> {
        let failed = |message| Err(Error::new(ErrorKind::ConditionFailed, message));
        for (name, subject, expected) in &append.expectations {
            let last = self.topic(index, name)?.last_revision(index, subject)?;
            if !expected.holds(last.map(Revision::new)) {
                let last = last.map_or("no events".to_owned(), |r| format!("revision {r}"));
                return failed(format!(
                    "stream {subject:?} of topic {name:?} is at {last}, not at {expected}"
                ));
            }
        }
        for (name, condition) in &append.conditions {
            let after = Position::as_count(condition.after);
            let shared = self.shared.clone();
            let topic = self.topic(index, name)?;
            if let Some(position) = topic.last_match(index, &shared, name, condition)? {
                return failed(format!(
                    "position {position} of topic {name:?} matches the condition's query and lies after {after}"
                ));
            }
        }
        Ok(())
    }
}

/// Whether a topic that the append makes takes a known id with other content.
fn reuses_ids(append: &Append, topic: &str) -> bool {
    append.entries.iter().any(|entry| {
        matches!(entry, Entry::CreateTopic { name, reuse_ids: true, .. } if name.as_str() == topic)
    })
}

/// Marks the last frame of the group as the last of its commit.
fn mark_last(group: &mut Group, recorded: i64) {
    let at = group.last_frame;
    let buffer = group.buffer();
    let frame = &buffer[at..];
    let u32_at =
        |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let (topic, position, revision) = (u32_at(12), u64_at(16), u64_at(24));
    let revision = Some(revision).filter(|revision| *revision != u64::MAX);
    finish_frame(&mut buffer[at..], true, topic, position, revision, recorded);
}

impl StagedIdentity {
    fn appended(&self, duplicate: bool) -> Result<AppendedEvent> {
        let position = Position::new(self.position)
            .ok_or_else(|| Error::unavailable("a staged event has no position"))?;
        Ok(AppendedEvent {
            position,
            revision: self.revision.map(Revision::new),
            duplicate,
        })
    }
}

impl StagedTopic {
    fn of(id: u32, topic: &Topic) -> StagedTopic {
        StagedTopic {
            id,
            reuse_ids: topic.reuse_ids,
            deleted: topic.deleted,
            fresh: false,
            head: topic.head,
            revisions: HashMap::new(),
            identities: HashMap::new(),
            events: Vec::new(),
        }
    }

    fn find(
        &self,
        index: &Index,
        shared: &Arc<Shared>,
        key: u128,
        event: &NewEvent,
    ) -> Result<Option<StagedIdentity>> {
        if let Some(staged) = self.identities.get(&key) {
            return Ok(Some(*staged));
        }
        if self.fresh {
            return Ok(None);
        }
        let known = shared.find_identity(index, self.id, key, event)?;
        Ok(known.map(|(recorded, content)| StagedIdentity {
            position: recorded.position.get(),
            revision: recorded.revision.map(Revision::get),
            content,
        }))
    }

    fn last_revision(&mut self, index: &Index, subject: &str) -> Result<Option<u64>> {
        if let Some(known) = self.revisions.get(subject) {
            return Ok(*known);
        }
        let found = match self.fresh {
            true => None,
            false => index.last_revision(self.id, subject)?,
        };
        self.revisions.insert(subject.into(), found);
        Ok(found)
    }

    fn last_match(
        &self,
        index: &Index,
        shared: &Arc<Shared>,
        name: &str,
        condition: &AppendCondition,
    ) -> Result<Option<u64>> {
        let after = Position::as_count(condition.after);
        let query = &condition.fail_if_events_match;
        let staged = self.events.iter().rev().find(|event| {
            event.position > after
                && query.matches_parts(&event.event_type, event.subject.as_deref(), &event.tags)
        });
        match staged {
            Some(staged) => Ok(Some(staged.position)),
            None if self.fresh => Ok(None),
            None => shared.last_match(index, (self.id, name), query, after),
        }
    }

    /// Takes in an event whose stream's last revision is known.
    fn stage(&mut self, event: &NewEvent, key: u128, content: u64) -> StagedIdentity {
        self.head += 1;
        let revision = event.subject.as_deref().map(|subject| {
            let last = match self.revisions.get_mut(subject) {
                Some(last) => last,
                None => self.revisions.entry(subject.into()).insert(None).into_mut(),
            };
            let next = last.map_or(0, |last| last + 1);
            *last = Some(next);
            next
        });
        let staged = StagedIdentity {
            position: self.head,
            revision,
            content,
        };
        self.identities.insert(key, staged);
        self.events.push(StagedEvent {
            position: self.head,
            event_type: event.event_type.as_str().into(),
            subject: event.subject.as_deref().map(Into::into),
            tags: event.tags().into(),
        });
        staged
    }
}
