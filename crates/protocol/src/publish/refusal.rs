//! The words with which the service refuses a body, and ours where its own don't help.
//! Sources: answers of the service quoted in azure-sdk-for-python issues 15941 and 16055, and
//! onefuzz issue 3285.

use foretell_types::{Error, ErrorKind};

use super::InputSchema;
use super::shape::{self, Outer, Shape};

const EVENT_GRID: &str = "This resource is configured for 'EventGridEvent' schema.";
const CLOUD_EVENTS: &str = "This resource is configured to receive event in 'CloudEventV10' schema. The JSON received does not conform to the expected schema.";

/// An error of the Event Grid reader, in the service's words.
pub(super) fn event_grid(error: Error, body: &[u8]) -> Error {
    if error.kind() != ErrorKind::Invalid {
        return error;
    }
    let shape = shape::peek(body);
    if let Some(plain) = not_events(body, &shape) {
        return plain;
    }
    if shape.outer != Outer::Array {
        return Error::invalid(format!(
            "{EVENT_GRID} The JSON received does not conform to the expected schema. Token Expected: StartArray, \nActual Token Received: {}.",
            shape.outer.token()
        ));
    }
    // The service's sentence comes first; serde's place goes, the event stays unless it's the first.
    match error.message().split_once(EVENT_GRID) {
        None => error,
        Some((place, rest)) => {
            let end = rest
                .find("expected schema.")
                .map_or(rest.len(), |at| at + 16);
            let event = place.trim_end_matches(": ");
            let event = if event.is_empty() || event.starts_with("event 0 ") {
                String::new()
            } else {
                format!(" See {event}.")
            };
            Error::invalid(format!("{EVENT_GRID}{}{event}", &rest[..end]))
        }
    }
}

/// An error of the CloudEvents reader; `expected` is the token that the content type announces.
pub(super) fn cloud_events(
    error: Error,
    body: &[u8],
    schema: InputSchema,
    expected: &str,
) -> Error {
    if error.kind() != ErrorKind::Invalid {
        return error;
    }
    let shape = shape::peek(body);
    if let Some(plain) = not_events(body, &shape) {
        return plain;
    }
    if matches!(shape.outer, Outer::Array | Outer::Object) && shape.outer.token() != expected {
        return not_cloud_events(&shape, expected);
    }
    if shape.is_cloud_event || schema != InputSchema::CloudEvents {
        return error;
    }
    Error::invalid(format!("{CLOUD_EVENTS} {}", error.message()))
}

/// The body begins with another token than a CloudEvent, or a batch of them, does.
pub(super) fn not_cloud_events(shape: &Shape, expected: &str) -> Error {
    if shape.first == Some(Outer::Text) {
        return array_of_text();
    }
    Error::invalid(format!(
        "{CLOUD_EVENTS} Token Expected: {expected}, \nActual Token Received: {}.",
        shape.outer.token()
    ))
}

/// An error of any reader, unless something is wrong before any schema is.
pub(super) fn plain(error: Error, body: &[u8]) -> Error {
    not_events(body, &shape::peek(body)).unwrap_or(error)
}

pub(super) fn binary_for_event_grid() -> Error {
    Error::invalid(format!(
        "{EVENT_GRID} Received a CloudEvent (header 'ce-specversion'), which does not conform to the expected schema."
    ))
}

pub(super) fn cloud_event_for_custom() -> Error {
    Error::invalid(
        "This resource is configured for 'CustomInputEvent' schema. Received a CloudEvent, which does not conform to the expected schema: send an array of objects as application/json.",
    )
}

/// What is wrong before any schema is.
fn not_events(body: &[u8], shape: &Shape) -> Option<Error> {
    if body.is_empty() {
        return Some(Error::invalid(
            "the body is empty: events as JSON are needed",
        ));
    }
    if let Err(error) = std::str::from_utf8(body) {
        return Some(Error::invalid(format!(
            "the body is not UTF-8: wrong at byte {}",
            error.valid_up_to()
        )));
    }
    (shape.first == Some(Outer::Text)).then(array_of_text)
}

/// `azure-eventgrid` for Python encodes events of `cloudevents` 2.x as their Python text.
fn array_of_text() -> Error {
    Error::invalid(
        "the body is an array of strings, not of events: the azure-eventgrid client for Python can't encode the events of cloudevents 2.x, give it azure.core.messaging.CloudEvent or cloudevents 1.x",
    )
}
