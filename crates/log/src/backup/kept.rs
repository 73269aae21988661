//! The files of a backup, wherever their blobs lie, as the log reads them. Nothing of it is changed:
//! what opening writes again must be what is there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::description::{DescribedFile, Place, journal_of};
use crate::blobs::Blobs;
use crate::files::{File, Files};

pub(super) struct KeptFiles {
    blobs: Arc<dyn Blobs>,
    folder: PathBuf,
    /// Blobs and lengths by name; what opening would remove is only left out.
    names: Mutex<BTreeMap<String, (String, u64)>>,
}

impl KeptFiles {
    /// Files that are to lie in a folder.
    pub fn new((blobs, folder): Place<'_>, files: &[DescribedFile]) -> KeptFiles {
        let named = |file: &DescribedFile| (file.name.clone(), (file.blob(folder), file.bytes));
        KeptFiles {
            blobs: blobs.clone(),
            folder: journal_of(folder).into(),
            names: Mutex::new(files.iter().map(named).collect()),
        }
    }
}

fn unchanged<T>(path: &str) -> io::Result<T> {
    let message = format!("{path} of a backup would have to be changed");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

impl Files for KeptFiles {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        if path != self.folder {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.names.lock().keys().cloned().collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let found = self.names.lock().get(&*name).cloned();
        let (name, bytes) = found.ok_or(io::ErrorKind::NotFound)?;
        let blobs = self.blobs.clone();
        Ok(Arc::new(KeptFile { blobs, name, bytes }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        unchanged(&path.to_string_lossy())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.names.lock().remove(&*name);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

struct KeptFile {
    blobs: Arc<dyn Blobs>,
    /// Of the blob.
    name: String,
    bytes: u64,
}

impl File for KeptFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let wanted = self.bytes.saturating_sub(offset).min(buffer.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.blobs.read(&self.name, offset, &mut buffer[..wanted]);
        let read = read.map_err(io::Error::other)?;
        read.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut there = vec![0; bytes.len()];
        let count = self.read_at(&mut there, offset)?;
        if there[..count] == *bytes {
            return Ok(());
        }
        unchanged(&self.name)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        if bytes == self.bytes {
            return Ok(());
        }
        unchanged(&self.name)
    }
}
