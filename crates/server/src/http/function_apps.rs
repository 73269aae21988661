//! Function apps that are made through the API.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use bytes::Bytes;
use foretell_protocol::Permission;
use foretell_types::limits::PACKAGE_BYTES;
use foretell_types::{Error, Result};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json, json_with};
use super::body::read_request;
use super::parameters::Parameters;
use super::{Server, admin_body, json_body, made_status, require, require_admin};
use crate::Node;
use crate::node::{KnownApp, to_the_end};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    /// The version of Python, such as `3.11`.
    python: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

/// An app as the list of all shows it.
pub fn app_json(app: &KnownApp) -> Value {
    json!({
        "name": app.name,
        "owner": app.owner,
        "state": app.status(),
        "functions": app.running().map(|app| app.functions()).unwrap_or_default(),
    })
}

/// An app with its definition, if it was made through the API. The values of settings are not
/// shown.
fn described(node: &Node, name: &str) -> Result<Value> {
    let defined = node.function_app(name);
    let mut value = match (node.known_app(name), &defined) {
        (Ok(app), _) => app_json(&app),
        // A node that delivers nothing runs none.
        (Err(_), Some(app)) => json!({ "name": app.name, "owner": "api" }),
        (Err(error), None) => return Err(error),
    };
    if let Some(app) = defined.filter(|_| value["owner"] == "api") {
        value["python"] = json!(app.python);
        value["settings"] = json!(app.settings);
        value["code"] = json!(app.code);
    }
    Ok(value)
}

/// `GET /functions/{app}?wait=`: with `wait` once its first start has succeeded or failed.
pub async fn get_app(State(node): Server, Path(app): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    let parameters = Parameters::parse(request.uri(), &["wait"])?;
    if parameters.flag("wait")?
        && let Ok(running) = node.app(&app)
    {
        tokio::select! {
            _ = running.started() => {}
            () = node.stopping() => {}
        }
    }
    answer_json(&described(&node, &app)?)
}

/// `PUT /functions/{app}` with `{"python": "3.11", "settings": {"NAME": "value"}}`
pub async fn put_app(State(node): Server, Path(app): Path<String>, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let body = admin_body(request).await?;
    let body = if body.is_null() { json!({}) } else { body };
    let wrong = |error| Error::invalid(format!("the function app is malformed: {error}"));
    let Definition { python, settings } = serde_json::from_value(body).map_err(wrong)?;
    let (to, name) = (node.clone(), app.clone());
    let put = async move { to.put_function_app(&name, python, settings).await };
    let made = to_the_end(put).await?;
    json_with(made_status(made), &described(&node, &app)?)
}

/// `PUT /functions/{app}/code` with a zip, or with the blob that is one:
/// `{"blob": "ACCOUNT:CONTAINER/NAME"}`
pub async fn put_code(State(node): Server, Path(app): Path<String>, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let is_json = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let body = read_request(request, PACKAGE_BYTES).await?;
    let (zip, blob) = match is_json {
        true => {
            let (zip, place) = blob(&node, &json_body(&body)?).await?;
            (zip, Some(place))
        }
        false => (body, None),
    };
    let (to, name) = (node.clone(), app.clone());
    to_the_end(async move { to.put_function_code(&name, zip, blob).await }).await?;
    answer_json(&described(&node, &app)?)
}

/// `DELETE /functions/{app}`
pub async fn delete_app(State(node): Server, Path(app): Path<String>, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let name = app.clone();
    to_the_end(async move { node.delete_function_app(&name).await }).await?;
    answer_json(&json!({ "deleted": app }))
}

/// `POST /functions/{app}/listKeys`: the host keys, by which functions are called over HTTP.
pub async fn list_keys(State(node): Server, Path(app): Path<String>, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let [master, default] = node.host_keys(&app)?;
    answer_json(&json!({ "master": master.as_str(), "default": default.as_str() }))
}

/// A blob's content and place.
async fn blob(node: &Node, body: &Value) -> Result<(Bytes, String)> {
    let text = body.get("blob").and_then(Value::as_str);
    let (container, name) = text.and_then(|text| text.split_once('/')).ok_or_else(|| {
        Error::invalid("blob must be the place of a zip: CONTAINER/NAME or ACCOUNT:CONTAINER/NAME")
    })?;
    let found = node.storage.get(container, name).await?;
    let found = found
        .ok_or_else(|| Error::not_found(format!("there is no blob {name:?} in {container:?}")))?;
    Ok((found, format!("{container}/{name}")))
}
