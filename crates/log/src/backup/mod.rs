//! Copies of a log while it is written to: which files make one up, and their content.
//!
//! A backup is the manifest, the sealed segments and what isn't sealed, up to the last durable
//! group; the index is made anew from them. Sealed segments never change, so the next backup
//! copies only those that it doesn't have. Nothing that a backup names is written over: the next
//! one is whole, read again and found to go on where this one ends before it takes its place.

mod copy;
mod description;
mod kept;

use std::path::Path;
use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Result};
use parking_lot::RwLock;

use crate::environment::Environment;
use crate::index::Index;
use crate::journal::{DiskJournal, Journal};
use crate::log::LogOptions;
use crate::merkle::RootAt;
use crate::sealed::{Manifest, Sealed, SealedSegment, SegmentStore};
use crate::verify::{Verified, Verifying};

pub use copy::{
    BackedUp, BackupProgress, BackupSource, BackupStep, back_up, restore, verify_backup,
};

/// A file of a backup, by its name in the log's folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupFile {
    pub name: String,
    /// How much of it belongs to the backup.
    pub bytes: u64,
    /// It never changes: a file of this name and size is the same.
    pub fixed: bool,
}

/// The files that make up the log at one moment; the manifest comes last. What is archived is among
/// them, so that a backup is whole.
pub(crate) fn files(store: &SegmentStore, index: &RwLock<Index>) -> Result<Vec<BackupFile>> {
    loop {
        let before = index.read().sealed.clone();
        let found = files_of(store, &before);
        // What was sealed in between may be in neither: ask again.
        if Arc::ptr_eq(&index.read().sealed, &before) {
            return found;
        }
    }
}

fn files_of(store: &SegmentStore, sealed: &Sealed) -> Result<Vec<BackupFile>> {
    let file = |name, bytes, fixed| BackupFile { name, bytes, fixed };
    let segments = sealed.segments.iter();
    let mut files: Vec<BackupFile> = segments
        .map(|segment| {
            file(
                SealedSegment::name(segment.number),
                segment.file.bytes,
                true,
            )
        })
        .collect();
    // One that was sealed just now may not be removed yet.
    let first = format!("{:010}", sealed.next_segment);
    let unsealed = store.segments.unsealed()?.into_iter();
    let unsealed = unsealed.filter(|(name, _)| *name >= first);
    files.extend(unsealed.map(|(name, bytes)| file(name, bytes, false)));
    if sealed.manifest > 0 {
        let name = Manifest::name(sealed.manifest);
        let bytes = store.files().open(&store.folder.join(&name));
        let bytes = bytes.and_then(|file| file.len());
        files.push(file(name.clone(), bytes.map_err(|e| gone(&name, e))?, true));
    }
    Ok(files)
}

/// Reads from a file of a backup. [`ErrorKind::NotFound`]: it is no longer part of the log, so the
/// files must be asked for again.
pub(crate) fn read(
    store: &SegmentStore,
    index: &RwLock<Index>,
    (name, offset): (&str, u64),
    buffer: &mut [u8],
) -> Result<usize> {
    if !is_file_of_a_log(name) {
        return Err(Error::invalid(format!("{name:?} is no file of a log")));
    }
    let (number, kind) = name.split_once('.').unwrap_or_default();
    if kind == "sealed" {
        let sealed = index.read().sealed.clone();
        let segment = number.parse().ok().and_then(|n| sealed.segment(n));
        let segment = segment.ok_or_else(|| Error::not_found(format!("there is no {name}")))?;
        return segment.file.read_at(buffer, offset);
    }
    let file = store.files().open(&store.folder.join(name));
    file.and_then(|file| file.read_at(buffer, offset))
        .map_err(|error| gone(name, error))
}

/// Whether a name is that of a file that a backup may hold.
fn is_file_of_a_log(name: &str) -> bool {
    let kinds = ["segment", "sealed", "manifest"];
    name.split_once('.').is_some_and(|(stem, kind)| {
        stem.len() == 10 && stem.bytes().all(|b| b.is_ascii_digit()) && kinds.contains(&kind)
    })
}

fn gone(name: &str, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        let message = format!("{name} is no longer part of the log: it was sealed meanwhile");
        return Error::not_found(message);
    }
    Error::io(format_args!("can't read {name}"), error)
}

/// Reads the files of a log, all of them, and checks them, as [`EventLog::verify_since`] does; makes
/// no index.
///
/// [`EventLog::verify_since`]: crate::EventLog::verify_since
fn verify_files(
    folder: &Path,
    environment: &Environment,
    earlier: Option<RootAt>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified> {
    let options = LogOptions::default();
    let journal = DiskJournal::open_with(folder, environment, &options)?;
    if let Some(cut) = journal.cut_tail() {
        let message = format!("{} was cut short", cut.segment.display());
        return Err(Error::new(ErrorKind::Damaged, message));
    }
    let Some(store) = journal.segment_store() else {
        return Err(Error::unavailable("the journal has no files"));
    };
    let mut manifest = Manifest::load(&store)?.unwrap_or_default();
    let segments = store.segments(&mut manifest)?;
    let journal = journal.reader();
    let mut verifying = Verifying::new(manifest.seed, earlier);
    verifying.sealed(&segments, &[], &*journal, progress)?;
    let found = verifying.rest(&*journal, progress);
    found.map(|(verified, _)| verified)
}

/// Reads the description of a backup from any bytes; for fuzzing.
pub(crate) fn decoder(bytes: &[u8]) {
    if let Ok(found) = description::Description::parse(bytes, "the description") {
        for file in found.files {
            let _ = file.blob("folder");
        }
    }
}

pub(crate) fn not_on_disk() -> Error {
    Error::invalid("a log that isn't on disk can't be backed up")
}
