//! A journal without a disk: each group is a blob, written on the condition that there is none of
//! its name, and so is each opening. Byte layout: docs/format.md, "Journal in blobs"; why so:
//! docs/adr/0028.

mod files;
mod owner;
mod slot;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foretell_types::limits::{BLOB_READERS, BLOB_SEGMENT_GROUPS};
use foretell_types::{Error, ErrorKind, Result};
use parking_lot::RwLock;

use self::files::BlobFiles;
use self::owner::{Next, Owner};
use self::slot::{Filled, Slot};
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
/// How often the end is looked for while others go on.
const LOOKS: usize = 8;

/// A journal in a folder of [`Blobs`] that can be written on a condition: an object store. What is
/// sealed lies there too, so that opening costs what isn't.
///
/// Who opens it takes it over: from then on the one before can neither append nor seal. What isn't
/// sealed is held in memory.
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
}

impl std::fmt::Debug for BlobJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobJournal({})", self.shared.owner.folder)
    }
}

struct Shared {
    owner: Arc<Owner>,
    /// What isn't sealed.
    held: RwLock<Held>,
    written: AtomicU64,
    /// What is held was read and checked just now, at opening.
    fresh: AtomicBool,
}

impl BlobJournal {
    /// Opens the journal in a folder, `CONTAINER/FOLDER`, and takes it over; a new one if nothing is
    /// there. Reads what isn't sealed, by several threads unless the options forbid threads that read
    /// ahead. [`ErrorKind::Invalid`] if the blobs can't keep a condition, or the options ask for an
    /// archive: sealed segments lie here already. [`ErrorKind::Busy`]: others append without a pause.
    /// [`ErrorKind::Fenced`]: another has opened it meanwhile.
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
        // First nobody else appends any more, then nobody else seals. What is there then stays.
        let owner = Arc::new(Owner::take_over(blobs, folder, &*environment.random)?);
        let slots = owner.list()?;
        if slots
            .last()
            .is_none_or(|(_, last, _)| last.number + 1 != owner.next().number)
        {
            // Others went on before, or have opened it since: they must not be disturbed.
            return Err(owner.taken_over());
        }
        let files = Arc::new(BlobFiles::open(&owner, &environment.random)?);
        let shared = Arc::new(Shared {
            owner,
            held: RwLock::default(),
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
        let held = shared.read_unsealed(slots, (last, segment), readers);
        // Perhaps somebody else has it again, and has removed what is missing.
        let held = held.or_else(|error| shared.owner.check().and(Err(error)))?;
        let begin = Place(segment << SEGMENT_SHIFT);
        let next = held.0.back().map_or(begin, |group| group.end());
        let of_last = held.0.iter().rev();
        let in_last = |group: &&Arc<HeldGroup>| segment_of(group.place) == segment_of(next);
        let in_segment = of_last.take_while(in_last).count();
        let last = held.last().unwrap_or(last);
        *shared.held.write() = held;
        Ok(BlobJournal {
            last,
            segment_bytes: options.segment_bytes,
            next,
            in_segment,
            store: Arc::new(store),
            shared,
        })
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
            largest_group: slot::largest_group(self.shared.owner.blobs.largest()),
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
        let (place, before) = self.place(group.body().len());
        let shared = &*self.shared;
        shared.owner.check_known()?;
        let number = shared.owner.next().number;
        let content = Slot { number, place }.group(group);
        meanwhile(group.body(), place);
        match shared.owner.fill(&content, Seq(group.meta.last().0 + 1))? {
            Put::Ours => {}
            Put::Anothers => return Err(shared.owner.taken_over()),
        }
        let held = HeldGroup {
            meta: group.meta.clone(),
            slot: number,
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
    /// Reads the groups behind what is sealed: its last commit, and the number of the first segment
    /// that isn't. Groups that are sealed, and were left, are removed.
    fn read_unsealed(
        &self,
        slots: Vec<(String, Next, u64)>,
        sealed: (Seq, u64),
        readers: usize,
    ) -> Result<Held> {
        let owner = &*self.owner;
        let (mut last, mut segment) = sealed;
        let mut unsealed = Vec::new();
        for (name, at, bytes) in slots {
            if at.commit > last {
                unsealed.push((name, at, bytes));
            } else if bytes != slot::OPENING_BYTES
                && let Err(error) = owner.blobs.remove(&name)
            {
                tracing::warn!(%error, "a group that is sealed can't be removed");
            }
        }
        let mut held = Held::default();
        let first = unsealed.first().map_or(1, |(_, at, _)| at.number);
        let read = self.read_all(&unsealed, readers)?;
        for ((number, (name, ..)), found) in (first..).zip(&unsealed).zip(read) {
            let (slot, group) = found?.ok_or_else(|| owner.damage(name, "it is missing"))?;
            let next = Seq(last.0 + 1);
            let begins = group.as_ref().map_or(next, |group| group.meta.first);
            if *name != owner.slot(number, next) || (slot.number, begins) != (number, next) {
                let what = format!(
                    "it stands where commit {} must follow, in slot {number}",
                    next.0
                );
                return Err(owner.damage(name, what));
            }
            let follows = match (held.0.back(), &group) {
                (Some(before), None) => slot.place == before.end(),
                (Some(before), Some(_)) => {
                    let next = Place((segment + 1) << SEGMENT_SHIFT);
                    slot.place == before.end() || slot.place == next
                }
                (None, Some(_)) => slot.place == Place(segment << SEGMENT_SHIFT),
                // Behind a group that is sealed.
                (None, None) => true,
            };
            if !follows {
                return Err(owner.damage(name, "it does not lie where the one before ends"));
            }
            if let Some(group) = group {
                (last, segment) = (group.meta.last(), slot.segment());
                held.0.push_back(Arc::new(group));
            }
        }
        if held.0.is_empty() && sealed.0 > Seq(0) {
            // A segment is sealed only once another follows it.
            let what = format!(
                "commit {} is missing: something follows what is sealed",
                last.0 + 1
            );
            return Err(owner.damage(&owner.slots(), what));
        }
        Ok(held)
    }

    fn read_all(
        &self,
        blobs: &[(String, Next, u64)],
        readers: usize,
    ) -> Result<Vec<Result<Option<Filled>>>> {
        let share = blobs.len().div_ceil(readers).max(1);
        std::thread::scope(|scope| {
            let read = |blobs: &[(String, Next, u64)]| {
                let blobs = blobs.iter();
                blobs
                    .map(|(name, _, bytes)| self.owner.read(name, *bytes))
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

    /// Reads a group again.
    fn check(&self, group: &Arc<HeldGroup>) -> Result<()> {
        let owner = &*self.owner;
        let name = owner.slot(group.slot, group.meta.first);
        let bytes = slot::blob_bytes(group.body.len()) as u64;
        let known = (&group.meta, group.slot, group.place, &group.body);
        let wrong = match owner.read(&name, bytes) {
            Ok(Some((_, Some(found))))
                if (&found.meta, found.slot, found.place, &found.body) == known =>
            {
                return Ok(());
            }
            Ok(None) => owner.damage(&name, "it is missing"),
            Ok(Some(_)) => owner.damage(&name, "it is not what was written"),
            Err(error) => error,
        };
        // It was sealed meanwhile, perhaps by another.
        let is_held = self.held.read().group(group.place).is_some();
        match is_held {
            false => Ok(()),
            true => owner.check().and(Err(wrong)),
        }
    }
}

fn segment_of(place: Place) -> u64 {
    place.0 >> SEGMENT_SHIFT
}

/// A number in a name: twenty digits.
fn number_of(digits: &str) -> Option<u64> {
    let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok())?
}

/// Others write all the time.
fn busy(folder: &str) -> Error {
    let message = format!("{folder} is being written to by others: try again later");
    Error::new(ErrorKind::Busy, message)
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
                Ok(Some(_)) => return Ok(Put::Anothers),
                // Another has sealed it since: what this try met, or what one before wrote.
                Ok(None) if unknown.is_none() => return Ok(Put::Anothers),
                Ok(None) => break,
                Err(error) => unknown = Some(error),
            },
            // It can't be written, or is there and must not be trusted.
            Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Damaged) => {
                return Err(error);
            }
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
            self.owner.folder
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
                gone.push(self.owner.slot(group.slot, group.meta.first));
            }
        }
        // What is left is removed at the next opening.
        gone.iter()
            .try_for_each(|name| self.owner.blobs.remove(name))
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
                let slot = self.owner.slot(group.slot, group.meta.first);
                let name = self.owner.blobs.describe(&slot);
                let byte = place.0 - group.place.0 + slot::BEFORE_BODY as u64;
                format!("{name}, byte {byte}")
            }
            None => format!("{}, segment {}", self.owner.folder, segment_of(place)),
        }
    }

    fn size(&self) -> (u64, usize) {
        self.held.read().size()
    }
}
