//! Stacks of Pulumi programs.

use axum::extract::{Path, Request, State};
use foretell_types::Error;
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json};
use super::parameters::Parameters;
use super::{Server, admin_body, require_admin};
use crate::node::to_the_end;

/// `GET /stacks`: the names of all stacks.
pub async fn list(State(node): Server, request: Request) -> Answer {
    require_admin(&node, &request)?;
    answer_json(&node.stacks().await?.into_iter().collect::<Vec<_>>())
}

/// `GET /stacks/{project}/{stack}`: its events, with their secrets.
pub async fn events(
    State(node): Server,
    Path((project, stack)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    answer_json(&node.stack_events(&format!("{project}/{stack}")).await?)
}

/// `POST /stacks/{project}/{stack}?length=N`: more events, if it has N.
pub async fn append(
    State(node): Server,
    Path((project, stack)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require_admin(&node, &request)?;
    let parameters = Parameters::parse(request.uri(), &["length"])?;
    let length = parameters
        .number("length")?
        .ok_or_else(|| Error::invalid("query parameter length is missing"))?;
    let Value::Array(events) = admin_body(request).await? else {
        return Err(Error::invalid("the body is a list of events").into());
    };
    let name = format!("{project}/{stack}");
    to_the_end(async move { node.append_stack(&name, length, events).await }).await?;
    answer_json(&json!({ "stack": format!("{project}/{stack}") }))
}
