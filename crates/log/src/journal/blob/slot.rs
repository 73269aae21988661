//! A slot as a blob: a header, then the group as it would lie in a segment of a disk, or nothing. Byte layout:
//! docs/format.md, "Journal in blobs".

use foretell_types::limits::GROUP_BYTES;
use foretell_types::{Error, ErrorKind, Result};

use crate::codec::Take;
use crate::journal::group::{self, check_body, encoded_bytes};
use crate::journal::held::HeldGroup;
use crate::journal::{Group, Place, SEGMENT_SHIFT};

const MAGIC: [u8; 8] = *b"FTcommit";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;
/// No journal gets so far.
const PLACES: u64 = u64::MAX / 2;
/// The blob of an opening has these, a group has more.
pub(super) const OPENING_BYTES: u64 = HEADER_BYTES as u64;
/// Bytes before the body of a group.
pub(super) const BEFORE_BODY: usize = HEADER_BYTES + group::HEADER_BYTES;

/// What a slot holds: nothing is an opening.
pub(super) type Filled = (Slot, Option<HeldGroup>);

/// The largest body of a group that a blob of so many bytes holds.
pub(super) fn largest_group(blob: usize) -> usize {
    let around = HEADER_BYTES + encoded_bytes(0) + group::ALIGNMENT;
    GROUP_BYTES.min(blob.saturating_sub(around))
}

/// What the header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    /// Counts all that was ever written, openings too.
    pub number: u64,
    /// Where the body of the group lies in the journal, or that of the next one.
    pub place: Place,
}

impl Slot {
    /// The number of its segment.
    pub fn segment(self) -> u64 {
        self.place.0 >> SEGMENT_SHIFT
    }

    /// The nonce tells one opening from another; a group has its own.
    fn header(self, nonce: u64) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..32].copy_from_slice(&self.place.0.to_le_bytes());
        out[32..40].copy_from_slice(&nonce.to_le_bytes());
        let crc = crc32c::crc32c(&out[..44]);
        out[44..48].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The blob of an opening.
    pub fn opening(self, nonce: u64) -> Vec<u8> {
        self.header(nonce).to_vec()
    }

    /// The blob of a group. Its place is the salt.
    pub fn group(self, group: &mut Group) -> Vec<u8> {
        let body_bytes = group.body().len();
        let mut out = Vec::with_capacity(HEADER_BYTES + encoded_bytes(body_bytes));
        out.extend_from_slice(&self.header(0));
        out.extend_from_slice(group.encode(self.place.0));
        group.unseal(body_bytes);
        out
    }
}

/// How long the blob of a group is whose body has this length.
pub(super) fn blob_bytes(body_bytes: usize) -> usize {
    HEADER_BYTES + encoded_bytes(body_bytes)
}

fn decode_header(bytes: &[u8]) -> Result<Slot> {
    let damage = |what: &str| Error::new(ErrorKind::Damaged, what);
    let mut take = Take(bytes);
    let header = take.array::<HEADER_BYTES>();
    let header = header.ok_or_else(|| damage("it is too short"))?;
    let (content, crc) = header.split_at(44);
    if !header.starts_with(&MAGIC) || crc != crc32c::crc32c(content).to_le_bytes() {
        return Err(damage("its header is wrong"));
    }
    let mut take = Take(&content[8..]);
    let fields = (take.u32(), take.u32(), take.u64(), take.u64());
    let (Some(version), Some(_reserved), Some(number), Some(place)) = fields else {
        return Err(damage("its header is wrong"));
    };
    if version > VERSION {
        let message = "it was written by a newer version of Foretell";
        return Err(Error::new(ErrorKind::NewerFormat, message));
    }
    if place > PLACES {
        return Err(damage("it lies nowhere"));
    }
    Ok(Slot {
        number,
        place: Place(place),
    })
}

/// Reads a whole blob; without a group if it is that of an opening.
pub(super) fn decode(bytes: &[u8]) -> Result<Filled> {
    let damage = |what: &str| Error::new(ErrorKind::Damaged, what);
    let slot = decode_header(bytes)?;
    let (salt, group) = (slot.place.0, &bytes[HEADER_BYTES..]);
    if group.is_empty() {
        return Ok((slot, None));
    }
    let (meta, body_bytes) = group::decode_header(group, salt)
        .ok_or_else(|| damage("the header of its group is wrong"))?;
    if body_bytes > GROUP_BYTES || group.len() != encoded_bytes(body_bytes) {
        return Err(damage("it is not as long as its group"));
    }
    let rest = &group[group::HEADER_BYTES..];
    check_body(rest, body_bytes, salt)?;
    let held = HeldGroup {
        meta,
        slot: slot.number,
        place: slot.place,
        body: rest[..body_bytes].into(),
    };
    Ok((slot, Some(held)))
}
