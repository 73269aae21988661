//! What the log knows of what is durable. Readers share it; only the writer and the sealer change
//! it. What isn't sealed yet is indexed in memory, a segment at a time; what is sealed, in runs.

mod catalog;
mod identity;
mod recent;

use std::sync::Arc;

use foretell_types::Result;

pub(crate) use catalog::{Catalog, Topic};
pub(crate) use identity::{
    Identity, IdentityKeys, content_of, content_of_filled, content_of_recorded, identity_key,
};
pub(crate) use recent::{Facts, Recent, RecentTopic};

use crate::bugs::{self, Bug};
use crate::codec::{EventRef, Frame, FrameKind};
use crate::journal::Place;
use crate::sealed::{Named, Sealed, key};

pub(crate) struct Index {
    pub catalog: Catalog,
    /// By the ids of the topics.
    pub identities: Vec<Identity>,
    /// Of the segments that aren't sealed, the oldest first.
    pub recent: Vec<Recent>,
    pub sealed: Arc<Sealed>,
    /// Seeds the hashes of keys and identities: nobody outside can make them collide.
    pub seed: u64,
}

impl Index {
    pub fn new(seed: u64) -> Index {
        Index {
            catalog: Catalog::default(),
            identities: Vec::new(),
            recent: Vec::new(),
            sealed: Arc::default(),
            seed,
        }
    }

    /// Takes in an event that is durable, in a segment of the journal.
    pub fn event(&mut self, event: &Facts<'_>, place: Place, segment: u64) -> Result<()> {
        self.catalog
            .event(event.topic, event.position, event.revision)?;
        self.identities[event.topic as usize].push(event.identity);
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
                let facts = Facts {
                    topic: frame.topic,
                    position: frame.position,
                    revision: frame.revision,
                    event_type: event.event_type,
                    subject: event.subject,
                    tags: event.tags(),
                    identity: identity_key(event.source, event.id, self.seed) as u64,
                };
                self.event(&facts, place, segment)
            }
            FrameKind::Register => self.catalog.apply(frame),
            FrameKind::Topic => {
                self.catalog.apply(frame)?;
                let made = self.identities.len()..self.catalog.topics.len();
                self.identities.extend(made.map(|_| Identity::new(1)));
                if let Some(topic) = self.catalog.topics.get(frame.topic as usize)
                    && topic.deleted
                {
                    // Frees its memory: nobody can ask for it any more.
                    self.identities[frame.topic as usize] = Identity::new(topic.head + 1);
                }
                Ok(())
            }
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

    /// The last revision of a stream; what is sealed may have to be read for it.
    pub fn last_revision(&self, topic: u32, subject: &str) -> Result<Option<u64>> {
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
        if self.sealed.runs.is_empty() {
            return Ok(None);
        }
        let key = key(Named::Subject, topic, subject, self.seed);
        let stale = usize::from(bugs::on(Bug::RevisionOfStaleRun));
        for run in self.sealed.runs.iter().rev().skip(stale) {
            if run.covered(topic).is_some()
                && let Some(entry) = run.find(&key)?
            {
                return Ok(Some(entry.extra));
            }
        }
        Ok(None)
    }
}
