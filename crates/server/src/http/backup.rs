//! Copies of the log while it is written to. Who copies it elsewhere asks for the files, then for
//! their content piece by piece; into the storage account the server copies by itself.

use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use foretell_log::{BackedUp, back_up};
use foretell_types::limits::STORE_BODY_BYTES;
use foretell_types::{Error, ErrorKind, Result, check_container};
use http::header;
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json};
use super::parameters::Parameters;
use super::{Server, admin_body, progress, require_admin};
use crate::node::blocking;

/// `GET /backup`: the files that make up the log, in the order in which they are to be copied.
pub async fn files(State(node): Server, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let files = blocking(move || node.log.backup_files()).await?;
    let files: Vec<Value> = files
        .into_iter()
        .map(|file| json!({ "name": file.name, "bytes": file.bytes, "fixed": file.fixed }))
        .collect();
    answer_json(&json!({ "files": files }))
}

/// `GET /backup/{file}?offset=&bytes=`: a piece of a file. 404: it is no longer part of the log.
pub async fn piece(State(node): Server, Path(file): Path<String>, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let parameters = Parameters::parse(request.uri(), &["offset", "bytes"])?;
    let offset = parameters.number("offset")?.unwrap_or(0);
    let bytes = parameters.number("bytes")?.unwrap_or(STORE_BODY_BYTES);
    if bytes > STORE_BODY_BYTES {
        let message = format!("a piece has at most {STORE_BODY_BYTES} bytes");
        return Err(Error::invalid(message).into());
    }
    let piece = blocking(move || {
        let mut buffer = vec![0; bytes];
        let count = node.log.backup_read(&file, offset, &mut buffer)?;
        buffer.truncate(count);
        Ok(buffer)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], piece).into_response())
}

/// `POST /backup`: `{"container", "prefix"}`. Makes a backup there, or brings the one there up to
/// date; lines as `progress` has them.
pub async fn into_container(State(node): Server, request: Request) -> Answer {
    require_admin(&node, &request)?;
    let body = admin_body(request).await?;
    let folder = folder(&body)?;
    progress::lines(move |tell| {
        let Some(_one) = node.backing_up.try_lock() else {
            let message = "a backup is being made: wait until it is done";
            return Err(Error::new(ErrorKind::Conflict, message));
        };
        let done = back_up(
            &mut node.log.clone(),
            (&node.blobs, &folder),
            node.environment(),
            &mut |step, done, total| tell(step.name(), done, total),
        )?;
        Ok(backed_up_to_json(&done))
    })
}

/// What a backup took, as JSON.
pub fn backed_up_to_json(done: &BackedUp) -> Value {
    json!({
        "files": done.files,
        "bytes": done.bytes,
        "kept": done.kept,
        "events": done.verified.events,
        "commits": done.verified.commits,
        "root": done.verified.root.to_string(),
    })
}

/// Where a backup is to lie, as the log names blobs.
fn folder(body: &Value) -> Result<String> {
    let Some(container) = body["container"].as_str() else {
        return Err(Error::invalid(
            "container is missing: the name of a container",
        ));
    };
    check_container(container)?;
    match &body["prefix"] {
        Value::Null => Ok(container.to_owned()),
        Value::String(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            foretell_storage::check_blob(prefix).map_err(|error| error.context("prefix"))?;
            Ok(format!("{container}/{prefix}"))
        }
        _ => Err(Error::invalid("prefix is not a text")),
    }
}
