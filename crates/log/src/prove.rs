//! Makes proofs, and the root over everything durable.

use std::collections::HashMap;
use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Position, Result};

use crate::codec::FrameKind;
use crate::journal::Seq;
use crate::log::Shared;
use crate::merkle::{Hash, MountainRange, RootAt, join, leaf};
use crate::open;
use crate::proof::Proof;
use crate::sealed::{KEPT_HEIGHT, Sealed, SealedSegment, Source};

/// The hash tree at one moment. The tall nodes over what is sealed are kept there; the rest is
/// hashed again.
struct Tree {
    sealed: Arc<Sealed>,
    range: MountainRange,
    /// The leaves behind what is sealed.
    tail: Vec<[u8; 32]>,
    /// Number and frame of the event that was looked for, if it isn't sealed.
    found: Option<(u64, Vec<u8>)>,
    /// Leaves of sealed frames, in blocks.
    blocks: HashMap<u64, Vec<[u8; 32]>>,
}

/// The number of leaves and the root over everything durable.
pub(crate) fn root(shared: &Shared) -> Result<(u64, Hash)> {
    let tree = Tree::read(shared, None)?;
    Ok((tree.range.leaves(), Hash(tree.range.root())))
}

pub(crate) fn prove(
    shared: &Shared,
    (topic, position): (&str, Position),
    earlier: Option<RootAt>,
) -> Result<Proof> {
    let id = {
        let index = shared.index.read();
        let (id, found) = index.catalog.topic(topic)?;
        if position.get() > found.head {
            let message = format!("topic {topic:?} has no position {position}");
            return Err(Error::not_found(message));
        }
        id
    };
    let mut tree = Tree::read(shared, Some((id, position.get())))?;
    let (number, frame) = match tree.found.take() {
        Some(found) => found,
        None => tree.find_sealed(id, position.get())?,
    };
    let range = match earlier {
        Some(earlier) => tree.range_at(earlier)?,
        None => tree.range.clone(),
    };
    let Some((_, height)) = range.mountain(number) else {
        let message = format!(
            "position {position} of topic {topic:?} was appended later: its frame is number {number}, from 0, and the root is over {}",
            range.leaves()
        );
        return Err(Error::not_found(message));
    };
    let path = (0..height)
        .map(|height| tree.node(height, number >> height ^ 1).map(Hash))
        .collect::<Result<_>>()?;
    Ok(Proof {
        frame,
        leaf: number,
        leaves: range.leaves(),
        path,
        peaks: range.peaks().iter().copied().map(Hash).collect(),
    })
}

fn inconsistent() -> Error {
    Error::new(
        ErrorKind::Damaged,
        "the hash tree is inconsistent: run `foretell verify`",
    )
}

/// The root that was asked for isn't one of the log: who asks may be wrong, not the log.
fn not_its(error: Error) -> Error {
    Error::new(ErrorKind::Conflict, error.message())
}

impl Tree {
    fn read(shared: &Shared, wanted: Option<(u32, u64)>) -> Result<Tree> {
        // Again from the start if a segment was sealed in between: it was in neither.
        loop {
            let sealed = shared.index.read().sealed.clone();
            let last = sealed.segments.last();
            let mut range = last.map_or_else(MountainRange::default, |last| last.after.clone());
            let before = range.leaves();
            let commits = last.map_or(0, |last| last.last.0);
            let (mut tail, mut found, mut first) = (Vec::new(), None, None);
            let walked = open::walk(
                &*shared.journal,
                &mut range,
                Seq(commits),
                &mut |frame, _| {
                    if frame.kind == FrameKind::Event
                        && wanted == Some((frame.topic, frame.position))
                    {
                        found = Some((before + tail.len() as u64, frame.bytes.to_vec()));
                    }
                    tail.push(leaf(frame));
                    Ok(())
                },
                &mut |meta, _| {
                    first.get_or_insert(meta.first.0);
                    Ok(())
                },
                &mut |_, _| {},
            );
            let moved = shared.index.read().sealed.segments.len() != sealed.segments.len();
            if moved && (walked.is_err() || first != Some(commits + 1)) {
                continue;
            }
            walked?;
            return Ok(Tree {
                sealed,
                range,
                tail,
                found,
                blocks: HashMap::new(),
            });
        }
    }

    /// The tree as it was when the log had this root.
    fn range_at(&mut self, earlier: RootAt) -> Result<MountainRange> {
        if earlier.leaves > self.range.leaves() {
            return Err(not_its(earlier.missing(self.range.leaves())));
        }
        let (mut begin, mut peaks) = (0, Vec::new());
        let heights = (0..u64::BITS).rev();
        for height in heights.filter(|height| earlier.leaves >> height & 1 == 1) {
            peaks.push(self.node(height, begin >> height)?);
            begin += 1 << height;
        }
        let range = MountainRange::of_peaks(earlier.leaves, peaks).ok_or_else(inconsistent)?;
        earlier.check(Hash(range.root())).map_err(not_its)?;
        Ok(range)
    }

    fn find_sealed(&self, topic: u32, position: u64) -> Result<(u64, Vec<u8>)> {
        let segment = self
            .sealed
            .segment_of(topic, position)
            .ok_or_else(inconsistent)?;
        let section = segment.section(Source(topic)).ok_or_else(inconsistent)?;
        let (piece, index) = segment.block(section, position, true)?;
        let frame = piece.frame(index).ok_or_else(inconsistent)?.to_vec();
        let number = segment.before.leaves() + segment.number_of(section, position)?;
        Ok((number, frame))
    }

    /// The sealed segment that holds a leaf.
    fn segment(&self, leaf: u64) -> Result<&SealedSegment> {
        let segments = &self.sealed.segments;
        let at = segments.partition_point(|segment| segment.after.leaves() <= leaf);
        segments
            .get(at)
            .map(|segment| &**segment)
            .ok_or_else(inconsistent)
    }

    fn sealed_leaves(&self) -> u64 {
        self.range.leaves() - self.tail.len() as u64
    }

    /// The node of a height over the leaves from `index << height` on.
    fn node(&mut self, height: u32, index: u64) -> Result<[u8; 32]> {
        let last = ((index + 1) << height) - 1;
        if height == 0 {
            return self.leaf(index);
        }
        if height >= KEPT_HEIGHT && last < self.sealed_leaves() {
            let nodes = self.segment(last)?.nodes()?;
            return nodes.get(height, index).ok_or_else(inconsistent);
        }
        let left = self.node(height - 1, index * 2)?;
        let right = self.node(height - 1, index * 2 + 1)?;
        Ok(join(&left, &right))
    }

    fn leaf(&mut self, index: u64) -> Result<[u8; 32]> {
        if let Some(in_tail) = index.checked_sub(self.sealed_leaves()) {
            return self
                .tail
                .get(in_tail as usize)
                .copied()
                .ok_or_else(inconsistent);
        }
        let block = index >> KEPT_HEIGHT;
        if !self.blocks.contains_key(&block) {
            let leaves = self.sealed_block(block)?;
            self.blocks.insert(block, leaves);
        }
        let within = (index - (block << KEPT_HEIGHT)) as usize;
        let leaf = self
            .blocks
            .get(&block)
            .and_then(|leaves| leaves.get(within));
        leaf.copied().ok_or_else(inconsistent)
    }

    /// The sealed leaves of one block of `1 << KEPT_HEIGHT`.
    fn sealed_block(&self, block: u64) -> Result<Vec<[u8; 32]>> {
        let mut next = block << KEPT_HEIGHT;
        let end = ((block + 1) << KEPT_HEIGHT).min(self.sealed_leaves());
        let mut leaves = Vec::new();
        while next < end {
            let segment = self.segment(next)?;
            let (from, until) = (segment.before.leaves(), segment.after.leaves().min(end));
            segment.walk_part(next - from..until - from, &mut |frame| {
                leaves.push(leaf(frame));
                Ok(())
            })?;
            next = until;
        }
        Ok(leaves)
    }
}
