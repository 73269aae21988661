//! tephra: an event store with dynamic consistency boundaries. A stream is a tag.

use std::path::Path;

use tephra::{
    AppendCondition, EventType, Position, Query, QueryItem, SegmentConfig, SegmentSet, Tag, Tags,
    WriteCoordinator, WriteHandle, WriterConfig,
};

use super::engine::{Condition, Engine, Kind, Pending};
use super::event::{self, Event};
use crate::Result;

/// As in its documentation.
const SEGMENT_BYTES: usize = 256 * 1024 * 1024;

pub const NAME: &str = "tephra 0.4";
pub const KIND: Kind = Kind {
    name: NAME,
    open: |folder| Ok(Box::new(Tephra::open(folder)?)),
};

/// The handle is dropped first; then the coordinator ends its thread.
pub struct Tephra {
    handle: WriteHandle,
    _coordinator: WriteCoordinator,
    event_type: EventType,
}

impl Tephra {
    pub fn open(folder: &Path) -> Result<Tephra> {
        let set = SegmentSet::open(folder, SegmentConfig::new(SEGMENT_BYTES))?;
        let (coordinator, handle) = WriteCoordinator::start(set, WriterConfig::default())?;
        Ok(Tephra {
            handle,
            _coordinator: coordinator,
            event_type: EventType::new(event::TYPE)?,
        })
    }

    fn events(&self, events: &[Event]) -> Result<Vec<tephra::Event>> {
        let mut made = Vec::with_capacity(events.len());
        for event in events {
            let tags = tags(event.stream)?;
            made.push(tephra::Event::new(&self.event_type, &tags, &event.rest())?);
        }
        Ok(made)
    }
}

fn tags(stream: u32) -> Result<Tags> {
    Ok(Tags::new([Tag::new(event::subject(stream)?)?])?)
}

fn query(stream: u32) -> Result<Query> {
    Ok(Query::item(QueryItem::with_tags(tags(stream)?)))
}

fn boundary(condition: Condition) -> Result<AppendCondition> {
    let after = Position::new(condition.after);
    Ok(AppendCondition::new(query(condition.stream)?).after(after))
}

impl Engine for Tephra {
    fn append(&self, events: &[Event], condition: Condition) -> Result<u64> {
        let events = self.events(events)?;
        let range = self.handle.append(events, Some(boundary(condition)?))?;
        Ok(range.last.get())
    }

    fn begin(&self, events: &[Event], condition: Condition) -> Result<Pending> {
        // What its append_async does, but handed over before the first poll.
        let (reply, answer) = flume::unbounded();
        let events = self.events(events)?;
        self.handle
            .append_submit(events, Some(boundary(condition)?), 0, reply)?;
        Ok(Box::pin(async move {
            let (_, result) = answer.recv_async().await?;
            Ok(result?.last.get())
        }))
    }

    fn scan(&self) -> Result<u64> {
        self.count(&Query::all())
    }

    fn read_stream(&self, stream: u32) -> Result<u64> {
        self.count(&query(stream)?)
    }
}

impl Tephra {
    fn count(&self, query: &Query) -> Result<u64> {
        let mut reads = self.handle.read(query, Position::ZERO, None);
        let (mut events, mut bytes) = (0, 0);
        while let Some(read) = reads.next() {
            let read = read?;
            events += 1;
            bytes += read.event.data().len() + read.event.event_type().len();
        }
        std::hint::black_box(bytes);
        Ok(events)
    }
}
