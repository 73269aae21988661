//! An archive in memory. Its calls are counted with those of the disk, and a fault may strike them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foretell_log::Blobs;
use foretell_types::{Error, ErrorKind, Result};

use crate::disk::{Disk, Fault, Struck};
use crate::random::Seeded;

/// What is kept there. Clones are the same archive; it outlives every crash.
#[derive(Clone, Debug, Default)]
pub struct Archive(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Archive {
    /// As a log sees it that lies on this disk.
    pub fn beside(&self, disk: &Disk, random: &Seeded) -> Arc<dyn Blobs> {
        Arc::new(Beside {
            kept: self.clone(),
            disk: disk.clone(),
            random: random.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Beside {
    kept: Archive,
    disk: Disk,
    random: Seeded,
}

impl Beside {
    /// A call that changes something. One that fails may have been carried out: the answer was
    /// lost. Once the machine has stopped, nothing more is.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Result<()> {
        let stopped = matches!(self.disk.struck(), Some((Fault::Stop, _)));
        let called = self.disk.call(Struck::Writing);
        if called.is_ok() || !stopped && self.random.chance(50) {
            change(&mut self.kept.lock());
        }
        called.map_err(|error| failed(&error))
    }

    fn look<T>(&self, look: impl FnOnce(&BTreeMap<String, Vec<u8>>) -> T) -> Result<T> {
        self.disk
            .call(Struck::Reading)
            .map_err(|error| failed(&error))?;
        Ok(look(&self.kept.lock()))
    }
}

fn failed(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the archive: {error}"))
}

impl Blobs for Beside {
    fn put(&self, name: &str, content: Vec<u8>) -> Result<()> {
        self.disk.note(name.as_bytes());
        self.disk.note(&content);
        self.change(|kept| drop(kept.insert(name.to_owned(), content)))
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.look(|kept| {
            let rest = kept.get(name)?.get(offset as usize..).unwrap_or(&[]);
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Some(count)
        })
    }

    fn bytes(&self, name: &str) -> Result<Option<u64>> {
        self.look(|kept| Some(kept.get(name)?.len() as u64))
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let below = format!("{folder}/");
        self.look(|kept| {
            let within = kept.iter().filter(|(name, _)| name.starts_with(&below));
            within.map(|(n, c)| (n.clone(), c.len() as u64)).collect()
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.change(|kept| drop(kept.remove(name)))
    }

    fn describe(&self, name: &str) -> String {
        format!("blob {name} in memory")
    }
}
