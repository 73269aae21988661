//! A journal without a disk: each group is a blob, written on the condition that there is none of
//! its name. Byte layout: docs/format.md, "Journal in blobs"; why so: docs/adr/0028.

mod files;
mod slot;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foretell_types::limits::{BLOB_READERS, BLOB_SEGMENT_GROUPS};
use foretell_types::{Error, ErrorKind, Result};
use parking_lot::RwLock;

use self::files::BlobFiles;
use self::slot::Slot;
use super::group::encoded_bytes;
use super::held::{Held, HeldGroup};
use super::{
    Capabilities, Group, GroupVisitor, Journal, JournalReader, Place, SEGMENT_SHIFT, Seq,
    check_follows,
};
use crate::blobs::Blobs;
use crate::environment::Environment;
use crate::log::LogOptions;
use crate::sealed::{FullSegments, Manifest, PieceCache, SegmentStore};

/// How often a blob is written before its outcome is given up as unknown.
const TRIES: usize = 3;

/// A journal in a folder of [`Blobs`] that can be written on a condition: an object store. What is
/// sealed lies there too, so that opening costs what isn't.
///
/// Who opens it takes it over: then the one before can't append any more, at the latest once the new
/// one has appended, and can't seal. What isn't sealed is held in memory.
///
/// ```no_run
/// use std::sync::Arc;
/// use foretell_log::{BlobJournal, Blobs, Environment, EventLog, LogOptions};
///
/// fn open(container: &Arc<dyn Blobs>) -> foretell_types::Result<EventLog> {
///     let (environment, options) = (Environment::real(), LogOptions::default());
///     let journal = BlobJournal::open(container, "events/log", &environment, &options)?;
///     EventLog::open_with(Box::new(journal), &environment, &options, &mut |_, _| {})
/// }
/// ```
pub struct BlobJournal {
    shared: Arc<Shared>,
    store: Arc<SegmentStore>,
    last: Seq,
    segment_bytes: u64,
    /// Where the next group goes, and how many are in its segment already.
    next: Place,
    in_segment: usize,
    /// Since it was opened.
    has_appended: bool,
}

impl std::fmt::Debug for BlobJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobJournal({})", self.shared.folder)
    }
}

struct Shared {
    blobs: Arc<dyn Blobs>,
    folder: String,
    files: Arc<BlobFiles>,
    /// What isn't sealed.
    held: RwLock<Held>,
    /// The commits that the first groups after openings begin with, of those that are held.
    ///
    /// Their blobs are never removed, only emptied. Whoever had the journal before such an opening, and
    /// doesn't know that it was taken over, takes the commit with this number for the next one: it must
    /// not find its name free.
    openings: RwLock<BTreeSet<Seq>>,
    written: AtomicU64,
    /// What is held was read and checked just now, at opening.
    fresh: AtomicBool,
}

impl BlobJournal {
    /// Opens the journal in a folder, `CONTAINER/FOLDER`, and takes it over; a new one if nothing is
    /// there. Reads what isn't sealed, by several threads unless the options forbid threads that read
    /// ahead. [`ErrorKind::Invalid`] if the blobs can't keep a condition, or the options ask for an
    /// archive: sealed segments lie here already.
    pub fn open(
        blobs: &Arc<dyn Blobs>,
        folder: &str,
        environment: &Environment,
        options: &LogOptions,
    ) -> Result<BlobJournal> {
        if options.archive.is_some() {
            let message = "a journal in blobs has no archive: what is sealed lies there already";
            return Err(Error::invalid(message));
        }
        let files = Arc::new(BlobFiles::open(blobs, folder, &environment.random)?);
        let shared = Arc::new(Shared {
            blobs: blobs.clone(),
            folder: folder.to_owned(),
            files: files.clone(),
            held: RwLock::default(),
            openings: RwLock::default(),
            written: AtomicU64::new(0),
            fresh: AtomicBool::new(true),
        });
        let of_sealed = Environment {
            files,
            ..environment.clone()
        };
        let cache = Arc::new(PieceCache::new(options.cache_bytes));
        let segments = shared.clone();
        let store = SegmentStore::new(Path::new(folder), &of_sealed, cache, segments, None);
        let manifest = Manifest::load(&store)?.unwrap_or_default();
        let readers = if options.read_ahead { BLOB_READERS } else { 1 };
        let (last, segment) = (manifest.catalog.last, manifest.next_segment);
        let held = shared.read_unsealed((last, segment), readers)?;
        let mut journal = BlobJournal {
            last: held.last().unwrap_or(last),
            segment_bytes: options.segment_bytes,
            next: held
                .0
                .back()
                .map_or(Place(segment << SEGMENT_SHIFT), |group| group.end()),
            in_segment: 0,
            has_appended: false,
            store: Arc::new(store),
            shared,
        };
        let in_last = |group: &&Arc<HeldGroup>| segment_of(group.place) == segment_of(journal.next);
        journal.in_segment = held.0.iter().rev().take_while(in_last).count();
        *journal.shared.held.write() = held;
        Ok(journal)
    }

    /// Where a group of so many bytes goes: into the last segment, or the next if that is full.
    fn place(&self, bytes: usize) -> (Place, usize) {
        let offset = self.next.0 & ((1 << SEGMENT_SHIFT) - 1);
        let is_full = self.in_segment >= BLOB_SEGMENT_GROUPS
            || self.in_segment > 0 && offset + bytes as u64 > self.segment_bytes;
        match is_full {
            true => (Place((segment_of(self.next) + 1) << SEGMENT_SHIFT), 0),
            false => (self.next, self.in_segment),
        }
    }
}

impl Journal for BlobJournal {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            largest_group: slot::largest_group(self.shared.blobs.largest()),
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
        let shared = &*self.shared;
        shared.files.check_owner()?;
        let first = group.meta.first;
        let (place, before) = self.place(group.body().len());
        let opening = !std::mem::replace(&mut self.has_appended, true);
        let content = Slot { place, opening }.encode(group);
        meanwhile(group.body(), place);
        if opening {
            shared.openings.write().insert(first);
        }
        let name = shared.slot(first);
        match put_once(&*shared.blobs, &name, &content)? {
            Put::Ours => {}
            Put::Anothers => {
                let message = format!(
                    "commit {} of {} is another's: the journal was taken over",
                    first.0, shared.folder
                );
                return Err(Error::new(ErrorKind::Fenced, message));
            }
        }
        let held = HeldGroup {
            meta: group.meta.clone(),
            place,
            body: group.body().into(),
        };
        self.last = held.meta.last();
        self.next = held.end();
        self.in_segment = before + 1;
        shared.held.write().0.push_back(Arc::new(held));
        let bytes = content.len() as u64;
        shared.written.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.shared.clone()
    }

    fn segment_store(&self) -> Option<Arc<SegmentStore>> {
        Some(self.store.clone())
    }
}

impl Shared {
    fn slots(&self) -> String {
        format!("{}/commits", self.folder)
    }

    /// The name of the group that begins with a commit.
    fn slot(&self, first: Seq) -> String {
        format!("{}/{:020}", self.slots(), first.0)
    }

    fn damage(&self, name: &str, what: impl std::fmt::Display) -> Error {
        let blob = self.blobs.describe(name);
        Error::new(ErrorKind::Damaged, format!("{blob}: {what}"))
    }

    /// Reads the groups behind what is sealed: its last commit, and the number of the first segment
    /// that isn't. What was left of those that are is removed.
    fn read_unsealed(&self, sealed: (Seq, u64), readers: usize) -> Result<Held> {
        let (mut last, mut segment) = sealed;
        let mut blobs = Vec::new();
        for (name, bytes) in self.blobs.list(&self.slots())? {
            match number_of(&name) {
                Some(first) if first > last.0 => blobs.push((name, bytes)),
                Some(_) if bytes > 0 => self.remove_left(&name)?,
                Some(_) => {}
                None => return Err(self.damage(&name, "it is no commit of this journal")),
            }
        }
        let mut held = Held::default();
        for ((name, _), found) in blobs.iter().zip(self.read_all(&blobs, readers)?) {
            let (slot, group) = found?;
            let first = last.0 + 1;
            if number_of(name) != Some(first) || group.meta.first.0 != first {
                let what = format!("it stands where commit {first} must follow");
                return Err(self.damage(name, what));
            }
            let next = Place((segment + 1) << SEGMENT_SHIFT);
            let end = held.0.back().map(|group: &Arc<HeldGroup>| group.end());
            let follows = end.unwrap_or(Place(segment << SEGMENT_SHIFT));
            if slot.place != follows && (end.is_none() || slot.place != next) {
                return Err(self.damage(name, "it does not lie where the one before ends"));
            }
            if slot.opening {
                self.openings.write().insert(group.meta.first);
            }
            (last, segment) = (group.meta.last(), slot.segment());
            held.0.push_back(Arc::new(group));
        }
        if held.0.is_empty() && sealed.0 > Seq(0) {
            // A segment is sealed only once another follows it.
            let what = "it is missing: something follows what is sealed";
            return Err(self.damage(&self.slot(Seq(last.0 + 1)), what));
        }
        Ok(held)
    }

    fn read_all(
        &self,
        blobs: &[(String, u64)],
        readers: usize,
    ) -> Result<Vec<Result<(Slot, HeldGroup)>>> {
        let share = blobs.len().div_ceil(readers).max(1);
        std::thread::scope(|scope| {
            let read = |blobs: &[(String, u64)]| {
                let blobs = blobs.iter();
                blobs
                    .map(|(name, bytes)| self.read_slot(name, *bytes as usize))
                    .collect()
            };
            let mut threads = Vec::new();
            for blobs in blobs.chunks(share) {
                let thread = std::thread::Builder::new().name("foretell-blobs".to_owned());
                let thread = thread.spawn_scoped(scope, move || -> Vec<_> { read(blobs) });
                threads.push(thread.map_err(|e| Error::io("can't start a thread that reads", e))?);
            }
            let mut found = Vec::with_capacity(blobs.len());
            for thread in threads {
                let read = thread.join();
                found.extend(read.map_err(|_| Error::unavailable("a thread that reads panicked"))?);
            }
            Ok(found)
        })
    }

    fn read_slot(&self, name: &str, bytes: usize) -> Result<(Slot, HeldGroup)> {
        let content = read_whole(&*self.blobs, name, bytes)?;
        let content = content.ok_or_else(|| self.damage(name, "it is missing"))?;
        slot::decode(&content).map_err(|error| error.context(self.blobs.describe(name)))
    }

    /// Removes a group that is sealed.
    fn remove_slot(&self, name: &str, opening: bool) -> Result<()> {
        match opening {
            true => self.blobs.put(name, Vec::new()),
            false => self.blobs.remove(name),
        }
    }

    /// Removes what was left of a group that is sealed.
    fn remove_left(&self, name: &str) -> Result<()> {
        let mut header = [0; slot::HEADER_BYTES];
        let read = self.blobs.read(name, 0, &mut header)?;
        // What can't be told stays.
        let slot = read.map(|bytes| Slot::decode(&header[..bytes]));
        let opening = slot.is_none_or(|slot| slot.map_or(true, |slot| slot.opening));
        self.remove_slot(name, opening)
    }

    /// Reads a group again.
    fn check(&self, group: &Arc<HeldGroup>) -> Result<()> {
        let name = self.slot(group.meta.first);
        let bytes = slot::HEADER_BYTES + encoded_bytes(group.body.len());
        match self.read_slot(&name, bytes) {
            Ok((_, found)) => {
                let known = (&found.meta, found.place, &found.body);
                match known == (&group.meta, group.place, &group.body) {
                    true => Ok(()),
                    false => Err(self.damage(&name, "it is not what was written")),
                }
            }
            // It was sealed meanwhile.
            Err(_) if self.held.read().group(group.place).is_none() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn segment_of(place: Place) -> u64 {
    place.0 >> SEGMENT_SHIFT
}

/// The number at the end of a name.
fn number_of(name: &str) -> Option<u64> {
    let (_, number) = name.rsplit_once('/')?;
    let is_ours = number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| number.parse().ok())?
}

/// Whose a name is.
enum Put {
    Ours,
    Anothers,
}

/// Writes a blob that must be new; one that isn't is ours if it is what was to be written: the answer
/// to an earlier try was lost.
fn put_once(blobs: &dyn Blobs, name: &str, content: &[u8]) -> Result<Put> {
    let mut unknown = None;
    for _ in 0..TRIES {
        match blobs.put_new(name, content.to_vec()) {
            Ok(true) => return Ok(Put::Ours),
            Ok(false) => match read_whole(blobs, name, content.len()) {
                Ok(Some(there)) if there == content => return Ok(Put::Ours),
                Ok(_) => return Ok(Put::Anothers),
                Err(error) => unknown = Some(error),
            },
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(error),
            Err(error) => unknown = Some(error),
        }
    }
    let blob = blobs.describe(name);
    let message = format!("nobody knows whether {blob} was written");
    let error = Error::new(ErrorKind::Io, message);
    Err(unknown.map_or(error.clone(), |source| error.with_source(source)))
}

/// A blob's content; `None` if there is none. `bytes`: how many it should have. Where there are more,
/// one more is read.
fn read_whole(blobs: &dyn Blobs, name: &str, bytes: usize) -> Result<Option<Vec<u8>>> {
    let mut content = vec![0; bytes + 1];
    let read = blobs.read(name, 0, &mut content)?;
    Ok(read.map(|count| {
        content.truncate(count);
        content
    }))
}

/// Reads what blobs hold from any bytes; for fuzzing.
pub(super) fn decoders(bytes: &[u8]) {
    let _ = slot::decode(bytes);
    files::decoder(bytes);
}

impl FullSegments for Shared {
    fn number(&self, place: Place) -> u64 {
        segment_of(place)
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn wants_another(&self) -> bool {
        false
    }

    fn prepare(&self) -> Result<bool> {
        Ok(false)
    }

    fn oldest(&self) -> Result<Option<(u64, u64)>> {
        let held = &self.held.read().0;
        let (Some(first), Some(last)) = (held.front(), held.back()) else {
            return Ok(None);
        };
        let oldest = segment_of(first.place);
        if segment_of(last.place) == oldest {
            return Ok(None);
        }
        let of_oldest = held
            .iter()
            .take_while(|group| segment_of(group.place) == oldest);
        let bytes = of_oldest.map(|group| group.body.len() as u64).sum();
        Ok(Some((oldest, bytes)))
    }

    fn walk(&self, number: u64, visit: &mut GroupVisitor<'_>) -> Result<()> {
        let held = self.held.read().0.clone();
        for group in held
            .iter()
            .filter(|group| segment_of(group.place) == number)
        {
            visit(&group.meta, group.place, &group.body)?;
        }
        Ok(())
    }

    fn unsealed(&self) -> Result<Vec<(String, u64)>> {
        Err(Error::invalid(format!(
            "{} is a journal in blobs, of which no backup is made: copy its folder",
            self.folder
        )))
    }

    fn cut_ends(&self) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn remove(&self, through: u64) -> Result<()> {
        let mut gone = Vec::new();
        {
            let held = &mut self.held.write().0;
            while let Some(group) = held.pop_front_if(|g| segment_of(g.place) <= through) {
                gone.push(group.meta.first);
            }
        }
        for first in gone {
            let opening = self.openings.write().remove(&first);
            // What is left is removed at the next opening.
            self.remove_slot(&self.slot(first), opening)?;
        }
        Ok(())
    }
}

impl JournalReader for Shared {
    fn walk(&self, visit: &mut GroupVisitor<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let fresh = self.fresh.swap(false, Ordering::Relaxed);
        let groups = self.held.read().0.clone();
        let (mut done, total) = (0, self.size().0);
        for group in &groups {
            if !fresh {
                self.check(group)?;
            }
            visit(&group.meta, group.place, &group.body)?;
            done += group.body.len() as u64;
            progress(done, total.max(done));
        }
        Ok(())
    }

    fn read(&self, place: Place, buffer: &mut [u8]) -> Result<usize> {
        self.held
            .read()
            .read(place, buffer)
            .ok_or_else(|| Error::not_found(format!("segment {} was sealed", segment_of(place))))
    }

    fn describe(&self, place: Place) -> String {
        let held = self.held.read();
        match held.group(place) {
            Some(group) => {
                let name = self.blobs.describe(&self.slot(group.meta.first));
                let before = slot::HEADER_BYTES + super::group::HEADER_BYTES;
                let byte = place.0 - group.place.0 + before as u64;
                format!("{name}, byte {byte}")
            }
            None => format!("{}, segment {}", self.folder, segment_of(place)),
        }
    }

    fn size(&self) -> (u64, usize) {
        self.held.read().size()
    }
}
