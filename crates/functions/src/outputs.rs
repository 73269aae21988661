//! What a function set or returned, as an outcome.

use std::collections::BTreeMap;

use bytes::Bytes;
use foretell_delivery::{Failure, FailureKind, Invocation, Outcome, OutputBlob, OutputEvent};
use foretell_types::limits::{INVOCATION_OUTPUT_BYTES, INVOCATION_OUTPUTS};
use foretell_types::{
    Error, ErrorKind, NewEvent, Result, Timestamp, cloudevents, eventgrid, validate,
};
use serde_json::value::RawValue;

use crate::AppOptions;
use crate::bindings;
use crate::expression::Scope;
use crate::plan::{Plan, Target};

/// Stands for an id that the function left out; the dispatcher gives the event its id.
const NO_ID: &str = "-";

/// An array of texts that hold arrays: more is a mistake.
const LEVELS: usize = 3;

/// Turns the worker's answer (name, kind and size of each output, and the bytes) into an outcome.
pub(crate) fn collect(
    plan: &Plan,
    invocation: &Invocation,
    names: Vec<(String, String, usize)>,
    mut body: Bytes,
    options: &AppOptions,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut bytes = 0;
    for (name, _kind, size) in names {
        if size > body.len() {
            return Err(Failure::new(
                FailureKind::Aborted,
                "the worker's answer is cut short",
            ));
        }
        let content = body.split_to(size);
        bytes += size;
        match plan.outputs.get(&name) {
            Some(Target::Blob(path)) => {
                let scope = Scope::new(&plan.info.name, invocation);
                let (container, name) = bindings::blob(path, &scope, options)
                    .map_err(|error| bindings::unresolved(&error))?;
                outcome.blobs.push(OutputBlob {
                    container,
                    name,
                    content,
                });
            }
            Some(Target::Topic(topic)) => {
                let found = events(&content, &(options.topic_id)(topic), invocation)
                    .map_err(|error| wrong_event(&name, &error))?;
                let output = |event| OutputEvent {
                    topic: topic.clone(),
                    event,
                };
                outcome.events.extend(found.into_iter().map(output));
            }
            None => {}
        }
    }
    let outputs = outcome.blobs.len() + outcome.events.len();
    if outputs > INVOCATION_OUTPUTS || bytes > INVOCATION_OUTPUT_BYTES {
        return Err(Failure::new(
            FailureKind::PayloadTooLarge,
            format!(
                "the function returned {outputs} outputs of {bytes} bytes: at most \
                 {INVOCATION_OUTPUTS} of {INVOCATION_OUTPUT_BYTES} are allowed"
            ),
        ));
    }
    Ok(outcome)
}

fn wrong_event(name: &str, error: &Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::TooLarge => FailureKind::PayloadTooLarge,
        _ => FailureKind::Aborted,
    };
    Failure::new(kind, format!("output {name:?} is no event: {error}"))
}

/// The events of one output: one or an array; each an object, or text that holds one (the library
/// sends a list of strings so).
fn events(json: &[u8], topic_id: &str, invocation: &Invocation) -> Result<Vec<NewEvent>> {
    let text = std::str::from_utf8(json).map_err(|_| Error::invalid("it is not UTF-8"))?;
    let mut objects = Vec::new();
    split(text, LEVELS, &mut objects)?;
    let event = |object: Object| match object.contains_key("specversion") {
        true => cloud_event(object),
        false => grid_event(object, topic_id, invocation),
    };
    objects.into_iter().map(event).collect()
}

/// A JSON object whose values stay as they were written.
type Object = BTreeMap<String, Box<RawValue>>;

fn split(json: &str, levels: usize, found: &mut Vec<Object>) -> Result<()> {
    let wrong = |error| Error::invalid(format!("it is not JSON: {error}"));
    match json.trim_start().as_bytes().first() {
        Some(b'{') => found.push(serde_json::from_str(json).map_err(wrong)?),
        Some(b'[') if levels > 0 => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(wrong)?;
            for item in items {
                split(item.get(), levels - 1, found)?;
            }
        }
        Some(b'"') if levels > 0 => {
            let text: String = serde_json::from_str(json).map_err(wrong)?;
            split(&text, levels - 1, found)?;
        }
        _ => {
            return Err(Error::invalid(
                "expected a JSON object or an array of objects",
            ));
        }
    }
    Ok(())
}

fn cloud_event(mut object: Object) -> Result<NewEvent> {
    let no_id = fill_id(&mut object)?;
    let mut event = cloudevents::from_json(&json(&object)?)?;
    if no_id {
        event.id.clear();
    }
    Ok(event)
}

/// An event in the Event Grid schema. The library writes null for what was left out; a time that
/// was left out is the invocation's.
fn grid_event(mut object: Object, topic_id: &str, invocation: &Invocation) -> Result<NewEvent> {
    object.retain(|key, value| key == "data" || value.get() != "null");
    let no_id = fill_id(&mut object)?;
    let no_time = !object.contains_key("eventTime");
    if no_time {
        let time = Timestamp::from_instant(invocation.first_attempt);
        object.insert("eventTime".to_owned(), quoted(&time.to_string())?);
    }
    let mut events = eventgrid::batch_from_json(&json(&[object])?, topic_id)?;
    let mut event = events.pop().ok_or_else(|| Error::invalid("it is empty"))?;
    event.time_filled = no_time;
    validate(&event)?;
    if no_id {
        event.id.clear();
    }
    Ok(event)
}

/// Whether there was no id; there is one afterwards.
fn fill_id(object: &mut Object) -> Result<bool> {
    let there = object.get("id").map(|id| id.get());
    let missing = matches!(there, None | Some("null" | "\"\""));
    if missing {
        object.insert("id".to_owned(), quoted(NO_ID)?);
    }
    Ok(missing)
}

fn quoted(text: &str) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(text).map_err(unwritable)
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(unwritable)
}

#[expect(clippy::needless_pass_by_value, reason = "the form of map_err")]
fn unwritable(error: serde_json::Error) -> Error {
    Error::invalid(format!("it can't be written as JSON: {error}"))
}
