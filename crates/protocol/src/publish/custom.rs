//! Events of a custom schema: any objects, read by the topic's mapping.
//! Source: "Map custom fields to Event Grid schema".

use foretell_types::eventgrid::DATA_VERSION;
use foretell_types::{
    Data, Error, ExtensionValue, NewEvent, Result, Timestamp, compact_json, validate,
};
use serde_json::value::RawValue;

use super::entries::Entries;
use super::mapping::{InputMapping, MappedField};
use super::refusal;
use super::shape::{Outer, peek};
use super::{Fill, TopicSchema};

/// The type of an event whose topic has no mapping and that names none itself.
const DEFAULT_TYPE: &str = "custom";

/// Reads an array of objects, or one object.
pub(super) fn read(
    body: &[u8],
    topic: &TopicSchema<'_>,
    fill: &mut dyn Fill,
) -> Result<Vec<NewEvent>> {
    let objects = objects(body)?;
    let mut events = Vec::with_capacity(objects.len());
    for (index, object) in objects.into_iter().enumerate() {
        let event = event(object, topic, fill)
            .map_err(|error| error.context(format_args!("event {index} of the array")))?;
        events.push(event);
    }
    Ok(events)
}

fn objects(body: &[u8]) -> Result<Vec<&RawValue>> {
    let parsed = match peek(body).outer {
        Outer::Array => serde_json::from_slice(body),
        _ => serde_json::from_slice(body).map(|one| vec![one]),
    };
    parsed.map_err(|error| {
        let error = Error::invalid(format!("malformed JSON: {error}"));
        refusal::plain(error, body)
    })
}

fn event(object: &RawValue, topic: &TopicSchema<'_>, fill: &mut dyn Fill) -> Result<NewEvent> {
    let entries = Entries::of(object).map_err(|_| {
        Error::invalid("the event is not a JSON object, which a custom schema needs")
    })?;
    let fields = match topic.mapping {
        Some(mapping) => mapped(&entries, mapping)?,
        None => guessed(&entries)?,
    };
    let (time, time_filled) = match fields.time {
        Some(text) => {
            let time = Timestamp::from_text_or_utc(&text)
                .map_err(|error| error.context("property 'eventTime'"))?;
            (time, false)
        }
        None => (Timestamp::from_instant(fill.now()), true),
    };
    let event = NewEvent {
        id: fields.id.unwrap_or_else(|| fill.id()),
        source: fields.topic.unwrap_or_else(|| topic.resource_id.to_owned()),
        event_type: fields.event_type,
        subject: fields.subject,
        time: Some(time),
        extensions: fields
            .data_version
            .map(|version| (DATA_VERSION.to_owned(), ExtensionValue::String(version)))
            .into_iter()
            .collect(),
        data: Data::Json(compact_json(object.get())?.into_owned()),
        time_filled,
        ..NewEvent::default()
    };
    validate(&event)?;
    Ok(event)
}

struct Fields {
    id: Option<String>,
    topic: Option<String>,
    time: Option<String>,
    subject: Option<String>,
    event_type: String,
    data_version: Option<String>,
}

fn mapped(entries: &Entries<'_>, mapping: &InputMapping) -> Result<Fields> {
    let source = |field: &Option<String>| match field {
        Some(path) => text(entries, path),
        None => Ok(None),
    };
    let defaulted = |field: &MappedField| match source(&field.source_field)? {
        Some(text) => Ok(Some(text)),
        None => Ok::<_, Error>(field.default_value.clone()),
    };
    let required = |name: &str, field: &MappedField| {
        defaulted(field)?.ok_or_else(|| {
            Error::invalid(match &field.source_field {
                Some(path) => format!(
                    "property '{path}', from which the topic's mapping takes {name}, is missing and there is no default"
                ),
                None => format!("the topic's mapping has neither a source nor a default for {name}"),
            })
        })
    };
    Ok(Fields {
        id: source(&mapping.id)?,
        topic: source(&mapping.topic)?,
        time: source(&mapping.event_time)?,
        subject: Some(required("subject", &mapping.subject)?),
        event_type: required("eventType", &mapping.event_type)?,
        data_version: defaulted(&mapping.data_version)?,
    })
}

fn guessed(entries: &Entries<'_>) -> Result<Fields> {
    let either = |a: &str, b: &str| match text(entries, a)? {
        Some(text) => Ok(Some(text)),
        None => text(entries, b),
    };
    Ok(Fields {
        id: text(entries, "id")?,
        topic: None,
        time: either("eventTime", "time")?,
        subject: text(entries, "subject")?,
        event_type: either("eventType", "type")?.unwrap_or_else(|| DEFAULT_TYPE.to_owned()),
        data_version: text(entries, "dataVersion")?,
    })
}

/// A property as text: a string, or a number or boolean as it is written. An empty string is as
/// good as none.
fn text(entries: &Entries<'_>, path: &str) -> Result<Option<String>> {
    let Some(raw) = entries.at(path) else {
        return Ok(None);
    };
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(raw.get())
                .map_err(|error| Error::invalid(format!("property '{path}': {error}")))?;
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        Some(b'{' | b'[') => Err(Error::invalid(format!(
            "property '{path}' is an object or an array: a string is needed, or a mapping that takes it from elsewhere"
        ))),
        _ => Ok(Some(raw.get().to_owned())),
    }
}
