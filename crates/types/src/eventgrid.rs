//! The Event Grid event schema, to and from the CloudEvents form without loss.
//!
//! | Event Grid | CloudEvents |
//! | --- | --- |
//! | `id`, `subject`, `eventType`, `eventTime`, `data` | `id`, `subject`, `type`, `time`, `data` |
//! | `topic` | `source`: the topic's resource id |
//! | `dataVersion` | extension `dataversion` |
//! | `metadataVersion` | always `"1"` |
//!
//! Source: "Azure Event Grid event schema" (properties and which of them are required).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::cloudevents::{Text, into_string, json_data, next_text, parse_batch, set, write_str};
use crate::{Data, ExtensionValue, Instant, NewEvent, Result, Timestamp};

/// The extension attribute that keeps `dataVersion`.
pub const DATA_VERSION: &str = "dataversion";

/// Reads a JSON array of Event Grid events that were sent to the topic with this resource id;
/// an error names the event by its index.
pub fn batch_from_json(text: &[u8], topic: &str) -> Result<Vec<NewEvent>> {
    parse_batch(text, || EventSeed { topic })
}

/// The event as an Event Grid JSON object on one line. An event without a time takes `recorded`.
pub fn to_json(event: &NewEvent, recorded: Option<Instant>) -> String {
    let mut out = Vec::with_capacity(256 + event.data.len());
    write(&mut out, event, recorded);
    into_string(out)
}

/// The same, behind what is there.
pub fn write(out: &mut Vec<u8>, event: &NewEvent, recorded: Option<Instant>) {
    write_open(out, event, recorded);
    out.push(b'}');
}

/// The object without its closing brace, so that a caller can add properties.
pub fn write_open(out: &mut Vec<u8>, event: &NewEvent, recorded: Option<Instant>) {
    out.extend_from_slice(b"{\"id\":");
    write_str(out, &event.id);
    out.extend_from_slice(b",\"topic\":");
    write_str(out, &event.source);
    out.extend_from_slice(b",\"subject\":");
    write_str(out, event.subject.as_deref().unwrap_or(""));
    out.extend_from_slice(b",\"eventType\":");
    write_str(out, &event.event_type);
    if let Some(time) = event.time.or(recorded.map(Timestamp::from_instant)) {
        out.extend_from_slice(format!(",\"eventTime\":\"{time}\"").as_bytes());
    }
    out.extend_from_slice(b",\"data\":");
    match &event.data {
        Data::None => out.extend_from_slice(b"null"),
        Data::Json(text) => out.extend_from_slice(text.as_bytes()),
        Data::Text(text) => write_str(out, text),
        Data::Binary(bytes) => write_str(out, &STANDARD.encode(bytes)),
    }
    out.extend_from_slice(b",\"dataVersion\":");
    write_str(out, event.extension_str(DATA_VERSION).unwrap_or(""));
    out.extend_from_slice(b",\"metadataVersion\":\"1\"");
}

struct EventSeed<'a> {
    topic: &'a str,
}

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = NewEvent;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<NewEvent, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = NewEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Event Grid event (a JSON object)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NewEvent, A::Error> {
        let (mut id, mut subject, mut event_type, mut time) = (None, None, None, None);
        let (mut topic, mut data_version, mut metadata_version) = (None, None, None);
        let mut data: Option<&'de RawValue> = None;
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            let slot = match &*key {
                "id" => &mut id,
                "subject" => &mut subject,
                "eventType" => &mut event_type,
                "eventTime" => &mut time,
                "topic" => &mut topic,
                "dataVersion" => &mut data_version,
                "metadataVersion" => &mut metadata_version,
                "data" => {
                    let raw = map.next_value::<&'de RawValue>()?;
                    set(&mut data, "data", Some(raw))?;
                    continue;
                }
                // The service's own words for it.
                other => {
                    return Err(A::Error::custom(format!(
                        "This resource is configured for 'EventGridEvent' schema. Received unexpected property '{other}' in JSON which does not conform to the expected schema."
                    )));
                }
            };
            let text = next_text(&mut map, &key)?;
            set(slot, &key, text)?;
        }
        let required = |name: &str, value: Option<String>| match value {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) => Err(A::Error::custom(format!(
                "required property '{name}' is empty"
            ))),
            None => Err(A::Error::custom(format!(
                "required property '{name}' is missing"
            ))),
        };
        if let Some(other) = topic.filter(|t| !t.is_empty() && !t.eq_ignore_ascii_case(self.topic))
        {
            return Err(A::Error::custom(format!(
                "property 'topic' is {other:?}, which is not this topic: leave it out"
            )));
        }
        if let Some(other) = metadata_version.filter(|version| version != "1") {
            return Err(A::Error::custom(format!(
                "property 'metadataVersion' is {other:?}: expected \"1\", or leave it out"
            )));
        }
        let time = required("eventTime", time)?;
        Ok(NewEvent {
            id: required("id", id)?,
            source: self.topic.to_owned(),
            event_type: required("eventType", event_type)?,
            subject: Some(required("subject", subject)?),
            time: Some(
                Timestamp::from_text_or_utc(&time)
                    .map_err(|error| A::Error::custom(error.context("property 'eventTime'")))?,
            ),
            datacontenttype: None,
            dataschema: None,
            extensions: data_version
                .map(|version| (DATA_VERSION.to_owned(), ExtensionValue::String(version)))
                .into_iter()
                .collect(),
            data: data.map_or(Ok(Data::None), json_data)?,
            time_filled: false,
        })
    }
}
