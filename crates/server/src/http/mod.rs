//! HTTP: routes, and nothing that another face would need too.

mod answer;
mod append;
mod backup;
mod body;
mod condition;
mod datasets;
mod dead_letters;
mod erase;
mod function_apps;
mod functions;
mod imports;
mod metrics;
mod namespaces;
mod openapi;
mod parameters;
mod path;
mod progress;
mod projections;
mod prove;
mod publish;
mod pull;
mod read;
mod stacks;
mod state;
mod storage_accounts;
mod stream;
mod subscriptions;
mod topics;
mod verify;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use foretell_protocol::{Credentials, Key, KeySlot, Permission};
use foretell_types::limits::STORE_BODY_BYTES;
use foretell_types::{Error, Result};
use http::StatusCode;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

pub use backup::backed_up_to_json;
pub use prove::check_proof;

use crate::Node;

pub(crate) type Server = axum::extract::State<Arc<Node>>;

/// The whole of the HTTP interface of a node, as a service.
pub fn router(node: Arc<Node>) -> BoxCloneSyncService<Request, Response, std::convert::Infallible> {
    let names = node.clone();
    let routes = Router::new()
        // A segment that begins with a colon is one of ours: see `path`.
        .without_v07_checks()
        .route("/healthz", get(metrics::healthy))
        .route("/readyz", get(metrics::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/topics", get(topics::list_topics))
        .route(
            "/topics/{topic}",
            get(topics::get_topic)
                .put(topics::put_topic)
                .patch(topics::patch_topic)
                .delete(topics::delete_topic),
        )
        .route("/topics/{topic}/listkeys", post(topics::list_keys))
        .route(
            "/topics/{topic}/regeneratekey",
            post(topics::regenerate_key),
        )
        .route(
            "/topics/{topic}/eventsubscriptions",
            get(subscriptions::list_subscriptions),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}",
            get(subscriptions::get_subscription)
                .put(subscriptions::put_subscription)
                .patch(subscriptions::patch_subscription)
                .delete(subscriptions::delete_subscription),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/validate",
            get(subscriptions::confirm).post(subscriptions::confirm),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/pause",
            post(subscriptions::pause),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/resume",
            post(subscriptions::resume),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/rewind",
            post(subscriptions::rewind),
        )
        .route("/topics/{topic}/api/events", post(publish::publish))
        .route("/topics/{topic}/:publish", post(pull::publish))
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/:receive",
            post(pull::receive),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/:acknowledge",
            post(pull::acknowledge),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/:release",
            post(pull::release),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/:reject",
            post(pull::reject),
        )
        .route(
            "/topics/{topic}/eventsubscriptions/{subscription}/:renewlock",
            post(pull::renew_lock),
        )
        .route(
            "/topics/{topic}/events",
            get(read::read).post(append::append),
        )
        .route(
            "/topics/{topic}/streams",
            get(read::read_stream).post(append::append_stream),
        )
        .route(
            "/topics/{topic}/streams/{*subject}",
            get(read::read_stream).post(append::append_stream),
        )
        .route("/topics/{topic}/state", get(state::state))
        .route("/topics/{topic}/state/{*subject}", get(state::state))
        .route(
            "/topics/{topic}/imports/{import}",
            get(imports::progress).post(imports::append),
        )
        .route("/topics/{topic}/proofs/{position}", get(prove::prove))
        .route("/topics/{topic}/erasures", post(erase::erase))
        .route("/projections", get(projections::list))
        .route(
            "/projections/{name}",
            get(projections::show)
                .put(projections::put)
                .delete(projections::delete),
        )
        .route("/projections/{name}/state", get(projections::state))
        .route("/projections/{name}/rebuild", post(projections::rebuild))
        .route("/state:batch", post(projections::batch))
        .route("/datasets", get(datasets::list))
        .route(
            "/datasets/{name}",
            get(datasets::show)
                .put(datasets::put)
                .delete(datasets::delete),
        )
        .route(
            "/datasets/{name}/build",
            post(datasets::build).layer(DefaultBodyLimit::disable()),
        )
        .route("/datasets/{name}/builds", get(datasets::builds))
        .route("/deadletters", get(dead_letters::list))
        .route("/deadletters/replay", post(dead_letters::replay))
        .route("/functions", get(functions::list))
        .route(
            "/functions/{app}",
            get(function_apps::get_app)
                .put(function_apps::put_app)
                .delete(function_apps::delete_app),
        )
        .route("/functions/{app}/code", put(function_apps::put_code))
        .route("/functions/{app}/listkeys", post(function_apps::list_keys))
        .route("/functions/{app}/logs", get(functions::logs))
        .route(
            "/functions/{app}/{function}/invoke",
            post(functions::invoke),
        )
        .route("/storageaccounts", get(storage_accounts::list_accounts))
        .route(
            "/storageaccounts/{account}",
            get(storage_accounts::get_account)
                .put(storage_accounts::put_account)
                .delete(storage_accounts::delete_account),
        )
        .route(
            "/storageaccounts/{account}/listkeys",
            post(storage_accounts::list_keys),
        )
        .route(
            "/storageaccounts/{account}/regeneratekey",
            post(storage_accounts::regenerate_key),
        )
        .route(
            "/storageaccounts/{account}/containers/{container}",
            get(storage_accounts::get_container)
                .put(storage_accounts::put_container)
                .delete(storage_accounts::delete_container),
        )
        .route(
            "/storageaccounts/{account}/containers/{container}/blobs/{*blob}",
            get(storage_accounts::get_blob)
                .put(storage_accounts::put_blob)
                .delete(storage_accounts::delete_blob),
        )
        .route("/namespaces", get(namespaces::list_namespaces))
        .route(
            "/namespaces/{namespace}",
            get(namespaces::get_namespace)
                .put(namespaces::put_namespace)
                .delete(namespaces::delete_namespace),
        )
        .route(
            "/namespaces/{namespace}/listkeys",
            post(namespaces::list_keys),
        )
        .route(
            "/namespaces/{namespace}/regeneratekey",
            post(namespaces::regenerate_key),
        )
        .route("/stacks", get(stacks::list))
        .route(
            "/stacks/{project}/{stack}",
            get(stacks::events).post(stacks::append),
        )
        .route("/verify", post(verify::verify))
        .route("/backup", get(backup::files).post(backup::into_container))
        .route("/backup/{file}", get(backup::piece))
        .fallback(answer::no_route)
        .method_not_allowed_fallback(answer::no_method)
        .layer(DefaultBodyLimit::max(STORE_BODY_BYTES))
        .with_state(node);
    BoxCloneSyncService::new(tower::service_fn(move |request: Request| {
        let normalised = path::normalise(&names, request).and_then(|request| {
            // What a webhook gets, of this server or of Event Grid.
            if request.headers().contains_key("aeg-event-type") {
                names.check_delivery(request.uri().path())?;
            }
            Ok(request)
        });
        let (routes, node) = (routes.clone(), names.clone());
        async move {
            match normalised {
                Ok(request) => {
                    node.prepare(request.headers(), request.uri()).await;
                    routes.oneshot(request).await
                }
                Err(error) => Ok(answer::Failed::from(error).into_response()),
            }
        }
    }))
}

/// The credentials of a request.
pub(crate) fn credentials(headers: &http::HeaderMap, uri: &http::Uri) -> Result<Credentials> {
    Credentials::from_request(headers, uri.query())
}

/// A request, its body read or not.
pub(crate) trait Asks {
    fn asked(&self) -> (&http::HeaderMap, &http::Uri);
}

impl Asks for Request {
    fn asked(&self) -> (&http::HeaderMap, &http::Uri) {
        (self.headers(), self.uri())
    }
}

impl Asks for http::request::Parts {
    fn asked(&self) -> (&http::HeaderMap, &http::Uri) {
        (&self.headers, &self.uri)
    }
}

/// Checks that who sends a request may do this: in a topic, or everywhere.
pub(crate) fn require(
    node: &Node,
    request: &impl Asks,
    permission: Permission,
    topic: Option<&str>,
) -> Result<()> {
    let (headers, uri) = request.asked();
    node.check_access(&credentials(headers, uri)?, permission, topic)
}

/// Administration of the whole.
pub(crate) fn require_admin(node: &Node, request: &impl Asks) -> Result<()> {
    require(node, request, Permission::Administer, None)
}

/// The body of an administration request.
pub(crate) async fn admin_body(request: Request) -> Result<serde_json::Value> {
    let body = body::read_request(request, STORE_BODY_BYTES).await?;
    json_body(&body)
}

/// Which key `{"keyName": "key1"}` asks for.
fn key_slot(body: &serde_json::Value) -> Result<KeySlot> {
    match body.get("keyName").and_then(serde_json::Value::as_str) {
        Some("key1") => Ok(KeySlot::Key1),
        Some("key2") => Ok(KeySlot::Key2),
        _ => Err(Error::invalid("keyName must be \"key1\" or \"key2\"")),
    }
}

fn keys_json([key1, key2]: &[Key; 2]) -> serde_json::Value {
    serde_json::json!({ "key1": key1.as_str(), "key2": key2.as_str() })
}

/// The status of a PUT that made something, or found it.
fn made_status(made: bool) -> StatusCode {
    if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}

/// The body as JSON; an empty one as null.
fn json_body(body: &[u8]) -> Result<serde_json::Value> {
    if body.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| Error::invalid(format!("malformed JSON: {error}")))
}
