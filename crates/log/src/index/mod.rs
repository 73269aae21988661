//! What the log knows of what is durable, and, behind the heads of the topics, of what the disk is
//! at. Readers share it; only the writer and the sealer change it. What isn't sealed yet is indexed
//! in memory, a segment at a time; what is sealed, in runs.

mod catalog;
mod identity;
mod recent;
mod revisions;

use std::sync::Arc;

use foretell_types::Result;

pub(crate) use catalog::{Catalog, Topic};
pub(crate) use identity::{
    Identity, IdentityKeys, content_of, content_of_filled, content_of_recorded, identity_key,
};
pub(crate) use recent::{Facts, Recent, RecentTopic};
use revisions::LastRevisions;

use crate::bugs::{self, Bug};
use crate::codec::{EventRef, Frame, FrameKind};
use crate::journal::Place;
use crate::sealed::{Key, Named, Sealed, key};

pub(crate) struct Index {
    pub catalog: Catalog,
    /// By the ids of the topics.
    pub identities: Vec<Identity>,
    /// Of the segments that aren't sealed, the oldest first.
    pub recent: Vec<Recent>,
    pub sealed: Arc<Sealed>,
    revisions: LastRevisions,
    /// Seeds the hashes of keys and identities: nobody outside can make them collide.
    pub seed: u64,
}

impl Index {
    /// `revision_bytes` bounds the memory for streams' last revisions.
    pub fn new(seed: u64, revision_bytes: u64) -> Index {
        Index {
            catalog: Catalog::default(),
            identities: Vec::new(),
            recent: Vec::new(),
            sealed: Arc::default(),
            revisions: LastRevisions::new(revision_bytes),
            seed,
        }
    }

    /// Takes in an event, in a segment of the journal. Until the catalog knows of it too nobody sees
    /// it: it lies behind the head of its topic.
    pub fn event(&mut self, event: &Facts<'_>, place: Place, segment: u64) -> Result<()> {
        self.know_topics(event.topic as usize + 1);
        self.identities[event.topic as usize].push(event.identity);
        if let Some(revision) = event.revision {
            self.revisions.put(&event.stream, revision);
        }
        if self
            .recent
            .last()
            .is_none_or(|last| last.segment != segment)
        {
            self.recent.push(Recent::new(segment));
        }
        let Some((last, older)) = self.recent.split_last_mut() else {
            return Ok(());
        };
        last.push(event, place, older.last())
    }

    /// Takes in a frame that is durable, in a segment of the journal.
    pub fn frame(&mut self, frame: &Frame<'_>, place: Place, segment: u64) -> Result<()> {
        match frame.kind {
            FrameKind::Event => {
                self.catalog.recorded = self.catalog.recorded.max(frame.recorded);
                let event = EventRef::read(frame)?;
                let subject = event.subject.unwrap_or("");
                let facts = Facts {
                    stream: self.stream(frame.topic, subject),
                    topic: frame.topic,
                    position: frame.position,
                    revision: frame.revision,
                    event_type: event.event_type,
                    subject: event.subject,
                    tags: event.tags(),
                    identity: identity_key(event.source, event.id, self.seed) as u64,
                };
                self.catalog
                    .event(facts.topic, facts.position, facts.revision)?;
                self.event(&facts, place, segment)
            }
            FrameKind::Register | FrameKind::Topic => self.no_event(frame),
        }
    }

    /// Takes in a frame that is no event, and durable.
    pub fn no_event(&mut self, frame: &Frame<'_>) -> Result<()> {
        self.catalog.apply(frame)?;
        self.know_topics(self.catalog.topics.len());
        if frame.kind == FrameKind::Topic
            && let Some(topic) = self.catalog.topics.get(frame.topic as usize)
            && topic.deleted
        {
            // Frees its memory: nobody can ask for it any more.
            self.identities[frame.topic as usize] = Identity::new(topic.head + 1);
        }
        Ok(())
    }

    /// Reads where identities of a topic's events are looked for, or put, and does nothing else.
    pub fn bring_near(&self, topic: u32, identities: impl Iterator<Item = u64>) {
        if let Some(known) = self.identities.get(topic as usize) {
            known.bring_near(identities);
        }
    }

    /// Of a topic that is new, the first event is at position 1.
    fn know_topics(&mut self, count: usize) {
        if self.identities.len() < count {
            self.identities.resize_with(count, || Identity::new(1));
        }
    }

    /// The part of the index in memory that holds a position of a topic.
    pub fn recent_of(&self, topic: u32, position: u64) -> Option<&RecentTopic> {
        let parts = self
            .recent
            .iter()
            .rev()
            .filter_map(|recent| recent.topic(topic));
        parts
            .take_while(|part| part.last() >= position)
            .find(|part| part.first <= position)
    }

    /// The key of a stream.
    pub fn stream(&self, topic: u32, subject: &str) -> Key {
        key(Named::Subject, topic, subject, self.seed)
    }

    /// The last revision of a stream that everyone may see; what is sealed may have to be read for
    /// it.
    pub fn last_revision(&self, topic: u32, subject: &str) -> Result<Option<u64>> {
        // A group that the disk is still at lies in the last segment.
        let head = self.catalog.topics[topic as usize].head;
        let last = self.recent.last().and_then(|recent| recent.topic(topic));
        match last.and_then(|part| part.revision_behind(subject, head)) {
            Some(revision) => Ok(revision.checked_sub(1)),
            None => self.last_revision_of(topic, subject, &self.stream(topic, subject)),
        }
    }

    /// The last revision of a stream whose key is known, whether everyone may see it or not.
    pub fn last_revision_of(&self, topic: u32, subject: &str, stream: &Key) -> Result<Option<u64>> {
        if let Some(known) = self.revisions.find(stream) {
            return Ok(Some(known));
        }
        let topics = &self.catalog.topics;
        let topic = match bugs::on(Bug::OldRevisionsUnderNewName) {
            true => topics
                .iter()
                .position(|t| t.name == topics[topic as usize].name),
            false => None,
        }
        .map_or(topic, |old| old as u32);
        for recent in self.recent.iter().rev() {
            let found = recent
                .topic(topic)
                .and_then(|part| part.last_revision(subject));
            if found.is_some() {
                return Ok(found);
            }
        }
        let stale = usize::from(bugs::on(Bug::RevisionOfStaleRun));
        for run in self.sealed.runs.iter().rev().skip(stale) {
            if run.covered(topic).is_some()
                && let Some(entry) = run.find(stream)?
            {
                return Ok(Some(entry.extra));
            }
        }
        Ok(None)
    }
}
