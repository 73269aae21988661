//! Reading the events of a publish request, in every schema that a topic can take.
//!
//! | Content type | Read as |
//! | --- | --- |
//! | `application/cloudevents-batch+json` | CloudEvents batch |
//! | `application/cloudevents+json` | one CloudEvent, structured |
//! | any other, with header `ce-specversion` | one CloudEvent, binary mode |
//! | JSON, none, or what `curl -d` sends | by the topic's schema; [`InputSchema::Any`] by shape |
//!
//! An empty array is accepted and publishes nothing, as the service does: a client that flushes
//! an empty batch has made no mistake. `aeg-channel-name` (partner namespaces) is ignored.

mod binary;
mod content_type;
mod custom;
mod entries;
mod mapping;
mod refusal;
mod schema;
mod shape;

pub use mapping::{InputMapping, MappedField};
pub use schema::InputSchema;

use foretell_types::cloudevents::{self, Reserved};
use foretell_types::limits::{
    COMMIT_EVENTS, EVENT_BYTES, NAMESPACE_PUBLISH_EVENTS, PUBLISH_BODY_BYTES, PUBLISH_EVENTS,
    STORE_BODY_BYTES,
};
use foretell_types::{Error, ErrorKind, Instant, NewEvent, Result, eventgrid};
use http::HeaderMap;

use content_type::ContentType;

/// What a topic takes.
#[derive(Clone, Copy, Debug)]
pub struct TopicSchema<'a> {
    /// The source of events that were sent in the Event Grid or a custom schema.
    pub resource_id: &'a str,
    pub schema: InputSchema,
    /// How a custom schema is read; without it by the property names of [`read_events`].
    pub mapping: Option<&'a InputMapping>,
}

/// What the server fills in where an event of a custom schema leaves it out.
pub trait Fill {
    /// A new globally unique id.
    fn id(&mut self) -> String;
    /// The server's clock.
    fn now(&mut self) -> Instant;
}

/// How much one request may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLimits {
    pub body_bytes: usize,
    pub events: usize,
    /// One event, see [`NewEvent::bytes`].
    pub event_bytes: usize,
}

impl RequestLimits {
    /// Event Grid's publish operation.
    pub const PUBLISH: RequestLimits = RequestLimits {
        body_bytes: PUBLISH_BODY_BYTES,
        events: PUBLISH_EVENTS,
        event_bytes: EVENT_BYTES,
    };
    /// The publish operation of a namespace's topic.
    pub const NAMESPACE: RequestLimits = RequestLimits {
        body_bytes: PUBLISH_BODY_BYTES,
        events: NAMESPACE_PUBLISH_EVENTS,
        event_bytes: EVENT_BYTES,
    };
    /// The store API's append.
    pub const STORE: RequestLimits = RequestLimits {
        body_bytes: STORE_BODY_BYTES,
        events: COMMIT_EVENTS,
        // What an event may hold is checked when it is appended.
        event_bytes: STORE_BODY_BYTES,
    };
}

/// How a request carries its events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Batch,
    Structured,
    Binary,
    Json,
}

/// Reads the events of a publish request: all of them, or an error and none.
///
/// Events of a custom schema without a mapping take `id`, `subject`, `eventType` or `type`,
/// `eventTime` or `time`, and `dataVersion` from the properties of those names; the type is
/// `custom` where there is none. Their data is the entire original object.
///
/// Fails with [`ErrorKind::TooLarge`] beyond the limits of a request (a body of
/// [`PUBLISH_BODY_BYTES`], [`PUBLISH_EVENTS`] events, [`EVENT_BYTES`] an event as it was sent),
/// else with [`ErrorKind::Invalid`].
pub fn read_events(
    headers: &HeaderMap,
    body: &[u8],
    topic: &TopicSchema<'_>,
    fill: &mut dyn Fill,
) -> Result<Vec<NewEvent>> {
    // An event within a body is never larger than the body.
    const { assert!(PUBLISH_BODY_BYTES <= EVENT_BYTES) };
    read_events_within(headers, body, topic, fill, RequestLimits::PUBLISH)
}

/// As [`read_events`], with other limits of a request; that of an event's data stays.
pub fn read_events_within(
    headers: &HeaderMap,
    body: &[u8],
    topic: &TopicSchema<'_>,
    fill: &mut dyn Fill,
    limits: RequestLimits,
) -> Result<Vec<NewEvent>> {
    if body.len() > limits.body_bytes {
        return Err(too_large(format_args!(
            "the body has {} bytes: at most {} are allowed, send fewer events in a request",
            body.len(),
            limits.body_bytes
        )));
    }
    let content_type = ContentType::of(headers)?;
    let form = form(headers, content_type.as_ref())?;
    if form == Form::Binary {
        let event = match topic.schema {
            InputSchema::EventGrid => Err(refusal::binary_for_event_grid()),
            InputSchema::Custom => Err(refusal::cloud_event_for_custom()),
            InputSchema::Any | InputSchema::CloudEvents => {
                binary::read(headers, content_type.as_ref(), body)
            }
        }?;
        return within(vec![event], limits);
    }
    if let Some(charset) = content_type.as_ref().and_then(ContentType::foreign_charset) {
        return Err(Error::invalid(format!(
            "charset {charset:?} is not supported for JSON: send UTF-8"
        )));
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let events = match (topic.schema, form) {
        (InputSchema::EventGrid, _) => event_grid(body, topic),
        (InputSchema::Custom, Form::Json) => custom::read(body, topic, fill),
        (InputSchema::Custom, _) => Err(refusal::cloud_event_for_custom()),
        (_, Form::Batch) => batch(body, topic),
        (_, Form::Structured) => single(body, topic),
        (_, _) => by_shape(body, topic),
    }?;
    within(events, limits)
}

fn within(events: Vec<NewEvent>, limits: RequestLimits) -> Result<Vec<NewEvent>> {
    let sizes = || events.iter().map(NewEvent::bytes).enumerate();
    if let Some((index, bytes)) = sizes().find(|(_, bytes)| *bytes > limits.event_bytes) {
        return Err(too_large(format_args!(
            "event {index} of the array has {bytes} bytes: at most {} are allowed",
            limits.event_bytes
        )));
    }
    if events.len() > limits.events {
        return Err(too_large(format_args!(
            "the request has {} events: at most {} are allowed",
            events.len(),
            limits.events
        )));
    }
    Ok(events)
}

fn form(headers: &HeaderMap, content_type: Option<&ContentType>) -> Result<Form> {
    let media = content_type.map_or("application/json", ContentType::media);
    match media {
        "application/cloudevents-batch+json" => return Ok(Form::Batch),
        "application/cloudevents+json" => return Ok(Form::Structured),
        other if other.starts_with("application/cloudevents") => {
            return Err(Error::invalid(format!(
                "the CloudEvents format {other:?} is not supported: send application/cloudevents+json or application/cloudevents-batch+json"
            )));
        }
        _ => {}
    }
    if headers.contains_key("ce-specversion") {
        return Ok(Form::Binary);
    }
    if headers.contains_key("ce-id") && headers.contains_key("ce-type") {
        return Err(Error::invalid(
            "required header 'ce-specversion' is missing",
        ));
    }
    // The documentation of Event Grid publishes with `curl -d`, which says it is a form.
    let json = cloudevents::is_json(Some(media))
        || matches!(media, "application/x-www-form-urlencoded" | "text/plain");
    if !json {
        return Err(Error::invalid(format!(
            "content type {media:?} is not one of events: send application/json, application/cloudevents+json, application/cloudevents-batch+json, or the headers ce-specversion, ce-id, ce-source and ce-type"
        )));
    }
    Ok(Form::Json)
}

/// JSON that its content type doesn't tell apart.
fn by_shape(body: &[u8], topic: &TopicSchema<'_>) -> Result<Vec<NewEvent>> {
    let shape = shape::peek(body);
    match (shape.is_cloud_event, shape.outer) {
        (true, shape::Outer::Object) => single(body, topic),
        (true, _) => batch(body, topic),
        (false, _) if topic.schema == InputSchema::Any => event_grid(body, topic),
        (false, shape::Outer::Array) if shape.first.is_none() => batch(body, topic),
        (false, shape::Outer::Array) => Err(refusal::not_cloud_events(&shape, "StartObject")),
        (false, _) => single(body, topic),
    }
}

fn event_grid(body: &[u8], topic: &TopicSchema<'_>) -> Result<Vec<NewEvent>> {
    eventgrid::batch_from_json(body, topic.resource_id)
        .map_err(|error| refusal::event_grid(error, body))
}

fn batch(body: &[u8], topic: &TopicSchema<'_>) -> Result<Vec<NewEvent>> {
    cloudevents::batch_from_json(body, Reserved::Refuse)
        .map_err(|error| refusal::cloud_events(error, body, topic.schema, "StartArray"))
}

fn single(body: &[u8], topic: &TopicSchema<'_>) -> Result<Vec<NewEvent>> {
    cloudevents::from_json(body)
        .map(|event| vec![event])
        .map_err(|error| refusal::cloud_events(error, body, topic.schema, "StartObject"))
}

fn too_large(message: std::fmt::Arguments<'_>) -> Error {
    Error::new(ErrorKind::TooLarge, message.to_string())
}
