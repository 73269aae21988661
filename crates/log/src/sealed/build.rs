//! Writes runs of the index: from a segment that is sealed, or from neighbouring runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use foretell_types::Result;
use foretell_types::limits::IDENTITY_WINDOW;
use hashbrown::HashMap;

use super::cache::Piece;
use super::chunk::{ChunkWriter, Kind};
use super::gather::{Gathered, GatheredSource, Source};
use super::run::{
    Covered, ENTRY_BYTES, Entry, Identities, Key, Named, PAGE_ENTRIES, Run, RunMeta, key,
};
use super::store::SegmentStore;
use super::{filter, postings};
use crate::bugs::{self, Bug};
use crate::codec::{EventRef, Frame};
use crate::index::identity_key;

/// A block of frames is closed once it holds so many bytes.
const BLOCK_BYTES: usize = 16 * 1024;
/// Likewise a block of posting lists.
const POSTINGS_BYTES: usize = 16 * 1024;

/// So many frames are brought near before they are written: in the order of streams they lie
/// scattered.
const AHEAD: usize = 16;

/// How hard zstd tries: a run is written again and again as it is merged, and that of a single
/// segment soon.
const EFFORT: i32 = 1;
const FIRST_EFFORT: i32 = -3;

struct Stream {
    topic: u32,
    subject: Box<str>,
    entry: Entry,
}

struct RunWriter {
    /// Seeds the hashes of keys and identities.
    seed: u64,
    writer: ChunkWriter,
    meta: RunMeta,
    frames: Vec<u8>,
    /// Ordinal of the first of `frames`.
    begun: u64,
    stream: Option<Stream>,
    entries: Vec<(Key, Entry)>,
    lists: Vec<u8>,
    /// Where `lists` begins in all posting lists.
    lists_begun: u64,
}

impl RunWriter {
    fn create(
        store: &SegmentStore,
        seed: u64,
        segments: (u64, u64),
        level: u32,
    ) -> Result<RunWriter> {
        let effort = if level == 0 { FIRST_EFFORT } else { EFFORT };
        let mut writer = ChunkWriter::create(store, &Run::name(segments), Kind::Run, effort)?;
        if level > 0 {
            // Merging can take long, and can be begun again at any time.
            writer = writer.until(&store.stop);
        }
        Ok(RunWriter {
            seed,
            writer,
            meta: RunMeta {
                segments,
                level,
                ..RunMeta::default()
            },
            frames: Vec::with_capacity(BLOCK_BYTES * 2),
            begun: 0,
            stream: None,
            entries: Vec::new(),
            lists: Vec::new(),
            lists_begun: 0,
        })
    }

    /// The next frame of a stream; streams come by topic and subject, frames by position.
    fn frame(&mut self, frame: &Frame<'_>, subject: &str) -> Result<()> {
        let same = self
            .stream
            .as_ref()
            .is_some_and(|s| (s.topic, &*s.subject) == (frame.topic, subject));
        if !same {
            self.end_stream();
            self.stream = Some(Stream {
                topic: frame.topic,
                subject: subject.into(),
                entry: Entry {
                    listed: false,
                    count: 0,
                    at: self.meta.ordinals,
                    last_position: 0,
                    extra: 0,
                },
            });
        }
        if let Some(stream) = &mut self.stream {
            stream.entry.count = stream.entry.count.saturating_add(1);
            stream.entry.last_position = frame.position;
            stream.entry.extra = frame.revision.unwrap_or(0);
        }
        self.frames.extend_from_slice(frame.bytes);
        self.meta.ordinals += 1;
        if self.frames.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            let key = key(Named::Subject, stream.topic, &stream.subject, self.seed);
            self.entries.push((key, stream.entry));
        }
    }

    fn end_block(&mut self) -> Result<()> {
        if !self.frames.is_empty() {
            let chunk = self.writer.put(&self.frames)?;
            self.meta.blocks.push((self.begun, chunk));
            self.frames.clear();
        }
        self.begun = self.meta.ordinals;
        Ok(())
    }

    /// A packed posting list.
    fn list(&mut self, key: Key, count: u32, last_position: u64, packed: &[u8]) -> Result<()> {
        let entry = Entry {
            listed: true,
            count,
            at: self.lists_begun + self.lists.len() as u64,
            last_position,
            extra: packed.len() as u64,
        };
        self.entries.push((key, entry));
        self.lists.extend_from_slice(packed);
        while self.lists.len() >= POSTINGS_BYTES {
            self.end_lists(POSTINGS_BYTES)?;
        }
        Ok(())
    }

    fn end_lists(&mut self, bytes: usize) -> Result<()> {
        let chunk = self.writer.put(&self.lists[..bytes])?;
        self.meta.postings.push((self.lists_begun, chunk));
        self.lists.drain(..bytes);
        self.lists_begun += bytes as u64;
        Ok(())
    }

    fn identities(&mut self, topic: u32, first: u64, hashes: &[u64]) -> Result<()> {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        let chunk = self.writer.put_as_is(&bytes)?;
        self.meta.identities.push(Identities {
            topic,
            first,
            chunk,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Run> {
        self.end_stream();
        self.end_block()?;
        if !self.lists.is_empty() {
            self.end_lists(self.lists.len())?;
        }
        self.entries.sort_unstable_by_key(|(key, _)| *key);
        for page in self.entries.chunks(PAGE_ENTRIES) {
            let mut bytes = Vec::with_capacity(PAGE_ENTRIES * ENTRY_BYTES);
            for (key, entry) in page {
                entry.put(key, &mut bytes);
            }
            // Read one by one, for each condition of an append: half of it would be decompressing.
            let chunk = self.writer.put_as_is(&bytes)?;
            self.meta.pages.push((page[0].0, chunk));
        }
        let filter = filter::build(self.entries.iter().map(|(key, _)| key));
        self.meta.filter.0 = filter.len() as u64;
        for chunk in filter.chunks(filter::CHUNK_BYTES) {
            self.meta.filter.1.push(self.writer.put_as_is(chunk)?);
        }
        let footer = self.meta.put();
        Ok(Run::new(self.writer.finish(&footer)?, self.meta))
    }
}

/// Writes the run of one segment.
pub(crate) fn of_segment(
    store: &SegmentStore,
    seed: u64,
    (number, gathered): (u64, &Gathered),
) -> Result<Run> {
    let mut writer = RunWriter::create(store, seed, (number, number), 0)?;
    let topics = || {
        gathered
            .sources
            .iter()
            .filter(|(source, _)| source.is_topic())
    };
    for (source, frames) in topics() {
        let last = frames.first + frames.frames.len() as u64 - 1;
        writer.meta.covered.push(Covered {
            topic: source.0,
            first: frames.first,
            last,
        });
        add_topic(&mut writer, gathered, *source, frames)?;
    }
    writer.finish()
}

fn add_topic(
    writer: &mut RunWriter,
    gathered: &Gathered,
    source: Source,
    frames: &GatheredSource,
) -> Result<()> {
    let seed = writer.seed;
    let (mut types, mut tags) = (
        BTreeMap::<&str, Vec<u64>>::new(),
        BTreeMap::<&str, Vec<u64>>::new(),
    );
    let mut streams = Streams::of_events(frames.frames.len());
    let kept = frames.frames.len().saturating_sub(IDENTITY_WINDOW);
    let mut hashes = Vec::with_capacity(frames.frames.len() - kept);
    for (index, place) in frames.frames.iter().enumerate() {
        let frame = Frame::unchecked(gathered.frame(*place))?;
        let event = EventRef::read(&frame)?;
        types
            .entry(event.event_type)
            .or_default()
            .push(frame.position);
        for tag in event.tags().split(' ').filter(|tag| !tag.is_empty()) {
            let list = tags.entry(tag).or_default();
            if list.last() != Some(&frame.position) {
                list.push(frame.position);
            }
        }
        if let Some(subject) = event.subject {
            streams.push(subject, index as u32);
        }
        if index >= kept {
            hashes.push(identity_key(event.source, event.id, seed) as u64);
        }
    }
    writer.entries.reserve(streams.counts.len());
    let events = streams.sorted();
    let place = |(_, index): &(&str, u32)| frames.frames[*index as usize];
    let mut ahead = events.chunks(AHEAD).skip(1);
    for now in events.chunks(AHEAD) {
        gathered.bring_near(ahead.next().unwrap_or(&[]).iter().map(place));
        for event in now {
            let frame = Frame::unchecked(gathered.frame(place(event)))?;
            writer.frame(&frame, event.0)?;
        }
    }
    for (named, lists) in [(Named::Type, types), (Named::Tag, tags)] {
        for (text, positions) in lists {
            let last = positions.last().copied().unwrap_or(0);
            let key = key(named, source.0, text, seed);
            writer.list(
                key,
                positions.len() as u32,
                last,
                &postings::pack(&positions),
            )?;
        }
    }
    writer.identities(source.0, frames.first + kept as u64, &hashes)
}

/// Which events of a topic are of which stream.
struct Streams<'a> {
    /// By their subjects, numbered as they come.
    numbers: HashMap<&'a str, u32>,
    /// Events of each.
    counts: Vec<u32>,
    /// Which stream each event is of, and which event it is.
    events: Vec<(u32, u32)>,
}

impl<'a> Streams<'a> {
    fn of_events(count: usize) -> Streams<'a> {
        Streams {
            numbers: HashMap::new(),
            counts: Vec::new(),
            events: Vec::with_capacity(count),
        }
    }

    fn push(&mut self, subject: &'a str, event: u32) {
        let number = *self.numbers.entry(subject).or_insert_with(|| {
            self.counts.push(0);
            self.counts.len() as u32 - 1
        });
        self.counts[number as usize] += 1;
        self.events.push((number, event));
    }

    /// The events by subject, each stream's in the order in which they came.
    fn sorted(self) -> Vec<(&'a str, u32)> {
        let mut streams: Vec<_> = self.numbers.into_iter().collect();
        streams.sort_unstable();
        // Where the next event of each stream belongs.
        let mut next = self.counts;
        let mut before = 0;
        for (_, number) in &streams {
            let count = &mut next[*number as usize];
            before += std::mem::replace(count, before);
        }
        let mut sorted = vec![("", 0); self.events.len()];
        for (number, event) in self.events {
            let at = &mut next[number as usize];
            sorted[*at as usize].1 = event;
            *at += 1;
        }
        let mut begin = 0;
        for (subject, number) in streams {
            let end = next[number as usize] as usize;
            for event in &mut sorted[begin..end] {
                event.0 = subject;
            }
            begin = end;
        }
        sorted
    }
}

/// Reads the frames of a run in the order of their ordinals.
struct Cursor {
    run: Arc<Run>,
    ordinal: u64,
    piece: Arc<Piece>,
    index: usize,
    topic: u32,
    subject: String,
}

impl Cursor {
    fn new(run: &Arc<Run>) -> Result<Option<Cursor>> {
        if run.meta.ordinals == 0 {
            return Ok(None);
        }
        let (piece, index) = run.block(0, false)?;
        let mut cursor = Cursor {
            run: run.clone(),
            ordinal: 0,
            piece,
            index,
            topic: 0,
            subject: String::new(),
        };
        cursor.name()?;
        Ok(Some(cursor))
    }

    fn bytes(&self) -> &[u8] {
        self.piece.frame(self.index).unwrap_or(&[])
    }

    /// Takes in whose stream the frame is.
    fn name(&mut self) -> Result<()> {
        let piece = self.piece.clone();
        let frame = Frame::unchecked(piece.frame(self.index).unwrap_or(&[]))?;
        let subject = EventRef::read(&frame)?.subject.unwrap_or("");
        if (self.topic, &*self.subject) != (frame.topic, subject) {
            self.topic = frame.topic;
            subject.clone_into(&mut self.subject);
        }
        Ok(())
    }

    /// Goes on; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.ordinal += 1;
        if self.ordinal >= self.run.meta.ordinals {
            return Ok(false);
        }
        self.index += 1;
        if self.index >= self.piece.frames() {
            (self.piece, self.index) = self.run.block(self.ordinal, false)?;
        }
        self.name()?;
        Ok(true)
    }
}

/// Joins neighbouring runs into one of the given level. `oldest` gives the first position of a
/// topic whose identity is still wanted.
pub(crate) fn merge(
    store: &SegmentStore,
    seed: u64,
    runs: &[Arc<Run>],
    level: u32,
    oldest: &dyn Fn(u32) -> u64,
) -> Result<Run> {
    let segments = (
        runs.first().map_or(0, |run| run.meta.segments.0),
        runs.last().map_or(0, |run| run.meta.segments.1),
    );
    let mut writer = RunWriter::create(store, seed, segments, level)?;
    let mut covered = BTreeMap::<u32, Covered>::new();
    for part in runs.iter().flat_map(|run| &run.meta.covered) {
        covered.entry(part.topic).or_insert(*part).last = part.last;
    }
    merge_streams(&mut writer, runs)?;
    merge_lists(&mut writer, runs)?;
    for topic in covered.keys() {
        let (mut first, mut hashes) = (None, Vec::new());
        for run in runs {
            let Some((begin, part)) = run.identities(*topic)? else {
                continue;
            };
            let skip = oldest(*topic).saturating_sub(begin).min(part.len() as u64);
            if skip < part.len() as u64 {
                first.get_or_insert(begin + skip);
                hashes.extend_from_slice(&part[skip as usize..]);
            }
        }
        if let Some(first) = first {
            writer.identities(*topic, first, &hashes)?;
        }
    }
    writer.meta.covered = covered.into_values().collect();
    writer.finish()
}

fn merge_streams(writer: &mut RunWriter, runs: &[Arc<Run>]) -> Result<()> {
    let mut cursors = Vec::with_capacity(runs.len());
    for run in runs {
        cursors.extend(Cursor::new(run)?);
    }
    while let Some((topic, subject)) = cursors
        .iter()
        .map(|cursor| (cursor.topic, &*cursor.subject))
        .min()
    {
        let subject = subject.to_owned();
        let mut at = 0;
        while at < cursors.len() {
            let cursor = &mut cursors[at];
            let mut goes_on = true;
            while goes_on && (cursor.topic, &*cursor.subject) == (topic, &*subject) {
                writer.frame(&Frame::unchecked(cursor.bytes())?, &subject)?;
                goes_on = cursor.advance()?;
            }
            if goes_on {
                at += 1;
            } else {
                cursors.remove(at);
            }
        }
    }
    Ok(())
}

fn merge_lists(writer: &mut RunWriter, runs: &[Arc<Run>]) -> Result<()> {
    let mut sources: Vec<_> = runs.iter().map(|run| run.entries().peekable()).collect();
    loop {
        let mut least: Option<Key> = None;
        for source in &mut sources {
            match source.peek() {
                Some(Ok((key, _))) => least = Some(least.map_or(*key, |least| least.min(*key))),
                Some(Err(error)) => return Err(error.clone()),
                None => {}
            }
        }
        let Some(least) = least else {
            return Ok(());
        };
        let (mut lists, mut count, mut last) = (Vec::new(), 0u32, 0);
        for (source, run) in sources.iter_mut().zip(runs) {
            let Some(Ok((_, entry))) =
                source.next_if(|next| matches!(next, Ok((key, _)) if *key == least))
            else {
                continue;
            };
            if entry.listed {
                lists.push(run.postings(&entry)?);
                count = count.saturating_add(entry.count);
                last = entry.last_position;
            }
        }
        if bugs::on(Bug::MergeInWrongOrder) {
            lists.reverse();
        }
        if !lists.is_empty() {
            let joined = postings::join(&lists).ok_or_else(|| {
                let message = "a posting list of a run is malformed";
                foretell_types::Error::new(foretell_types::ErrorKind::Damaged, message)
            })?;
            writer.list(least, count, last, &joined)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_lie_by_subject(subjects in prop::collection::vec("[ab]{0,3}", 0..200)) {
            let mut streams = Streams::of_events(subjects.len());
            for (event, subject) in (0..).zip(&subjects) {
                streams.push(subject, event);
            }
            let mut expected: Vec<(&str, u32)> = subjects.iter().map(|s| &**s).zip(0..).collect();
            expected.sort_unstable();
            prop_assert_eq!(streams.sorted(), expected);
        }
    }
}
