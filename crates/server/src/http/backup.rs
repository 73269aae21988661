//! Copies of the log while it is written to. Who copies asks for the files, then for their content
//! piece by piece; see `foretell backup`.

use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use foretell_types::Error;
use foretell_types::limits::STORE_BODY_BYTES;
use http::header;
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json};
use super::parameters::Parameters;
use super::{Server, require_admin};
use crate::node::blocking;

/// `GET /backup`: the files that make up the log, in the order in which they are to be copied.
pub async fn files(State(node): Server, request: Request) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let files = blocking(move || node.log.backup_files()).await?;
    let files: Vec<Value> = files
        .into_iter()
        .map(|file| json!({ "name": file.name, "bytes": file.bytes, "fixed": file.fixed }))
        .collect();
    answer_json(&json!({ "files": files }))
}

/// `GET /backup/{file}?offset=&bytes=`: a piece of a file. 404: it is no longer part of the log.
pub async fn piece(State(node): Server, Path(file): Path<String>, request: Request) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
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
