//! A disk in memory that can crash: what wasn't synced may be lost, sector by sector.

pub mod blobs;
pub mod shop;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use foretell_log::{
    Blobs, Clock, Environment, EventLog, File, Files, LogOptions, Random, Verified, restore,
};
use foretell_types::{Instant, Result};

const SECTOR: usize = 512;

/// Small segments, sealed only when asked: the same calls have the same history.
pub fn small_segments() -> LogOptions {
    LogOptions {
        segment_bytes: 4 * 1024,
        cache_bytes: 256 * 1024,
        revision_cache_bytes: 64,
        seal_in_background: false,
        ..LogOptions::default()
    }
}

/// Opens the log on a disk.
pub fn open_with(
    disk: &FaultDisk,
    seed: u64,
    options: &LogOptions,
) -> foretell_types::Result<EventLog> {
    EventLog::open_folder_with(Path::new("/j"), &disk.environment(seed), options)
}

/// Brings a backup back to a disk.
pub fn restore_to(disk: &FaultDisk, from: (&Arc<dyn Blobs>, &str)) -> Result<Verified> {
    let environment = disk.environment(3);
    restore(from, Path::new("/j"), &environment, &mut |_, _, _| {})
}

/// Numbers from a seed (SplitMix64).
pub struct Seeded(pub AtomicU64);

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        Seeded(AtomicU64::new(seed))
    }
}

impl Random for Seeded {
    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A clock that goes one microsecond a question.
#[derive(Default)]
pub struct TickingClock(AtomicU64);

impl Clock for TickingClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(1_700_000_000_000_000_000)
            .plus_nanos(self.0.fetch_add(1_000, Ordering::Relaxed) as i64)
    }
}

#[derive(Clone, Default)]
struct Content {
    /// What a reader sees now.
    now: Vec<u8>,
    /// What is on the platter.
    durable: Vec<u8>,
    /// What a sync has to write.
    dirty: Vec<(usize, usize)>,
}

#[derive(Default)]
struct Disk {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    /// Names that a crash keeps.
    durable_names: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    writes: u64,
    reads: u64,
    reads_ahead: u64,
    fail_at: Option<(u64, Fault)>,
    capacity: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The machine stops at this write or sync: it and all after it fail.
    Stop,
    /// This write or sync fails once.
    Error,
    /// This write or sync fails once, as on a disk that is full.
    Full,
    /// This sync fails once: the pages are remembered but count as written, and are not on the
    /// platter (as Linux has it after a failed write-back).
    LostSync,
}

#[derive(Clone, Default)]
pub struct FaultDisk(Arc<Mutex<Disk>>);

impl FaultDisk {
    pub fn new() -> FaultDisk {
        FaultDisk::default()
    }

    pub fn environment(&self, seed: u64) -> Environment {
        Environment {
            clock: Arc::new(TickingClock::default()),
            random: Arc::new(Seeded::new(seed)),
            files: Arc::new(self.clone()),
        }
    }

    /// Writes and syncs so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().writes
    }

    /// Reads so far.
    pub fn reads(&self) -> u64 {
        self.0.lock().unwrap().reads
    }

    /// Those of threads that read ahead.
    pub fn reads_ahead(&self) -> u64 {
        self.0.lock().unwrap().reads_ahead
    }

    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.0.lock().unwrap().fail_at = Some((operation, fault));
    }

    /// Bytes that all files together may take from now on.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().unwrap().capacity = bytes;
    }

    /// The disk after power was lost: each sector that wasn't synced is there or not, by chance.
    pub fn crash(&self, random: &Seeded) -> FaultDisk {
        let disk = self.0.lock().unwrap();
        let mut files = BTreeMap::new();
        for (path, content) in &disk.durable_names {
            let content = content.lock().unwrap();
            let mut after = content.durable.clone();
            let grown = random.next().is_multiple_of(2);
            if grown && content.now.len() > after.len() {
                after.resize(content.now.len(), 0);
            }
            let mode = random.next() % 4;
            for at in (0..after.len()).step_by(SECTOR) {
                let end = (at + SECTOR).min(after.len());
                let survives = match mode {
                    0 => false,
                    1 => true,
                    _ => random.next().is_multiple_of(2),
                };
                if survives && end <= content.now.len() {
                    after[at..end].copy_from_slice(&content.now[at..end]);
                }
            }
            let content = Content {
                now: after.clone(),
                durable: after,
                dirty: Vec::new(),
            };
            files.insert(path.clone(), Arc::new(Mutex::new(content)));
        }
        FaultDisk(Arc::new(Mutex::new(Disk {
            durable_names: files.clone(),
            files,
            ..Disk::default()
        })))
    }

    pub fn read(&self, path: &Path) -> Vec<u8> {
        self.0.lock().unwrap().files[path]
            .lock()
            .unwrap()
            .now
            .clone()
    }

    pub fn write(&self, path: &Path, bytes: Vec<u8>) {
        let disk = self.0.lock().unwrap();
        *disk.files[path].lock().unwrap() = Content {
            now: bytes.clone(),
            durable: bytes,
            dirty: Vec::new(),
        };
    }

    pub fn names(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap().files.keys().cloned().collect()
    }

    pub fn copy(&self) -> FaultDisk {
        self.of(|disk| &disk.files, |content| &content.now)
    }

    /// The disk after power was lost, and everything with it that wasn't synced.
    pub fn durable(&self) -> FaultDisk {
        self.of(|disk| &disk.durable_names, |content| &content.durable)
    }

    fn of(
        &self,
        files: fn(&Disk) -> &BTreeMap<PathBuf, Arc<Mutex<Content>>>,
        bytes: fn(&Content) -> &Vec<u8>,
    ) -> FaultDisk {
        let disk = self.0.lock().unwrap();
        let files: BTreeMap<_, _> = files(&disk)
            .iter()
            .map(|(path, content)| {
                let now = bytes(&content.lock().unwrap()).clone();
                (
                    path.clone(),
                    Arc::new(Mutex::new(Content {
                        durable: now.clone(),
                        now,
                        dirty: Vec::new(),
                    })),
                )
            })
            .collect();
        FaultDisk(Arc::new(Mutex::new(Disk {
            durable_names: files.clone(),
            files,
            ..Disk::default()
        })))
    }

    /// No fault from now on; the disk and its cache stay as they are.
    pub fn heal(&self) {
        self.0.lock().unwrap().fail_at = None;
    }

    fn operation(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.writes += 1;
        match disk.fail_at {
            Some((at, Fault::Stop)) if disk.writes >= at => Err(io::Error::other("power lost")),
            Some((at, Fault::Error)) if disk.writes == at => Err(io::Error::other("bad sector")),
            Some((at, Fault::Full)) if disk.writes == at => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

struct DiskFile {
    disk: FaultDisk,
    content: Arc<Mutex<Content>>,
}

impl Files for FaultDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let disk = self.0.lock().unwrap();
        let names = disk.files.keys().filter(|file| file.parent() == Some(path));
        Ok(names
            .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
            .collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let disk = self.0.lock().unwrap();
        let content = disk
            .files
            .get(path)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(DiskFile {
            disk: self.clone(),
            content,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.operation()?;
        let content = Arc::new(Mutex::new(Content::default()));
        let mut disk = self.0.lock().unwrap();
        assert!(
            disk.files
                .insert(path.to_owned(), content.clone())
                .is_none(),
            "{path:?} is new"
        );
        Ok(Arc::new(DiskFile {
            disk: self.clone(),
            content,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation()?;
        self.0.lock().unwrap().files.remove(path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.operation()?;
        let mut disk = self.0.lock().unwrap();
        let names: BTreeMap<_, _> = disk
            .files
            .iter()
            .map(|(name, content)| (name.clone(), content.clone()))
            .collect();
        disk.durable_names
            .retain(|name, _| name.parent() != Some(path));
        disk.durable_names.extend(
            names
                .into_iter()
                .filter(|(name, _)| name.parent() == Some(path)),
        );
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        // The low-water mark is tried on its own; here a full disk shows by failing writes.
        Ok(u64::MAX)
    }
}

impl DiskFile {
    /// Takes room for bytes up to an end.
    fn grow(&self, end: usize) -> io::Result<()> {
        let disk = self.disk.0.lock().unwrap();
        let files = disk.files.values();
        let used: u64 = files
            .map(|file| file.lock().unwrap().now.len() as u64)
            .sum();
        let mut content = self.content.lock().unwrap();
        let growth = end.saturating_sub(content.now.len()) as u64;
        if disk.capacity.is_some_and(|most| used + growth > most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if content.now.len() < end {
            content.now.resize(end, 0);
        }
        Ok(())
    }
}

impl File for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.0.lock().unwrap();
        disk.reads += 1;
        disk.reads_ahead += u64::from(std::thread::current().name() == Some("foretell-read"));
        drop(disk);
        let content = self.content.lock().unwrap();
        let rest = content.now.get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let failed = self.disk.operation();
        self.grow(offset as usize + bytes.len())?;
        let mut content = self.content.lock().unwrap();
        // A write that fails has written some of its sectors.
        let half = (offset as usize + bytes.len() / 2) / SECTOR * SECTOR;
        let written = if failed.is_ok() {
            bytes.len()
        } else {
            half.saturating_sub(offset as usize)
        };
        content.now[offset as usize..][..written].copy_from_slice(&bytes[..written]);
        content
            .dirty
            .push((offset as usize, offset as usize + written));
        failed
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.operation()?;
        let lost = {
            let disk = self.disk.0.lock().unwrap();
            matches!(disk.fail_at, Some((at, Fault::LostSync)) if disk.writes == at)
        };
        let mut content = self.content.lock().unwrap();
        if lost {
            content.dirty.clear();
            return Err(io::Error::other("write-back failed"));
        }
        let Content {
            now,
            durable,
            dirty,
        } = &mut *content;
        durable.resize(now.len(), 0);
        for (from, to) in dirty.drain(..) {
            let to = to.min(now.len());
            durable[from.min(to)..to].copy_from_slice(&now[from.min(to)..to]);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().now.len() as u64)
    }

    fn allocate(&self, range: std::ops::Range<u64>) -> io::Result<()> {
        self.disk.operation()?;
        self.grow(range.end as usize)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.operation()?;
        self.content.lock().unwrap().now.resize(bytes as usize, 0);
        Ok(())
    }
}
