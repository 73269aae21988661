//! A sealed segment: the frames of a full segment of the journal, in compressed blocks, each topic
//! by itself in the order of its positions. It takes the place of what it was made from; the order
//! of the journal, and so each commit, can be had back. Byte layout: docs/format.md.

use std::sync::{Arc, OnceLock};

use foretell_types::{Instant, Result};

use super::cache::Piece;
use super::chunk::{Chunk, ChunkFile, ChunkWriter, Kind};
use super::gather::{Gathered, GatheredSource, Source};
use super::nodes::Nodes;
use super::store::SegmentStore;
use crate::codec::{EventRef, Frame, Take, put_bytes, put_varint};
use crate::journal::Seq;
use crate::merkle::MountainRange;

/// A block is closed once it holds so many bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// How hard zstd tries.
const EFFORT: i32 = 1;
/// At most so many blocks are fetched from the archive at once.
const AHEAD: usize = 16;
/// So many positions share one entry of the time column.
pub(crate) const ZONE: u64 = 256;
/// A walk through blocks in order keeps none of them in the cache, unless they come from the
/// archive.
const KEEP: bool = true;

/// The frames of one source.
#[derive(Debug)]
pub(crate) struct Section {
    pub source: Source,
    pub first: u64,
    pub count: u64,
    /// The position that each block begins with, and where the block lies.
    blocks: Vec<(u64, Chunk)>,
    /// Earliest and latest event time (seconds since the epoch) of each [`ZONE`] of positions.
    zones: Option<Chunk>,
}

impl Section {
    pub fn last(&self) -> u64 {
        self.first + self.count - 1
    }

    fn block_of(&self, position: u64) -> usize {
        self.blocks
            .partition_point(|(first, _)| *first <= position)
            .saturating_sub(1)
    }

    /// The last position in a block.
    fn last_of(&self, block: usize) -> u64 {
        let next = self.blocks.get(block + 1);
        next.map_or(self.last(), |(next, _)| next - 1)
    }

    /// The last position in the block that holds a position.
    pub fn last_beside(&self, position: u64) -> u64 {
        self.last_of(self.block_of(position))
    }
}

#[derive(Debug)]
pub(crate) struct SealedSegment {
    pub file: ChunkFile,
    pub number: u64,
    pub first: Seq,
    pub last: Seq,
    /// The hash tree before and after these frames.
    pub before: MountainRange,
    pub after: MountainRange,
    nodes: Chunk,
    order: Chunk,
    sections: Vec<Section>,
    /// When its last frame was recorded, once that was asked for.
    newest: OnceLock<i64>,
}

impl SealedSegment {
    pub fn name(number: u64) -> String {
        format!("{number:010}.sealed")
    }

    /// The name of what stays here of a segment in the archive.
    pub fn stub(number: u64) -> String {
        format!("{number:010}.archived")
    }

    /// Writes a sealed segment; it is durable once its folder is synced.
    pub fn write(
        store: &SegmentStore,
        (number, gathered): (u64, &Gathered),
        (before, after): (&MountainRange, &MountainRange),
    ) -> Result<SealedSegment> {
        let mut writer = ChunkWriter::create(store, &Self::name(number), Kind::Segment, EFFORT)?;
        let mut sections = Vec::new();
        for (source, frames) in &gathered.sources {
            sections.push(write_section(&mut writer, gathered, *source, frames)?);
        }
        let order = {
            let mut out = Vec::new();
            for (source, count) in &gathered.order {
                let section = sections.iter().position(|s| s.source == *source);
                put_varint(&mut out, section.unwrap_or(0) as u64);
                put_varint(&mut out, *count);
            }
            writer.put(&out)?
        };
        let nodes = {
            let mut out = Vec::new();
            gathered.nodes.put(&mut out);
            writer.put(&out)?
        };
        let mut footer = Vec::new();
        for value in [number, gathered.first.0, gathered.last.0] {
            put_varint(&mut footer, value);
        }
        for range in [before, after] {
            let mut out = Vec::new();
            range.put(&mut out);
            put_bytes(&mut footer, &out);
        }
        nodes.put(&mut footer);
        order.put(&mut footer);
        put_varint(&mut footer, sections.len() as u64);
        for section in &sections {
            put_section(&mut footer, section);
        }
        Ok(SealedSegment {
            file: writer.finish(&footer)?,
            number,
            first: gathered.first,
            last: gathered.last,
            before: before.clone(),
            after: after.clone(),
            nodes,
            order,
            sections,
            newest: OnceLock::new(),
        })
    }

    pub fn open(store: &SegmentStore, number: u64) -> Result<SealedSegment> {
        let file = ChunkFile::open(store, &Self::name(number), Kind::Segment)?;
        let footer = file.footer()?;
        Self::of(file, &footer, number)
    }

    /// Opens a segment in the archive.
    pub fn open_blob(store: &SegmentStore, number: u64, blob: &str) -> Result<SealedSegment> {
        let file = ChunkFile::open_blob(store, blob, Kind::Segment)?;
        let footer = file.footer()?;
        Self::of(file, &footer, number)
    }

    /// Opens a segment in the archive by its stub, without asking the archive.
    pub fn open_stub(store: &SegmentStore, number: u64, blob: &str) -> Result<SealedSegment> {
        let names = (&*Self::stub(number), blob);
        let (file, footer) = ChunkFile::open_stub(store, names, Kind::Segment)?;
        Self::of(file, &footer, number)
    }

    fn of(file: ChunkFile, footer: &[u8], number: u64) -> Result<SealedSegment> {
        let error = file.damage(0, "the footer is malformed");
        let (named, segment) = take_footer(&mut Take(footer)).ok_or(error)?;
        if named != number {
            return Err(file.damage(0, "it is another segment than its name says"));
        }
        Ok(segment(file))
    }

    /// When its last frame was recorded, in nanoseconds since the epoch.
    pub fn newest(&self) -> Result<i64> {
        if let Some(newest) = self.newest.get() {
            return Ok(*newest);
        }
        let mut newest = i64::MIN;
        for section in &self.sections {
            let (piece, index) = self.block(section, section.last(), !KEEP)?;
            let frame = Frame::read(piece.frame(index).unwrap_or(&[]))?;
            newest = newest.max(frame.recorded);
        }
        Ok(*self.newest.get_or_init(|| newest))
    }

    pub fn section(&self, source: Source) -> Option<&Section> {
        let at = self.sections.binary_search_by_key(&source, |s| s.source);
        self.sections.get(at.ok()?)
    }

    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The block that holds a position, and which of its frames it is.
    pub fn block(
        &self,
        section: &Section,
        position: u64,
        keep: bool,
    ) -> Result<(Arc<Piece>, usize)> {
        let at = section.block_of(position);
        let (first, chunk) = section.blocks[at];
        let read = match self.file.blob() {
            None => self.file.block(chunk, keep),
            Some(_) => self
                .read_ahead(section, at)
                .and_then(|()| self.file.block(chunk, KEEP)),
        };
        let piece = read.map_err(|error| {
            let last = section.last_of(at);
            match section.source.is_topic() {
                true => error.context(format_args!(
                    "positions {first} to {last} of topic number {}",
                    section.source.0
                )),
                false => error.context("registers or topics"),
            }
        })?;
        let index = (position - first) as usize;
        if index >= piece.frames() {
            return Err(self
                .file
                .damage(chunk.offset, "a block holds too few frames"));
        }
        Ok((piece, index))
    }

    /// Where a read goes through blocks in the archive in order, either way, several are fetched
    /// with the one that is wanted: each call takes long.
    fn read_ahead(&self, section: &Section, at: usize) -> Result<()> {
        let blocks = &section.blocks;
        // What is fetched has to stay in the cache until its turn comes.
        let most = AHEAD.min(self.file.cached_bytes() as usize / 8 / BLOCK_BYTES);
        let is_held = |at: usize| {
            let chunk = blocks.get(at).map(|(_, chunk)| *chunk);
            chunk.is_some_and(|chunk| self.file.is_held(chunk))
        };
        let wanted = if most < 2 || is_held(at) {
            return Ok(());
        } else if at > 0 && is_held(at - 1) {
            at..blocks.len().min(at + most)
        } else if is_held(at + 1) {
            (at + 1).saturating_sub(most)..at + 1
        } else {
            return Ok(());
        };
        let chunks: Vec<Chunk> = blocks[wanted].iter().map(|(_, chunk)| *chunk).collect();
        self.file.fetch(&chunks)
    }

    /// The first and last position of a topic's zone that may hold events of a span of time,
    /// at or after (or, going backward, at or before) a position.
    pub fn zone(
        &self,
        section: &Section,
        position: u64,
        backward: bool,
        (from, until): (Option<Instant>, Option<Instant>),
    ) -> Result<Option<(u64, u64)>> {
        let Some(chunk) = section.zones else {
            return Ok(Some((section.first, section.last())));
        };
        let piece = self.file.piece(chunk)?;
        let zones = piece.bytes.len() / 16;
        let mut zone = (position - section.first) / ZONE;
        while (zone as usize) < zones {
            let mut take = Take(&piece.bytes[zone as usize * 16..]);
            let (low, high) = (
                take.u64().unwrap_or(0) as i64,
                take.u64().unwrap_or(0) as i64,
            );
            if from.is_none_or(|from| high >= from.seconds)
                && until.is_none_or(|until| low <= until.seconds)
            {
                let first = section.first + zone * ZONE;
                return Ok(Some((first, section.last().min(first + ZONE - 1))));
            }
            match (backward, zone) {
                (true, 0) => break,
                (true, _) => zone -= 1,
                (false, _) => zone += 1,
            }
        }
        Ok(None)
    }

    /// The tall nodes of the hash tree that end in this segment.
    pub fn nodes(&self) -> Result<Nodes> {
        let piece = self.file.piece(self.nodes)?;
        Nodes::take(&mut Take(&piece.bytes)).ok_or_else(|| {
            self.file
                .damage(self.nodes.offset, "the nodes are malformed")
        })
    }

    /// Walks the frames in the order of the journal.
    pub fn walk(&self, visit: &mut dyn FnMut(&Frame<'_>) -> Result<()>) -> Result<()> {
        self.walk_part(0..u64::MAX, visit)
    }

    /// The number of a position's frame in the order of the journal, from 0 in this segment.
    pub fn number_of(&self, section: &Section, position: u64) -> Result<u64> {
        let order = self.file.piece(self.order)?;
        let (mut take, mut number, mut next) = (Take(&order.bytes), 0, section.first);
        while let (Some(at), Some(count)) = (take.varint(), take.varint()) {
            let ours = self.sections.get(at as usize);
            if ours.is_some_and(|ours| ours.source == section.source) {
                if position < next + count {
                    return Ok(number + position - next);
                }
                next += count;
            }
            number += count;
        }
        Err(self
            .file
            .damage(self.order.offset, "the order is malformed"))
    }

    /// As [`SealedSegment::walk`], but visits only frames of these numbers.
    pub fn walk_part(
        &self,
        wanted: std::ops::Range<u64>,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<()> {
        let order = self.file.piece(self.order)?;
        let malformed = || {
            self.file
                .damage(self.order.offset, "the order is malformed")
        };
        let mut next: Vec<u64> = self.sections.iter().map(|section| section.first).collect();
        let mut held: Vec<Option<(Arc<Piece>, u64)>> = vec![None; self.sections.len()];
        let (mut take, mut number) = (Take(&order.bytes), 0);
        while !take.is_empty() {
            let (at, count) = (take.varint(), take.varint());
            let (Some(at), Some(count)) = (at, count) else {
                return Err(malformed());
            };
            let section = self.sections.get(at as usize).ok_or_else(malformed)?;
            let (next, held) = (&mut next[at as usize], &mut held[at as usize]);
            for _ in 0..count {
                if *next > section.last() {
                    return Err(malformed());
                }
                number += 1;
                if !wanted.contains(&(number - 1)) {
                    *next += 1;
                    continue;
                }
                let inside = held
                    .as_ref()
                    .is_some_and(|(piece, first)| (*next - first) < piece.frames() as u64);
                if !inside {
                    let (piece, index) = self.block(section, *next, !KEEP)?;
                    *held = Some((piece, *next - index as u64));
                }
                if let Some((piece, first)) = held
                    && let Some(bytes) = piece.frame((*next - *first) as usize)
                {
                    let here = |error: foretell_types::Error| {
                        error.context(format_args!("{:?}, frame {next}", self.file))
                    };
                    visit(&Frame::read(bytes).map_err(here)?).map_err(here)?;
                }
                *next += 1;
            }
        }
        let complete = (self.sections.iter().zip(&next)).all(|(s, next)| *next == s.last() + 1);
        if complete { Ok(()) } else { Err(malformed()) }
    }
}

/// Reads a footer: the number of the segment, and all of it but its file.
fn take_footer(
    take: &mut Take<'_>,
) -> Option<(u64, impl FnOnce(ChunkFile) -> SealedSegment + use<>)> {
    let (number, first, last) = (take.varint()?, take.varint()?, take.varint()?);
    let before = MountainRange::take(&mut Take(take.sized()?))?;
    let after = MountainRange::take(&mut Take(take.sized()?))?;
    let (nodes, order) = (Chunk::take(take)?, Chunk::take(take)?);
    let sections = (0..take.count()?).map(|_| take_section(take));
    let sections = sections.collect::<Option<Vec<_>>>()?;
    let sound = take.is_empty()
        && first <= last
        && before.leaves() <= after.leaves()
        && sections.is_sorted_by(|a, b| a.source < b.source);
    sound.then_some((number, move |file| SealedSegment {
        file,
        number,
        first: Seq(first),
        last: Seq(last),
        before,
        after,
        nodes,
        order,
        sections,
        newest: OnceLock::new(),
    }))
}

/// Reads a footer from any bytes; for fuzzing.
pub(super) fn decoders(bytes: &[u8]) {
    let _ = take_footer(&mut Take(bytes));
}

fn write_section(
    writer: &mut ChunkWriter,
    gathered: &Gathered,
    source: Source,
    frames: &GatheredSource,
) -> Result<Section> {
    let (mut blocks, mut raw) = (Vec::new(), Vec::with_capacity(BLOCK_BYTES * 2));
    let mut zones: Vec<(i64, i64)> = Vec::new();
    let mut begun = frames.first;
    for (index, place) in frames.frames.iter().enumerate() {
        let bytes = gathered.frame(*place);
        if source.is_topic() {
            let time = EventRef::read(&Frame::unchecked(bytes)?)?
                .event_time()
                .seconds;
            match zones.last_mut() {
                Some((low, high)) if !(index as u64).is_multiple_of(ZONE) => {
                    (*low, *high) = ((*low).min(time), (*high).max(time));
                }
                _ => zones.push((time, time)),
            }
        }
        raw.extend_from_slice(bytes);
        if raw.len() >= BLOCK_BYTES {
            blocks.push((begun, writer.put(&raw)?));
            raw.clear();
            begun = frames.first + index as u64 + 1;
        }
    }
    if !raw.is_empty() {
        blocks.push((begun, writer.put(&raw)?));
    }
    let zones = if zones.is_empty() {
        None
    } else {
        let bytes = zones
            .iter()
            .flat_map(|(low, high)| [low.to_le_bytes(), high.to_le_bytes()]);
        Some(writer.put(&bytes.flatten().collect::<Vec<u8>>())?)
    };
    Ok(Section {
        source,
        first: frames.first,
        count: frames.frames.len() as u64,
        blocks,
        zones,
    })
}

fn put_section(out: &mut Vec<u8>, section: &Section) {
    out.extend_from_slice(&section.source.0.to_le_bytes());
    put_varint(out, section.first);
    put_varint(out, section.count);
    put_varint(out, section.blocks.len() as u64);
    for (first, chunk) in &section.blocks {
        put_varint(out, first - section.first);
        chunk.put(out);
    }
    out.push(u8::from(section.zones.is_some()));
    if let Some(zones) = section.zones {
        zones.put(out);
    }
}

fn take_section(take: &mut Take<'_>) -> Option<Section> {
    let source = Source(take.u32()?);
    let (first, count) = (take.varint()?, take.varint()?);
    let mut blocks = Vec::new();
    for _ in 0..take.count()? {
        let begin = first.checked_add(take.varint()?)?;
        blocks.push((begin, Chunk::take(take)?));
    }
    let zones = match take.u8()? {
        0 => None,
        _ => Some(Chunk::take(take)?),
    };
    let sound = first > 0
        && count > 0
        && first.checked_add(count).is_some()
        && blocks.first().is_some_and(|(begin, _)| *begin == first)
        && blocks.is_sorted_by(|a, b| a.0 < b.0);
    sound.then_some(Section {
        source,
        first,
        count,
        blocks,
        zones,
    })
}
