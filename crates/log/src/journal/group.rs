use foretell_types::{Error, ErrorKind, Result};

use super::Seq;
use crate::bugs::{self, Bug};

/// What the header of a group says. Byte layout: docs/format.md, "Group".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMeta {
    /// The first commit of the group.
    pub first: Seq,
    pub commits: u32,
    pub frames: u32,
    /// Increased at every opening for writing.
    pub epoch: u64,
    /// Random; tells this group from another that was meant for the same place.
    pub nonce: u64,
    /// Root of the Merkle mountain range over all frames before this group.
    pub root: [u8; 32],
}

impl GroupMeta {
    /// The last commit of the group.
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + u64::from(self.commits) - 1)
    }
}

/// A group that is being built: commits made of frames. The bytes keep room for header and
/// trailer, so that a provider writes them as they are.
#[derive(Debug)]
pub struct Group {
    pub meta: GroupMeta,
    bytes: Vec<u8>,
}

pub(crate) const HEADER_BYTES: usize = 96;
pub(crate) const TRAILER_BYTES: usize = 8;
pub(crate) const MAGIC: [u8; 8] = *b"FTgroup1";
const TRAILER_MAGIC: [u8; 4] = *b"done";
pub(crate) const ALIGNMENT: usize = 8;

impl Group {
    pub fn new(meta: GroupMeta) -> Group {
        Group {
            meta,
            bytes: vec![0; HEADER_BYTES],
        }
    }

    /// Empties the group for another use, keeping its memory.
    pub fn reset(&mut self, meta: GroupMeta) {
        self.meta = meta;
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
    }

    /// The frames so far.
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    pub(crate) fn body_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[HEADER_BYTES..]
    }

    /// The buffer that frames are appended to; what is in it already must stay.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Header, body, padding and trailer, ready to be written, with the salt of their segment.
    pub(crate) fn encode(&mut self, salt: u64) -> &[u8] {
        let body_bytes = self.bytes.len() - HEADER_BYTES;
        let padding = (ALIGNMENT - body_bytes % ALIGNMENT) % ALIGNMENT;
        let body_crc = crc32c::crc32c_append(seed(salt), &self.bytes[HEADER_BYTES..]);
        self.bytes.resize(self.bytes.len() + padding, 0);
        self.bytes.extend_from_slice(&TRAILER_MAGIC);
        self.bytes.extend_from_slice(&body_crc.to_le_bytes());
        let header = encode_header(&self.meta, body_bytes as u32, salt);
        self.bytes[..HEADER_BYTES].copy_from_slice(&header);
        &self.bytes
    }

    /// Takes padding and trailer off again.
    pub(crate) fn unseal(&mut self, body_bytes: usize) {
        self.bytes.truncate(HEADER_BYTES + body_bytes);
    }
}

fn seed(salt: u64) -> u32 {
    crc32c::crc32c(&salt.to_le_bytes())
}

fn encode_header(meta: &GroupMeta, body_bytes: u32, salt: u64) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[0..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&body_bytes.to_le_bytes());
    out[12..16].copy_from_slice(&meta.frames.to_le_bytes());
    out[16..24].copy_from_slice(&meta.first.0.to_le_bytes());
    out[24..28].copy_from_slice(&meta.commits.to_le_bytes());
    out[32..40].copy_from_slice(&meta.epoch.to_le_bytes());
    out[40..48].copy_from_slice(&meta.nonce.to_le_bytes());
    out[48..80].copy_from_slice(&meta.root);
    let crc = crc32c::crc32c_append(seed(salt), &out[..92]);
    out[92..96].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads a header; `None` if it isn't one of this segment. Gives the body's length as well.
pub(crate) fn decode_header(bytes: &[u8], salt: u64) -> Option<(GroupMeta, usize)> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    if header[..8] != MAGIC {
        return None;
    }
    let crc = crc32c::crc32c_append(seed(salt), &header[..92]);
    if crc.to_le_bytes() != header[92..96] {
        return None;
    }
    let u32_at = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let mut root = [0; 32];
    root.copy_from_slice(&header[48..80]);
    let meta = GroupMeta {
        first: Seq(u64_at(16)),
        commits: u32_at(24),
        frames: u32_at(12),
        epoch: u64_at(32),
        nonce: u64_at(40),
        root,
    };
    let sound = meta.commits > 0
        && meta.frames >= meta.commits
        && meta.first.0 > 0
        && meta.first.0.checked_add(u64::from(meta.commits)).is_some();
    sound.then_some((meta, u32_at(8) as usize))
}

/// Bytes of an encoded group whose body has this length.
pub(crate) fn encoded_bytes(body_bytes: usize) -> usize {
    HEADER_BYTES + body_bytes.next_multiple_of(ALIGNMENT) + TRAILER_BYTES
}

/// Checks what follows a header: body, padding and trailer.
pub(crate) fn check_body(rest: &[u8], body_bytes: usize, salt: u64) -> Result<()> {
    let padded = body_bytes.next_multiple_of(ALIGNMENT);
    let whole = rest.get(..padded + TRAILER_BYTES);
    let good = whole.is_some_and(|rest| {
        let crc = crc32c::crc32c_append(seed(salt), &rest[..body_bytes]);
        rest[body_bytes..padded].iter().all(|byte| *byte == 0)
            && rest[padded..padded + 4] == TRAILER_MAGIC
            && rest[padded + 4..] == crc.to_le_bytes()
    });
    if good || bugs::on(Bug::BodyChecksumUnread) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Damaged,
        "the checksum of the group's body is wrong",
    ))
}
