//! The folder of sealed files, where there is no disk: blobs, of which a directory says how they are
//! named. A file is as many blobs as it has parts. Names are durable at [`Files::sync_dir`], as in a
//! folder of a disk: the next directory is then written, on the condition that there is none of its
//! number, and counts if the journal is still ours. So whoever opened the journal last owns the folder:
//! nobody else can name a file any more, nor remove one. Byte layout: docs/format.md.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foretell_types::{Error, ErrorKind, Result};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::owner::{NUMBERS, Owner};
use super::{LOOKS, Put, busy, number_of, put_once, read_whole};
use crate::blobs::Blobs;
use crate::codec::{Take, put_bytes, put_varint};
use crate::environment::Random;
use crate::files::{File, Files};

const MAGIC: [u8; 8] = *b"FTfolder";
const VERSION: u32 = 1;
/// A part of a file, unless it is the last, or a blob can't be as large. Only what isn't a part yet is
/// held in memory.
const PART_BYTES: usize = 4 * 1024 * 1024;
/// What a directory may have at the most.
const DIRECTORY_BYTES: u64 = 256 * 1024 * 1024;

/// The files by their names.
type Names = BTreeMap<String, Entry>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    file: u64,
    bytes: u64,
    /// Of each part but the last.
    part_bytes: u64,
}

pub(super) struct BlobFiles {
    place: Arc<BlobFolder>,
    random: Arc<dyn Random>,
    folder: Mutex<Folder>,
}

/// Where the blobs lie, and whose they are.
struct BlobFolder(Arc<Owner>);

impl BlobFolder {
    fn blobs(&self) -> &dyn Blobs {
        &*self.0.blobs
    }

    fn directories(&self) -> String {
        format!("{}/directory", self.0.folder)
    }

    fn directory(&self, number: u64) -> String {
        format!("{}/{number:020}", self.directories())
    }

    fn files(&self) -> String {
        format!("{}/files", self.0.folder)
    }

    fn part(&self, file: u64, part: u64) -> String {
        format!("{}/{file:016x}.{part}", self.files())
    }
}

/// The file that a blob is a part of.
fn file_of(name: &str) -> Option<u64> {
    let (_, name) = name.rsplit_once('/')?;
    u64::from_str_radix(name.split_once('.')?.0, 16).ok()
}

struct Folder {
    /// The number of the directory in force.
    number: u64,
    /// One that was to follow it, of which nobody knows whether it is there.
    unknown: Option<Vec<u8>>,
    now: BTreeMap<String, Arc<Kept>>,
    /// Removed since the last sync.
    gone: Vec<Arc<Kept>>,
}

/// A file, as long as anybody has it open or it has a name.
struct Kept {
    place: Arc<BlobFolder>,
    file: u64,
    part_bytes: u64,
    state: RwLock<State>,
    /// No directory names it any more.
    removed: AtomicBool,
}

struct State {
    /// Bytes of the parts that are there.
    put: u64,
    /// What is to be the next part.
    rest: Vec<u8>,
    /// Nothing more is written.
    whole: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.removed.load(Ordering::Relaxed) {
            return;
        }
        let parts = self.state.get_mut().put.div_ceil(self.part_bytes);
        for part in 0..parts {
            let name = self.place.part(self.file, part);
            if let Err(error) = self.place.blobs().remove(&name) {
                tracing::warn!(%error, "a blob that nothing names is left");
            }
        }
    }
}

impl Kept {
    fn new(place: &Arc<BlobFolder>, entry: Entry, whole: bool) -> Arc<Kept> {
        Arc::new(Kept {
            place: place.clone(),
            file: entry.file,
            part_bytes: entry.part_bytes,
            state: RwLock::new(State {
                put: entry.bytes,
                rest: Vec::new(),
                whole,
            }),
            removed: AtomicBool::new(false),
        })
    }

    /// What the directory is to say of it, once it is whole.
    fn entry(&self) -> Option<Entry> {
        let state = self.state.read();
        state.whole.then_some(Entry {
            file: self.file,
            bytes: state.put,
            part_bytes: self.part_bytes,
        })
    }

    /// Makes the next part of the first bytes that wait.
    fn put_part(&self, state: &mut State, bytes: usize) -> io::Result<()> {
        let name = self.place.part(self.file, state.put / self.part_bytes);
        match put_once(self.place.blobs(), &name, &state.rest[..bytes]).map_err(failed)? {
            Put::Ours => {}
            Put::Anothers => return Err(io::ErrorKind::AlreadyExists.into()),
        }
        state.put += bytes as u64;
        state.rest.drain(..bytes);
        Ok(())
    }

    /// Reads from the part that an offset lies in, which is put.
    fn read_part(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (part, from) = (offset / self.part_bytes, offset % self.part_bytes);
        let wanted = buffer.len().min((self.part_bytes - from) as usize);
        let name = self.place.part(self.file, part);
        let read = self.place.blobs().read(&name, from, &mut buffer[..wanted]);
        if let Some(count) = read.map_err(failed)? {
            return Ok(count);
        }
        // Perhaps removed by who has the journal now.
        self.place.0.check().map_err(failed)?;
        let blob = self.place.blobs().describe(&name);
        Err(failed(Error::not_found(format!("{blob} is missing"))))
    }
}

impl BlobFiles {
    /// Opens the folder of who has taken the journal over, empty if there is none.
    pub fn open(owner: &Arc<Owner>, random: &Arc<dyn Random>) -> Result<BlobFiles> {
        let place = Arc::new(BlobFolder(owner.clone()));
        for _ in 0..LOOKS {
            // Others that are made from here on may be named by somebody.
            let found = place.blobs().list(&place.files())?;
            // `None`: it is gone again.
            let Some((number, names)) = newest(&place)? else {
                continue;
            };
            let now = names
                .into_iter()
                .map(|(name, entry)| (name, Kept::new(&place, entry, true)));
            let folder = Folder {
                number,
                now: now.collect(),
                unknown: None,
                gone: Vec::new(),
            };
            let files = BlobFiles {
                place: place.clone(),
                random: random.clone(),
                folder: Mutex::new(folder),
            };
            let put = files.put_directory(&mut files.folder.lock())?;
            match put {
                Put::Ours => {
                    files.tidy(&found);
                    return Ok(files);
                }
                // By the one before, which was at it.
                Put::Anothers => {}
            }
        }
        Err(busy(&owner.folder))
    }

    /// Writes the directory that is to follow, and removes those before.
    fn put_directory(&self, folder: &mut MutexGuard<'_, Folder>) -> Result<Put> {
        self.place.0.check_known()?;
        if let Some(content) = folder.unknown.take()
            && let Put::Anothers = self.follow(folder, content)?
        {
            return Ok(Put::Anothers);
        }
        let entries = folder.now.iter();
        let names: Names = entries
            .filter_map(|(name, kept)| Some((name.clone(), kept.entry()?)))
            .collect();
        let content = encode(folder.number + 1, self.random.next(), &names);
        if let Put::Anothers = self.follow(folder, content)? {
            return Ok(Put::Anothers);
        }
        for kept in folder.gone.drain(..) {
            kept.removed.store(true, Ordering::Relaxed);
        }
        Ok(Put::Ours)
    }

    fn follow(&self, folder: &mut Folder, content: Vec<u8>) -> Result<Put> {
        let (place, number) = (&*self.place, folder.number + 1);
        match put_once(place.blobs(), &place.directory(number), &content) {
            Ok(Put::Ours) => {}
            Ok(Put::Anothers) => return Ok(Put::Anothers),
            Err(error) => {
                folder.unknown = Some(content);
                return Err(error);
            }
        }
        folder.number = number;
        // The number may have been free again: whoever took the journal over has removed what it had
        // once put there.
        place.0.check()?;
        let there = directories(place)?;
        if there.range(number + 1..).next().is_some() {
            return Ok(Put::Anothers);
        }
        for old in there.range(..number).map(|(old, _)| old) {
            // What is left of them is removed next time.
            if let Err(error) = place.blobs().remove(&place.directory(*old)) {
                tracing::warn!(%error, "an older directory can't be removed");
            }
        }
        Ok(Put::Ours)
    }

    /// Removes what a crash left: blobs that were there before this directory, and that it doesn't
    /// name. Nobody can name them any more.
    fn tidy(&self, found: &[(String, u64)]) {
        let place = &*self.place;
        let folder = self.folder.lock();
        let named: HashSet<u64> = folder.now.values().map(|kept| kept.file).collect();
        for (name, _) in found {
            if !file_of(name).is_some_and(|file| named.contains(&file))
                && let Err(error) = place.blobs().remove(name)
            {
                tracing::warn!(%error, "a blob that nothing names is left");
            }
        }
    }

    fn kept(&self, path: &Path) -> Option<Arc<Kept>> {
        self.folder.lock().now.get(&name_of(path)).cloned()
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The numbers of the directories that are there, and their bytes.
fn directories(place: &BlobFolder) -> Result<BTreeMap<u64, u64>> {
    let listed = place.blobs().list(&place.directories())?.into_iter();
    Ok(listed
        .filter_map(|(name, bytes)| Some((number_of(name.rsplit_once('/')?.1)?, bytes)))
        .collect())
}

/// The newest directory and what it says; 0 if there is none. `None`: it is gone again.
fn newest(place: &BlobFolder) -> Result<Option<(u64, Names)>> {
    let Some((number, bytes)) = directories(place)?.pop_last() else {
        return Ok(Some((0, Names::new())));
    };
    let name = place.directory(number);
    if bytes > DIRECTORY_BYTES || number > NUMBERS {
        let what =
            format!("it has {bytes} bytes, of at most {DIRECTORY_BYTES}, or its number can't be");
        return Err(place.0.damage(&name, what));
    }
    let Some(content) = read_whole(place.blobs(), &name, bytes as usize)? else {
        return Ok(None);
    };
    let names = decode(&content, number);
    let names = names.map_err(|error| error.context(place.blobs().describe(&name)))?;
    Ok(Some((number, names)))
}

fn encode(number: u64, nonce: u64, names: &Names) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&nonce.to_le_bytes());
    put_varint(&mut out, names.len() as u64);
    for (name, entry) in names {
        put_bytes(&mut out, name.as_bytes());
        out.extend_from_slice(&entry.file.to_le_bytes());
        put_varint(&mut out, entry.bytes);
        put_varint(&mut out, entry.part_bytes);
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// What the directory of a number says.
fn decode(bytes: &[u8], number: u64) -> Result<Names> {
    let damage = |what: &str| Error::new(ErrorKind::Damaged, what);
    let (content, crc) = bytes
        .split_last_chunk()
        .ok_or_else(|| damage("it is too short"))?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return Err(damage("its checksum is wrong"));
    }
    let mut take = Take(content);
    if take.array() != Some(MAGIC) {
        return Err(damage("it is no directory"));
    }
    let version = take.u32();
    if version.is_some_and(|version| version > VERSION) {
        let message = "it was written by a newer version of Foretell";
        return Err(Error::new(ErrorKind::NewerFormat, message));
    }
    if take.u64() != Some(number) {
        return Err(damage("it is another's"));
    }
    fill(&mut take).ok_or_else(|| damage("it is malformed"))
}

/// Reads a directory from any bytes; for fuzzing.
pub(super) fn decoder(bytes: &[u8]) {
    let _ = decode(bytes, 1);
    let _ = fill(&mut Take(bytes));
}

fn fill(take: &mut Take<'_>) -> Option<Names> {
    let _nonce = take.u64()?;
    let mut names = Names::new();
    for _ in 0..take.count()? {
        let name = take.text()?.to_owned();
        let entry = Entry {
            file: take.u64()?,
            bytes: take.varint()?,
            part_bytes: take.varint().filter(|bytes| *bytes > 0)?,
        };
        names.insert(name, entry);
    }
    take.is_empty().then_some(names)
}

fn failed(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::NotFound => io::ErrorKind::NotFound,
        ErrorKind::Full => io::ErrorKind::StorageFull,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Files for BlobFiles {
    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _path: &Path) -> io::Result<Vec<String>> {
        Ok(self.folder.lock().now.keys().cloned().collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let kept = self.kept(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(BlobFile(kept)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut folder = self.folder.lock();
        if folder.now.contains_key(&name_of(path)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let entry = Entry {
            file: self.random.next(),
            bytes: 0,
            part_bytes: PART_BYTES.min(self.place.blobs().largest()).max(1) as u64,
        };
        let kept = Kept::new(&self.place, entry, false);
        folder.now.insert(name_of(path), kept.clone());
        Ok(Arc::new(BlobFile(kept)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut folder = self.folder.lock();
        let kept = folder
            .now
            .remove(&name_of(path))
            .ok_or(io::ErrorKind::NotFound)?;
        folder.gone.push(kept);
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        let mut folder = self.folder.lock();
        for _ in 0..LOOKS {
            if let Put::Ours = self.put_directory(&mut folder).map_err(failed)? {
                return Ok(());
            }
            // Unless the journal was taken over, that one is of somebody who lost it while opening it,
            // and counts for nobody.
            self.place.0.check().map_err(failed)?;
            folder.number += 1;
        }
        Err(failed(busy(&self.place.0.folder)))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    /// What can be read is durable.
    fn write_again(&self, path: &Path) -> io::Result<()> {
        self.open(path).map(drop)
    }
}

struct BlobFile(Arc<Kept>);

impl File for BlobFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.0.state.read();
        let wanted = buffer.len();
        let mut done = 0;
        while done < wanted && offset + (done as u64) < state.put {
            let at = offset + done as u64;
            let most = (wanted - done).min((state.put - at) as usize);
            match self.0.read_part(&mut buffer[done..done + most], at)? {
                // Shorter than it was: damage, as whoever reads it finds.
                0 => return Ok(done),
                count => done += count,
            }
        }
        let from = (offset + done as u64).saturating_sub(state.put) as usize;
        let rest = state.rest.get(from..).unwrap_or(&[]);
        let count = rest.len().min(wanted - done);
        buffer[done..done + count].copy_from_slice(&rest[..count]);
        Ok(done + count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let state = &mut *self.0.state.write();
        if state.whole || state.put + state.rest.len() as u64 != offset {
            // Written from its beginning to its end, once.
            return Err(io::ErrorKind::Unsupported.into());
        }
        state.rest.extend_from_slice(bytes);
        let part_bytes = self.0.part_bytes as usize;
        while state.rest.len() > part_bytes {
            self.0.put_part(state, part_bytes)?;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.0.state.write();
        if !state.rest.is_empty() {
            self.0.put_part(state, state.rest.len())?;
        }
        state.whole = true;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.0.state.read();
        Ok(state.put + state.rest.len() as u64)
    }

    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
