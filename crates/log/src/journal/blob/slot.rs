//! A group as a blob: a header, then the group as it would lie in a segment of a disk. Byte layout:
//! docs/format.md, "Journal in blobs".

use foretell_types::limits::GROUP_BYTES;
use foretell_types::{Error, ErrorKind, Result};

use crate::journal::group::{self, check_body, decode_header, encoded_bytes};
use crate::journal::held::HeldGroup;
use crate::journal::{Group, Place, SEGMENT_SHIFT};

const MAGIC: [u8; 8] = *b"FTcommit";
const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 32;
/// The first that was appended after the journal was opened.
const OPENING: u32 = 1;

/// The largest body of a group that a blob of so many bytes holds.
pub(super) fn largest_group(blob: usize) -> usize {
    let around = HEADER_BYTES + encoded_bytes(0) + group::ALIGNMENT;
    GROUP_BYTES.min(blob.saturating_sub(around))
}

/// What the header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    /// Where the body of the group lies in the journal.
    pub place: Place,
    /// Nobody has appended to the journal since it was opened: see [`super::BlobJournal`].
    pub opening: bool,
}

impl Slot {
    /// The number of its segment.
    pub fn segment(self) -> u64 {
        self.place.0 >> SEGMENT_SHIFT
    }

    fn encode_header(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(if self.opening { OPENING } else { 0 }).to_le_bytes());
        out[16..24].copy_from_slice(&self.place.0.to_le_bytes());
        let crc = crc32c::crc32c(&out[..28]);
        out[28..32].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The whole blob. Its place is the salt of the group.
    pub fn encode(self, group: &mut Group) -> Vec<u8> {
        let body_bytes = group.body().len();
        let mut out = Vec::with_capacity(HEADER_BYTES + encoded_bytes(body_bytes));
        out.extend_from_slice(&self.encode_header());
        out.extend_from_slice(group.encode(self.place.0));
        group.unseal(body_bytes);
        out
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8]) -> Result<Slot> {
        let damage = |what: &str| Error::new(ErrorKind::Damaged, what);
        let header: &[u8; HEADER_BYTES] = bytes
            .first_chunk()
            .ok_or_else(|| damage("it is too short"))?;
        let u32_at = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if header[..8] != MAGIC || u32_at(28) != crc32c::crc32c(&header[..28]) {
            return Err(damage("its header is wrong"));
        }
        if u32_at(8) > VERSION {
            let message = "it was written by a newer version of Foretell";
            return Err(Error::new(ErrorKind::NewerFormat, message));
        }
        Ok(Slot {
            place: Place(u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32),
            opening: u32_at(12) & OPENING != 0,
        })
    }
}

/// Reads a whole blob.
pub(super) fn decode(bytes: &[u8]) -> Result<(Slot, HeldGroup)> {
    let damage = |what: &str| Error::new(ErrorKind::Damaged, what);
    let slot = Slot::decode(bytes)?;
    let (salt, group) = (slot.place.0, &bytes[HEADER_BYTES..]);
    let (meta, body_bytes) =
        decode_header(group, salt).ok_or_else(|| damage("the header of its group is wrong"))?;
    if body_bytes > GROUP_BYTES || group.len() != encoded_bytes(body_bytes) {
        return Err(damage("it is not as long as its group"));
    }
    let rest = &group[group::HEADER_BYTES..];
    check_body(rest, body_bytes, salt)?;
    let held = HeldGroup {
        meta,
        place: slot.place,
        body: rest[..body_bytes].into(),
    };
    Ok((slot, held))
}
