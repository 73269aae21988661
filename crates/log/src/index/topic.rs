use foretell_types::{Error, ErrorKind, Position, Query, QueryItem, Result, Revision};
use hashbrown::HashMap;

use super::identity::{Identity, identity_key, recorded_content_hash};
use crate::codec::{EventRef, Frame};
use crate::journal::Place;

type Postings = HashMap<Box<str>, Vec<u64>>;

/// A topic's durable events: where they lie, and their positions by subject, type and tag.
pub(crate) struct TopicIndex {
    pub id: u32,
    pub name: Box<str>,
    pub uuid: uuid::Uuid,
    pub reuse_ids: bool,
    pub deleted: bool,
    /// Nanoseconds since the epoch.
    pub created: i64,
    places: Vec<Place>,
    streams: Postings,
    types: Postings,
    tags: Postings,
    pub identity: Identity,
}

impl TopicIndex {
    pub fn new(id: u32, name: &str, uuid: uuid::Uuid, reuse_ids: bool, created: i64) -> TopicIndex {
        TopicIndex {
            id,
            name: name.into(),
            uuid,
            reuse_ids,
            deleted: false,
            created,
            places: Vec::new(),
            streams: Postings::new(),
            types: Postings::new(),
            tags: Postings::new(),
            identity: Identity::new(),
        }
    }

    /// Position of the last event; 0 if there is none.
    pub fn head(&self) -> u64 {
        self.places.len() as u64
    }

    pub fn place(&self, position: Position) -> Option<Place> {
        self.places.get(position.get() as usize - 1).copied()
    }

    pub fn places(&self, from: u64, to: u64) -> &[Place] {
        &self.places[from as usize - 1..to as usize]
    }

    pub fn stream(&self, subject: &str) -> &[u64] {
        self.streams.get(subject).map_or(&[], Vec::as_slice)
    }

    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    pub fn last_revision(&self, subject: &str) -> Option<Revision> {
        (self.stream(subject).len() as u64)
            .checked_sub(1)
            .map(Revision::new)
    }

    pub fn revision_at(&self, subject: Option<&str>, position: u64) -> Option<Revision> {
        let found = self.stream(subject?).binary_search(&position).ok()?;
        Some(Revision::new(found as u64))
    }

    pub fn push(
        &mut self,
        event: &EventRef<'_>,
        frame: &Frame<'_>,
        place: Place,
        seed: u64,
    ) -> Result<()> {
        let position = event.position.get();
        if position != self.head() + 1 {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "topic {:?} has position {position} where {} must follow",
                    self.name,
                    self.head() + 1
                ),
            ));
        }
        let expected = event
            .subject
            .map(|subject| Revision::after(self.last_revision(subject)));
        if expected != event.revision {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "position {position} of topic {:?} has a wrong revision",
                    self.name
                ),
            ));
        }
        self.places.push(place);
        if let Some(subject) = event.subject {
            post(&mut self.streams, subject, position);
        }
        post(&mut self.types, event.event_type, position);
        for tag in event.tags().split(' ').filter(|tag| !tag.is_empty()) {
            post(&mut self.tags, tag, position);
        }
        let key = identity_key(event.source, event.id, seed);
        self.identity
            .push(key, recorded_content_hash(event, frame.body, seed));
        Ok(())
    }

    pub fn delete(&mut self) {
        let (id, uuid, created) = (self.id, self.uuid, self.created);
        let name = std::mem::take(&mut self.name);
        *self = TopicIndex::new(id, &name, uuid, self.reuse_ids, created);
        self.deleted = true;
    }

    /// Positions after `after` and up to `until` that alone can match the query, in ascending
    /// order; `None` if that is no smaller than all of them.
    pub fn candidates(&self, query: &Query, after: u64, until: u64) -> Option<Vec<u64>> {
        if query.is_all() {
            return None;
        }
        let most = until.saturating_sub(after) / 4 + 16;
        let mut all = Vec::new();
        for item in &query.items {
            for list in self.shortest(item)? {
                let from = list.partition_point(|position| *position <= after);
                let to = list
                    .partition_point(|position| *position <= until)
                    .max(from);
                if (all.len() + to - from) as u64 > most {
                    return None;
                }
                all.extend_from_slice(&list[from..to]);
            }
        }
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    /// The lists of one criterion of an item, of which every match is in one. A prefix goes
    /// first: whether a position's subject has it, the other lists can't tell.
    fn shortest(&self, item: &QueryItem) -> Option<Vec<&[u64]>> {
        if let Some(prefix) = &item.subject_prefix {
            let with_prefix = self
                .streams
                .iter()
                .filter(|(key, _)| key.starts_with(&**prefix));
            return Some(with_prefix.map(|(_, list)| list.as_slice()).collect());
        }
        let subjects = (!item.subjects.is_empty()).then(|| lists(&self.streams, &item.subjects));
        let types = (!item.types.is_empty()).then(|| lists(&self.types, &item.types));
        let tags = item
            .tags
            .iter()
            .map(|tag| lists(&self.tags, std::slice::from_ref(tag)));
        let size = |lists: &Vec<&[u64]>| lists.iter().map(|list| list.len()).sum::<usize>();
        subjects
            .into_iter()
            .chain(types)
            .chain(tags)
            .min_by_key(size)
    }

    /// Whether the event at a position matches an item, but for its prefix, from the index alone.
    fn matches(&self, item: &QueryItem, position: u64) -> bool {
        let holds = |postings: &Postings, key: &str| {
            postings
                .get(key)
                .is_some_and(|list| list.binary_search(&position).is_ok())
        };
        (item.types.is_empty() || item.types.iter().any(|key| holds(&self.types, key)))
            && (item.subjects.is_empty()
                || item.subjects.iter().any(|key| holds(&self.streams, key)))
            && item.tags.iter().all(|key| holds(&self.tags, key))
    }

    /// The last event after a position that matches the query, without any I/O.
    pub fn last_match(&self, query: &Query, after: u64) -> Option<u64> {
        if query.is_all() {
            return Some(self.head()).filter(|head| *head > after);
        }
        query
            .items
            .iter()
            .filter_map(|item| match self.shortest(item) {
                Some(lists) => lists
                    .into_iter()
                    .filter_map(|list| {
                        list.iter()
                            .rev()
                            .take_while(|position| **position > after)
                            .find(|position| self.matches(item, **position))
                            .copied()
                    })
                    .max(),
                None => (after + 1..=self.head())
                    .rev()
                    .find(|p| self.matches(item, *p)),
            })
            .max()
    }
}

fn lists<'a>(postings: &'a Postings, keys: &[String]) -> Vec<&'a [u64]> {
    keys.iter()
        .filter_map(|key| postings.get(&**key))
        .map(Vec::as_slice)
        .collect()
}

fn post(postings: &mut Postings, key: &str, position: u64) {
    match postings.get_mut(key) {
        Some(list) => list.push(position),
        None => {
            postings.insert(key.into(), vec![position]);
        }
    }
}
