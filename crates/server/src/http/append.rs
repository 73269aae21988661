//! The store API: append with conditions.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use foretell_log::Appended;
use foretell_protocol::{Permission, RequestLimits};
use foretell_types::limits::STORE_BODY_BYTES;
use foretell_types::{Error, ExpectedRevision, NewEvent, Result, Revision};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::{Answer, Failed, json as answer_json};
use super::body::read_body;
use super::parameters::{Parameters, topic_and_subject};
use super::read::set_etag;
use super::{Server, condition, credentials};
use crate::Node;
use crate::node::{Conditions, TopicEntry};

/// `POST /topics/{topic}/events`
pub async fn append(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    append_to(&node, &topic, None, request).await
}

/// `POST /topics/{topic}/streams/{subject}`
pub async fn append_stream(
    State(node): Server,
    path: Path<Vec<(String, String)>>,
    request: Request,
) -> Answer {
    let parameters = Parameters::parse(request.uri(), &["subject"])?;
    let (topic, subject) = topic_and_subject(path, &parameters)?;
    append_to(&node, &topic, Some(subject), request).await
}

async fn append_to(node: &Node, topic: &str, subject: Option<String>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let work = append_parts(node, topic, subject, &parts, body);
    node.telemetry
        .publish(topic, &parts.headers, Failed::error, work)
        .await
}

async fn append_parts(
    node: &Node,
    topic: &str,
    subject: Option<String>,
    parts: &http::request::Parts,
    body: axum::body::Body,
) -> Answer {
    let topic = node.topic(topic)?;
    let credentials = credentials(&parts.headers, &parts.uri)?;
    node.check_topic(&topic, &credentials, Permission::Publish)?;
    let body = read_body(&parts.headers, body, STORE_BODY_BYTES).await?;
    let topic = node.still_publishes(topic, &credentials)?;
    let (mut events, mut conditions) = read_append(node, &topic, &parts.headers, &body)?;
    if let Some(subject) = subject {
        for event in &mut events {
            match &event.subject {
                Some(other) if *other != subject => {
                    let message =
                        format!("an event has subject {other:?}, the path says {subject:?}");
                    return Err(Error::invalid(message).into());
                }
                _ => event.subject = Some(subject.clone()),
            }
        }
        if let Some(expected) = expected_revision(&parts.headers)? {
            conditions.expected.push((subject, expected));
        }
    } else if expected_revision(&parts.headers)?.is_some() {
        let message = "If-Match and If-None-Match are about a stream: append to /topics/{topic}/streams/{subject}";
        return Err(Error::invalid(message).into());
    }
    let appended = node.append(&topic.config.name, events, conditions).await?;
    answer_appended(&appended)
}

/// The events of an append, and the condition where the body is `{"events": […], "condition": …}`.
fn read_append(
    node: &Node,
    topic: &TopicEntry,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Vec<NewEvent>, Conditions)> {
    let Some(envelope) = envelope(headers, body) else {
        let events = node.read_events(topic, headers, body, RequestLimits::STORE)?;
        return Ok((events, Conditions::default()));
    };
    let (mut events, mut conditions) = (Vec::new(), Conditions::default());
    for (name, value) in envelope {
        match &*name {
            "events" => {
                let json = value.get().as_bytes();
                events = node.read_events(topic, &HeaderMap::new(), json, RequestLimits::STORE)?;
            }
            "condition" => conditions = condition::conditions(value)?,
            // A condition that is misspelt must not be none.
            _ => {
                return Err(Error::invalid(format!(
                    "there is no property {name:?} in an append; there are events and condition"
                )));
            }
        }
    }
    Ok((events, conditions))
}

/// The members of `{"events": […], …}`; `None` for a body that is the events themselves. Looks
/// only where that is in doubt: not into an array, nor where the headers say CloudEvents.
fn envelope<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<BTreeMap<String, &'a RawValue>> {
    let says_cloud_event = headers.contains_key("ce-specversion")
        || headers.get(header::CONTENT_TYPE).is_some_and(|value| {
            let text = value.as_bytes().to_ascii_lowercase();
            text.starts_with(b"application/cloudevents")
        });
    if says_cloud_event || !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    (members.contains_key("events") && !members.contains_key("specversion")).then_some(members)
}

/// `If-Match: "5"`, `If-Match: *` (any events) is refused, `If-None-Match: *` means none.
fn expected_revision(headers: &HeaderMap) -> Result<Option<ExpectedRevision>> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("").trim())
    };
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(ExpectedRevision::None)),
        (Some(tag), None) => tag
            .strip_prefix('"')
            .and_then(|tag| tag.strip_suffix('"'))
            .unwrap_or(tag)
            .parse()
            .map(|revision| Some(ExpectedRevision::Exact(Revision::new(revision))))
            .map_err(|_| {
                Error::invalid(format!(
                    "If-Match is {tag:?}: a revision such as \"5\" is expected"
                ))
            }),
        _ => Err(Error::invalid(
            "expected If-Match: \"REVISION\" or If-None-Match: *, not both",
        )),
    }
}

#[derive(Serialize)]
struct Answered {
    events: Vec<AnsweredEvent>,
}

#[derive(Serialize)]
struct AnsweredEvent {
    duplicate: bool,
    position: u64,
    revision: Option<u64>,
}

fn answer_appended(appended: &Appended) -> Answer {
    let events = appended.events.iter().map(|event| AnsweredEvent {
        duplicate: event.duplicate,
        position: event.position.get(),
        revision: event.revision.map(Revision::get),
    });
    let mut response = answer_json(&Answered {
        events: events.collect(),
    })?;
    if let Some(revision) = appended.events.last().and_then(|event| event.revision) {
        set_etag(response.headers_mut(), revision);
    }
    Ok(response)
}
