//! The names of files and folders: those that are seen, and those that a crash leaves.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::content::{Content, Loss};
use crate::random::Seeded;

type Shared = Arc<Mutex<Content>>;

/// A file, or `None` for a folder.
type Entry = Option<Shared>;

#[derive(Debug, Default)]
pub struct Names {
    now: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    /// What was done since the last sync of each folder: names that were made (with what they
    /// name) or removed.
    pending: Vec<(PathBuf, Option<Entry>)>,
}

impl Names {
    pub fn make_folder(&mut self, path: &Path) {
        if !self.now.contains_key(path) {
            self.now.insert(path.to_owned(), None);
            self.pending.push((path.to_owned(), Some(None)));
        }
    }

    pub fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        if !matches!(self.now.get(folder), Some(None)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let within = self.now.keys().filter(|path| path.parent() == Some(folder));
        let names = within.filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    pub fn open(&self, path: &Path) -> io::Result<Shared> {
        match self.now.get(path) {
            Some(Some(content)) => Ok(content.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub fn create(&mut self, path: &Path) -> io::Result<Shared> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        if self.now.contains_key(path) || !matches!(self.now.get(folder), Some(None)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Shared::default();
        self.now.insert(path.to_owned(), Some(content.clone()));
        self.pending
            .push((path.to_owned(), Some(Some(content.clone()))));
        Ok(content)
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.now.remove(path).ok_or(io::ErrorKind::NotFound)?;
        self.pending.push((path.to_owned(), None));
        Ok(())
    }

    pub fn sync(&mut self, folder: &Path) {
        let (done, left) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|(path, _)| path.parent() == Some(folder));
        self.pending = left;
        apply(&mut self.durable, done);
    }

    pub fn crash(&self, loss: Loss, random: &Seeded) -> Names {
        let mut left = self.durable.clone();
        let kept = match (loss, random.below(4)) {
            (Loss::All, _) => Vec::new(),
            // A journaling file system keeps the first of them; others any.
            (Loss::Some, 0) => {
                let count = random.below(self.pending.len() as u64 + 1) as usize;
                self.pending[..count].to_vec()
            }
            _ => {
                let pending = self.pending.iter();
                pending.filter(|_| random.chance(50)).cloned().collect()
            }
        };
        apply(&mut left, kept);
        let folders: Vec<PathBuf> = left
            .iter()
            .filter(|(_, entry)| entry.is_none())
            .map(|(path, _)| path.clone())
            .collect();
        left.retain(|path, _| {
            path.parent().is_none_or(|parent| {
                parent == Path::new("/") || folders.iter().any(|f| f == parent)
            })
        });
        let copied: BTreeMap<PathBuf, Entry> = left
            .iter()
            .map(|(path, entry)| {
                let after = entry.as_ref().map(|content| {
                    let content = content.lock().unwrap_or_else(PoisonError::into_inner);
                    Arc::new(Mutex::new(content.crash(loss, random)))
                });
                (path.clone(), after)
            })
            .collect();
        Names {
            now: copied.clone(),
            durable: copied,
            pending: Vec::new(),
        }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Entry>, changes: Vec<(PathBuf, Option<Entry>)>) {
    for (path, made) in changes {
        match made {
            Some(entry) => names.insert(path, entry),
            None => names.remove(&path),
        };
    }
}
