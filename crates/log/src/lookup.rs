//! Questions of the writer that may need sealed or journaled events to be read.

use std::sync::Arc;

use foretell_types::{NewEvent, Position, Query, Result, Revision};

use crate::index::{Index, content_of_recorded};
use crate::log::Shared;
use crate::read::{ReadOptions, Reader};

/// An event as identity sees it.
#[derive(Clone, Copy)]
pub(crate) struct KnownEvent {
    pub position: u64,
    pub revision: Option<u64>,
    /// Equal for equal content.
    pub content: u128,
}

impl Shared {
    /// The last event after a position that matches the query. What isn't sealed is asked first,
    /// without I/O; a sealed part whose last position isn't behind `after` is never asked.
    pub fn last_match(
        self: &Arc<Self>,
        index: &Index,
        (topic, name): (u32, &str),
        query: &Query,
        after: u64,
    ) -> Result<Option<u64>> {
        let head = index.catalog.topics[topic as usize].head;
        if head <= after {
            return Ok(None);
        }
        if query.is_all() {
            return Ok(Some(head));
        }
        for part in index
            .recent
            .iter()
            .rev()
            .filter_map(|recent| recent.topic(topic))
        {
            if part.last() <= after {
                return Ok(None);
            }
            let items = query.items.iter();
            let found = items
                .filter_map(|item| part.last_match(item, after + 1))
                .max();
            if found.is_some() {
                return Ok(found);
            }
        }
        for run in index.sealed.runs.iter().rev() {
            let Some(covered) = run.covered(topic) else {
                continue;
            };
            if covered.last <= after {
                return Ok(None);
            }
            let mut last = Some(0);
            for item in &query.items {
                let of_item = run.last_of_one_key(topic, item, index.seed)?;
                last = last.zip(of_item).map(|(a, b)| a.max(b));
            }
            let found = match last {
                Some(last) => Some(last).filter(|last| *last > after),
                // The entries of single keys don't tell: look at the events.
                None => self.last_event(name, query, covered.first.max(after + 1), covered.last)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn last_event(
        self: &Arc<Self>,
        topic: &str,
        query: &Query,
        first: u64,
        last: u64,
    ) -> Result<Option<u64>> {
        let options = ReadOptions {
            from: Position::new(last),
            until: Position::new(first),
            backward: true,
            limit: Some(1),
            query: query.clone(),
            ..ReadOptions::default()
        };
        let mut reader = Reader::new(self.clone(), topic, options)?;
        Ok(reader.next_event()?.map(|event| event.position.get()))
    }

    /// The event at a position, where the identities have this event's hash, if its identity is
    /// the same.
    pub fn known_at(
        self: &Arc<Self>,
        index: &Index,
        topic: u32,
        position: Option<u64>,
        event: &NewEvent,
    ) -> Result<Option<KnownEvent>> {
        let Some(position) = position.and_then(Position::new) else {
            return Ok(None);
        };
        let position = Some(position);
        let options = ReadOptions {
            from: position,
            until: position,
            ..ReadOptions::default()
        };
        let name = &index.catalog.topics[topic as usize].name;
        let mut reader = Reader::new(self.clone(), name, options)?;
        let known = reader.next_stored()?;
        let known = known.filter(|known| (known.source, known.id) == (&event.source, &event.id));
        let Some(known) = known else {
            return Ok(None);
        };
        let content = content_of_recorded(&known)?;
        Ok(Some(KnownEvent {
            position: known.position.get(),
            revision: known.revision.map(Revision::get),
            content,
        }))
    }
}
