use std::collections::VecDeque;
use std::sync::Arc;

use super::{GroupMeta, Place, Seq};

/// A group in memory.
#[derive(Debug)]
pub(super) struct HeldGroup {
    pub meta: GroupMeta,
    /// What its journal finds it by, if it is kept elsewhere too.
    pub slot: u64,
    /// Of its body.
    pub place: Place,
    pub body: Box<[u8]>,
}

/// Groups in memory, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(pub VecDeque<Arc<HeldGroup>>);

impl HeldGroup {
    /// The place behind its body.
    pub fn end(&self) -> Place {
        self.place.plus(self.body.len())
    }
}

impl Held {
    /// The last commit, if there is a group.
    pub fn last(&self) -> Option<Seq> {
        self.0.back().map(|group| group.meta.last())
    }

    /// The group that a place lies in, if it is there.
    pub fn group(&self, place: Place) -> Option<&Arc<HeldGroup>> {
        let behind = self.0.partition_point(|group| group.place <= place);
        self.0.get(behind.checked_sub(1)?)
    }

    /// Copies bytes of a group, fewer only at its end; `None` if it isn't there.
    pub fn read(&self, place: Place, buffer: &mut [u8]) -> Option<usize> {
        let group = self.group(place)?;
        let from = ((place.0 - group.place.0) as usize).min(group.body.len());
        let bytes = &group.body[from..];
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Some(count)
    }

    /// Bytes of all bodies, and how many groups there are.
    pub fn size(&self) -> (u64, usize) {
        let bytes = self.0.iter().map(|group| group.body.len() as u64).sum();
        (bytes, self.0.len())
    }
}
