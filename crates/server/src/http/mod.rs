//! HTTP: routes, and nothing that another face would need too.

mod admin;
mod answer;
mod events;
mod functions;
mod imports;
mod metrics;
mod openapi;
mod parameters;
mod path;
mod publish;
mod state;
mod stream;
mod verify;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::Response;
use axum::routing::{get, post};
use foretell_protocol::Credentials;
use foretell_types::limits::STORE_BODY_BYTES;
use foretell_types::{Error, Result};
use tower::{Layer, util::BoxCloneSyncService};

use crate::Node;

pub(crate) type Server = axum::extract::State<Arc<Node>>;

/// The whole of the HTTP interface of a node, as a service.
pub fn router(node: Arc<Node>) -> BoxCloneSyncService<Request, Response, std::convert::Infallible> {
    let names = node.clone();
    let routes = Router::new()
        .route("/healthz", get(metrics::healthy))
        .route("/readyz", get(metrics::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/topics", get(admin::list_topics))
        .route(
            "/topics/{topic}",
            get(admin::get_topic)
                .put(admin::put_topic)
                .delete(admin::delete_topic),
        )
        .route("/topics/{topic}/listkeys", post(admin::list_keys))
        .route("/topics/{topic}/regeneratekey", post(admin::regenerate_key))
        .route(
            "/topics/{topic}/eventsubscriptions",
            get(admin::list_subscriptions),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}",
            get(admin::get_subscription)
                .put(admin::put_subscription)
                .delete(admin::delete_subscription),
        )
        .route("/topics/{topic}/api/events", post(publish::publish))
        .route(
            "/topics/{topic}/events",
            get(events::read).post(events::append),
        )
        .route(
            "/topics/{topic}/streams",
            get(events::read_stream).post(events::append_stream),
        )
        .route(
            "/topics/{topic}/streams/{*subject}",
            get(events::read_stream).post(events::append_stream),
        )
        .route("/topics/{topic}/state", get(state::state))
        .route("/topics/{topic}/state/{*subject}", get(state::state))
        .route(
            "/topics/{topic}/imports/{import}",
            get(imports::progress).post(imports::append),
        )
        .route("/deadletters", get(admin::list_dead_letters))
        .route("/deadletters/replay", post(admin::replay_dead_letters))
        .route("/functions", get(functions::list))
        .route("/functions/{app}/logs", get(functions::logs))
        .route(
            "/functions/{app}/{function}/invoke",
            post(functions::invoke),
        )
        .route("/verify", post(verify::verify))
        .fallback(answer::no_route)
        .method_not_allowed_fallback(answer::no_method)
        .layer(DefaultBodyLimit::max(STORE_BODY_BYTES))
        .with_state(node);
    let normalise =
        tower::util::MapRequestLayer::new(move |request| path::normalise(&names, request));
    BoxCloneSyncService::new(normalise.layer(routes))
}

/// The credentials of a request.
pub(crate) fn credentials(headers: &http::HeaderMap, uri: &http::Uri) -> Result<Credentials> {
    Credentials::from_request(headers, uri.query())
}

/// Reading and administration need the admin key.
pub(crate) fn require_admin(node: &Node, headers: &http::HeaderMap, uri: &http::Uri) -> Result<()> {
    node.check_admin(&credentials(headers, uri)?)
}

/// The body as JSON; an empty one as null.
pub(crate) fn json_body(body: &[u8]) -> Result<serde_json::Value> {
    if body.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| Error::invalid(format!("malformed JSON: {error}")))
}
