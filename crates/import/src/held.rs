//! Events as they are held between reading and handing out: small, and cheap to order.

use std::collections::HashSet;
use std::sync::Arc;

use foretell_types::{Data, ExtensionValue, Instant, KNOWN_TIME, NewEvent, TAGS, Timestamp};

use crate::limits::SHARED_TEXTS;
use crate::plan::Draft;

/// An event with its place.
#[derive(Debug)]
pub(crate) struct Held {
    /// Known time, event time: as they order, so carried over from the row before where missing.
    pub known: Instant,
    pub at: Instant,
    /// The row in the file, from 1, counting the skipped ones.
    pub row: u64,
    pub line: u64,
    pub body: Body,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Body {
    Row(Compact),
    CloudEvent(Box<NewEvent>),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Compact {
    pub id: Option<Box<str>>,
    pub subject: Option<Arc<str>>,
    pub event_type: Arc<str>,
    pub time: Option<Timestamp>,
    pub known: Option<Timestamp>,
    pub tags: Box<str>,
    pub data: Box<str>,
}

impl Held {
    /// The identity that the file gives; an id made of file and row is alone anyway.
    pub fn identity(&self) -> Option<(&str, &str)> {
        match &self.body {
            Body::Row(row) => row.id.as_deref().map(|id| ("", id)),
            Body::CloudEvent(event) => Some((&event.source, &event.id)),
        }
    }

    /// Bytes of memory, about.
    pub fn size(&self) -> usize {
        let body = match &self.body {
            Body::Row(row) => {
                row.id.as_ref().map_or(0, |id| id.len() + 16)
                    + row.subject.as_ref().map_or(0, |subject| subject.len() + 32)
                    + row.tags.len()
                    + row.data.len()
                    + 16
            }
            Body::CloudEvent(event) => {
                let extension = |value: &ExtensionValue| match value {
                    ExtensionValue::String(text) => text.len(),
                    _ => 0,
                };
                let extensions = event.extensions.iter();
                size_of::<NewEvent>()
                    + [&event.id, &event.source, &event.event_type]
                        .map(|text| text.len() + 16)
                        .iter()
                        .sum::<usize>()
                    + [&event.subject, &event.datacontenttype, &event.dataschema]
                        .map(|text| text.as_ref().map_or(0, |text| text.len() + 16))
                        .iter()
                        .sum::<usize>()
                    + extensions
                        .map(|(name, value)| 80 + name.len() + extension(value))
                        .sum::<usize>()
                    + event.data.len()
            }
        };
        size_of::<Held>() + body
    }
}

impl Compact {
    pub fn new(draft: Draft, shared: &mut Shared) -> Compact {
        Compact {
            id: draft.id.map(Into::into),
            subject: draft.subject.map(|text| shared.get(text)),
            event_type: shared.get(draft.event_type),
            time: draft.time,
            known: draft.known,
            tags: draft.tags.into(),
            data: draft.data.into(),
        }
    }

    /// The event, with an id for those whose file gives none.
    pub fn to_event(&self, source: &str, made_id: impl FnOnce() -> String) -> NewEvent {
        let mut event = NewEvent {
            id: self.id.as_deref().map_or_else(made_id, str::to_owned),
            source: source.to_owned(),
            event_type: self.event_type.to_string(),
            subject: self.subject.as_deref().map(str::to_owned),
            time: self.time,
            data: Data::Json(self.data.to_string()),
            ..NewEvent::default()
        };
        set_known_time(&mut event, self.known);
        if !self.tags.is_empty() {
            event.set_extension(TAGS, ExtensionValue::String(self.tags.to_string()));
        }
        event
    }
}

/// Declares when an event became known: what the file says, or else when it happened.
pub(crate) fn set_known_time(event: &mut NewEvent, known: Option<Timestamp>) {
    if let Some(known) = known.or(event.time) {
        event.set_extension(KNOWN_TIME, ExtensionValue::String(known.to_string()));
    }
}

/// Texts that are the same held once.
#[derive(Debug, Default)]
pub(crate) struct Shared(HashSet<Arc<str>>);

impl Shared {
    fn get(&mut self, text: String) -> Arc<str> {
        if let Some(found) = self.0.get(text.as_str()) {
            return Arc::clone(found);
        }
        if self.0.len() >= SHARED_TEXTS {
            // Rows of one subject often lie together: begin again with those to come.
            self.0.clear();
        }
        let shared: Arc<str> = text.into();
        self.0.insert(Arc::clone(&shared));
        shared
    }
}

/// The events of an import in the order in which they are appended. Skipping is cheap (`nth`,
/// `skip`), so that an import can go on where it was broken off.
#[derive(Debug)]
pub struct Events {
    pub(crate) held: std::vec::IntoIter<Held>,
    pub(crate) source: String,
    /// What made ids begin with.
    pub(crate) file: String,
}

impl Events {
    fn event(&self, held: Held) -> NewEvent {
        match held.body {
            Body::Row(row) => row.to_event(&self.source, || format!("{}-{}", self.file, held.row)),
            Body::CloudEvent(event) => *event,
        }
    }
}

impl Iterator for Events {
    type Item = NewEvent;

    fn next(&mut self) -> Option<NewEvent> {
        let held = self.held.next()?;
        Some(self.event(held))
    }

    fn nth(&mut self, count: usize) -> Option<NewEvent> {
        let held = self.held.nth(count)?;
        Some(self.event(held))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.held.size_hint()
    }
}

impl ExactSizeIterator for Events {}
