//! The default provider: preallocated segment files in a folder. Byte layout: docs/format.md.

mod recover;
mod scan;
mod segment;
mod syncer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foretell_types::limits::GROUP_BYTES;
use foretell_types::{Error, ErrorKind, Result};
use parking_lot::{Mutex, RwLock};

use self::scan::Scanner;
use self::segment::{FIRST_GROUP, Prepared, Segment};
use self::syncer::Syncing;
use super::group::encoded_bytes;
use super::{
    Capabilities, Group, GroupVisitor, Journal, JournalReader, Place, SEGMENT_SHIFT, Seq,
    check_follows,
};
use crate::bugs::{self, Bug};
use crate::environment::Environment;
use crate::files::check_space;
use crate::log::LogOptions;
use crate::sealed::{FullSegments, Manifest, Piece, PieceCache, SegmentStore};

pub use recover::CutTail;

/// The preallocated space grows by at least and at most so many bytes at a time.
const GROW_LEAST: u64 = 256 * 1024;
const GROW_MOST: u64 = 8 * 1024 * 1024;
/// The free space of the disk is looked at once in so many bytes.
const SPACE_LOOK_BYTES: u64 = 256 * 1024;
/// The next segment is filled by so many bytes at a time: a group may have to wait for one.
const PREPARE_BYTES: u64 = 1024 * 1024;
/// Who has written this part of a segment goes on, and gets the next one prepared.
const PREPARE_AFTER: u64 = 8;
/// Picked frames are read by pages of this size, which are kept in memory.
const PAGE_BYTES: u64 = 16 * 1024;

/// A journal in segment files. One writer at a time: who opens it holds the folder's lock.
pub struct DiskJournal {
    environment: Environment,
    shared: Arc<Shared>,
    last: Seq,
    /// Where the next group goes in the last segment.
    offset: u64,
    /// How far the last segment is filled with zeros.
    allocated: u64,
    /// The number of the next segment if there is none.
    next_segment: u64,
    store: Arc<SegmentStore>,
    cut: Option<CutTail>,
    /// Bytes written since the free space of the disk was looked at.
    unlooked: u64,
    syncing: Syncing,
}

impl std::fmt::Debug for DiskJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskJournal({})", self.shared.folder.display())
    }
}

struct Shared {
    environment: Environment,
    folder: PathBuf,
    /// A segment takes groups up to this size.
    segment_bytes: u64,
    large_group_bytes: u64,
    segments: RwLock<Vec<Arc<Segment>>>,
    /// The segment after the last. Held by who makes one, or begins the next.
    prepared: Mutex<Option<Prepared>>,
    /// No further one is made.
    closed: AtomicBool,
    /// The bytes that were written since opening, and the segment that was asked for last.
    written: AtomicU64,
    asked_for: AtomicU64,
    /// Of the last groups, on average.
    group_bytes: AtomicU64,
    /// The last commit that is durable: what lies behind it is being written.
    durable: AtomicU64,
    /// The place behind its group.
    durable_end: AtomicU64,
    cache: Arc<PieceCache>,
}

impl DiskJournal {
    /// Opens the journal in a folder, which is made if it isn't there, and recovers its end: a
    /// group that a crash left torn is cut off and kept aside, see [`DiskJournal::cut_tail`].
    /// Anything else that isn't what was written is damage, and named.
    pub fn open(folder: &Path, environment: &Environment) -> Result<DiskJournal> {
        DiskJournal::open_with(folder, environment, &LogOptions::default())
    }

    /// As [`DiskJournal::open`], with segments of another size.
    pub fn open_with(
        folder: &Path,
        environment: &Environment,
        options: &LogOptions,
    ) -> Result<DiskJournal> {
        let files = &environment.files;
        files
            .create_dir_all(folder)
            .and_then(|()| {
                folder
                    .parent()
                    .map_or(Ok(()), |parent| files.sync_dir(parent))
            })
            .map_err(|error| Error::io(format_args!("can't make {}", folder.display()), error))?;
        let shared = Arc::new(Shared {
            environment: environment.clone(),
            folder: folder.to_owned(),
            segment_bytes: options.segment_bytes,
            large_group_bytes: options.large_group_bytes,
            segments: RwLock::default(),
            prepared: Mutex::default(),
            closed: AtomicBool::new(false),
            written: AtomicU64::new(0),
            asked_for: AtomicU64::new(0),
            group_bytes: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            durable_end: AtomicU64::new(0),
            cache: Arc::new(PieceCache::new(options.cache_bytes)),
        });
        let cache = shared.cache.clone();
        let archive = options.archive.clone();
        let store = SegmentStore::new(folder, environment, cache, shared.clone(), archive);
        let manifest = Manifest::load(&store)?.unwrap_or_default();
        let (first, last) = (manifest.next_segment, manifest.catalog.last);
        segment::remove_sealed(folder, &**files, first)?;
        *shared.segments.write() = segment::open_all(folder, &**files, first, &shared.cache)?;
        if first > 0 && shared.segments.read().is_empty() {
            // A segment is sealed only once another follows it.
            let what = format!("segment {first} of {} is missing", folder.display());
            return Err(Error::new(ErrorKind::Damaged, what));
        }
        shared.durable.store(last.0, Ordering::Release);
        let mut journal = DiskJournal {
            environment: environment.clone(),
            shared,
            last,
            offset: 0,
            allocated: 0,
            next_segment: first,
            store: Arc::new(store),
            cut: None,
            unlooked: SPACE_LOOK_BYTES,
            syncing: Syncing::new(options),
        };
        journal.recover()?;
        Ok(journal)
    }

    /// What recovery cut off the end, if it had to.
    pub fn cut_tail(&self) -> Option<&CutTail> {
        self.cut.as_ref()
    }

    fn recover(&mut self) -> Result<()> {
        let Some(segment) = self.shared.segments.read().last().cloned() else {
            return Ok(());
        };
        let recovered = recover::recover(&segment, &self.shared.folder, &*self.environment.files)?;
        self.last = recovered.last.unwrap_or(Seq(segment.first.0 - 1));
        self.offset = recovered.offset;
        self.allocated = segment.len()?;
        self.cut = recovered.cut;
        // What is read back must be durable before anyone sees it. The last group may not be: the
        // process died between write and sync, or its sync failed and the system only remembers
        // the pages. Written again it is dirty again, and this sync tells the truth.
        // The same goes for the header of a segment without groups, and for its name.
        let last_written = recovered.last_group.unwrap_or(0..FIRST_GROUP);
        if !bugs::on(Bug::LastGroupNotWrittenAgain) {
            segment.write_again(last_written)?;
        }
        segment.sync()?;
        let folder = &self.shared.folder;
        let at = |error| Error::io(format_args!("can't sync {}", folder.display()), error);
        self.environment.files.sync_dir(folder).map_err(at)?;
        self.shared
            .is_durable(self.last, segment.place(self.offset));
        Ok(())
    }

    fn make_room(&mut self, needed: u64) -> Result<Arc<Segment>> {
        let current = self.shared.segments.read().last().cloned();
        let segment = match current {
            Some(segment)
                if self.offset + needed <= self.shared.segment_bytes
                    || self.offset == FIRST_GROUP =>
            {
                segment
            }
            old => self.roll(old)?,
        };
        if self.offset + needed > self.allocated {
            self.grow(&segment, needed)?;
        }
        Ok(segment)
    }

    /// Begins a new segment: the one that is prepared, if any.
    fn roll(&mut self, old: Option<Arc<Segment>>) -> Result<Arc<Segment>> {
        let shared = &self.shared;
        let files = &*self.environment.files;
        let mut prepared = shared.prepared.lock();
        let next = match prepared.take() {
            Some(next) => next,
            None => {
                shared.check_space(GROW_LEAST)?;
                let number = old
                    .as_ref()
                    .map_or(self.next_segment, |segment| segment.number + 1);
                Prepared::create(&shared.folder, number, files)?
            }
        };
        let filled = next.filled;
        if bugs::on(Bug::RoomOfUnbegunSegment) {
            self.allocated = filled;
        }
        let salt = self.environment.random.next() | 1;
        let first = Seq(self.last.0 + 1);
        let segment = Arc::new(next.begin(first, salt, (files, &shared.cache))?);
        shared.segments.write().push(segment.clone());
        drop(prepared);
        if let Some(old) = old {
            // Only tidies: the zeros behind the last group mean the same.
            let _ = old.trim(self.offset);
        }
        self.offset = FIRST_GROUP;
        self.allocated = filled;
        Ok(segment)
    }

    /// Has more of the segment be zeros, so that the sync of a group need not make its length
    /// durable, and a full disk shows before anything of a group is written.
    fn grow(&mut self, segment: &Segment, needed: u64) -> Result<()> {
        let step = self.allocated.clamp(GROW_LEAST, GROW_MOST);
        let most = self.shared.segment_bytes.max(self.offset + needed);
        let target = (self.offset + needed).max((self.allocated + step).min(most));
        self.shared.check_space(target - self.allocated)?;
        if needed < self.shared.large_group_bytes || !segment.allocate(self.allocated, target)? {
            segment.fill_zeros(self.allocated, target)?;
        }
        self.allocated = target;
        Ok(())
    }
}

/// Reads a segment's header from any bytes; for fuzzing.
pub(super) fn decode_segment_header(bytes: &[u8]) {
    if let Some(sector) = bytes.first_chunk() {
        let _ = segment::decode_header(sector);
    }
}

/// An error after the first byte of a group was handed to the file.
fn unknown_outcome(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Full if !bugs::on(Bug::FullWriteIsRefusal) => {
            Error::new(ErrorKind::Io, error.message()).with_source(error)
        }
        _ => error,
    }
}

impl Journal for DiskJournal {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            largest_group: GROUP_BYTES,
        }
    }

    fn last(&self) -> Seq {
        self.last
    }

    fn append(
        &mut self,
        expected_last: Seq,
        group: &mut Group,
        meanwhile: &mut dyn FnMut(&[u8], Place),
    ) -> Result<()> {
        check_follows(expected_last, self.last)?;
        assert_eq!(
            group.meta.first.0,
            expected_last.0 + 1,
            "groups follow each other"
        );
        let body_bytes = group.body().len();
        let needed = encoded_bytes(body_bytes) as u64;
        if self.unlooked >= SPACE_LOOK_BYTES {
            self.shared.check_space(0)?;
            self.unlooked = 0;
        }
        self.unlooked += needed;
        let segment = self.make_room(needed)?;
        let written = segment.write(group.encode(segment.salt), self.offset);
        group.unseal(body_bytes);
        // From here on something of the group may lie in the file: also a full disk (a file system
        // that copies on write has them here) leaves the outcome unknown, and is no refusal.
        written.map_err(unknown_outcome)?;
        let place = segment.place(self.offset).plus(super::group::HEADER_BYTES);
        let bytes = self.offset..self.offset + needed;
        let meanwhile = || meanwhile(group.body(), place);
        self.syncing
            .sync(&segment, bytes, meanwhile)
            .map_err(unknown_outcome)?;
        self.offset += needed;
        self.shared.written.fetch_add(needed, Ordering::Relaxed);
        let before = self.shared.group_bytes.load(Ordering::Relaxed);
        let average = before - before / 16 + needed / 16;
        self.shared.group_bytes.store(average, Ordering::Relaxed);
        self.last = group.meta.last();
        self.shared
            .is_durable(self.last, segment.place(self.offset));
        Ok(())
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.shared.clone()
    }

    fn segment_store(&self) -> Option<Arc<SegmentStore>> {
        Some(self.store.clone())
    }
}

impl Drop for DiskJournal {
    fn drop(&mut self) {
        let mut prepared = self.shared.prepared.lock();
        self.shared.closed.store(true, Ordering::Relaxed);
        if let Some(prepared) = prepared.take() {
            // Only tidies: opening removes it too.
            let _ = prepared.remove(&*self.environment.files);
        }
    }
}

impl Shared {
    /// Whether so much was written since opening that more may come.
    fn goes_on(&self) -> bool {
        self.written() >= self.segment_bytes / PREPARE_AFTER
    }

    fn check_space(&self, wanted: u64) -> Result<()> {
        check_space(&*self.environment.files, &self.folder, wanted)
    }

    fn segment(&self, place: Place) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let first = segments.first()?.number;
        let at = (place.0 >> SEGMENT_SHIFT).checked_sub(first)?;
        segments.get(at as usize).cloned()
    }

    fn is_durable(&self, last: Seq, end: Place) {
        self.durable_end.store(end.0, Ordering::Release);
        let last = if bugs::on(Bug::WatermarkOneShort) {
            last.0.saturating_sub(1)
        } else {
            last.0
        };
        self.durable.store(last, Ordering::Release);
    }
}

impl FullSegments for Shared {
    fn unsealed(&self) -> Result<Vec<(String, u64)>> {
        let end = self.durable_end.load(Ordering::Acquire);
        let mut found = Vec::new();
        for segment in self.segments.read().iter() {
            let name = segment.path.file_name().unwrap_or_default();
            let bytes = match segment.number.cmp(&(end >> SEGMENT_SHIFT)) {
                std::cmp::Ordering::Less => segment.len()?,
                std::cmp::Ordering::Equal => end & ((1 << SEGMENT_SHIFT) - 1),
                std::cmp::Ordering::Greater => FIRST_GROUP,
            };
            found.push((name.to_string_lossy().into_owned(), bytes));
        }
        Ok(found)
    }

    fn number(&self, place: Place) -> u64 {
        place.0 >> SEGMENT_SHIFT
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn wants_another(&self) -> bool {
        let next = (self.durable_end.load(Ordering::Relaxed) >> SEGMENT_SHIFT) + 1;
        self.goes_on() && self.asked_for.swap(next, Ordering::Relaxed) != next
    }

    fn prepare(&self) -> Result<bool> {
        let files = &*self.environment.files;
        let mut prepared = self.prepared.lock();
        let last = self.segments.read().last().map(|last| last.number);
        let closed = self.closed.load(Ordering::Relaxed);
        let Some(last) = last.filter(|_| self.goes_on() && !closed) else {
            return Ok(false);
        };
        let next = match &mut *prepared {
            Some(next) => next,
            None => {
                self.check_space(self.segment_bytes)?;
                let next = prepared.insert(Prepared::create(&self.folder, last + 1, files)?);
                if self.group_bytes.load(Ordering::Relaxed) >= self.large_group_bytes {
                    next.allocate(self.segment_bytes)?;
                }
                next
            }
        };
        let left = self.segment_bytes.saturating_sub(next.filled);
        if left > 0 {
            next.fill(next.filled + left.min(PREPARE_BYTES))?;
        }
        Ok(left > PREPARE_BYTES)
    }

    fn cut_ends(&self) -> Result<Vec<PathBuf>> {
        recover::cut_ends(&self.folder, &*self.environment.files)
    }

    fn oldest(&self) -> Result<Option<(u64, u64)>> {
        match &self.segments.read()[..] {
            [oldest, _, ..] => Ok(Some((oldest.number, oldest.len()?))),
            _ => Ok(None),
        }
    }

    fn walk(&self, number: u64, visit: &mut GroupVisitor<'_>) -> Result<()> {
        let segments = self.segments.read().clone();
        let Some(segment) = segments.iter().find(|segment| segment.number == number) else {
            return Err(Error::not_found(format!("there is no segment {number}")));
        };
        let mut scanner = Scanner::new(segment)?;
        while let Some(found) = scanner.next_group()? {
            visit(&found.meta, segment.place(found.body_offset), found.body)?;
        }
        scanner.check_zeros()
    }

    fn remove(&self, through: u64) -> Result<()> {
        self.segments
            .write()
            .retain(|segment| segment.number > through);
        segment::remove_sealed(&self.folder, &*self.environment.files, through + 1)
    }
}

impl JournalReader for Shared {
    fn walk(&self, visit: &mut GroupVisitor<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let durable = Seq(self.durable.load(Ordering::Acquire));
        let segments = self.segments.read().clone();
        let total: u64 = self.size().0;
        let first = segments
            .first()
            .map_or(durable.0 + 1, |segment| segment.first.0);
        let (mut before, mut next) = (0, Seq(first));
        for segment in &segments {
            if segment.first != next {
                return Err(segment.damage(
                    0,
                    format!(
                        "begins at commit {} where {} must follow",
                        segment.first.0, next.0
                    ),
                ));
            }
            let mut scanner = Scanner::new(segment)?;
            while next <= durable
                && let Some(found) = scanner.next_group()?
            {
                next = Seq(found.meta.last().0 + 1);
                visit(&found.meta, segment.place(found.body_offset), found.body)?;
                progress(before + found.body_offset, total);
            }
            // Behind the last durable group the writer may be at work; what a crash left there,
            // opening has looked at.
            if next > durable {
                break;
            }
            scanner.check_zeros()?;
            before += segment.len()?;
        }
        if next <= durable
            && let Some(last) = segments.last()
        {
            let what = format!(
                "commit {} is not there, though {} is durable",
                next.0, durable.0
            );
            return Err(last.damage(0, what));
        }
        progress(total, total);
        Ok(())
    }

    fn page(&self, place: Place) -> Result<Option<(Arc<Piece>, usize)>> {
        let offset = place.0 & ((1 << SEGMENT_SHIFT) - 1);
        let begin = offset - offset % PAGE_BYTES;
        // A page that isn't full yet will change.
        if place.0 - offset + begin + PAGE_BYTES > self.durable_end.load(Ordering::Acquire) {
            return Ok(None);
        }
        let Some(segment) = self.segment(place) else {
            return Ok(None);
        };
        let within = (offset - begin) as usize;
        if let Some(page) = self.cache.get(segment.cached, begin) {
            return Ok(Some((page, within)));
        }
        let mut bytes = vec![0; PAGE_BYTES as usize];
        let count = segment.read(&mut bytes, begin)?;
        bytes.truncate(count);
        let starts = Vec::new();
        let page = Arc::new(Piece { bytes, starts });
        self.cache.insert(segment.cached, begin, &page);
        Ok(Some((page, within)))
    }

    fn read(&self, place: Place, buffer: &mut [u8]) -> Result<usize> {
        let offset = place.0 & ((1 << SEGMENT_SHIFT) - 1);
        let number = place.0 >> SEGMENT_SHIFT;
        let segment = self.segment(place);
        if segment.is_none()
            && self
                .segments
                .read()
                .first()
                .is_some_and(|s| number < s.number)
        {
            let message = format!("segment {number} was sealed");
            return Err(Error::not_found(message));
        }
        match segment {
            Some(segment) => segment.read(buffer, offset),
            None => Err(Error::new(
                ErrorKind::Damaged,
                format!("segment {number} is not there"),
            )),
        }
    }

    fn describe(&self, place: Place) -> String {
        let (number, offset) = (
            place.0 >> SEGMENT_SHIFT,
            place.0 & ((1 << SEGMENT_SHIFT) - 1),
        );
        let segments = self.segments.read();
        let path = segments
            .iter()
            .find(|segment| segment.number == number)
            .map(|s| &s.path);
        path.map_or_else(
            || format!("segment {number}, byte {offset}"),
            |path| format!("{}, byte {offset}", path.display()),
        )
    }

    fn size(&self) -> (u64, usize) {
        let segments = self.segments.read();
        let bytes = segments
            .iter()
            .filter_map(|segment| segment.len().ok())
            .sum();
        (bytes, segments.len())
    }
}
