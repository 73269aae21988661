//! Copies of a log while it is written to: which files make one up, and their content.
//!
//! A backup is the manifest, the sealed segments and what isn't sealed, up to the last durable
//! group; the index is made anew from them. Sealed segments never change, so the next backup
//! copies only those that it doesn't have.

use std::path::Path;

use foretell_types::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use crate::environment::Environment;
use crate::journal::{DiskJournal, Journal};
use crate::log::LogOptions;
use crate::sealed::{InForce, Manifest, SealedSegment, SegmentStore};
use crate::verify::{self, Verified};

/// A file of a backup, by its name in the log's folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupFile {
    pub name: String,
    /// How much of it belongs to the backup.
    pub bytes: u64,
    /// It never changes: a file of this name and size is the same.
    pub fixed: bool,
}

/// The files that make up the log at one moment; the manifest comes last.
pub(crate) fn files(store: &SegmentStore, in_force: &Mutex<InForce>) -> Result<Vec<BackupFile>> {
    loop {
        let before = in_force.lock().clone();
        let found = files_of(store, &before);
        // What was sealed in between may be in neither: ask again.
        if *in_force.lock() == before {
            return found;
        }
    }
}

fn files_of(store: &SegmentStore, in_force: &InForce) -> Result<Vec<BackupFile>> {
    let fixed = |name: String| -> Result<BackupFile> {
        let file = store.files().open(&store.folder.join(&name));
        let bytes = file.and_then(|file| file.len());
        let bytes = bytes
            .map_err(|error| Error::io(format_args!("can't open {name} for a backup"), error))?;
        Ok(BackupFile {
            name,
            bytes,
            fixed: true,
        })
    };
    let sealed = in_force.segments.iter();
    let mut files = sealed
        .map(|number| fixed(SealedSegment::name(*number)))
        .collect::<Result<Vec<_>>>()?;
    let unsealed = store.segments.unsealed()?.into_iter();
    files.extend(unsealed.map(|(name, bytes)| BackupFile {
        name,
        bytes,
        fixed: false,
    }));
    if in_force.manifest > 0 {
        files.push(fixed(Manifest::name(in_force.manifest))?);
    }
    Ok(files)
}

/// Reads from a file of a backup. [`ErrorKind::NotFound`]: it is no longer part of the log, so the
/// files must be asked for again.
pub(crate) fn read(
    store: &SegmentStore,
    name: &str,
    offset: u64,
    buffer: &mut [u8],
) -> Result<usize> {
    let kinds = ["segment", "sealed", "manifest"];
    let stem = name
        .split_once('.')
        .filter(|(_, kind)| kinds.contains(kind));
    if !stem.is_some_and(|(stem, _)| stem.len() == 10 && stem.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Error::invalid(format!("{name:?} is no file of a log")));
    }
    let file = match store.files().open(&store.folder.join(name)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("{name} is no longer part of the log: it was sealed meanwhile");
            return Err(Error::not_found(message));
        }
        opened => opened,
    };
    file.and_then(|file| file.read_at(buffer, offset))
        .map_err(|error| Error::io(format_args!("can't read {name}"), error))
}

/// Reads everything in a backup's folder and checks it, as [`EventLog::verify`] does; makes no
/// index.
///
/// [`EventLog::verify`]: crate::EventLog::verify
pub fn verify_backup(
    folder: &Path,
    environment: &Environment,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified> {
    let journal = DiskJournal::open_with(folder, environment, &LogOptions::default())?;
    if let Some(cut) = journal.cut_tail() {
        let message = format!("{} was cut short", cut.segment.display());
        return Err(Error::new(ErrorKind::Damaged, message));
    }
    let Some(store) = journal.segment_store() else {
        return Err(Error::unavailable("the journal has no files"));
    };
    let manifest = Manifest::load(&store)?.unwrap_or_default();
    let segments = store.segments(&manifest)?;
    verify::of_parts(&segments, &[], &*journal.reader(), manifest.seed, progress)
        .map(|(verified, _)| verified)
}

pub(crate) fn not_on_disk() -> Error {
    Error::invalid("a log that isn't on disk can't be backed up")
}
