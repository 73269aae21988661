use foretell_types::limits::GROUP_BYTES;
use foretell_types::{ErrorKind, Result};

use super::segment::{FIRST_GROUP, Segment};
use crate::journal::group::{HEADER_BYTES, check_body, decode_header, encoded_bytes};
use crate::journal::{GroupMeta, Seq};

const WINDOW_BYTES: usize = 1024 * 1024;

/// Walks the groups of one segment; every byte is checked.
pub(super) struct Scanner<'a> {
    segment: &'a Segment,
    bytes: u64,
    /// Where the next group begins, and which commit it must begin with.
    pub offset: u64,
    pub next: Seq,
    window: Vec<u8>,
    window_at: u64,
}

pub(super) struct Found<'a> {
    pub meta: GroupMeta,
    pub body_offset: u64,
    pub body: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub fn new(segment: &'a Segment) -> Result<Scanner<'a>> {
        Ok(Scanner {
            segment,
            bytes: segment.len()?,
            offset: FIRST_GROUP,
            next: segment.first,
            window: Vec::new(),
            window_at: 0,
        })
    }

    /// The next group; `None` where the rest begins with a preallocated zero.
    pub fn next_group(&mut self) -> Result<Option<Found<'_>>> {
        let (segment, offset) = (self.segment, self.offset);
        let header = self.window(offset, HEADER_BYTES)?;
        if header.len() < 8 || header[..8] == [0; 8] {
            return Ok(None);
        }
        let Some((meta, body_bytes)) = decode_header(header, segment.salt) else {
            return Err(segment.damage(offset, "the header of a group is wrong"));
        };
        if meta.first != self.next {
            let what = format!(
                "a group begins at commit {} where {} must follow",
                meta.first.0, self.next.0
            );
            return Err(segment.damage(offset, what));
        }
        if body_bytes > GROUP_BYTES {
            return Err(segment.damage(
                offset,
                format!("a group of {body_bytes} bytes is too large"),
            ));
        }
        let rest_bytes = encoded_bytes(body_bytes) - HEADER_BYTES;
        self.offset += (HEADER_BYTES + rest_bytes) as u64;
        self.next = Seq(meta.last().0 + 1);
        let body_offset = offset + HEADER_BYTES as u64;
        let rest = self.window(body_offset, rest_bytes)?;
        check_body(rest, body_bytes, segment.salt).map_err(|error| {
            let (first, last) = (meta.first.0, meta.last().0);
            error.context(format_args!(
                "{}, byte {offset}, commits {first} to {last}",
                segment.path.display()
            ))
        })?;
        Ok(Some(Found {
            meta,
            body_offset,
            body: &rest[..body_bytes],
        }))
    }

    /// Fails if anything but zeros follows the last group.
    pub fn check_zeros(&mut self) -> Result<()> {
        match self.first_nonzero(self.offset)? {
            None => Ok(()),
            Some(at) => Err(self
                .segment
                .damage(at, "bytes behind the last group are not zero")),
        }
    }

    /// The first byte at or after an offset that isn't zero.
    pub fn first_nonzero(&mut self, from: u64) -> Result<Option<u64>> {
        let mut at = from;
        while at < self.bytes {
            let piece = self.window(at, WINDOW_BYTES)?;
            if piece.is_empty() {
                break;
            }
            if let Some(found) = nonzero(piece) {
                return Ok(Some(at + found as u64));
            }
            at += piece.len() as u64;
        }
        Ok(None)
    }

    /// Up to `wanted` bytes at an offset; fewer only at the end of the file.
    pub fn window(&mut self, offset: u64, wanted: usize) -> Result<&[u8]> {
        let end = offset + wanted as u64;
        if offset < self.window_at || end > self.window_at + self.window.len() as u64 {
            let size = wanted.max(WINDOW_BYTES);
            self.window.resize(size, 0);
            let count = self.segment.read(&mut self.window, offset)?;
            self.window.truncate(count);
            self.window_at = offset;
        }
        let from = (offset - self.window_at) as usize;
        let to = (from + wanted).min(self.window.len());
        Ok(&self.window[from..to])
    }
}

/// The first byte that isn't zero; whole blocks are compared at once.
fn nonzero(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 4_096;
    let block = bytes
        .chunks(BLOCK)
        .position(|block| *block != [0; BLOCK][..block.len()])?;
    let within = bytes[block * BLOCK..].iter().position(|byte| *byte != 0)?;
    Some(block * BLOCK + within)
}

/// Whether an error is damage, as opposed to a file that could not be read.
pub(super) fn is_damage(error: &foretell_types::Error) -> bool {
    error.kind() == ErrorKind::Damaged
}
