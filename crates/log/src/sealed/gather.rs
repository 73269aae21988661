//! A full segment of the journal, sorted by topic: what is sealed.

use std::collections::BTreeMap;

use foretell_types::{Error, ErrorKind, Result};

use super::nodes::Nodes;
use crate::codec::{Frame, FrameKind};
use crate::index::Catalog;
use crate::journal::Seq;
use crate::merkle::{MountainRange, leaf};

/// Where a frame comes from: a topic, or one of the two kinds of frames that belong to none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Source(pub u32);

impl Source {
    /// Registers; their positions are counted from 1 in each sealed segment.
    pub const REGISTERS: Source = Source(u32::MAX - 1);
    /// The making and deletion of topics, likewise.
    pub const TOPICS: Source = Source(u32::MAX);

    pub fn of(frame: &Frame<'_>) -> Source {
        match frame.kind {
            FrameKind::Event => Source(frame.topic),
            FrameKind::Register => Source::REGISTERS,
            FrameKind::Topic => Source::TOPICS,
        }
    }

    pub fn is_topic(self) -> bool {
        self < Source::REGISTERS
    }
}

/// The frames of one source, in their order.
#[derive(Default)]
pub(crate) struct GatheredSource {
    pub first: u64,
    /// Where each frame lies in the arena.
    pub frames: Vec<(u32, u32)>,
}

/// The frames of consecutive groups.
#[derive(Default)]
pub(crate) struct Gathered {
    pub first: Seq,
    pub last: Seq,
    pub arena: Vec<u8>,
    pub sources: BTreeMap<Source, GatheredSource>,
    /// The order in the journal: so many frames of this source follow.
    pub order: Vec<(Source, u64)>,
    /// Tall nodes of the hash tree that these frames complete.
    pub nodes: Nodes,
}

impl Gathered {
    /// Takes in a group's body, and what it changes: the catalog, the hash tree.
    pub fn push(
        &mut self,
        body: &[u8],
        catalog: &mut Catalog,
        range: &mut MountainRange,
    ) -> Result<()> {
        let base = self.arena.len();
        if u32::try_from(base + body.len()).is_err() {
            return Err(Error::new(ErrorKind::TooLarge, "a segment is too large"));
        }
        self.arena.extend_from_slice(body);
        let mut at = 0;
        while at < body.len() {
            let frame = Frame::read(&body[at..])?;
            let (nodes, leaf) = (&mut self.nodes, leaf(&frame));
            range.push_noting(leaf, &mut |height, index, node| {
                nodes.note(height, index, node);
            });
            catalog.apply(&frame)?;
            let source = Source::of(&frame);
            let gathered = self.sources.entry(source).or_default();
            if gathered.frames.is_empty() {
                gathered.first = frame.position.max(1);
            }
            let from = (base + at) as u32;
            at += frame.bytes.len();
            gathered.frames.push((from, (base + at) as u32));
            match self.order.last_mut() {
                Some((last, count)) if *last == source => *count += 1,
                _ => self.order.push((source, 1)),
            }
        }
        Ok(())
    }

    pub fn frame(&self, place: (u32, u32)) -> &[u8] {
        &self.arena[place.0 as usize..place.1 as usize]
    }
}
