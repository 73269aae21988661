//! A run of the index: for the events of neighbouring sealed segments, where those of each stream,
//! type and tag are, and each stream's events once more, side by side. Runs hold nothing of their
//! own: they can be built anew from the segments. Byte layout: docs/format.md.

use std::sync::{Arc, OnceLock};

use foretell_types::limits::SMALL_TOPIC_EVENTS;
use foretell_types::{Query, QueryItem, Result};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::cache::Piece;
use super::chunk::{Chunk, ChunkFile, Kind};
use super::store::SegmentStore;
use super::{filter, postings};
use crate::codec::{EventRef, Frame, Take, put_varint};

/// Entries of one page of the table of keys, as it is written: a question reads a page, an answer
/// is one entry.
pub(super) const PAGE_ENTRIES: usize = 32;
pub(super) const ENTRY_BYTES: usize = 40;
/// So many blocks of a stream are read at once.
const BLOCKS_AT_ONCE: usize = 8;
/// A posting list is preferred to a scan if it holds at most one of so many positions.
const SELECTIVE: u64 = 4;

/// What a key of the index names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    Subject,
    Type,
    Tag,
}

/// A key of the index: a hash under the log's seed.
pub(crate) type Key = [u8; 12];

pub(crate) fn key(named: Named, topic: u32, text: &str, seed: u64) -> Key {
    let mut short = [0; 128];
    let mut long = Vec::new();
    let length = text.len() + 5;
    // Almost all are short.
    let bytes = if length <= short.len() {
        &mut short[..length]
    } else {
        long.resize(length, 0);
        &mut long[..]
    };
    bytes[..4].copy_from_slice(&topic.to_le_bytes());
    bytes[4] = named as u8;
    bytes[5..].copy_from_slice(text.as_bytes());
    let hash = xxh3_128_with_seed(bytes, seed).to_be_bytes();
    let mut key = [0; 12];
    key.copy_from_slice(&hash[..12]);
    key
}

/// The first bytes of a key, as a number.
fn head(key: &Key) -> u64 {
    key.first_chunk()
        .map_or(0, |head| u64::from_be_bytes(*head))
}

/// Where among so many keys from one to another this one lies, if they are spread evenly: keys are
/// hashes.
fn share(from: u64, key: u64, until: u64, count: usize) -> usize {
    let (part, whole) = (key.saturating_sub(from), until.saturating_sub(from));
    let share = (part >> 32).saturating_mul(count as u64) / (whole >> 32).max(1);
    share as usize
}

/// The first of so many for which something doesn't hold that holds for all before; it is looked
/// for from a guess on, in steps that grow.
fn partition_near(count: usize, guess: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high, mut step) = (0, count, 1);
    let mut at = guess.min(count.saturating_sub(1));
    if count > 0 && holds(at) {
        low = at + 1;
        while low + step < count {
            at = low + step;
            if !holds(at) {
                high = at;
                break;
            }
            (low, step) = (at + 1, step * 2);
        }
    } else {
        high = at;
        while high > step {
            at = high - step;
            if holds(at) {
                low = at + 1;
                break;
            }
            (high, step) = (at, step * 2);
        }
    }
    while low < high {
        let middle = usize::midpoint(low, high);
        match holds(middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

/// What a run knows of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Whether it is a type's or tag's, which has a posting list, rather than a stream's.
    pub listed: bool,
    /// Events, at most `u32::MAX`.
    pub count: u32,
    /// A stream: its first ordinal. Otherwise: where its posting list begins.
    pub at: u64,
    pub last_position: u64,
    /// A stream: its last revision. Otherwise: the length of its posting list.
    pub extra: u64,
}

impl Entry {
    pub fn put(&self, key: &Key, out: &mut Vec<u8>) {
        out.extend_from_slice(key);
        out.extend_from_slice(&self.count.to_le_bytes());
        let at = self.at << 1 | u64::from(self.listed);
        out.extend_from_slice(&at.to_le_bytes());
        out.extend_from_slice(&self.last_position.to_le_bytes());
        out.extend_from_slice(&self.extra.to_le_bytes());
    }

    pub fn take(take: &mut Take<'_>) -> Option<(Key, Entry)> {
        let (key, count, at) = (take.array()?, take.u32()?, take.u64()?);
        Some((
            key,
            Entry {
                listed: at & 1 != 0,
                count,
                at: at >> 1,
                last_position: take.u64()?,
                extra: take.u64()?,
            },
        ))
    }
}

/// The positions of a topic that a run covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Covered {
    pub topic: u32,
    pub first: u64,
    pub last: u64,
}

/// The hashed identities of the last of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identities {
    pub topic: u32,
    /// Position of the first hash.
    pub first: u64,
    pub chunk: Chunk,
}

/// What the footer of a run says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct RunMeta {
    /// Numbers of the first and last segment.
    pub segments: (u64, u64),
    pub level: u32,
    pub covered: Vec<Covered>,
    /// First ordinal of each block of frames; ordinals count all frames of streams, by topic,
    /// subject and position.
    pub blocks: Vec<(u64, Chunk)>,
    pub ordinals: u64,
    /// First key of each page of the table of keys.
    pub pages: Vec<(Key, Chunk)>,
    /// Where each block of the posting lists begins in all of them.
    pub postings: Vec<(u64, Chunk)>,
    pub identities: Vec<Identities>,
    /// Which keys surely aren't there, see [`filter`]: its bytes and its chunks. Empty in a run of
    /// version 1.
    pub filter: (u64, Vec<Chunk>),
}

impl RunMeta {
    pub fn put(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.segments.0);
        put_varint(&mut out, self.segments.1);
        put_varint(&mut out, u64::from(self.level));
        put_varint(&mut out, self.ordinals);
        put_varint(&mut out, self.covered.len() as u64);
        for covered in &self.covered {
            put_varint(&mut out, u64::from(covered.topic));
            put_varint(&mut out, covered.first);
            put_varint(&mut out, covered.last);
        }
        for list in [&self.blocks, &self.postings] {
            put_varint(&mut out, list.len() as u64);
            for (first, chunk) in list {
                put_varint(&mut out, *first);
                chunk.put(&mut out);
            }
        }
        put_varint(&mut out, self.pages.len() as u64);
        for (key, chunk) in &self.pages {
            out.extend_from_slice(key);
            chunk.put(&mut out);
        }
        put_varint(&mut out, self.identities.len() as u64);
        for identities in &self.identities {
            put_varint(&mut out, u64::from(identities.topic));
            put_varint(&mut out, identities.first);
            identities.chunk.put(&mut out);
        }
        put_varint(&mut out, self.filter.0);
        put_varint(&mut out, self.filter.1.len() as u64);
        for chunk in &self.filter.1 {
            chunk.put(&mut out);
        }
        out
    }

    pub fn take(take: &mut Take<'_>) -> Option<RunMeta> {
        let mut meta = RunMeta {
            segments: (take.varint()?, take.varint()?),
            level: u32::try_from(take.varint()?).ok()?,
            ordinals: take.varint()?,
            ..RunMeta::default()
        };
        for _ in 0..take.count()? {
            let topic = u32::try_from(take.varint()?).ok()?;
            let (first, last) = (take.varint()?, take.varint()?);
            meta.covered.push(Covered { topic, first, last });
        }
        for list in [&mut meta.blocks, &mut meta.postings] {
            for _ in 0..take.count()? {
                list.push((take.varint()?, Chunk::take(take)?));
            }
        }
        for _ in 0..take.count()? {
            meta.pages.push((take.array()?, Chunk::take(take)?));
        }
        for _ in 0..take.count()? {
            meta.identities.push(Identities {
                topic: u32::try_from(take.varint()?).ok()?,
                first: take.varint()?,
                chunk: Chunk::take(take)?,
            });
        }
        if !take.is_empty() {
            meta.filter.0 = take.varint()?;
            for _ in 0..take.count()? {
                meta.filter.1.push(Chunk::take(take)?);
            }
        }
        let sound = take.is_empty()
            && meta.filter.0.div_ceil(filter::CHUNK_BYTES as u64) == meta.filter.1.len() as u64
            && meta.covered.is_sorted_by(|a, b| a.topic < b.topic)
            && meta
                .covered
                .iter()
                .all(|c| 0 < c.first && c.first <= c.last)
            && meta.blocks.is_sorted_by(|a, b| a.0 < b.0)
            && meta.blocks.first().is_none_or(|(first, _)| *first == 0)
            && meta.postings.is_sorted_by(|a, b| a.0 < b.0)
            && meta.pages.is_sorted_by(|a, b| a.0 < b.0);
        sound.then_some(meta)
    }
}

/// What can match a query within a run.
pub(crate) enum Candidates {
    /// Too many to name: look at all.
    All,
    /// These positions, ascending.
    Positions(Vec<u64>),
    /// The events of one stream: their ordinals.
    Stream(std::ops::Range<u64>),
}

#[derive(Debug)]
pub(crate) struct Run {
    pub file: ChunkFile,
    pub meta: RunMeta,
    /// How many there are.
    pub keys: usize,
    /// The filter of a run that isn't merged, once it was asked. Many such runs wait for merging
    /// while much is appended, and each append asks all of them.
    filter: OnceLock<Vec<u8>>,
}

impl Run {
    pub fn new(file: ChunkFile, meta: RunMeta) -> Run {
        let pages = meta.pages.iter();
        let keys = pages.map(|(_, chunk)| chunk.bytes as usize / ENTRY_BYTES);
        Run {
            keys: keys.sum(),
            file,
            meta,
            filter: OnceLock::new(),
        }
    }

    pub fn name(segments: (u64, u64)) -> String {
        format!("{:010}-{:010}.run", segments.0, segments.1)
    }

    pub fn open(store: &SegmentStore, segments: (u64, u64)) -> Result<Run> {
        let file = ChunkFile::open(store, &Run::name(segments), Kind::Run)?;
        let footer = file.footer()?;
        let meta = RunMeta::take(&mut Take(&footer))
            .ok_or_else(|| file.damage(0, "the footer is malformed"))?;
        if meta.segments != segments {
            return Err(file.damage(0, "it is another run than its name says"));
        }
        Ok(Run::new(file, meta))
    }

    /// The positions of a topic that it covers.
    pub fn covered(&self, topic: u32) -> Option<Covered> {
        let covered = &self.meta.covered;
        let at = covered.binary_search_by_key(&topic, |covered| covered.topic);
        at.ok().map(|at| covered[at])
    }

    pub fn find(&self, key: &Key) -> Result<Option<Entry>> {
        if !self.may_hold(key)? {
            return Ok(None);
        }
        let pages = &self.meta.pages;
        let guess = share(0, head(key), u64::MAX, pages.len());
        let behind = partition_near(pages.len(), guess, |page| pages[page].0 <= *key);
        let Some((first, chunk)) = behind.checked_sub(1).map(|page| pages[page]) else {
            return Ok(None);
        };
        let end = pages.get(behind).map_or(u64::MAX, |(next, _)| head(next));
        let piece = self.file.piece(chunk)?;
        let entries = piece.bytes.as_chunks::<ENTRY_BYTES>().0;
        let guess = share(head(&first), head(key), end, entries.len());
        let at = partition_near(entries.len(), guess, |at| {
            entries[at][..key.len()] < key[..]
        });
        let entry = entries
            .get(at)
            .and_then(|entry| Entry::take(&mut Take(entry)));
        Ok(entry
            .filter(|(found, _)| found == key)
            .map(|(_, entry)| entry))
    }

    fn may_hold(&self, key: &Key) -> Result<bool> {
        let (bytes, chunks) = &self.meta.filter;
        if chunks.is_empty() {
            return Ok(true);
        }
        let (chunk, at) = filter::place(key, *bytes);
        let may_hold = if self.meta.level == 0 {
            filter::may_hold(key, self.filter()?, chunk * filter::CHUNK_BYTES + at)
        } else {
            filter::may_hold(key, &self.file.piece(chunks[chunk])?.bytes, at)
        };
        may_hold.ok_or_else(|| {
            self.file
                .damage(chunks[chunk].offset, "a filter is cut short")
        })
    }

    /// The whole filter.
    fn filter(&self) -> Result<&[u8]> {
        if let Some(filter) = self.filter.get() {
            return Ok(filter);
        }
        let mut filter = Vec::with_capacity(self.meta.filter.1.len() * filter::CHUNK_BYTES);
        self.file
            .read_side_by_side(&self.meta.filter.1, &mut |chunk, bytes| {
                if filter.len() % filter::CHUNK_BYTES != 0 {
                    return Err(self.file.damage(chunk.offset, "a filter is cut short"));
                }
                filter.extend_from_slice(&bytes);
                Ok(())
            })?;
        Ok(self.filter.get_or_init(|| filter))
    }

    /// The posting list of an entry, packed.
    pub fn postings(&self, entry: &Entry) -> Result<Vec<u8>> {
        let blocks = &self.meta.postings;
        let mut block = blocks
            .partition_point(|(first, _)| *first <= entry.at)
            .saturating_sub(1);
        let mut list = Vec::with_capacity(entry.extra.min(1 << 20) as usize);
        while (list.len() as u64) < entry.extra {
            let Some((first, chunk)) = blocks.get(block) else {
                return Err(self.file.damage(0, "a posting list is cut short"));
            };
            let piece = self.file.piece(*chunk)?;
            let from = (entry.at + list.len() as u64 - first) as usize;
            let rest = piece.bytes.get(from..).unwrap_or(&[]);
            let wanted = (entry.extra as usize - list.len()).min(rest.len());
            list.extend_from_slice(&rest[..wanted]);
            block += 1;
        }
        Ok(list)
    }

    fn positions(&self, entry: &Entry, from: u64, until: u64) -> Result<Vec<u64>> {
        postings::unpack(&self.postings(entry)?, from, until)
            .ok_or_else(|| self.file.damage(0, "a posting list is malformed"))
    }

    /// The block that holds an ordinal, and which of its frames it is.
    pub fn block(&self, ordinal: u64, keep: bool) -> Result<(Arc<Piece>, usize)> {
        let blocks = &self.meta.blocks;
        let at = blocks
            .partition_point(|(first, _)| *first <= ordinal)
            .saturating_sub(1);
        let found = blocks.get(at).filter(|_| ordinal < self.meta.ordinals);
        let Some((first, chunk)) = found else {
            return Err(self.file.damage(0, "an ordinal is beyond the end"));
        };
        let piece = self.file.block(*chunk, keep)?;
        let index = (ordinal - first) as usize;
        if index >= piece.frames() {
            return Err(self
                .file
                .damage(chunk.offset, "a block holds too few frames"));
        }
        Ok((piece, index))
    }

    /// Brings the blocks of these ordinals into the cache by one read, if there are several; the
    /// first of them, or going backward the last.
    pub fn fetch(&self, ordinals: &std::ops::Range<u64>, backward: bool) -> Result<()> {
        let blocks = &self.meta.blocks;
        let behind = |ordinal| blocks.partition_point(|(first, _)| *first <= ordinal);
        let (mut from, mut until) = (
            behind(ordinals.start).saturating_sub(1),
            behind(ordinals.end.saturating_sub(1)),
        );
        if backward {
            from = from.max(until.saturating_sub(BLOCKS_AT_ONCE));
        } else {
            until = until.min(from + BLOCKS_AT_ONCE);
        }
        if ordinals.is_empty() || until < from + 2 {
            return Ok(());
        }
        let chunks: Vec<Chunk> = blocks[from..until]
            .iter()
            .map(|(_, chunk)| *chunk)
            .collect();
        self.file.fetch(&chunks)
    }

    /// The topic, subject and position of an ordinal.
    fn with_frame<T>(
        &self,
        ordinal: u64,
        read: impl FnOnce(&Frame<'_>, &EventRef<'_>) -> T,
    ) -> Result<T> {
        let (piece, index) = self.block(ordinal, true)?;
        let frame = Frame::read(piece.frame(index).unwrap_or(&[]))?;
        Ok(read(&frame, &EventRef::read(&frame)?))
    }

    pub fn position(&self, ordinal: u64) -> Result<u64> {
        self.with_frame(ordinal, |frame, _| frame.position)
    }

    /// The first ordinal that isn't before a topic's subject.
    fn first_ordinal(&self, topic: u32, subject: &str) -> Result<u64> {
        self.partition(0, self.meta.ordinals, |frame, event| {
            (frame.topic, event.subject.unwrap_or("")) < (topic, subject)
        })
    }

    /// Position and ordinal of all events of a topic, by position, if they are few and all have
    /// subjects: a run holds no others.
    pub fn small_topic(&self, topic: u32) -> Result<Option<Vec<(u64, u64)>>> {
        let Some(covered) = self.covered(topic) else {
            return Ok(None);
        };
        let count = covered.last - covered.first + 1;
        if count > SMALL_TOPIC_EVENTS as u64 {
            return Ok(None);
        }
        let begin = self.first_ordinal(topic, "")?;
        let mut found = Vec::with_capacity(count as usize);
        for ordinal in begin..(begin + count).min(self.meta.ordinals) {
            let place = self.with_frame(ordinal, |frame, _| (frame.topic, frame.position))?;
            if place.0 != topic {
                break;
            }
            found.push((place.1, ordinal));
        }
        found.sort_unstable();
        Ok((found.len() as u64 == count).then_some(found))
    }

    /// The first ordinal of a range for which something doesn't hold that holds for all before.
    pub fn partition(
        &self,
        mut low: u64,
        mut high: u64,
        mut holds: impl FnMut(&Frame<'_>, &EventRef<'_>) -> bool,
    ) -> Result<u64> {
        while low < high {
            let middle = u64::midpoint(low, high);
            if self.with_frame(middle, &mut holds)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The positions of the streams whose subjects begin with a prefix; ends early with more than
    /// `most`.
    fn with_prefix(&self, topic: u32, prefix: &str, most: u64) -> Result<Option<Vec<u64>>> {
        let mut ordinal = self.first_ordinal(topic, prefix)?;
        let mut positions = Vec::new();
        while ordinal < self.meta.ordinals {
            let (piece, index) = self.block(ordinal, true)?;
            for index in index..piece.frames() {
                let frame = Frame::read(piece.frame(index).unwrap_or(&[]))?;
                let event = EventRef::read(&frame)?;
                let inside = frame.topic == topic
                    && event
                        .subject
                        .is_some_and(|subject| subject.starts_with(prefix));
                if !inside {
                    return Ok(Some(positions));
                }
                positions.push(frame.position);
                ordinal += 1;
            }
            if positions.len() as u64 > most {
                return Ok(None);
            }
        }
        Ok(Some(positions))
    }

    /// The entries of the cheapest criterion of an item, of which every match is one.
    fn cheapest(
        &self,
        topic: u32,
        item: &QueryItem,
        seed: u64,
    ) -> Result<Option<(Named, Vec<Entry>)>> {
        let find = |named: Named, texts: &[String]| -> Result<(Named, Vec<Entry>)> {
            let mut entries = Vec::new();
            for text in texts {
                entries.extend(self.find(&key(named, topic, text, seed))?);
            }
            Ok((named, entries))
        };
        let mut choices = Vec::new();
        if !item.subjects.is_empty() {
            choices.push(find(Named::Subject, &item.subjects)?);
        }
        if !item.types.is_empty() {
            choices.push(find(Named::Type, &item.types)?);
        }
        for tag in &item.tags {
            choices.push(find(Named::Tag, std::slice::from_ref(tag))?);
        }
        let size = |(_, entries): &(Named, Vec<Entry>)| -> u64 {
            entries.iter().map(|entry| u64::from(entry.count)).sum()
        };
        Ok(choices.into_iter().min_by_key(size))
    }

    fn positions_of(
        &self,
        (named, entries): &(Named, Vec<Entry>),
        (from, until): (u64, u64),
    ) -> Result<Vec<u64>> {
        let mut positions = Vec::new();
        for entry in entries {
            match named {
                Named::Subject => {
                    for ordinal in entry.at..entry.at + u64::from(entry.count) {
                        positions.push(self.position(ordinal)?);
                    }
                }
                Named::Type | Named::Tag => positions.extend(self.positions(entry, from, until)?),
            }
        }
        Ok(positions)
    }

    /// What can match a query among the positions from one to another, both inclusive and covered.
    pub fn candidates(
        &self,
        topic: u32,
        query: &Query,
        (from, until): (u64, u64),
        seed: u64,
    ) -> Result<Candidates> {
        let most = (until - from) / SELECTIVE + 16;
        if let [item] = &query.items[..]
            && let [subject] = &item.subjects[..]
            && item.subject_prefix.is_none()
        {
            let found = self.find(&key(Named::Subject, topic, subject, seed))?;
            let ordinals = found.map_or(0..0, |entry| entry.at..entry.at + u64::from(entry.count));
            return Ok(Candidates::Stream(ordinals));
        }
        let covered = self.covered(topic).map_or(1, |c| c.last - c.first + 1);
        let mut all = Vec::new();
        for item in &query.items {
            let cheapest = self.cheapest(topic, item, seed)?;
            // The counts are those of the whole run: what falls into the window is its share.
            let share = |entries: &[Entry]| -> u64 {
                let count: u64 = entries.iter().map(|entry| u64::from(entry.count)).sum();
                (u128::from(count) * u128::from(until - from + 1) / u128::from(covered)) as u64
            };
            match (cheapest, &item.subject_prefix) {
                (Some(choice), _) if share(&choice.1) <= most => {
                    all.extend(self.positions_of(&choice, (from, until))?);
                }
                (_, Some(prefix)) => match self.with_prefix(topic, prefix, most.min(1 << 20))? {
                    Some(positions) => all.extend(positions),
                    None => return Ok(Candidates::All),
                },
                _ => return Ok(Candidates::All),
            }
        }
        all.retain(|position| (from..=until).contains(position));
        all.sort_unstable();
        all.dedup();
        Ok(Candidates::Positions(all))
    }

    /// Whether an item is decided by one key alone, and then its last position, or 0.
    pub fn last_of_one_key(&self, topic: u32, item: &QueryItem, seed: u64) -> Result<Option<u64>> {
        if item.subject_prefix.is_some() {
            return Ok(None);
        }
        let kinds = [
            !item.subjects.is_empty(),
            !item.types.is_empty(),
            !item.tags.is_empty(),
        ];
        if kinds.into_iter().filter(|is| *is).count() != 1 || item.tags.len() > 1 {
            return Ok(None);
        }
        let Some((_, entries)) = self.cheapest(topic, item, seed)? else {
            return Ok(None);
        };
        Ok(Some(
            entries.iter().map(|e| e.last_position).max().unwrap_or(0),
        ))
    }

    /// All entries in the order of their keys.
    pub fn entries(&self) -> impl Iterator<Item = Result<(Key, Entry)>> + '_ {
        let mut page = 0;
        let mut held: Option<(Arc<Piece>, usize)> = None;
        std::iter::from_fn(move || {
            loop {
                if let Some((piece, at)) = &mut held
                    && let Some(rest) = piece.bytes.get(*at..)
                    && let Some(entry) = Entry::take(&mut Take(rest))
                {
                    *at += ENTRY_BYTES;
                    return Some(Ok(entry));
                }
                let (_, chunk) = self.meta.pages.get(page)?;
                page += 1;
                match self.file.read(*chunk) {
                    Ok(bytes) => {
                        let starts = Vec::new();
                        held = Some((Arc::new(Piece { bytes, starts }), 0));
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
        })
    }

    /// The hashed identities of a topic's last positions, and the first of these positions.
    pub fn identities(&self, topic: u32) -> Result<Option<(u64, Vec<u64>)>> {
        let Some(found) = self.meta.identities.iter().find(|i| i.topic == topic) else {
            return Ok(None);
        };
        let bytes = self.file.read(found.chunk)?;
        let hashes = bytes
            .as_chunks()
            .0
            .iter()
            .map(|chunk| u64::from_le_bytes(*chunk));
        Ok(Some((found.first, hashes.collect())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_guess_leads_to_the_partition_point(count in 0usize..300, point in 0usize..301, guess in 0usize..400) {
            let point = point.min(count);
            prop_assert_eq!(partition_near(count, guess, |at| at < point), point);
        }
    }
}
