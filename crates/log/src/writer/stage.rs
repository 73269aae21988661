use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use foretell_types::limits::TOPICS;
use foretell_types::{AppendCondition, Error, ErrorKind, NewEvent, Position, Result, Revision};
use hashbrown::{HashMap, hash_map};

use crate::append::{Append, Appended, AppendedEvent, Encoded, Entry};
use crate::bugs::{self, Bug};
use crate::codec::{FRAME_HEADER, TopicFlags, close_frame, encode_topic, fill_frame};
use crate::hashes::{self, Digest};
use crate::index::{Facts, Index, Topic};
use crate::journal::Group;
use crate::log::Shared;
use crate::lookup::KnownEvent;
use crate::merkle::leaves_of;
use crate::sealed::Key;

/// At least what the frame of a topic takes: its header, UUID, flags, name.
const TOPIC_FRAME_BYTES: usize = 256;

/// What the group being built adds to the index; checks see both.
pub(super) struct Stage<'a> {
    shared: Arc<Shared>,
    /// The group is one append.
    alone: bool,
    pub recorded: i64,
    topics: Topics<'a>,
    created: usize,
    /// The frames of the group, in their order.
    pub placed: Vec<Placed<'a>>,
}

/// A frame of the group.
pub(super) struct Placed<'a> {
    /// Where it begins in the group's body.
    pub at: usize,
    /// Of its body, if who appended has computed it.
    pub digest: Option<Digest>,
    /// `None` if it is no event.
    pub event: Option<Facts<'a>>,
}

/// The topics that the group touches, by name.
#[derive(Default)]
struct Topics<'a> {
    all: Vec<StagedTopic<'a>>,
    by_name: HashMap<&'a str, usize>,
    /// Most events are of the topic of the one before them.
    last: Option<(&'a str, usize)>,
}

impl<'a> Topics<'a> {
    fn get(&mut self, name: &'a str) -> Option<&mut StagedTopic<'a>> {
        let found = match self.last {
            Some((last, number)) if last == name => number,
            _ => *self.by_name.get(name)?,
        };
        self.last = Some((name, found));
        self.all.get_mut(found)
    }

    /// In place of an earlier one of this name.
    fn insert(&mut self, name: &'a str, topic: StagedTopic<'a>) {
        self.by_name.insert(name, self.all.len());
        self.all.push(topic);
        self.last = None;
    }
}

/// Of what is a hash already.
#[derive(Clone, Copy, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 ^= u64::from(number);
    }

    fn write_u128(&mut self, number: u128) {
        self.0 ^= number as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A topic that the group touches.
struct StagedTopic<'a> {
    id: u32,
    reuse_ids: bool,
    /// Of an erasable topic: what its keys derive from.
    keys: Option<uuid::Uuid>,
    deleted: bool,
    /// Made in this group: the index doesn't know it.
    fresh: bool,
    head: u64,
    /// Whether the group holds events of it.
    written: bool,
    /// The streams that were asked for or written to, and where they are by their subjects.
    streams: Vec<StagedStream>,
    by_subject: HashMap<&'a str, u32>,
    identities: HashMap<u128, StagedEvent<'a>, BuildHasherDefault<Hashed>>,
}

/// An event of the group that may come again in it.
#[derive(Clone, Copy)]
struct StagedEvent<'a> {
    position: u64,
    revision: Option<u64>,
    /// The append that it is of, and its frame there.
    encoded: &'a Encoded,
    frame: usize,
}

impl StagedEvent<'_> {
    fn known(&self) -> KnownEvent {
        KnownEvent {
            position: self.position,
            revision: self.revision,
            content: self.encoded.content(self.frame),
        }
    }
}

/// The id of a topic, and where a stream of it is among those that were asked for.
type FoundStream = (u32, u32);

/// A stream that was asked for or written to.
#[derive(Clone, Copy)]
struct StagedStream {
    key: Key,
    /// Its last revision.
    last: Option<u64>,
}

impl<'a> Stage<'a> {
    /// Of a group of so many appends.
    pub fn new(shared: Arc<Shared>, recorded: i64, appends: usize) -> Stage<'a> {
        Stage {
            shared,
            alone: appends == 1,
            recorded,
            topics: Topics::default(),
            created: 0,
            placed: Vec::new(),
        }
    }

    /// The ids of the topics with new events.
    pub fn topics(&self) -> impl Iterator<Item = u32> {
        let written = self.topics.all.iter().filter(|topic| topic.written);
        written.map(|topic| topic.id)
    }

    /// Checks an append and adds it to the group, wholly or not at all.
    pub fn add(
        &mut self,
        index: &Index,
        encoded: &'a Encoded,
        group: &mut Group,
    ) -> Result<Appended> {
        let (append, most) = (&encoded.append, self.shared.largest_group);
        let of_topics = append
            .entries
            .iter()
            .filter(|entry| entry.is_topic())
            .count();
        let bytes = encoded.bytes.len() + of_topics * TOPIC_FRAME_BYTES;
        if bytes > most {
            let message = format!("the commit takes {bytes} bytes: the journal takes {most}");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if group.body().len() + bytes > most {
            return Err(Error::new(
                ErrorKind::Busy,
                "too much was appended at once: try again",
            ));
        }
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
        let mut streams = Vec::new();
        if !(has_events && all_known) || bugs::on(Bug::ConditionBeforeIdentity) {
            if append.is_conditional() && known.iter().any(Option::is_some) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "some events of this conditional append are there already and others are not",
                ));
            }
            self.check_conditions(index, append)?;
            streams = self.look_up_streams(index, append)?;
        }
        self.put_all(index, (encoded, &streams), known, group)
    }

    /// Puts the frames of an append that was checked.
    fn put_all(
        &mut self,
        index: &Index,
        (encoded, streams): (&'a Encoded, &[Option<FoundStream>]),
        known: Vec<Option<AppendedEvent>>,
        group: &mut Group,
    ) -> Result<Appended> {
        let before = group.meta.frames;
        let entries = &encoded.append.entries;
        let mut events = Vec::with_capacity(entries.len());
        self.placed.reserve(entries.len());
        let may_come_again = encoded.twins || !self.alone;
        if may_come_again && let Some(Entry::Event { topic, .. }) = entries.first() {
            let topic = self.topic(index, topic)?;
            topic.identities.reserve(entries.len());
        }
        let mut start = 0;
        let frames = encoded.frames.iter().enumerate();
        for ((entry, (number, frame)), known) in entries.iter().zip(frames).zip(known) {
            let digest = encoded.digest(number);
            let bytes = &encoded.bytes[start..frame.end];
            start = frame.end;
            match (entry, known) {
                (Entry::Event { .. }, Some(known)) => events.push(known),
                (Entry::Event { topic, event }, None) => {
                    let topic = self.topic(index, topic)?;
                    if encoded.twins
                        && let Some(twin) = topic.identities.get(&frame.key)
                        && twin.encoded.content(twin.frame) == encoded.content(number)
                    {
                        // The same event twice in one append.
                        events.push(appended(twin.position, twin.revision, true)?);
                        continue;
                    }
                    let stream = match (streams.get(number), event.subject.as_deref()) {
                        (Some(Some((of, stream))), _) if *of == topic.id => Some(*stream),
                        // Of a topic that this append has made.
                        (_, Some(subject)) => Some(topic.stream(index, subject)?),
                        (_, None) => None,
                    };
                    let (staged, stream) = topic.stage(stream, (encoded, number));
                    if may_come_again {
                        topic.identities.insert(frame.key, staged);
                    }
                    events.push(appended(staged.position, staged.revision, false)?);
                    if bugs::on(Bug::RegisterWithoutItsEvent)
                        && entries.iter().any(|e| matches!(e, Entry::Register { .. }))
                    {
                        continue;
                    }
                    let facts = Facts {
                        topic: topic.id,
                        position: staged.position,
                        revision: staged.revision,
                        event_type: &event.event_type,
                        subject: event.subject.as_deref(),
                        stream,
                        tags: event.tags(),
                        identity: frame.key as u64,
                    };
                    self.put(group, before, bytes, digest, Ok(facts));
                }
                (Entry::Register { .. }, _) => {
                    self.put(group, before, bytes, digest, Err(0));
                }
                (
                    Entry::CreateTopic {
                        name,
                        uuid,
                        reuse_ids,
                        erasable,
                    },
                    _,
                ) => {
                    let keys = erasable.then_some(*uuid);
                    let id = self.create(index, name.as_str(), *reuse_ids, keys);
                    let flags = TopicFlags {
                        reuse_ids: *reuse_ids,
                        erasable: *erasable,
                        deleted: false,
                    };
                    let mut bytes = Vec::new();
                    encode_topic(&mut bytes, *uuid, flags, name.as_str());
                    self.put(group, before, &bytes, None, Err(id));
                }
                (Entry::DeleteTopic { name }, _) => {
                    let topic = self.topic(index, name)?;
                    topic.deleted = true;
                    let id = topic.id;
                    let mut bytes = Vec::new();
                    let flags = TopicFlags {
                        deleted: true,
                        ..TopicFlags::default()
                    };
                    encode_topic(&mut bytes, uuid::Uuid::nil(), flags, name);
                    self.put(group, before, &bytes, None, Err(id));
                }
            }
        }
        if group.meta.frames > before {
            self.close(group, true);
            group.meta.commits += 1;
        }
        Ok(Appended { events })
    }

    /// Appends a frame to the group: an event, or another of a topic. The frame before it, if it
    /// is of the same commit (which began with frame `first`), isn't its last.
    fn put(
        &mut self,
        group: &mut Group,
        first: u32,
        bytes: &[u8],
        digest: Option<Digest>,
        what: std::result::Result<Facts<'a>, u32>,
    ) {
        if group.meta.frames > first {
            self.close(group, false);
        }
        let at = group.body().len();
        let buffer = group.buffer();
        let from = buffer.len();
        buffer.extend_from_slice(bytes);
        let (topic, position, revision) = match &what {
            Ok(event) => (event.topic, event.position, event.revision),
            Err(topic) => (*topic, 0, None),
        };
        fill_frame(
            &mut buffer[from..],
            topic,
            position,
            revision,
            self.recorded,
        );
        group.meta.frames += 1;
        self.placed.push(Placed {
            at,
            digest,
            event: what.ok(),
        });
    }

    /// The leaves of the group's frames, which these bytes are.
    pub fn leaves(&self, body: &[u8]) -> Vec<Digest> {
        let ends = self.placed.iter().skip(1).map(|placed| placed.at);
        let ends = ends.chain([body.len()]);
        let unhashed = self.placed.iter().zip(ends);
        let unhashed = unhashed.filter(|(placed, _)| placed.digest.is_none());
        let texts = unhashed.map(|(placed, end)| &body[placed.at + FRAME_HEADER..end]);
        let mut digests = hashes::of_texts(&texts.collect::<Vec<_>>()).into_iter();
        leaves_of(self.placed.iter().map(|placed| {
            let header = body[placed.at..].first_chunk();
            let digest = placed.digest.or_else(|| digests.next());
            (
                header.unwrap_or(&[0; FRAME_HEADER]),
                digest.unwrap_or_default(),
            )
        }))
    }

    /// Closes the last frame of the group.
    fn close(&self, group: &mut Group, last_of_commit: bool) {
        if let Some(placed) = self.placed.last() {
            close_frame(&mut group.body_mut()[placed.at..], last_of_commit);
        }
    }

    fn topic(&mut self, index: &Index, name: &'a str) -> Result<&mut StagedTopic<'a>> {
        if self.topics.get(name).is_none() {
            let (id, topic) = index.catalog.topic(name)?;
            self.topics.insert(name, StagedTopic::of(id, topic));
        }
        match self.topics.get(name) {
            Some(topic) if !topic.deleted => Ok(topic),
            _ => Err(Error::not_found(format!("there is no topic {name:?}"))),
        }
    }

    fn create(
        &mut self,
        index: &Index,
        name: &'a str,
        reuse_ids: bool,
        keys: Option<uuid::Uuid>,
    ) -> u32 {
        let id = (index.catalog.topics.len() + self.created) as u32;
        self.created += 1;
        self.topics.insert(
            name,
            StagedTopic {
                id,
                reuse_ids,
                keys,
                deleted: false,
                fresh: true,
                head: 0,
                written: false,
                streams: Vec::new(),
                by_subject: HashMap::new(),
                identities: HashMap::default(),
            },
        );
        id
    }

    /// Every topic named exists, or is made earlier in the append; none is made twice.
    fn check_topics(&mut self, index: &Index, append: &'a Append) -> Result<()> {
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

    /// To find an identity is a read of memory far away: has those of many begin at once.
    pub fn bring_near(&mut self, index: &Index, encoded: &'a Encoded) {
        if let Some(Entry::Event { topic, .. }) = encoded.append.entries.first()
            && let Ok(topic) = self.topic(index, topic)
        {
            // Most appends are of one topic.
            let keys = encoded.frames.iter().map(|frame| frame.key as u64);
            index.bring_near(topic.id, keys);
        }
    }

    /// For each entry: the first place of an event that is known already.
    fn check_identity(
        &mut self,
        index: &Index,
        encoded: &'a Encoded,
    ) -> Result<Vec<Option<AppendedEvent>>> {
        let mut within = HashMap::<_, _, BuildHasherDefault<Hashed>>::default();
        let mut made: Vec<Arc<str>> = Vec::new();
        let mut known = Vec::with_capacity(encoded.frames.len());
        let shared = self.shared.clone();
        let frames = encoded.frames.iter().enumerate();
        for (entry, (number, frame)) in encoded.append.entries.iter().zip(frames) {
            let content = || encoded.content(number);
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
            let topic = self.topics.get(name).filter(|topic| !topic.deleted);
            let Some(topic) = topic else {
                // Made earlier in this append: only its own events can conflict.
                let made_at = made
                    .iter()
                    .position(|made| made == name)
                    .unwrap_or(made.len());
                if made_at == made.len() {
                    made.push(name.clone());
                }
                let before = within.insert((!(made_at as u32), frame.key), content());
                if before.is_some_and(|before| before != content())
                    && !reuses_ids(&encoded.append, name)
                {
                    return Err(conflict());
                }
                known.push(None);
                continue;
            };
            topic.check_key(&shared, frame.sealed, event)?;
            let staged = topic.identities.get(&frame.key);
            let found = match staged.filter(|_| !bugs::on(Bug::TwinsInGroupUnseen)) {
                Some(staged) => Some(staged.known()),
                None if topic.is_in_index() => {
                    let found = index.identities[topic.id as usize].find(frame.key as u64);
                    shared.known_at(index, topic.id, found, event)?
                }
                None => None,
            };
            match found {
                Some(found) if found.content == content() => {
                    known.push(Some(appended(found.position, found.revision, true)?));
                    continue;
                }
                Some(_) if !topic.reuse_ids => return Err(conflict()),
                _ => known.push(None),
            }
            if encoded.twins
                && !topic.reuse_ids
                && within
                    .insert((topic.id, frame.key), content())
                    .is_some_and(|before| before != content())
            {
                return Err(conflict());
            }
        }
        Ok(known)
    }

    /// Makes the last revisions of all streams that are written to known, so that nothing can
    /// fail once the first frame is in the group. For each entry: its stream, of a topic that is there.
    fn look_up_streams(
        &mut self,
        index: &Index,
        append: &'a Append,
    ) -> Result<Vec<Option<FoundStream>>> {
        if let Some(Entry::Event { topic, .. }) = append.entries.first()
            && let Some(topic) = self.topics.get(topic)
        {
            // Most appends are of one topic.
            topic.streams.reserve(append.entries.len());
            topic.by_subject.reserve(append.entries.len());
        }
        let find = |entry: &'a Entry| {
            let Entry::Event { topic, event } = entry else {
                return Ok(None);
            };
            let (Some(subject), Some(topic)) = (event.subject.as_deref(), self.topics.get(topic))
            else {
                return Ok(None);
            };
            Ok(Some((topic.id, topic.stream(index, subject)?)))
        };
        append.entries.iter().map(find).collect()
    }

    /// The last event after the condition's position that its query matches, durable or staged.
    fn last_match(
        &mut self,
        index: &Index,
        name: &'a str,
        condition: &AppendCondition,
    ) -> Result<Option<u64>> {
        let Some(topic) = self.topics.get(name) else {
            return Ok(None);
        };
        let after = Position::as_count(condition.after);
        let query = &condition.fail_if_events_match;
        let mut events = self
            .placed
            .iter()
            .rev()
            .filter_map(|placed| placed.event.as_ref());
        let staged = events.find(|event| {
            event.topic == topic.id
                && event.position > after
                && query.matches_parts(event.event_type, event.subject, event.tags)
        });
        match staged.filter(|_| !bugs::on(Bug::ConditionIgnoresGroup)) {
            Some(staged) => Ok(Some(staged.position)),
            None if topic.fresh => Ok(None),
            None => self
                .shared
                .last_match(index, (topic.id, name), query, after),
        }
    }

    fn check_conditions(&mut self, index: &Index, append: &'a Append) -> Result<()> {
        let failed = |message| Err(Error::new(ErrorKind::ConditionFailed, message));
        for (name, subject, expected) in &append.expectations {
            let topic = self.topic(index, name)?;
            let last = match bugs::on(Bug::RevisionIgnoresGroup) && !topic.fresh {
                true => index.last_revision(topic.id, subject)?,
                false => topic.last_revision(index, subject)?,
            };
            if !expected.holds(last.map(Revision::new)) {
                let last = last.map_or("no events".to_owned(), |r| format!("revision {r}"));
                return failed(format!(
                    "stream {subject:?} of topic {name:?} is at {last}, not at {expected}"
                ));
            }
        }
        for (name, condition) in &append.conditions {
            let after = Position::as_count(condition.after);
            self.topic(index, name)?;
            if let Some(position) = self.last_match(index, name, condition)? {
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

/// What became of an event.
fn appended(position: u64, revision: Option<u64>, duplicate: bool) -> Result<AppendedEvent> {
    let position = Position::new(position)
        .ok_or_else(|| Error::unavailable("a staged event has no position"))?;
    Ok(AppendedEvent {
        position,
        revision: revision.map(Revision::new),
        duplicate,
    })
}

impl<'a> StagedTopic<'a> {
    fn of(id: u32, topic: &Topic) -> StagedTopic<'a> {
        StagedTopic {
            id,
            reuse_ids: topic.reuse_ids,
            keys: topic.erasable.then_some(topic.uuid),
            deleted: topic.deleted,
            fresh: false,
            head: topic.head,
            written: false,
            streams: Vec::new(),
            by_subject: HashMap::new(),
            identities: HashMap::default(),
        }
    }

    fn is_in_index(&self) -> bool {
        !self.fresh && !self.deleted
    }

    /// An event is encrypted under the key that its subject has now, or not at all. The topic may
    /// have been made anew, or the subject erased, after the event was encrypted.
    fn check_key(
        &self,
        shared: &Shared,
        sealed: Option<(uuid::Uuid, u32)>,
        event: &NewEvent,
    ) -> Result<()> {
        let holds = match (sealed, self.keys, &event.subject) {
            (None, None, _) => true,
            // Who encoded it had no keys: are there any?
            (None, Some(_), _) => shared.keys().map(|_| false)?,
            (Some((topic, generation)), Some(keys), Some(subject)) => {
                topic == keys && shared.keys()?.takes(topic, subject, generation)?
            }
            _ => false,
        };
        if holds {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Busy,
            "the topic was made, or the subject erased, while the event was on its way: send it again",
        ))
    }

    fn last_revision(&mut self, index: &Index, subject: &'a str) -> Result<Option<u64>> {
        let stream = self.stream(index, subject)?;
        Ok(self.streams[stream as usize].last)
    }

    /// Where a stream is.
    fn stream(&mut self, index: &Index, subject: &'a str) -> Result<u32> {
        let new = match self.by_subject.entry(subject) {
            hash_map::Entry::Occupied(known) => return Ok(*known.get()),
            hash_map::Entry::Vacant(new) => new,
        };
        let key = index.stream(self.id, subject);
        let last = match self.fresh {
            true => None,
            false => index.last_revision_of(self.id, subject, &key)?,
        };
        let stream = self.streams.len() as u32;
        self.streams.push(StagedStream { key, last });
        Ok(*new.insert(stream))
    }

    /// Takes in an event of a stream, if it has one. Whoever may see it come again in the group notes
    /// its identity. Also gives the key of the stream.
    fn stage(
        &mut self,
        stream: Option<u32>,
        (encoded, frame): (&'a Encoded, usize),
    ) -> (StagedEvent<'a>, Key) {
        self.head += 1;
        self.written = true;
        let stream = stream.map(|stream| {
            let stream = &mut self.streams[stream as usize];
            stream.last = Some(stream.last.map_or(0, |last| last + 1));
            *stream
        });
        let staged = StagedEvent {
            position: self.head,
            revision: stream.and_then(|stream| stream.last),
            encoded,
            frame,
        };
        (
            staged,
            stream.map_or_else(Key::default, |stream| stream.key),
        )
    }
}
