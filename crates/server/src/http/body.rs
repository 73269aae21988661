use std::io::Read;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use foretell_types::{Error, ErrorKind, Result};
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
    if HttpBody::size_hint(&body).lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let read = axum::body::to_bytes(body, limit).await.map_err(|error| {
        if is_length_limit(&error) {
            return too_large(limit);
        }
        Error::invalid(format!("the request's body could not be read: {error}"))
    })?;
    match encoding {
        Encoding::Plain => Ok(read),
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

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if inner.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = inner.source();
    }
    false
}
