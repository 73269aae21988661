//! A disk in memory that fails and crashes as disks do, from a seed.
//!
//! What wasn't synced is lost or kept, sector by sector and name by name, by chance. A write that
//! fails has written some of its sectors. A sync that fails has written some of them too, and the
//! system remembers the others as if they were on the platter.

mod content;
mod names;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foretell_log::{File, Files};

pub use self::content::{Content, Loss, SECTOR};
use self::names::Names;
use crate::random::Seeded;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The machine stops: this call and all after it fail.
    Stop,
    /// The call fails once.
    Error,
    /// The call fails once, as on a disk that is full.
    Full,
    /// From this call on, little space is free; nothing fails by itself.
    LowSpace,
}

/// What a fault struck.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Struck {
    /// A call that changes nothing.
    Reading,
    /// A call that may have changed something.
    Writing,
    /// One that makes changes durable.
    Syncing,
}

/// When a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub fault: Fault,
    /// So many calls from now on, not counting this one, go well.
    pub after: u64,
    /// Only calls of this kind count, or of one that follows it.
    pub least: Struck,
}

#[derive(Debug)]
struct Inner {
    names: Names,
    plan: Option<Plan>,
    struck: Option<(Fault, Struck)>,
    random: Seeded,
    calls: u64,
    /// A hash over all that was written, in order.
    written: u64,
}

/// Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    pub fn new(random: Seeded) -> Disk {
        Disk::of(Names::default(), random, 0)
    }

    fn of(names: Names, random: Seeded, written: u64) -> Disk {
        Disk(Arc::new(Mutex::new(Inner {
            names,
            plan: None,
            struck: None,
            random,
            calls: 0,
            written,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn plan(&self, plan: Option<Plan>) {
        let mut inner = self.lock();
        inner.plan = plan;
        inner.struck = None;
    }

    /// The fault that struck since the last plan was made.
    pub fn struck(&self) -> Option<(Fault, Struck)> {
        self.lock().struck
    }

    pub fn written(&self) -> u64 {
        self.lock().written
    }

    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// The disk as the machine finds it when it comes up again after power was lost.
    ///
    /// If only the process dies, the system still has everything, synced or not: the same disk
    /// goes on then, without a plan.
    pub fn crash(&self, loss: Loss) -> Disk {
        let inner = self.lock();
        let names = inner.names.crash(loss, &inner.random);
        Disk::of(names, inner.random.clone(), inner.written)
    }

    /// Counts a call; fails if a fault strikes it.
    pub(crate) fn call(&self, what: Struck) -> io::Result<()> {
        let mut inner = self.lock();
        inner.calls += 1;
        if let Some((Fault::Stop, _)) = inner.struck {
            return Err(stopped());
        }
        let Some(plan) = &mut inner.plan else {
            return Ok(());
        };
        if what < plan.least {
            return Ok(());
        }
        if plan.after > 0 {
            plan.after -= 1;
            return Ok(());
        }
        let fault = plan.fault;
        if fault == Fault::Full && what == Struck::Reading {
            return Ok(());
        }
        inner.plan = None;
        inner.struck = Some((fault, what));
        match fault {
            Fault::Stop => Err(stopped()),
            Fault::Error => Err(io::Error::other("injected: bad sector")),
            Fault::Full => Err(io::ErrorKind::StorageFull.into()),
            Fault::LowSpace => Ok(()),
        }
    }

    /// Takes something into the hash over all that was written.
    pub(crate) fn note(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        inner.written = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, inner.written);
    }
}

fn stopped() -> io::Error {
    io::Error::other("injected: the machine stopped")
}

impl Files for Disk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(Struck::Writing)?;
        self.lock().names.make_folder(path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.call(Struck::Reading)?;
        self.lock().names.list(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.call(Struck::Reading)?;
        let content = self.lock().names.open(path)?;
        Ok(Arc::new(DiskFile {
            disk: self.clone(),
            path: path.to_owned(),
            content,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.call(Struck::Writing)?;
        self.note(path.as_os_str().as_encoded_bytes());
        let content = self.lock().names.create(path)?;
        Ok(Arc::new(DiskFile {
            disk: self.clone(),
            path: path.to_owned(),
            content,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Struck::Writing)?;
        self.note(path.as_os_str().as_encoded_bytes());
        self.lock().names.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(Struck::Syncing)?;
        self.lock().names.sync(path);
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        self.call(Struck::Reading)?;
        let low = matches!(self.lock().struck, Some((Fault::LowSpace, _)));
        Ok(if low { 1024 * 1024 } else { u64::MAX })
    }
}

struct DiskFile {
    disk: Disk,
    path: PathBuf,
    content: Arc<Mutex<Content>>,
}

impl DiskFile {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the disk draws from, unless the machine stands still.
    fn random(&self) -> Seeded {
        self.disk.lock().random.clone()
    }
}

impl File for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.call(Struck::Reading)?;
        let content = self.content();
        let rest = content.now.get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let was = self.disk.struck();
        if let Err(error) = self.disk.call(Struck::Writing) {
            // Once the machine has stopped, nothing more reaches the disk.
            if was.is_none_or(|(fault, _)| fault != Fault::Stop) {
                let random = self.random();
                self.content().write_torn(bytes, offset as usize, &random);
            }
            return Err(error);
        }
        self.disk.note(self.path.as_os_str().as_encoded_bytes());
        self.disk.note(&offset.to_le_bytes());
        self.disk.note(bytes);
        self.content().write(bytes, offset as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let was = self.disk.struck();
        if let Err(error) = self.disk.call(Struck::Syncing) {
            if was.is_none_or(|(fault, _)| fault != Fault::Stop) {
                let random = self.random();
                self.content().sync_lost(&random);
            }
            return Err(error);
        }
        self.content().sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(Struck::Reading)?;
        Ok(self.content().now.len() as u64)
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.disk.call(Struck::Writing)?;
        self.disk.note(&range.end.to_le_bytes());
        self.content().allocate(range.end as usize);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.call(Struck::Writing)?;
        self.disk.note(&bytes.to_le_bytes());
        self.content().set_len(bytes as usize);
        Ok(())
    }
}
