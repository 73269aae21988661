use std::io::Read;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use foretell_types::limits::{DISCARDED_BODY_BYTES, DISCARDED_BODY_MS};
use foretell_types::{Error, ErrorKind, Result};
use futures::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// How a body was encoded for the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encoding {
    Plain,
    Gzip,
}

/// Reads a body up to a limit, which holds for what it is when it is unpacked.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes> {
    let encoding = encoding(headers)?;
    // The length that the headers declare; without one it is found out.
    let declared = HttpBody::size_hint(&body).lower();
    let mut pieces = body.into_data_stream();
    if declared > limit as u64 {
        discard(pieces);
        return Err(too_large(limit));
    }
    let mut read = Vec::with_capacity(declared as usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            Error::invalid(format!("the request's body could not be read: {error}"))
        })?;
        if read.len() + piece.len() > limit {
            discard(pieces);
            return Err(too_large(limit));
        }
        read.extend_from_slice(&piece);
    }
    match encoding {
        Encoding::Plain => Ok(read.into()),
        Encoding::Gzip => gunzip(&read, limit),
    }
}

/// Reads the body of a whole request.
pub async fn read_request(request: Request, limit: usize) -> Result<Bytes> {
    let (parts, body) = request.into_parts();
    read_body(&parts.headers, body, limit).await
}

/// Refuses what can't be unpacked by name; what it holds would only look malformed.
fn encoding(headers: &HeaderMap) -> Result<Encoding> {
    let mut all = headers.get_all(CONTENT_ENCODING).iter();
    let named = match (all.next(), all.next()) {
        (None, _) => return Ok(Encoding::Plain),
        (Some(one), None) => one.to_str().unwrap_or("").trim(),
        (Some(_), Some(_)) => "several headers Content-Encoding",
    };
    match named.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Plain),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("content encoding {named:?} is not supported: send the body as it is, or gzip"),
        )),
    }
}

/// Unpacks no more than the limit: a small body can stand for a very large one.
fn gunzip(packed: &[u8], limit: usize) -> Result<Bytes> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(packed)
        .take(limit as u64 + 1)
        .read_to_end(&mut unpacked);
    // However the rest of it may look.
    if unpacked.len() > limit {
        return Err(too_large(limit));
    }
    match read {
        Ok(_) => Ok(unpacked.into()),
        Err(error) => Err(Error::invalid(format!(
            "the request's body is not whole gzip, which Content-Encoding says: {error}"
        ))),
    }
}

fn too_large(limit: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("the request's body is larger than {limit} bytes"),
    )
}

/// Takes what a client goes on sending although it has its answer, for a while: many read the
/// answer last, and would find the connection closed, above all with TLS.
fn discard(mut pieces: BodyDataStream) {
    let patience = Duration::from_millis(DISCARDED_BODY_MS as u64);
    let taken = async move {
        let mut left = DISCARDED_BODY_BYTES;
        while let Some(Ok(piece)) = pieces.next().await {
            left = match left.checked_sub(piece.len()) {
                Some(left) => left,
                None => break,
            };
        }
    };
    tokio::spawn(tokio::time::timeout(patience, taken));
}
