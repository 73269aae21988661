//! Proofs that an event is in a log, checked without the log.

use foretell_types::{Error, ErrorKind, RecordedEvent, Result};

use crate::codec::{EventRef, Frame};
use crate::merkle::{Hash, MountainRange, join, leaf};

/// Shows that an event is a leaf of the hash tree with a root: the event as it is stored, and at
/// most two hashes for each bit of the number of leaves. Byte layout of frame, leaves and nodes:
/// docs/format.md, "Hash tree".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The frame of the event.
    pub frame: Vec<u8>,
    /// Number of its leaf, from 0.
    pub leaf: u64,
    /// Number of leaves of the tree.
    pub leaves: u64,
    /// The neighbours on the way from the leaf to its peak.
    pub path: Vec<Hash>,
    /// The peaks of the tree, the tallest first.
    pub peaks: Vec<Hash>,
}

/// What a proof shows.
#[derive(Clone, PartialEq, Debug)]
pub struct Proven {
    /// The root of the tree that the event is in: compare it with one that you trust.
    pub root: Hash,
    pub event: RecordedEvent,
    /// Number of the topic that the event is in.
    pub topic: u32,
}

impl Proof {
    /// Checks a proof: its root is the one of a log that holds its event.
    pub fn check(&self) -> Result<Proven> {
        let wrong =
            |what: &str| Error::new(ErrorKind::Damaged, format!("the proof is void: {what}"));
        let frame = Frame::read(&self.frame)?;
        if frame.bytes.len() != self.frame.len() {
            return Err(wrong("bytes follow the event's frame"));
        }
        let peaks: Vec<[u8; 32]> = self.peaks.iter().map(|peak| peak.0).collect();
        let range = MountainRange::of_peaks(self.leaves, peaks)
            .ok_or_else(|| wrong("its number of peaks is not that of its number of leaves"))?;
        let (peak, height) = range
            .mountain(self.leaf)
            .ok_or_else(|| wrong("its leaf is behind the last"))?;
        if self.path.len() != height as usize {
            return Err(wrong("its path has a wrong length"));
        }
        let mut node = leaf(&frame);
        for (height, neighbour) in self.path.iter().enumerate() {
            node = match self.leaf >> height & 1 {
                0 => join(&node, &neighbour.0),
                _ => join(&neighbour.0, &node),
            };
        }
        if node != self.peaks[peak].0 {
            return Err(wrong("the event's hash does not lead to its peak"));
        }
        Ok(Proven {
            root: Hash(range.root()),
            event: EventRef::read(&frame)?.to_recorded()?,
            topic: frame.topic,
        })
    }
}
