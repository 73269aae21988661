use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use foretell_protocol::Permission;
use foretell_types::{NewEvent, Result};
use http::{HeaderValue, StatusCode};

use super::Server;
use super::answer::Failed;
use super::body::read_body;
use crate::Node;
use crate::node::{Conditions, Counters, TopicEntry};

/// `POST /topics/{topic}/api/events`: Event Grid's publish operation.
pub async fn publish(State(node): Server, Path(topic): Path<String>, request: Request) -> Response {
    let request_id = node.new_id().to_string();
    let mut response = match accept(&node, &topic, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            Counters::add(&node.counters.refused_requests, 1);
            Failed::event_grid(error, request_id.clone(), node.now()).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(
        "api-supported-versions",
        HeaderValue::from_static("2018-01-01"),
    );
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert("x-ms-request-id", value);
    }
    response
}

async fn accept(node: &Node, topic: &str, request: Request) -> Result<()> {
    append_read(node, topic, request, |topic, headers, body| {
        node.read_events(topic, headers, body, node.request_limits())
    })
    .await
}

/// Appends the events that a publish request holds, as `read` finds them.
pub(super) async fn append_read(
    node: &Node,
    topic: &str,
    request: Request,
    read: impl FnOnce(&TopicEntry, &http::HeaderMap, &[u8]) -> Result<Vec<NewEvent>>,
) -> Result<()> {
    let (parts, body) = request.into_parts();
    let work = append_parts(node, topic, &parts, body, read);
    node.telemetry
        .publish(topic, &parts.headers, |error| error, work)
        .await
}

async fn append_parts(
    node: &Node,
    topic: &str,
    parts: &http::request::Parts,
    body: axum::body::Body,
    read: impl FnOnce(&TopicEntry, &http::HeaderMap, &[u8]) -> Result<Vec<NewEvent>>,
) -> Result<()> {
    let topic = node.topic(topic)?;
    // Before the body is read: who has no key sends nothing.
    let credentials = super::credentials(&parts.headers, &parts.uri)?;
    node.check_topic(&topic, &credentials, Permission::Publish)?;
    let body = read_body(&parts.headers, body, node.request_limits().body_bytes).await?;
    let topic = node.still_publishes(topic, &credentials)?;
    let events = read(&topic, &parts.headers, &body)?;
    node.append(&topic.config.name, events, Conditions::default())
        .await?;
    Ok(())
}
