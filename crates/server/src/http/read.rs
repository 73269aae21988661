//! The store API: read.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use foretell_log::{EventLog, ReadOptions};
use foretell_protocol::Permission;
use foretell_types::{Error, Position, Result, Revision};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use super::answer::Answer;
use super::parameters::{Parameters, page, read_options, topic_and_subject, topic_of};
use super::stream::ARROW;
use super::{Server, require, stream};
use crate::Node;
use crate::node::blocking;

/// A page ends once it has so many bytes.
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// `GET /topics/{topic}/events`
pub async fn read(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    require(&node, &parts, Permission::Read, Some(&topic))?;
    let parameters = Parameters::parse_read(&parts.uri)?;
    read_events(&node, &topic, None, &parts, &parameters).await
}

/// `GET /topics/{topic}/streams/{subject}`
pub async fn read_stream(
    State(node): Server,
    path: Path<Vec<(String, String)>>,
    request: Request,
) -> Answer {
    let (parts, _) = request.into_parts();
    let topic = topic_of(&path);
    require(&node, &parts, Permission::Read, topic)?;
    let parameters = Parameters::parse_read(&parts.uri)?;
    let (topic, subject) = topic_and_subject(path, &parameters)?;
    read_events(&node, &topic, Some(subject), &parts, &parameters).await
}

async fn read_events(
    node: &Arc<Node>,
    topic: &str,
    subject: Option<String>,
    parts: &Parts,
    parameters: &Parameters,
) -> Answer {
    let mut options = read_options(parameters, subject.clone())?;
    let topic = node.readable_topic(topic)?;
    let follow = parameters.flag("follow")?;
    match accepts(&parts.headers) {
        Accept::EventStream => {
            if let Some(last) = last_event_id(&parts.headers)? {
                options.from = Some(last.next());
            }
            Ok(stream::events(node.clone(), topic, options)?.into_response())
        }
        Accept::Lines => {
            if !follow {
                check_stream(&node.log, &topic, subject.as_deref())?;
            }
            Ok(stream::lines(node.clone(), topic, options, follow)?.into_response())
        }
        Accept::Arrow => {
            if !follow {
                check_stream(&node.log, &topic, subject.as_deref())?;
            }
            Ok(stream::arrow(node.clone(), topic, options, follow)?.into_response())
        }
        Accept::Batch if follow => Err(Error::invalid(
            "a page ends: to follow, send the header Accept with application/x-ndjson, text/event-stream or application/vnd.apache.arrow.stream",
        )
        .into()),
        Accept::Batch => {
            let (log, of_stream) = (node.log.clone(), subject.is_some());
            let page = blocking(move || {
                check_stream(&log, &topic, subject.as_deref())?;
                read_page(&log, &topic, options)
            })
            .await?;
            Ok(page.answer(of_stream))
        }
    }
}

/// Where an interrupted reader of server-sent events goes on: 0 is before the first.
fn last_event_id(headers: &HeaderMap) -> Result<Option<LastEvent>> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let position: u64 = text.parse().map_err(|_| {
        Error::invalid(format!(
            "Last-Event-ID is {text:?}: the id of an event, its position, is expected"
        ))
    })?;
    Ok(Some(LastEvent(Position::new(position))))
}

struct LastEvent(Option<Position>);

impl LastEvent {
    fn next(&self) -> Position {
        self.0.map_or(Position::FIRST, Position::next)
    }
}

fn check_stream(log: &EventLog, topic: &str, subject: Option<&str>) -> Result<()> {
    match subject {
        Some(subject) if log.revision(topic, subject)?.is_none() => Err(Error::not_found(format!(
            "topic {topic:?} has no events with subject {subject:?}"
        ))),
        _ => Ok(()),
    }
}

struct Page {
    body: Vec<u8>,
    last: Option<Position>,
    /// The highest revision on the page.
    revision: Option<Revision>,
    more: bool,
}

fn read_page(log: &EventLog, topic: &str, mut options: ReadOptions) -> Result<Page> {
    let size = page(options.limit);
    // One more than the page holds tells whether there is another page.
    options.limit = Some(size + 1);
    let mut reader = log.read(topic, options)?;
    let mut page = Page {
        body: b"[".to_vec(),
        last: None,
        revision: None,
        more: false,
    };
    let mut count = 0;
    while let Some(event) = reader.next_event()? {
        if count == size || page.body.len() >= PAGE_BYTES {
            page.more = true;
            break;
        }
        if count > 0 {
            page.body.push(b',');
        }
        event.write_json(&mut page.body)?;
        page.last = Some(event.position);
        page.revision = page.revision.max(event.revision);
        count += 1;
    }
    page.body.push(b']');
    Ok(page)
}

impl Page {
    fn answer(self, of_stream: bool) -> Response {
        let mut response = Response::new(Body::from(self.body));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/cloudevents-batch+json; charset=utf-8"),
        );
        let more = if self.more { "true" } else { "false" };
        headers.insert("foretell-more", HeaderValue::from_static(more));
        if let Some(last) = self.last {
            headers.insert("foretell-last-position", HeaderValue::from(last.get()));
        }
        if let Some(revision) = self.revision.filter(|_| of_stream) {
            set_etag(headers, revision);
        }
        response
    }
}

/// The revision that `If-Match` takes: an append after a page that missed something fails.
pub(super) fn set_etag(headers: &mut HeaderMap, revision: Revision) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        headers.insert(header::ETAG, value);
    }
}

enum Accept {
    Batch,
    Lines,
    Arrow,
    EventStream,
}

fn accepts(headers: &HeaderMap) -> Accept {
    let text = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if text.contains("text/event-stream") {
        Accept::EventStream
    } else if text.contains(ARROW) {
        Accept::Arrow
    } else if text.contains("ndjson") || text.contains("jsonl") {
        Accept::Lines
    } else {
        Accept::Batch
    }
}
