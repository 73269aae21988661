//! The blobs of a journaled outcome, as the value of a register. (Events that a handler returned
//! are appended in the same commit, so they need no journaling of their own.)

use bytes::Bytes;
use foretell_types::{Error, ErrorKind, Result};

use crate::handler::OutputBlob;

const VERSION: u8 = 1;

pub(crate) fn encode(blobs: &[OutputBlob]) -> Vec<u8> {
    let mut out = vec![VERSION];
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

pub(crate) fn decode(bytes: &Bytes) -> Result<Vec<OutputBlob>> {
    let damaged = || Error::new(ErrorKind::Damaged, "a journaled outcome is malformed");
    if bytes.first() != Some(&VERSION) {
        return Err(damaged());
    }
    let mut at = 1;
    let mut part = || {
        let length = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
        let from = at + 4;
        (from + length <= bytes.len()).then(|| {
            at = from + length;
            (at == bytes.len(), bytes.slice(from..at))
        })
    };
    let mut blobs = Vec::new();
    if bytes.len() == 1 {
        return Ok(blobs);
    }
    loop {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).map_err(|_| damaged());
        let (_, container) = part().ok_or_else(damaged)?;
        let (_, name) = part().ok_or_else(damaged)?;
        let (last, content) = part().ok_or_else(damaged)?;
        blobs.push(OutputBlob {
            container: text(&container)?,
            name: text(&name)?,
            content,
        });
        if last {
            return Ok(blobs);
        }
    }
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
        for blobs in [
            vec![],
            vec![blob("a", b"")],
            vec![blob("a/b", b"\0\xff"), blob("ü", b"x")],
        ] {
            let bytes = encode(&blobs);
            assert_eq!(decode(&bytes.clone().into()).unwrap(), blobs);
            for cut in 0..bytes.len() {
                let _ = decode(&bytes[..cut].to_vec().into());
            }
        }
        assert!(decode(&Bytes::from_static(&[2])).is_err());
    }
}
