//! A journaled outcome with its blobs, as the value of a register. (Events that a handler returned
//! are appended in the same commit, so they need no journaling of their own.)

use bytes::Bytes;
use foretell_types::{Error, ErrorKind, Result};
use uuid::Uuid;

use crate::handler::OutputBlob;

const VERSION: u8 = 1;
/// Kinds of outcomes: a call that completed, an event that was given up.
const COMPLETED: u8 = 0;
const GIVEN_UP: u8 = 1;
/// Version, kind, identity of the invocation.
const HEADER: usize = 2 + 16;

/// An outcome as it was journaled.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Journaled {
    /// The call completed; these blobs are to be written.
    Completed(Vec<OutputBlob>),
    /// The dead letter was written.
    GivenUp,
}

pub(crate) fn encode_given_up(invocation: Uuid) -> Vec<u8> {
    let mut out = vec![VERSION, GIVEN_UP];
    out.extend_from_slice(invocation.as_bytes());
    out
}

pub(crate) fn encode(invocation: Uuid, blobs: &[OutputBlob]) -> Vec<u8> {
    let mut out = vec![VERSION, COMPLETED];
    out.extend_from_slice(invocation.as_bytes());
    for blob in blobs {
        for part in [
            blob.container.as_bytes(),
            blob.name.as_bytes(),
            &blob.content,
        ] {
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
            out.extend_from_slice(part);
        }
    }
    out
}

/// The outcome of an invocation; `None` if it is another's (of a topic of the same name that was
/// deleted).
pub(crate) fn decode(bytes: &Bytes, invocation: Uuid) -> Result<Option<Journaled>> {
    let damaged = || Error::new(ErrorKind::Damaged, "a journaled outcome is malformed");
    let header = bytes.get(..HEADER).ok_or_else(damaged)?;
    if header[0] != VERSION {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "a journaled outcome has version {}: use a newer foretell",
                header[0]
            ),
        ));
    }
    if header[2..] != *invocation.as_bytes() {
        return Ok(None);
    }
    match header[1] {
        COMPLETED => decode_blobs(&bytes.slice(HEADER..))
            .map(|blobs| Some(Journaled::Completed(blobs)))
            .ok_or_else(damaged),
        GIVEN_UP => Ok(Some(Journaled::GivenUp)),
        _ => Err(damaged()),
    }
}

fn decode_blobs(bytes: &Bytes) -> Option<Vec<OutputBlob>> {
    let mut at = 0;
    let mut part = || {
        let length = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
        let from = at + 4;
        let end = from.checked_add(length).filter(|end| *end <= bytes.len())?;
        at = end;
        Some(bytes.slice(from..end))
    };
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).ok();
    let mut blobs = Vec::new();
    let mut left = bytes.len();
    while left > 0 {
        let (container, name, content) = (part()?, part()?, part()?);
        left -= 12 + container.len() + name.len() + content.len();
        blobs.push(OutputBlob {
            container: text(container)?,
            name: text(name)?,
            content,
        });
    }
    Some(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusal() {
        let blob = |name: &str, content: &'static [u8]| OutputBlob {
            container: "results".into(),
            name: name.into(),
            content: Bytes::from_static(content),
        };
        let id = Uuid::from_u128(7);
        for blobs in [
            vec![],
            vec![blob("a", b"")],
            vec![blob("a/b", b"\0\xff"), blob("ü", b"x")],
        ] {
            let bytes = Bytes::from(encode(id, &blobs));
            let journaled = Journaled::Completed(blobs);
            assert_eq!(decode(&bytes, id).unwrap(), Some(journaled.clone()));
            assert_eq!(decode(&bytes, Uuid::nil()).unwrap(), None);
            for cut in 0..bytes.len() {
                let cut = decode(&bytes.slice(..cut), id);
                assert!(!cut.is_ok_and(|cut| cut == Some(journaled.clone())));
            }
        }
        let given_up = Bytes::from(encode_given_up(id));
        assert_eq!(decode(&given_up, id).unwrap(), Some(Journaled::GivenUp));
        let mut newer = encode_given_up(id);
        newer[0] = 2;
        let error = decode(&newer.into(), id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NewerFormat);
    }
}
