//! Event Grid namespaces: publishing CloudEvents, and receiving them.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use foretell_delivery::{Receiver, Settlement};
use foretell_protocol::{
    Delivery, Permission, lock_tokens, max_events, max_wait_s, received_json, release_delay_s,
    settled_json,
};
use foretell_types::Result;
use foretell_types::limits::PUBLISH_BODY_BYTES;
use http::header;
use serde_json::json;

use super::answer::{Answer, json as answer_json};
use super::body::read_request;
use super::parameters::Parameters;
use super::publish::append_read;
use super::{Server, json_body};
use crate::Node;
use crate::node::{Counters, to_the_end};

/// `POST /topics/{topic}:publish`
pub async fn publish(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    let read = |topic: &_, headers: &_, body: &_| node.read_cloudevents(topic, headers, body);
    match append_read(&node, &topic, request, read).await {
        Ok(()) => answer_json(&json!({})),
        Err(error) => {
            Counters::add(&node.counters.refused_requests, 1);
            Err(error.into())
        }
    }
}

/// Where to receive, for one who shows a key of the topic.
fn receiver(node: &Node, topic: &str, name: &str, request: &Request) -> Result<Receiver> {
    let topic = node.topic(topic)?;
    let credentials = super::credentials(request.headers(), request.uri())?;
    node.check_topic(&topic, &credentials, Permission::Receive)?;
    node.receiver(&topic.config.name, name)
}

/// `POST /topics/{topic}/eventsubscriptions/{subscription}:receive?maxEvents=&maxWaitTime=`
pub async fn receive(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let receiver = receiver(&node, &topic, &name, &request)?;
    let parameters = Parameters::parse(request.uri(), &["maxevents", "maxwaittime"])?;
    let max = max_events(parameters.number("maxevents")?)?;
    let wait = Duration::from_secs(max_wait_s(parameters.number("maxwaittime")?)?);
    let received = tokio::select! {
        received = receiver.receive(max, wait) => received?,
        // A wait must not hold up the end.
        () = node.stopping() => Vec::new(),
    };
    let body = received_json(received.iter().map(|received| Delivery {
        lock_token: &received.lock_token,
        delivery_count: received.delivery_count,
        event: &received.event.event,
    }));
    let json = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    Ok((json, body).into_response())
}

/// `POST /topics/{topic}/eventsubscriptions/{subscription}:acknowledge`
pub async fn acknowledge(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let receiver = receiver(&node, &topic, &name, &request)?;
    settle(&receiver, Settlement::Acknowledge, request).await
}

/// `POST /topics/{topic}/eventsubscriptions/{subscription}:release?releaseDelayInSeconds=`
pub async fn release(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let receiver = receiver(&node, &topic, &name, &request)?;
    let parameters = Parameters::parse(request.uri(), &["releasedelayinseconds"])?;
    let delay = release_delay_s(parameters.number("releasedelayinseconds")?)?;
    let release = Settlement::Release(Duration::from_secs(delay));
    settle(&receiver, release, request).await
}

/// `POST /topics/{topic}/eventsubscriptions/{subscription}:reject`
pub async fn reject(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let receiver = receiver(&node, &topic, &name, &request)?;
    settle(&receiver, Settlement::Reject, request).await
}

/// `POST /topics/{topic}/eventsubscriptions/{subscription}:renewLock`
pub async fn renew_lock(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let receiver = receiver(&node, &topic, &name, &request)?;
    settle(&receiver, Settlement::RenewLock, request).await
}

async fn settle(receiver: &Receiver, settlement: Settlement, request: Request) -> Answer {
    let body = read_request(request, PUBLISH_BODY_BYTES).await?;
    let tokens = lock_tokens(&json_body(&body)?)?;
    let receiver = receiver.clone();
    let settled = to_the_end(async move { receiver.settle(settlement, tokens).await }).await?;
    let failed = settled.failed.iter();
    let failed = failed.map(|(token, why)| (&**token, why.code(), why.message()));
    answer_json(&settled_json(&settled.succeeded, failed))
}
