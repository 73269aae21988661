//! A full segment of the journal, sorted by topic: what is sealed.

use std::collections::BTreeMap;

use foretell_types::{Error, ErrorKind, Result};

use super::nodes::Nodes;
use super::segment::SealedSegment;
use crate::codec::{Frame, FrameKind};
use crate::index::Catalog;
use crate::journal::Seq;
use crate::merkle::{MountainRange, leaves};

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
        let (mut at, mut frames) = (0, Vec::new());
        while at < body.len() {
            let frame = Frame::read(&body[at..])?;
            catalog.apply(&frame)?;
            self.add(&frame)?;
            at += frame.bytes.len();
            frames.push(frame);
        }
        range.extend_noting(leaves(&frames), &mut |height, index, node| {
            self.nodes.note(height, index, node);
        });
        Ok(())
    }

    /// The frames of a segment that is sealed already, to index them again.
    pub fn again(segment: &SealedSegment) -> Result<Gathered> {
        let mut gathered = Gathered {
            first: segment.first,
            last: segment.last,
            ..Gathered::default()
        };
        segment.walk(&mut |frame| gathered.add(frame))?;
        Ok(gathered)
    }

    fn add(&mut self, frame: &Frame<'_>) -> Result<()> {
        let from = self.arena.len();
        let Ok(to) = u32::try_from(from + frame.bytes.len()) else {
            return Err(Error::new(ErrorKind::TooLarge, "a segment is too large"));
        };
        self.arena.extend_from_slice(frame.bytes);
        let source = Source::of(frame);
        let gathered = self.sources.entry(source).or_default();
        if gathered.frames.is_empty() {
            gathered.first = frame.position.max(1);
        }
        gathered.frames.push((from as u32, to));
        match self.order.last_mut() {
            Some((last, count)) if *last == source => *count += 1,
            _ => self.order.push((source, 1)),
        }
        Ok(())
    }

    /// Reads something of each of the frames' lines of the processor's cache, and does nothing else:
    /// so it waits for many at once.
    pub fn bring_near(&self, places: impl Iterator<Item = (u32, u32)>) {
        let lines = places.flat_map(|(from, to)| (from as usize..to as usize).step_by(64));
        std::hint::black_box(lines.fold(0, |all, at| all ^ self.arena[at]));
    }

    pub fn frame(&self, place: (u32, u32)) -> &[u8] {
        &self.arena[place.0 as usize..place.1 as usize]
    }
}
