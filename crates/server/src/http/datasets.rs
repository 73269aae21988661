//! Datasets: their definitions, their columns, and their rows as Parquet.

use std::io::Write;

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::IntoResponse;
use bytes::Bytes;
use foretell_lake::Manifest;
use foretell_protocol::Permission;
use foretell_types::limits::{DATASET_LABEL_BYTES, PROJECTION_BYTES};
use foretell_types::{Error, ErrorKind, Result};
use futures::StreamExt;
use http::{StatusCode, header};
use serde_json::json;

use super::answer::{Answer, json as answer_json, json_with};
use super::body::read_request;
use super::parameters::Parameters;
use super::{Server, require};
use crate::node::{BuildRequest, LabelTable, Owner, blocking, described, to_the_end};

const PARQUET: &str = "application/vnd.apache.parquet";
/// A manifest holds two definitions.
const MANIFEST_BYTES: usize = 4 * PROJECTION_BYTES;
/// The parameters of a build.
const BUILD: [&str; 3] = ["id", "at_head", "as_of"];

/// `GET /datasets`
pub async fn list(State(node): Server, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    answer_json(&node.datasets_json())
}

/// `GET /datasets/{name}`
pub async fn show(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    answer_json(&node.dataset_json(&name).await?)
}

/// `PUT /datasets/{name}` with the SQL text of the dataset.
pub async fn put(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    let body = read_request(request, PROJECTION_BYTES).await?;
    let text =
        std::str::from_utf8(&body).map_err(|_| Error::invalid("the dataset is not UTF-8"))?;
    let dataset = node.parse_dataset(text, &format!("{name}.sql"))?;
    if dataset.name != name {
        return Err(Error::invalid(format!(
            "the text defines dataset {}, the path says {name}",
            dataset.name
        ))
        .into());
    }
    let described = described(&dataset);
    let made = to_the_end(async move { node.put_dataset(&dataset, Owner::Api).await }).await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    json_with(status, &described)
}

/// `DELETE /datasets/{name}`
pub async fn delete(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    let deleted = name.clone();
    to_the_end(async move { node.delete_dataset(&name, Owner::Api).await }).await?;
    answer_json(&json!({ "deleted": deleted }))
}

/// `GET /datasets/{name}/builds`: those that are under way, and how far they are.
pub async fn builds(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    answer_json(&node.builds_json(&name))
}

/// `POST /datasets/{name}/build?id=&at_head=&as_of=`: the dataset as Parquet. A form may bring a
/// label table as `labels`, and as `manifest` what is to be built again.
pub async fn build(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Read, None)?;
    let parameters = Parameters::parse(request.uri(), &BUILD)?;
    let mut wanted = BuildRequest {
        id: parameters.number("id")?,
        heads: heads(parameters.get("at_head"))?,
        as_of: parameters.time("as_of")?,
        name,
        ..BuildRequest::default()
    };
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"));
    if is_form {
        read_form(request, &node.table_folder().await?, &mut wanted).await?;
    }
    let disposition = format!("attachment; filename=\"{}.parquet\"", wanted.name);
    let (first, rest) = node.build_dataset(wanted).await?;
    let rest = futures::stream::unfold(
        rest,
        |mut rest| async move { Some((rest.recv().await?, rest)) },
    );
    let pieces = futures::stream::iter([Ok::<Bytes, Error>(first)]).chain(rest);
    Ok((
        [
            (header::CONTENT_TYPE, PARQUET.to_owned()),
            (header::CONTENT_DISPOSITION, disposition),
        ],
        Body::from_stream(pieces),
    )
        .into_response())
}

fn heads(text: Option<&str>) -> Result<Vec<(Option<String>, u64)>> {
    let pairs = text.into_iter().flat_map(|text| text.split(','));
    let head = |pair: &str| {
        let (topic, position) = match pair.split_once('=') {
            Some((topic, position)) => (Some(topic.trim().to_owned()), position),
            None => (None, pair),
        };
        let position = position.trim().parse().map_err(|_| {
            Error::invalid(format!(
                "at_head: {pair:?} is neither a position nor topic=position"
            ))
        })?;
        Ok((topic, position))
    };
    pairs.map(head).collect()
}

async fn read_form(
    request: Request,
    folder: &std::path::Path,
    wanted: &mut BuildRequest,
) -> Result<()> {
    let malformed = |error: String| Error::invalid(format!("the form is malformed: {error}"));
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| malformed(error.to_string()))?;
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| malformed(error.to_string()))?
    {
        match field.name() {
            Some("manifest") => {
                let text = read_text(field).await?;
                wanted.manifest = Some(Manifest::parse(&text)?);
            }
            Some("labels") => wanted.labels = Some(read_table(field, folder).await?),
            other => {
                return Err(Error::invalid(format!(
                    "the form has a part {:?}: there are labels and manifest",
                    other.unwrap_or("")
                )));
            }
        }
    }
    Ok(())
}

async fn next(field: &mut Field<'_>) -> Result<Option<Bytes>> {
    let piece = field.chunk().await;
    piece.map_err(|error| Error::invalid(format!("the form could not be read: {error}")))
}

async fn read_text(mut field: Field<'_>) -> Result<String> {
    let mut read = Vec::new();
    while let Some(piece) = next(&mut field).await? {
        if read.len() + piece.len() > MANIFEST_BYTES {
            let message = format!("the manifest has more than {MANIFEST_BYTES} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        read.extend_from_slice(&piece);
    }
    String::from_utf8(read).map_err(|_| Error::invalid("the manifest is not UTF-8"))
}

/// Writes a label table into a file. Its name says whether it is CSV.
async fn read_table(mut field: Field<'_>, folder: &std::path::Path) -> Result<LabelTable> {
    let name = field.file_name().unwrap_or("the label table").to_owned();
    let is_csv = name.to_ascii_lowercase().ends_with(".csv");
    let failed = |error| Error::io("can't write a temporary file", error);
    let mut file = tempfile::Builder::new()
        .prefix("labels-")
        .suffix(if is_csv { ".csv" } else { ".parquet" })
        .tempfile_in(folder)
        .map_err(failed)?;
    let (mut hash, mut bytes) = (blake3::Hasher::new(), 0);
    while let Some(piece) = next(&mut field).await? {
        bytes += piece.len();
        if bytes > DATASET_LABEL_BYTES {
            let message = format!("the label table has more than {DATASET_LABEL_BYTES} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        (file, hash) = blocking(move || {
            hash.update(&piece);
            file.write_all(&piece).map_err(failed)?;
            Ok((file, hash))
        })
        .await?;
    }
    Ok(LabelTable {
        name,
        path: file.into_temp_path(),
        hash: hash.finalize().to_hex().to_string(),
    })
}
