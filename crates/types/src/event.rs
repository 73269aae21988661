use std::ops::Deref;

use crate::validate::{NOT_BEFORE, TAGS};
use crate::{Instant, Position, Revision, Timestamp};

/// An event before it is appended: the context attributes of CloudEvents 1.0 and its data.
/// Source: CloudEvents specification 1.0.2, sections 3.1 and 3.2.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NewEvent {
    /// With `source`, the identity of the event within its topic.
    pub id: String,
    /// URI reference: where it happened.
    pub source: String,
    /// The attribute `type`.
    pub event_type: String,
    /// The entity that the event is about; it names the event's stream.
    pub subject: Option<String>,
    /// When it happened. An event without it has its recorded time.
    pub time: Option<Timestamp>,
    pub datacontenttype: Option<String>,
    pub dataschema: Option<String>,
    /// Extension attributes in ascending order of their names, each name once.
    pub extensions: Vec<(String, ExtensionValue)>,
    pub data: Data,
    /// The server filled in `time`; identity leaves it out then.
    pub time_filled: bool,
}

/// The value of an extension attribute, of the types that the JSON format tells apart; binary,
/// URI and timestamp values are strings there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExtensionValue {
    Boolean(bool),
    Integer(i32),
    String(String),
}

/// An event's payload.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Data {
    #[default]
    None,
    /// JSON text without insignificant white space; numbers are kept as they were written.
    Json(String),
    Text(String),
    Binary(Vec<u8>),
}

impl Data {
    /// JSON text that is already known to be valid and compact.
    pub fn json(text: impl Into<String>) -> Data {
        Data::Json(text.into())
    }

    /// The payload's size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Data::None => 0,
            Data::Json(text) | Data::Text(text) => text.len(),
            Data::Binary(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl NewEvent {
    /// The bytes of its attributes and data: about what it takes as JSON.
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let extensions = self.extensions.iter().map(|(name, value)| match value {
            ExtensionValue::String(text) => name.len() + text.len(),
            _ => name.len() + 8,
        });
        let attributes = self.id.len() + self.source.len() + self.event_type.len();
        let optional = text(&self.subject) + text(&self.datacontenttype) + text(&self.dataschema);
        attributes + optional + self.data.len() + extensions.sum::<usize>()
    }

    pub fn extension(&self, name: &str) -> Option<&ExtensionValue> {
        self.extensions
            .binary_search_by(|(key, _)| key.as_str().cmp(name))
            .ok()
            .map(|found| &self.extensions[found].1)
    }

    /// An extension that is a string.
    pub fn extension_str(&self, name: &str) -> Option<&str> {
        match self.extension(name) {
            Some(ExtensionValue::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Sets an extension attribute, in place of one of the same name.
    pub fn set_extension(&mut self, name: &str, value: ExtensionValue) {
        match self
            .extensions
            .binary_search_by(|(key, _)| key.as_str().cmp(name))
        {
            Ok(found) => self.extensions[found].1 = value,
            Err(place) => self.extensions.insert(place, (name.to_owned(), value)),
        }
    }

    /// Before when it is not delivered. Events that were published before that had a meaning may
    /// hold what is no time: they are delivered as they come.
    pub fn not_before(&self) -> Option<Instant> {
        let time = self.extension_str(NOT_BEFORE)?.parse::<Timestamp>().ok()?;
        Some(time.instant())
    }

    /// The tags as on the wire: separated by single spaces; empty without tags.
    pub fn tags(&self) -> &str {
        self.extension_str(TAGS).unwrap_or("")
    }
}

/// An event after it was appended: with its place and the time it was recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordedEvent {
    pub event: NewEvent,
    pub position: Position,
    /// `None` for an event without a subject, which belongs to no stream.
    pub revision: Option<Revision>,
    /// When the log recorded it; never decreases along a topic.
    pub recorded_time: Instant,
    /// Its data is erased: the key that it was encrypted under is destroyed.
    pub erased: bool,
}

impl RecordedEvent {
    /// When it happened: `time`, or the recorded time of an event without one.
    pub fn event_time(&self) -> Instant {
        self.event
            .time
            .map_or(self.recorded_time, |time| time.instant())
    }

    /// When it became known: the time that an import declared, or the recorded time.
    pub fn known_time(&self) -> Instant {
        self.event
            .extension_str(crate::KNOWN_TIME)
            .and_then(|text| text.parse::<Timestamp>().ok())
            .map_or(self.recorded_time, |time| time.instant())
    }
}

impl Deref for RecordedEvent {
    type Target = NewEvent;

    fn deref(&self) -> &NewEvent {
        &self.event
    }
}
