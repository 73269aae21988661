//! The index of one segment of the journal that isn't sealed yet, in memory.

use foretell_types::{Error, ErrorKind, Query, QueryItem, Result};
use hashbrown::HashMap;

use crate::journal::Place;
use crate::sealed::Key;

/// A posting list is preferred to a scan if it holds at most one of so many positions.
const SELECTIVE: u64 = 4;
const NONE: u32 = u32::MAX;

/// The events of one segment, by topic.
#[derive(Default)]
pub(crate) struct Recent {
    /// The number of the segment.
    pub segment: u64,
    topics: HashMap<u32, RecentTopic>,
}

impl Recent {
    pub fn new(segment: u64) -> Recent {
        Recent {
            segment,
            ..Recent::default()
        }
    }

    pub fn topic(&self, id: u32) -> Option<&RecentTopic> {
        self.topics.get(&id)
    }

    /// Takes in an event, which follows the last of its topic. For a topic that is new here there
    /// is room as the segment before needed it: grown step by step, each step is new memory.
    pub fn push(&mut self, event: &Facts<'_>, place: Place, before: Option<&Recent>) -> Result<()> {
        self.topics
            .entry(event.topic)
            .or_insert_with(|| {
                let before = before.and_then(|before| before.topic(event.topic));
                RecentTopic::new(event.position, before)
            })
            .push(event, place)
    }
}

/// What the index takes of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub topic: u32,
    pub position: u64,
    pub revision: Option<u64>,
    pub event_type: &'a str,
    pub subject: Option<&'a str>,
    /// Separated by single spaces.
    pub tags: &'a str,
    /// The key of its stream; any, if it has no subject.
    pub stream: Key,
    /// Of source and id.
    pub identity: u64,
}

/// A topic's events in the segment. They are numbered from 0 here; position `first + n` is event
/// `n`.
pub(crate) struct RecentTopic {
    pub first: u64,
    places: Vec<Place>,
    /// For each event: its stream, and the event before it there.
    stream_of: Vec<(u32, u32)>,
    type_of: Vec<u32>,
    streams: HashMap<Box<str>, u32>,
    ends: Vec<StreamEnd>,
    types: HashMap<Box<str>, u32>,
    of_type: Vec<Vec<u32>>,
    /// How many events of a type are expected.
    room_of_type: HashMap<Box<str>, usize>,
    tags: HashMap<Box<str>, Vec<u32>>,
}

struct StreamEnd {
    last: u32,
    count: u32,
    revision: u64,
}

impl RecentTopic {
    fn new(first: u64, before: Option<&RecentTopic>) -> RecentTopic {
        let room = |of: fn(&RecentTopic) -> usize| before.map_or(0, |before| of(before) * 9 / 8);
        let events = room(|before| before.places.len());
        let streams = room(|before| before.ends.len());
        RecentTopic {
            first,
            places: Vec::with_capacity(events),
            stream_of: Vec::with_capacity(events),
            type_of: Vec::with_capacity(events),
            streams: HashMap::with_capacity(streams),
            ends: Vec::with_capacity(streams),
            types: HashMap::new(),
            of_type: Vec::new(),
            room_of_type: before.map_or_else(HashMap::new, RecentTopic::counts),
            tags: HashMap::new(),
        }
    }

    /// How many events of each type there are.
    fn counts(&self) -> HashMap<Box<str>, usize> {
        let counts = self.types.iter();
        counts
            .map(|(name, at)| (name.clone(), self.of_type[*at as usize].len()))
            .collect()
    }

    pub fn last(&self) -> u64 {
        self.first + self.places.len() as u64 - 1
    }

    pub fn places(&self, from: u64, until: u64) -> &[Place] {
        &self.places[(from - self.first) as usize..=(until - self.first) as usize]
    }

    pub fn place(&self, position: u64) -> Option<Place> {
        let at = position.checked_sub(self.first)?;
        self.places.get(at as usize).copied()
    }

    pub fn last_revision(&self, subject: &str) -> Option<u64> {
        let stream = self.streams.get(subject)?;
        Some(self.ends[*stream as usize].revision)
    }

    /// The revision of a stream's first event behind a position, if there is one.
    pub fn revision_behind(&self, subject: &str, position: u64) -> Option<u64> {
        if self.last() <= position {
            return None;
        }
        let stream = *self.streams.get(subject)?;
        let behind = |number: &u32| self.first + u64::from(*number) > position;
        let count = self.stream(stream).take_while(behind).count() as u64;
        let last = self.ends[stream as usize].revision;
        (count > 0).then(|| last + 1 - count)
    }

    fn push(&mut self, event: &Facts<'_>, place: Place) -> Result<()> {
        let number = self.places.len() as u32;
        let stream = match (event.subject, event.revision) {
            (Some(subject), Some(revision)) => self.push_stream(subject, revision, number)?,
            (None, None) => (NONE, NONE),
            _ => return Err(wrong_revision(event)),
        };
        self.stream_of.push(stream);
        let of_type = match self.types.get(event.event_type) {
            Some(found) => *found,
            None => {
                let new = self.of_type.len() as u32;
                self.types.insert(event.event_type.into(), new);
                let room = self.room_of_type.get(event.event_type);
                let room = room.map_or(0, |count| count * 9 / 8);
                self.of_type.push(Vec::with_capacity(room));
                new
            }
        };
        self.type_of.push(of_type);
        self.of_type[of_type as usize].push(number);
        for tag in event.tags.split(' ').filter(|tag| !tag.is_empty()) {
            match self.tags.get_mut(tag) {
                Some(list) if list.last() == Some(&number) => {}
                Some(list) => list.push(number),
                None => {
                    self.tags.insert(tag.into(), vec![number]);
                }
            }
        }
        self.places.push(place);
        Ok(())
    }

    fn push_stream(&mut self, subject: &str, revision: u64, number: u32) -> Result<(u32, u32)> {
        if let Some(stream) = self.streams.get(subject) {
            let end = &mut self.ends[*stream as usize];
            if revision != end.revision + 1 {
                let message = format!(
                    "an event of stream {subject:?} has revision {revision} where {} must follow",
                    end.revision + 1
                );
                return Err(Error::new(ErrorKind::Damaged, message));
            }
            let before = std::mem::replace(&mut end.last, number);
            end.count += 1;
            end.revision = revision;
            return Ok((*stream, before));
        }
        let stream = self.ends.len() as u32;
        self.streams.insert(subject.into(), stream);
        self.ends.push(StreamEnd {
            last: number,
            count: 1,
            revision,
        });
        Ok((stream, NONE))
    }

    /// The events of a stream, the last first.
    fn stream(&self, stream: u32) -> impl Iterator<Item = u32> + '_ {
        let last = self.ends[stream as usize].last;
        std::iter::successors(Some(last), |number| {
            Some(self.stream_of[*number as usize].1).filter(|before| *before != NONE)
        })
    }

    /// Positions from one to another, both inclusive, that alone can match the query, in ascending
    /// order; `None` if that is no smaller than all of them.
    pub fn candidates(&self, query: &Query, from: u64, until: u64) -> Option<Vec<u64>> {
        if query.is_all() {
            return None;
        }
        let most = (until - from) / SELECTIVE + 16;
        let mut all = Vec::new();
        for item in &query.items {
            let choice = self.cheapest(item)?;
            if choice.size(self) > most {
                return None;
            }
            choice.numbers(self, &mut all);
        }
        let mut positions: Vec<u64> = all.iter().map(|n| self.first + u64::from(*n)).collect();
        positions.retain(|position| (from..=until).contains(position));
        positions.sort_unstable();
        positions.dedup();
        Some(positions)
    }

    /// The cheapest criterion of an item, of which every match is one. A prefix goes first: whether
    /// an event's subject has it, the others can't tell.
    fn cheapest<'a>(&'a self, item: &QueryItem) -> Option<Choice<'a>> {
        if let Some(prefix) = &item.subject_prefix {
            let with_prefix = self
                .streams
                .iter()
                .filter(|(key, _)| key.starts_with(&**prefix));
            return Some(Choice::Streams(
                with_prefix.map(|(_, stream)| *stream).collect(),
            ));
        }
        let subjects = (!item.subjects.is_empty()).then(|| Choice::Streams(self.streams_of(item)));
        let types = (!item.types.is_empty()).then(|| {
            let of_type = self.types_of(item).into_iter();
            Choice::Lists(of_type.map(|t| &self.of_type[t as usize][..]).collect())
        });
        let tags = item.tags.iter().map(|tag| {
            let list = self.tags.get(&**tag).map(Vec::as_slice);
            Choice::Lists(list.into_iter().collect())
        });
        let choices = subjects.into_iter().chain(types).chain(tags);
        choices.min_by_key(|choice| choice.size(self))
    }

    fn streams_of(&self, item: &QueryItem) -> Vec<u32> {
        let found = item.subjects.iter().filter_map(|s| self.streams.get(&**s));
        found.copied().collect()
    }

    fn types_of(&self, item: &QueryItem) -> Vec<u32> {
        let found = item.types.iter().filter_map(|t| self.types.get(&**t));
        found.copied().collect()
    }

    /// The last event at or after a position that matches the item, without any I/O.
    pub fn last_match(&self, item: &QueryItem, from: u64) -> Option<u64> {
        let streams = (!item.subjects.is_empty()).then(|| self.streams_of(item));
        let types = (!item.types.is_empty()).then(|| self.types_of(item));
        // The prefix is the choice then, so that its streams are those that count.
        let matches = |number: u32| {
            streams
                .as_ref()
                .is_none_or(|wanted| wanted.contains(&self.stream_of[number as usize].0))
                && types
                    .as_ref()
                    .is_none_or(|wanted| wanted.contains(&self.type_of[number as usize]))
                && item.tags.iter().all(|tag| {
                    let list = self.tags.get(&**tag);
                    list.is_some_and(|list| list.binary_search(&number).is_ok())
                })
        };
        let least = from.saturating_sub(self.first);
        let recent = |number: &u32| u64::from(*number) >= least;
        let found = match self.cheapest(item) {
            Some(Choice::Streams(streams)) => streams
                .into_iter()
                .filter_map(|s| self.stream(s).take_while(recent).find(|n| matches(*n)))
                .max(),
            Some(Choice::Lists(lists)) => lists
                .into_iter()
                .filter_map(|list| {
                    let back = list.iter().rev().copied();
                    back.take_while(recent).find(|n| matches(*n))
                })
                .max(),
            None => (0..self.places.len() as u32).next_back().filter(recent),
        };
        found.map(|number| self.first + u64::from(number))
    }
}

enum Choice<'a> {
    Streams(Vec<u32>),
    Lists(Vec<&'a [u32]>),
}

impl Choice<'_> {
    fn size(&self, topic: &RecentTopic) -> u64 {
        match self {
            Choice::Streams(streams) => streams
                .iter()
                .map(|stream| u64::from(topic.ends[*stream as usize].count))
                .sum(),
            Choice::Lists(lists) => lists.iter().map(|list| list.len() as u64).sum(),
        }
    }

    fn numbers(&self, topic: &RecentTopic, out: &mut Vec<u32>) {
        match self {
            Choice::Streams(streams) => {
                out.extend(streams.iter().flat_map(|stream| topic.stream(*stream)));
            }
            Choice::Lists(lists) => out.extend(lists.iter().flat_map(|list| list.iter().copied())),
        }
    }
}

fn wrong_revision(event: &Facts<'_>) -> Error {
    Error::new(
        ErrorKind::Damaged,
        format!("position {} has a wrong revision", event.position),
    )
}
