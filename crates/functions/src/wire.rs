//! Frames between host and worker; the layout is described in `python/foretell_worker/protocol.py`.

use bytes::{Buf, Bytes, BytesMut};
use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::limits::FRAME_BYTES;

const LENGTHS: usize = 8;

/// The first frame to a worker.
#[derive(Serialize)]
pub(crate) struct Init {
    pub k: &'static str,
    pub threads: usize,
    pub output_bytes: usize,
}

/// A call of a function; the body holds its inputs in their order.
#[derive(Serialize)]
pub(crate) struct Invoke<'a> {
    pub k: &'static str,
    pub n: u64,
    /// Function.
    pub f: &'a str,
    /// Invocation id.
    pub i: &'a str,
    /// Attempts before this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub a: u32,
    /// Whether the event is replayed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub r: bool,
    /// Trace parent and trace state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts: Option<&'a str>,
    /// The size of each input in the body; null where there is none.
    pub p: &'a [Option<usize>],
}

/// Asks an asynchronous call to end.
#[derive(Serialize)]
pub(crate) struct Cancel {
    pub k: &'static str,
    pub n: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// A frame from the worker, without its body.
#[derive(Deserialize, Debug)]
#[serde(tag = "k", rename_all = "lowercase")]
pub(crate) enum Answer {
    /// The app was imported.
    Ready {
        functions: Vec<Described>,
        python: String,
        library: String,
    },
    /// It could not be.
    Broken { e: String, t: String },
    /// Outputs: name, kind (`string`, `bytes`, `json`) and size in the body.
    Done {
        n: u64,
        o: Vec<(String, String, usize)>,
    },
    /// Last line and traceback of an exception.
    Failed { n: u64, e: String, t: String },
    /// A log line: level, message, function and invocation id.
    Log {
        l: crate::Level,
        m: String,
        f: Option<String>,
        i: Option<String>,
    },
}

/// A function as the worker found it.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Described {
    pub name: String,
    pub trigger: serde_json::Value,
    pub bindings: Vec<serde_json::Value>,
    pub script: String,
    pub is_async: bool,
    /// The trigger's parameter is annotated `func.CloudEvent`.
    pub cloud_event: bool,
    pub error: Option<String>,
}

/// One frame, its parts copied behind each other.
pub(crate) fn encode(header: &impl Serialize, parts: &[Bytes]) -> Result<Bytes> {
    let body: usize = parts.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(256 + body);
    out.extend_from_slice(&[0; LENGTHS]);
    serde_json::to_writer(&mut out, header)
        .map_err(|error| Error::invalid(format!("a frame can't be written: {error}")))?;
    let too_long = |_| Error::invalid("the inputs of the function have more than 4 GiB");
    let head_len = u32::try_from(out.len() - LENGTHS).map_err(too_long)?;
    let body_len = u32::try_from(body).map_err(too_long)?;
    out[..4].copy_from_slice(&head_len.to_le_bytes());
    out[4..LENGTHS].copy_from_slice(&body_len.to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(out.into())
}

/// Takes one frame off the buffer; `None` while it isn't there in full.
pub(crate) fn decode(buffer: &mut BytesMut) -> Result<Option<(Answer, Bytes)>> {
    if buffer.len() < LENGTHS {
        return Ok(None);
    }
    let length = |at: usize| {
        let bytes = [buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]];
        u32::from_le_bytes(bytes) as usize
    };
    let (head, body) = (length(0), length(4));
    if head + body > FRAME_BYTES {
        return Err(Error::invalid(format!(
            "the worker sent a frame of {} bytes: at most {FRAME_BYTES} are allowed",
            head + body
        )));
    }
    if buffer.len() < LENGTHS + head + body {
        buffer.reserve(LENGTHS + head + body - buffer.len());
        return Ok(None);
    }
    buffer.advance(LENGTHS);
    let header = buffer.split_to(head).freeze();
    let body = buffer.split_to(body).freeze();
    let answer = serde_json::from_slice(&header)
        .map_err(|error| Error::invalid(format!("the worker sent an unknown frame: {error}")))?;
    Ok(Some((answer, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_any_pieces() {
        let header = serde_json::json!({"k": "done", "n": 7, "o": [["a", "bytes", 3]]});
        let frame = encode(
            &header,
            &[Bytes::from_static(b"\0\xff"), Bytes::from_static(b"x")],
        );
        let frame = frame.unwrap();
        let twice = [&frame[..], &frame[..]].concat();
        for piece in 1..twice.len() {
            let mut buffer = BytesMut::new();
            let mut seen = 0;
            for part in twice.chunks(piece) {
                buffer.extend_from_slice(part);
                while let Some((answer, body)) = decode(&mut buffer).unwrap() {
                    assert!(matches!(answer, Answer::Done { n: 7, .. }));
                    assert_eq!(body, &b"\0\xffx"[..]);
                    seen += 1;
                }
            }
            assert_eq!(seen, 2);
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for bytes in [
            &b"Traceback (most recent call last)"[..],
            b"\x02\0\0\0\0\0\0\0{}",
        ] {
            assert!(decode(&mut BytesMut::from(bytes)).is_err());
        }
    }
}
