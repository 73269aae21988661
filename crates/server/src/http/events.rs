//! The store API: append with conditions, read.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use foretell_log::Appended;
use foretell_types::limits::STORE_BODY_BYTES;
use foretell_types::{
    AppendCondition, Error, ExpectedRevision, NewEvent, Position, Query, QueryItem, Result,
    Revision, cloudevents,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json};
use super::parameters::{Parameters, READ, page, read_options};
use super::{Server, credentials, json_body, publish, require_admin, stream};
use crate::Node;
use crate::node::{Conditions, TopicEntry, blocking};

/// `GET /topics/{topic}/events`
pub async fn read(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    read_events(&node, &topic, None, &parts).await
}

/// `GET /topics/{topic}/streams/{subject}`
pub async fn read_stream(
    State(node): Server,
    path: Path<Vec<(String, String)>>,
    request: Request,
) -> Answer {
    let (topic, subject) = topic_and_subject(path)?;
    let (parts, _) = request.into_parts();
    let parameters = Parameters::parse(&parts.uri, &READ)?;
    let subject = subject.or_else(|| parameters.get("subject").map(str::to_owned));
    let subject = subject.ok_or_else(no_subject)?;
    read_events(&node, &topic, Some(subject), &parts).await
}

fn no_subject() -> Error {
    Error::invalid("no subject is given: put it into the path, percent-encoded, or into ?subject=")
}

/// The parts of a path with a topic and perhaps a subject.
pub fn topic_and_subject(
    Path(parts): Path<Vec<(String, String)>>,
) -> Result<(String, Option<String>)> {
    let mut parts = parts.into_iter().map(|(_, value)| value);
    let topic = parts
        .next()
        .ok_or_else(|| Error::invalid("no topic is given"))?;
    Ok((topic, parts.next()))
}

async fn read_events(
    node: &Arc<Node>,
    topic: &str,
    subject: Option<String>,
    parts: &Parts,
) -> Answer {
    require_admin(node, &parts.headers, &parts.uri)?;
    let parameters = Parameters::parse(&parts.uri, &READ)?;
    let mut options = read_options(&parameters, subject.clone())?;
    let topic = node.readable_topic(topic)?;
    let accept = accepts(&parts.headers);
    if accept == Accept::EventStream {
        if let Some(last) = parts.headers.get("last-event-id") {
            let last = last
                .to_str()
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0);
            options.from = Position::new(last + 1);
        }
        return Ok(stream::events(node.clone(), topic, options)?.into_response());
    }
    if accept == Accept::Lines {
        let follow = parameters.flag("follow")?;
        return Ok(stream::lines(node.clone(), topic, options, follow)?.into_response());
    }
    options.limit = Some(page(options.limit));
    let log = node.log.clone();
    let known = subject.clone();
    let (body, last) = blocking(move || {
        if let Some(subject) = &known
            && log.revision(&topic, subject)?.is_none()
        {
            return Err(Error::not_found(format!(
                "topic {topic:?} has no events with subject {subject:?}"
            )));
        }
        let mut reader = log.read(&topic, options)?;
        let (mut out, mut last) = (b"[".to_vec(), None);
        while let Some(event) = reader.next_recorded()? {
            if last.is_some() {
                out.push(b',');
            }
            cloudevents::write_recorded(&mut out, &event);
            last = Some(event);
        }
        out.push(b']');
        Ok((out, last))
    })
    .await?;
    let mut response = (
        [(
            header::CONTENT_TYPE,
            "application/cloudevents-batch+json; charset=utf-8",
        )],
        body,
    )
        .into_response();
    if let Some(last) = last {
        let headers = response.headers_mut();
        headers.insert(
            "foretell-last-position",
            HeaderValue::from(last.position.get()),
        );
        if let (Some(revision), Some(_)) = (last.revision, subject) {
            set_etag(headers, revision);
        }
    }
    Ok(response)
}

fn set_etag(headers: &mut HeaderMap, revision: Revision) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        headers.insert(header::ETAG, value);
    }
}

#[derive(PartialEq)]
enum Accept {
    Batch,
    Lines,
    EventStream,
}

fn accepts(headers: &HeaderMap) -> Accept {
    let text = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if text.contains("text/event-stream") {
        Accept::EventStream
    } else if text.contains("ndjson") || text.contains("jsonl") {
        Accept::Lines
    } else {
        Accept::Batch
    }
}

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
    let (topic, subject) = topic_and_subject(path)?;
    let parameters = Parameters::parse(request.uri(), &["subject"])?;
    let subject = subject.or_else(|| parameters.get("subject").map(str::to_owned));
    append_to(
        &node,
        &topic,
        Some(subject.ok_or_else(no_subject)?),
        request,
    )
    .await
}

async fn append_to(node: &Node, topic: &str, subject: Option<String>, request: Request) -> Answer {
    let topic = node.topic(topic)?;
    let (parts, body) = request.into_parts();
    node.check_publisher(&topic, &credentials(&parts.headers, &parts.uri)?)?;
    let body = publish::read_body(body, STORE_BODY_BYTES).await?;
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
            conditions.expected = Some((subject, expected));
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
    let enveloped = body.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<Envelope<'_>>(body)
            .is_ok_and(|envelope| envelope.specversion.is_none());
    if !enveloped {
        return Ok((
            node.read_events(topic, headers, body)?,
            Conditions::default(),
        ));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("malformed JSON: {error}")))?;
    let events = node.read_events(topic, &HeaderMap::new(), envelope.events.get().as_bytes())?;
    let conditions = match envelope.condition {
        Value::Null => Vec::new(),
        Value::Array(all) => all.iter().map(condition).collect::<Result<_>>()?,
        one => vec![condition(&one)?],
    };
    Ok((
        events,
        Conditions {
            expected: None,
            conditions,
        },
    ))
}

#[derive(serde::Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    events: &'a serde_json::value::RawValue,
    #[serde(default)]
    condition: Value,
    specversion: Option<Value>,
}

/// `{"fail_if_events_match": {"items": [{"types", "subjects", "subject_prefix", "tags"}]}, "after": P}`
fn condition(value: &Value) -> Result<AppendCondition> {
    let wrong = |what: &str| Error::invalid(format!("condition: {what}"));
    let object = value
        .as_object()
        .ok_or_else(|| wrong("an object is expected"))?;
    if let Some(other) = object
        .keys()
        .find(|key| !matches!(key.as_str(), "fail_if_events_match" | "after"))
    {
        return Err(wrong(&format!(
            "there is no property {other:?}; there are fail_if_events_match and after"
        )));
    }
    let items = match object
        .get("fail_if_events_match")
        .and_then(|query| query.get("items"))
    {
        Some(Value::Array(items)) => items.iter().map(query_item).collect::<Result<Vec<_>>>()?,
        _ => return Err(wrong("fail_if_events_match.items must be an array")),
    };
    let after = match object.get("after") {
        None | Some(Value::Null) => None,
        Some(number) => {
            let after = number
                .as_u64()
                .ok_or_else(|| wrong("after must be a position"))?;
            Position::new(after)
        }
    };
    Ok(AppendCondition {
        fail_if_events_match: Query { items },
        after,
    })
}

fn query_item(value: &Value) -> Result<QueryItem> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[derive(Default)]
    struct Item {
        types: Vec<String>,
        subjects: Vec<String>,
        subject_prefix: Option<String>,
        tags: Vec<String>,
    }
    let item: Item = serde_json::from_value(value.clone())
        .map_err(|error| Error::invalid(format!("condition: an item of the query: {error}")))?;
    Ok(QueryItem {
        types: item.types,
        subjects: item.subjects,
        subject_prefix: item.subject_prefix,
        tags: item.tags,
    })
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

fn answer_appended(appended: &Appended) -> Answer {
    let events: Vec<Value> = appended
        .events
        .iter()
        .map(|event| {
            json!({
                "position": event.position.get(),
                "revision": event.revision.map(Revision::get),
                "duplicate": event.duplicate,
            })
        })
        .collect();
    let mut response = answer_json(&json!({ "events": events }))?;
    if let Some(revision) = appended.events.last().and_then(|event| event.revision) {
        set_etag(response.headers_mut(), revision);
    }
    Ok(response)
}

/// The body of an administration request.
pub async fn admin_body(request: Request) -> Result<(Parts, Value)> {
    let (parts, body) = request.into_parts();
    let body = publish::read_body(body, STORE_BODY_BYTES).await?;
    let json = json_body(&body)?;
    Ok((parts, json))
}
