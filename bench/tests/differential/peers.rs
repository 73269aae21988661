//! Two engines with dynamic consistency boundaries, and our questions in their words.
//!
//! They know no streams: a subject is a tag there, and an item with several subjects is an item
//! for each.

use std::path::Path;
use std::sync::Arc;

use foretell_log::ReadOptions;
use foretell_types::{AppendCondition, NewEvent, Position, Query, QueryItem};
use tephra::{AppendError, EventType, SegmentConfig, SegmentSet, Tag, Tags};
use tephra::{WriteCoordinator, WriteHandle, WriterConfig};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_dcb::{
    DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem,
};

pub trait Peer {
    fn name(&self) -> &'static str;

    /// The position of the last event; `None` if the condition refused them.
    fn append(&self, events: &[&NewEvent], condition: Option<&AppendCondition>) -> Option<u64>;

    /// Positions and ids of what the query matches, from a position on.
    fn read(&self, options: &ReadOptions) -> Vec<(u64, String)>;
}

/// The types (one of which) and tags (all of which) of an item of theirs.
type Item = (Vec<String>, Vec<String>);

fn items(query: &Query) -> Vec<Item> {
    query.items.iter().flat_map(items_of).collect()
}

fn items_of(item: &QueryItem) -> Vec<Item> {
    assert_eq!(item.subject_prefix, None, "they have nothing like it");
    let of = |subject: Option<&String>| {
        let mut tags = item.tags.clone();
        tags.extend(subject.map(|subject| of_subject(subject)));
        tags.sort();
        tags.dedup();
        (item.types.clone(), tags)
    };
    match item.subjects.is_empty() {
        true => vec![of(None)],
        false => item.subjects.iter().map(|s| of(Some(s))).collect(),
    }
}

fn of_subject(subject: &str) -> String {
    format!("subject {subject}")
}

fn tags_of(event: &NewEvent) -> Vec<String> {
    let tags = event.tags().split_whitespace().map(str::to_owned);
    let subject = event.subject.as_deref().map(of_subject);
    tags.chain(subject).collect()
}

pub struct Uma(UmaDb);

impl Uma {
    pub fn open(folder: &Path) -> Uma {
        let options = StorageOptions::default().db_path(folder);
        Uma(UmaDb::from_arc(Arc::new(
            Mvcc::new(false, options).unwrap(),
        )))
    }
}

fn uma_query(query: &Query) -> DcbQuery {
    let item = |(types, tags)| DcbQueryItem::new().types::<_, String>(types).tags(tags);
    DcbQuery::with_items(items(query).into_iter().map(item))
}

impl Peer for Uma {
    fn name(&self) -> &'static str {
        "umadb-core"
    }

    fn append(&self, events: &[&NewEvent], condition: Option<&AppendCondition>) -> Option<u64> {
        let made = events.iter().map(|event| {
            DcbEvent::new()
                .event_type(&event.event_type)
                .tags(tags_of(event))
                .data(event.id.as_bytes())
        });
        let condition = condition.map(|condition| {
            let query = uma_query(&condition.fail_if_events_match);
            DcbAppendCondition::new(query).after(condition.after.map(Position::get))
        });
        match self.0.append(made.collect(), condition, None) {
            Ok(last) => Some(last),
            Err(DcbError::IntegrityError(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&self, options: &ReadOptions) -> Vec<(u64, String)> {
        let query = uma_query(&options.query);
        let start = options.from.map(Position::get);
        let found = self
            .0
            .read(Some(query), start, options.backward, limit(options));
        found
            .unwrap()
            .map(|read| {
                let read = read.unwrap();
                (read.position, String::from_utf8(read.event.data).unwrap())
            })
            .collect()
    }
}

/// Segments so small that they are full at times.
const SEGMENT_BYTES: usize = 16 * 1024;

/// The handle is dropped first; then the coordinator ends its thread.
pub struct Tephra {
    handle: WriteHandle,
    _coordinator: WriteCoordinator,
}

impl Tephra {
    pub fn open(folder: &Path) -> Tephra {
        let set = SegmentSet::open(folder, SegmentConfig::new(SEGMENT_BYTES)).unwrap();
        let config = WriterConfig {
            max_batch_bytes: SEGMENT_BYTES / 4,
            ..WriterConfig::default()
        };
        let (coordinator, handle) = WriteCoordinator::start(set, config).unwrap();
        Tephra {
            handle,
            _coordinator: coordinator,
        }
    }
}

fn tephra_tags(tags: Vec<String>) -> Tags {
    Tags::new(tags.into_iter().map(|tag| Tag::new(tag).unwrap())).unwrap()
}

fn tephra_query(query: &Query) -> tephra::Query {
    if query.is_all() {
        return tephra::Query::all();
    }
    let item = |(types, tags): Item| {
        let types = types.into_iter().map(|t| EventType::new(t).unwrap());
        tephra::QueryItem::new(types.collect(), tephra_tags(tags))
    };
    tephra::Query::items(items(query).into_iter().map(item).collect::<Vec<_>>())
}

fn tephra_position(position: Option<Position>) -> tephra::Position {
    tephra::Position::new(Position::as_count(position))
}

impl Peer for Tephra {
    fn name(&self) -> &'static str {
        "tephra"
    }

    fn append(&self, events: &[&NewEvent], condition: Option<&AppendCondition>) -> Option<u64> {
        let made = events.iter().map(|event| {
            let event_type = EventType::new(&*event.event_type).unwrap();
            let tags = tephra_tags(tags_of(event));
            tephra::Event::new(&event_type, &tags, event.id.as_bytes()).unwrap()
        });
        let condition = condition.map(|condition| {
            let query = tephra_query(&condition.fail_if_events_match);
            tephra::AppendCondition::new(query).after(tephra_position(condition.after))
        });
        match self.handle.append(made.collect(), condition) {
            Ok(range) => Some(range.last.get()),
            Err(AppendError::Conflict { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&self, options: &ReadOptions) -> Vec<(u64, String)> {
        let query = tephra_query(&options.query);
        let limit = limit(options).map(u64::from);
        // Its bounds are exclusive.
        let found = match (options.backward, Position::as_count(options.from)) {
            (false, from) => {
                let after = tephra::Position::new(from.saturating_sub(1));
                self.handle.read(&query, after, limit)
            }
            (true, 0) => self.handle.read_back(&query, tephra::Position::MAX, limit),
            (true, from) => {
                let before = tephra::Position::new(from + 1);
                self.handle.read_back(&query, before, limit)
            }
        };
        let found = found.collect_owned().unwrap().into_iter();
        found
            .map(|(position, event)| {
                let id = String::from_utf8(event.data().to_vec()).unwrap();
                (position.get(), id)
            })
            .collect()
    }
}

fn limit(options: &ReadOptions) -> Option<u32> {
    options.limit.map(|limit| limit as u32)
}
