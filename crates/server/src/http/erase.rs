use axum::extract::{Path, Request, State};
use foretell_protocol::Permission;
use foretell_types::Error;
use serde_json::Value;

use super::answer::{Answer, json as answer_json};
use super::{Server, admin_body, require};
use crate::node::to_the_end;

/// `POST /topics/{topic}/erasures` with `{"subjects": ["…"]}`
pub async fn erase(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Erase, Some(&topic))?;
    let body = admin_body(request).await?;
    let subjects = body.get("subjects").and_then(Value::as_array);
    let subjects = subjects.and_then(|subjects| {
        let texts = subjects
            .iter()
            .map(|subject| subject.as_str().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>()
    });
    let subjects = subjects.ok_or_else(|| {
        Error::invalid("subjects must be a list of texts: {\"subjects\": [\"…\"]}")
    })?;
    let erase = async move {
        let erased = node.erase(&topic, subjects).await?;
        node.forget_projected(&topic).await?;
        node.forget_columns().await?;
        Ok(erased)
    };
    answer_json(&to_the_end(erase).await?)
}
