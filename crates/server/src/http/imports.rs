use axum::extract::{Path, Request, State};
use foretell_protocol::Permission;
use foretell_types::Error;
use foretell_types::cloudevents::{Reserved, batch_from_json};
use foretell_types::limits::STORE_BODY_BYTES;
use serde_json::json;

use super::answer::{Answer, json as answer_json};
use super::body::read_request;
use super::parameters::Parameters;
use super::{Server, require};
use crate::node::to_the_end;

/// `GET /topics/{topic}/imports/{import}`: how many rows are in the topic.
pub async fn progress(
    State(node): Server,
    Path((topic, import)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Administer, Some(&topic))?;
    let topic = node.topic(&topic)?;
    answer_json(&json!({ "rows": node.imported_rows(&topic.config.name, &import)? }))
}

/// `POST /topics/{topic}/imports/{import}?first_row=N`: the next rows, as a CloudEvents batch
/// whose events may declare `knowntime`.
pub async fn append(
    State(node): Server,
    Path((topic, import)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Administer, Some(&topic))?;
    let parameters = Parameters::parse(request.uri(), &["first_row"])?;
    let first = parameters
        .number("first_row")?
        .ok_or_else(|| Error::invalid("query parameter first_row is missing"))?;
    let topic = node.topic(&topic)?;
    let body = read_request(request, STORE_BODY_BYTES).await?;
    let events = batch_from_json(&body, Reserved::AdmitKnownTime)?;
    let name = topic.config.name.clone();
    let rows = to_the_end(async move { node.import(&name, &import, first, events).await }).await?;
    answer_json(&json!({ "rows": rows }))
}
