//! The JSON event format of CloudEvents 1.0, single and batch.
//! Source: CloudEvents "JSON Event Format" 1.0.2.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::validate::RESERVED_ATTRIBUTES;
use crate::{
    Data, Error, ExtensionValue, Instant, KNOWN_TIME, NewEvent, Position, RecordedEvent, Result,
    Revision, Timestamp, compact_json, validate,
};

/// What to do with attributes that are added when reading (`position`, `revision`, …).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserved {
    /// A publisher may not send them.
    Refuse,
    /// An import may declare `knowntime`, and no other.
    AdmitKnownTime,
}

/// Reads one event in the structured form.
pub fn from_json(text: &[u8]) -> Result<NewEvent> {
    from_json_with(text, Reserved::Refuse)
}

/// As [`from_json`], with a rule for reserved attributes.
pub fn from_json_with(text: &[u8], reserved: Reserved) -> Result<NewEvent> {
    parse(text, EventSeed(reserved))
}

/// Reads a JSON array of events in the structured form; an error names the event by its index.
pub fn batch_from_json(text: &[u8], reserved: Reserved) -> Result<Vec<NewEvent>> {
    parse_batch(text, || EventSeed(reserved))
}

/// Whether a content type says that the data is JSON; one that isn't given does.
pub fn is_json(datacontenttype: Option<&str>) -> bool {
    let Some(text) = datacontenttype else {
        return true;
    };
    let media = text
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    media
        .split_once('/')
        .is_some_and(|(_, sub)| sub == "json" || sub.ends_with("+json"))
}

/// The event as a JSON object on one line.
pub fn to_json(event: &NewEvent) -> String {
    let mut out = Vec::with_capacity(256 + event.data.len());
    write(&mut out, event);
    into_string(out)
}

/// The same, behind what is there.
pub fn write(out: &mut Vec<u8>, event: &NewEvent) {
    write_event(out, event);
    out.push(b'}');
}

/// The recorded event as a JSON object on one line, with `position`, `revision` (null without a
/// subject), `recordedtime`, and `erased` if its data is.
pub fn recorded_to_json(recorded: &RecordedEvent) -> String {
    let mut out = Vec::with_capacity(320 + recorded.data.len());
    write_recorded(&mut out, recorded);
    into_string(out)
}

/// As [`recorded_to_json`], appended to a buffer.
pub fn write_recorded(out: &mut Vec<u8>, recorded: &RecordedEvent) {
    let place = Place {
        position: recorded.position,
        revision: recorded.revision,
        recorded_time: recorded.recorded_time,
        erased: recorded.erased,
    };
    write_placed(
        out,
        &View::of(&recorded.event),
        extensions(&recorded.event),
        place,
    );
}

/// An event as it is written, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub id: &'a str,
    pub source: &'a str,
    pub event_type: &'a str,
    pub subject: Option<&'a str>,
    pub time: Option<Timestamp>,
    pub datacontenttype: Option<&'a str>,
    pub dataschema: Option<&'a str>,
    pub data: DataView<'a>,
}

/// As [`Data`], borrowed.
#[derive(Clone, Copy, Debug)]
pub enum DataView<'a> {
    None,
    Json(&'a str),
    Text(&'a str),
    Binary(&'a [u8]),
}

/// As [`ExtensionValue`], borrowed.
#[derive(Clone, Copy, Debug)]
pub enum ExtensionView<'a> {
    Boolean(bool),
    Integer(i32),
    String(&'a str),
}

/// What recording adds to an event.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub position: Position,
    pub revision: Option<Revision>,
    pub recorded_time: Instant,
    pub erased: bool,
}

impl<'a> View<'a> {
    fn of(event: &'a NewEvent) -> View<'a> {
        View {
            id: &event.id,
            source: &event.source,
            event_type: &event.event_type,
            subject: event.subject.as_deref(),
            time: event.time,
            datacontenttype: event.datacontenttype.as_deref(),
            dataschema: event.dataschema.as_deref(),
            data: match &event.data {
                Data::None => DataView::None,
                Data::Json(text) => DataView::Json(text),
                Data::Text(text) => DataView::Text(text),
                Data::Binary(bytes) => DataView::Binary(bytes),
            },
        }
    }
}

fn extensions(event: &NewEvent) -> impl Iterator<Item = (&str, ExtensionView<'_>)> {
    event.extensions.iter().map(|(name, value)| {
        let value = match value {
            ExtensionValue::Boolean(value) => ExtensionView::Boolean(*value),
            ExtensionValue::Integer(value) => ExtensionView::Integer(*value),
            ExtensionValue::String(value) => ExtensionView::String(value),
        };
        (name.as_str(), value)
    })
}

/// Appends a recorded event that lies anywhere, as [`recorded_to_json`] writes it.
pub fn write_placed<'a>(
    out: &mut Vec<u8>,
    event: &View<'a>,
    extensions: impl Iterator<Item = (&'a str, ExtensionView<'a>)>,
    place: Place,
) {
    write_view(out, event, extensions);
    write_text(out, format_args!(",\"position\":{}", place.position));
    match place.revision {
        Some(revision) => write_text(out, format_args!(",\"revision\":{revision}")),
        None => out.extend_from_slice(b",\"revision\":null"),
    }
    let time = Timestamp::from_instant(place.recorded_time);
    write_text(out, format_args!(",\"recordedtime\":\"{time}\""));
    if place.erased {
        out.extend_from_slice(b",\"erased\":true");
    }
    out.push(b'}');
}

/// Writes the object without its closing brace.
fn write_event(out: &mut Vec<u8>, event: &NewEvent) {
    write_view(out, &View::of(event), extensions(event));
}

fn write_view<'a>(
    out: &mut Vec<u8>,
    event: &View<'a>,
    extensions: impl Iterator<Item = (&'a str, ExtensionView<'a>)>,
) {
    out.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":");
    write_str(out, event.id);
    write_attribute(out, "source", Some(event.source));
    write_attribute(out, "type", Some(event.event_type));
    write_attribute(out, "subject", event.subject);
    if let Some(time) = event.time {
        write_text(out, format_args!(",\"time\":\"{time}\""));
    }
    write_attribute(out, "datacontenttype", event.datacontenttype);
    write_attribute(out, "dataschema", event.dataschema);
    for (name, value) in extensions {
        match value {
            ExtensionView::Boolean(value) => {
                write_text(out, format_args!(",\"{name}\":{value}"));
            }
            ExtensionView::Integer(value) => {
                write_text(out, format_args!(",\"{name}\":{value}"));
            }
            ExtensionView::String(value) => write_attribute(out, name, Some(value)),
        }
    }
    match event.data {
        DataView::None => {}
        DataView::Json(text) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(text.as_bytes());
        }
        DataView::Text(text) => write_attribute(out, "data", Some(text)),
        DataView::Binary(bytes) => {
            write_attribute(out, "data_base64", Some(&STANDARD.encode(bytes)));
        }
    }
}

fn write_attribute(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write_str(out, value);
    }
}

fn write_text(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to a vector can't fail.
    let _ = out.write_fmt(text);
}

/// Writes a JSON string.
pub(crate) fn write_str(out: &mut Vec<u8>, text: &str) {
    // Writing a string to a vector can't fail.
    let _ = serde_json::to_writer(out, text);
}

pub(crate) fn into_string(out: Vec<u8>) -> String {
    // Only strings and JSON text were written.
    String::from_utf8(out).unwrap_or_default()
}

pub(crate) fn parse<'de, S>(text: &'de [u8], seed: S) -> Result<NewEvent>
where
    S: DeserializeSeed<'de, Value = NewEvent>,
{
    let mut json = serde_json::Deserializer::from_slice(text);
    let event = seed
        .deserialize(&mut json)
        .map_err(|error| json_error(&error))?;
    json.end().map_err(|error| json_error(&error))?;
    validate(&event)?;
    Ok(event)
}

pub(crate) fn parse_batch<'de, S>(text: &'de [u8], seed: impl Fn() -> S) -> Result<Vec<NewEvent>>
where
    S: DeserializeSeed<'de, Value = NewEvent>,
{
    let at = std::cell::Cell::new(None);
    let mut json = serde_json::Deserializer::from_slice(text);
    let named = |error: Error| match at.get() {
        Some(index) => error.context(format_args!("event {index} of the array")),
        None => error,
    };
    let events = json
        .deserialize_seq(BatchVisitor {
            seed: &seed,
            at: &at,
        })
        .map_err(|error| named(json_error(&error)))?;
    at.set(None);
    json.end().map_err(|error| json_error(&error))?;
    for (index, event) in events.iter().enumerate() {
        at.set(Some(index));
        validate(event).map_err(named)?;
    }
    Ok(events)
}

fn json_error(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // Our own messages come back from serde with the place behind them.
    Error::invalid(if error.is_data() {
        text
    } else {
        format!("malformed JSON: {text}")
    })
}

struct BatchVisitor<'a, F> {
    seed: &'a F,
    at: &'a std::cell::Cell<Option<usize>>,
}

impl<'de, S, F> Visitor<'de> for BatchVisitor<'_, F>
where
    S: DeserializeSeed<'de, Value = NewEvent>,
    F: Fn() -> S,
{
    type Value = Vec<NewEvent>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<NewEvent>, A::Error> {
        let mut events = Vec::new();
        self.at.set(Some(0));
        while let Some(event) = seq.next_element_seed((self.seed)())? {
            events.push(event);
            self.at.set(Some(events.len()));
        }
        self.at.set(None);
        Ok(events)
    }
}

/// A string that borrows from the input where it holds no escapes.
pub(crate) struct Text<'de>(pub Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A value that must be a string or null; an error names the property.
pub(crate) fn next_text<'de, A: MapAccess<'de>>(
    map: &mut A,
    name: &str,
) -> Result<Option<String>, A::Error> {
    match map.next_value::<Scalar<'de>>()? {
        Scalar::Null => Ok(None),
        Scalar::Text(text) => Ok(Some(text.into_owned())),
        other => Err(A::Error::custom(format!(
            "property '{name}' must be a string, not {}",
            other.kind()
        ))),
    }
}

/// Sets a property once.
pub(crate) fn set<T, E: serde::de::Error>(
    slot: &mut Option<T>,
    name: &str,
    value: Option<T>,
) -> Result<(), E> {
    if slot.is_some() {
        return Err(E::custom(format!("property '{name}' is there twice")));
    }
    *slot = value;
    Ok(())
}

/// JSON data, compact.
pub(crate) fn json_data<E: serde::de::Error>(raw: &RawValue) -> Result<Data, E> {
    compact_json(raw.get())
        .map(|text| Data::Json(text.into_owned()))
        .map_err(E::custom)
}

enum Scalar<'de> {
    Null,
    Boolean(bool),
    Integer(i64),
    Other(&'static str),
    Text(Cow<'de, str>),
}

impl Scalar<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Boolean(_) => "a boolean",
            Scalar::Integer(_) => "a number",
            Scalar::Text(_) => "a string",
            Scalar::Other(kind) => kind,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, boolean or integer")
    }
    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Boolean(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(value).map_or(Scalar::Other("a large number"), Scalar::Integer))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other("a number with a fraction"))
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an array"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map
            .next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?
            .is_some()
        {}
        Ok(Scalar::Other("an object"))
    }
}

struct EventSeed(Reserved);

impl<'de> DeserializeSeed<'de> for EventSeed {
    type Value = NewEvent;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<NewEvent, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Default)]
struct Parts<'de> {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    event_type: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    dataschema: Option<String>,
    extensions: Vec<(String, ExtensionValue)>,
    data: Option<&'de RawValue>,
    data_base64: Option<String>,
}

impl<'de> Visitor<'de> for EventSeed {
    type Value = NewEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvents JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NewEvent, A::Error> {
        let mut parts = Parts::default();
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            let slot = match &*key {
                "specversion" => &mut parts.specversion,
                "id" => &mut parts.id,
                "source" => &mut parts.source,
                "type" => &mut parts.event_type,
                "subject" => &mut parts.subject,
                "time" => &mut parts.time,
                "datacontenttype" => &mut parts.datacontenttype,
                "dataschema" => &mut parts.dataschema,
                "data_base64" => &mut parts.data_base64,
                "data" => {
                    let raw = map.next_value::<&'de RawValue>()?;
                    set(&mut parts.data, "data", Some(raw))?;
                    continue;
                }
                name => {
                    let value = map.next_value::<Scalar<'de>>()?;
                    parts
                        .extension(name, value, self.0)
                        .map_err(A::Error::custom)?;
                    continue;
                }
            };
            let text = next_text(&mut map, &key)?;
            set(slot, &key, text)?;
        }
        parts.finish().map_err(A::Error::custom)
    }
}

impl Parts<'_> {
    fn extension(&mut self, name: &str, value: Scalar<'_>, reserved: Reserved) -> Result<()> {
        let admitted = reserved == Reserved::AdmitKnownTime && name == KNOWN_TIME;
        if RESERVED_ATTRIBUTES.contains(&name) && !admitted {
            return Err(Error::invalid(format!(
                "attribute '{name}' is reserved: it is added when reading, leave it out"
            )));
        }
        let value = match value {
            Scalar::Null => return Ok(()),
            Scalar::Boolean(value) => ExtensionValue::Boolean(value),
            Scalar::Text(text) => ExtensionValue::String(text.into_owned()),
            Scalar::Integer(value) => {
                ExtensionValue::Integer(i32::try_from(value).map_err(|_| {
                    Error::invalid(format!(
                        "attribute '{name}' is {value}: an integer must lie within 32 bits"
                    ))
                })?)
            }
            Scalar::Other(kind) => {
                return Err(Error::invalid(format!(
                    "attribute '{name}' must be a string, boolean or integer, not {kind}"
                )));
            }
        };
        self.extensions.push((name.to_owned(), value));
        Ok(())
    }

    fn finish(mut self) -> Result<NewEvent> {
        match self.specversion.as_deref() {
            Some("1.0") => {}
            Some(other) => {
                return Err(Error::invalid(format!(
                    "specversion is {other:?}: expected \"1.0\""
                )));
            }
            None => return Err(missing("specversion")),
        }
        let data = match (self.data, self.data_base64) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "'data' and 'data_base64' are both there: send one",
                ));
            }
            (None, None) => Data::None,
            (None, Some(text)) => Data::Binary(STANDARD.decode(&text).map_err(|error| {
                Error::invalid(format!("'data_base64' is not base64: {error}"))
            })?),
            (Some(raw), None) => match self.datacontenttype.as_deref() {
                Some(other) if !is_json(Some(other)) && raw.get().starts_with('"') => {
                    Data::Text(serde_json::from_str(raw.get()).map_err(|e| json_error(&e))?)
                }
                _ => Data::Json(compact_json(raw.get())?.into_owned()),
            },
        };
        self.extensions.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(NewEvent {
            id: self.id.ok_or_else(|| missing("id"))?,
            source: self.source.ok_or_else(|| missing("source"))?,
            event_type: self.event_type.ok_or_else(|| missing("type"))?,
            subject: self.subject,
            time: match self.time {
                Some(text) => Some(
                    text.parse::<Timestamp>()
                        .map_err(|error| error.context("time"))?,
                ),
                None => None,
            },
            datacontenttype: self.datacontenttype,
            dataschema: self.dataschema,
            extensions: self.extensions,
            data,
            time_filled: false,
        })
    }
}

fn missing(name: &str) -> Error {
    Error::invalid(format!("required property '{name}' is missing"))
}
