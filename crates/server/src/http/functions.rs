use axum::extract::{Path, Request, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_delivery::FailureKind;
use foretell_protocol::Permission;
use foretell_types::limits::PUBLISH_BODY_BYTES;
use foretell_types::{Error, ErrorKind, cloudevents};
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json};
use super::body::read_request;
use super::function_apps::app_json;
use super::parameters::Parameters;
use super::{Server, require, require_admin};

/// `GET /functions`
pub async fn list(State(node): Server, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    let apps: Vec<Value> = node.apps().iter().map(app_json).collect();
    answer_json(&apps)
}

/// `GET /functions/{app}/logs?function=&last=`
pub async fn logs(State(node): Server, Path(app): Path<String>, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let parameters = Parameters::parse(request.uri(), &["function", "last"])?;
    let last = parameters.number("last")?.unwrap_or(100);
    let function = parameters.get("function").map(str::to_owned);
    answer_json(&node.app_logs(&app, function, last).await?)
}

/// `POST /functions/{app}/{function}/invoke`: calls a function with an event, and shows what it
/// returned; nothing of it is applied.
pub async fn invoke(
    State(node): Server,
    Path((app, function)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let app = node.app(&app)?;
    let body = read_request(request, PUBLISH_BODY_BYTES).await?;
    app.started().await;
    let outcome = app
        .invoke(&function, &body, node.now())
        .await
        .map_err(|failure| {
            let kind = match failure.kind {
                FailureKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Invalid,
            };
            Error::new(kind, format!("the function failed: {failure}"))
        })?;
    let blobs: Vec<Value> = outcome
        .blobs
        .iter()
        .map(|blob| {
            let mut value = json!({ "container": blob.container, "name": blob.name });
            match std::str::from_utf8(&blob.content) {
                Ok(text) => value["content"] = text.into(),
                Err(_) => value["content_base64"] = STANDARD.encode(&blob.content).into(),
            }
            value
        })
        .collect();
    let events: Vec<Value> = outcome
        .events
        .iter()
        .map(|output| {
            let text = cloudevents::to_json(&output.event);
            json!({ "topic": output.topic, "event": serde_json::from_str::<Value>(&text).unwrap_or_default() })
        })
        .collect();
    answer_json(&json!({ "blobs": blobs, "events": events }))
}
