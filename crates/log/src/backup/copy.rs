//! Brings a backup up to date, and brings a log back from one; wherever it lies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Result, Timestamp};

use super::{BackupFile, is_file_of_a_log, verify_backup};
use crate::blobs::Blobs;
use crate::environment::Environment;
use crate::log::EventLog;
use crate::verify::Verified;

/// Where the files of the log lie in a backup.
const JOURNAL: &str = "journal";
/// What was backed up, and when.
const DESCRIPTION: &str = "backup.json";
/// Bytes that are read at once.
const PIECE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes at the end of a fixed file that tell it from others.
const TRAILER_BYTES: u64 = 32;
/// The log may seal segments while it is copied; then the copy begins again, with what it has.
const TRIES: u32 = 20;

/// The log that a backup is made of, here or behind a server. Its methods are those of
/// [`EventLog`].
pub trait BackupSource {
    fn backup_files(&mut self) -> Result<Vec<BackupFile>>;
    fn backup_read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize>;
}

impl BackupSource for EventLog {
    fn backup_files(&mut self) -> Result<Vec<BackupFile>> {
        EventLog::backup_files(self)
    }

    fn backup_read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        EventLog::backup_read(self, name, offset, buffer)
    }
}

/// What is being done, and how far it is: bytes done, bytes there are.
pub type BackupProgress<'a> = dyn FnMut(BackupStep, u64, u64) + 'a;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackupStep {
    Copying,
    Verifying,
}

impl BackupStep {
    pub fn name(self) -> &'static str {
        match self {
            BackupStep::Copying => "copying",
            BackupStep::Verifying => "verifying",
        }
    }
}

/// What a backup took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackedUp {
    /// Files that were copied, and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// Files that were there.
    pub kept: u64,
    /// What the backup holds.
    pub verified: Verified,
}

/// Makes a backup in a folder of blobs, or brings the one there up to date: copies what isn't
/// there, then reads and checks all of it, then writes down what it holds.
pub fn back_up(
    source: &mut dyn BackupSource,
    (blobs, folder): (&Arc<dyn Blobs>, &str),
    environment: &Environment,
    progress: &mut BackupProgress<'_>,
) -> Result<BackedUp> {
    let (mut copied, mut tries) = (Copied::default(), 0);
    loop {
        tries += 1;
        match copy(source, (&**blobs, folder), &mut copied, progress) {
            Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {}
            result => break result?,
        }
    }
    let journal = journal_of(folder);
    let verified = verify_backup(blobs, &journal, environment, &mut |done, total| {
        progress(BackupStep::Verifying, done, total);
    })?;
    let description = describe(&verified, environment);
    let name = description_of(folder);
    blobs.put(&name, description.into_bytes())?;
    Ok(BackedUp {
        files: copied.blobs.len() as u64,
        bytes: copied.bytes,
        kept: copied.kept,
        verified,
    })
}

#[derive(Default)]
struct Copied {
    blobs: BTreeSet<String>,
    bytes: u64,
    /// Blobs that an earlier backup made.
    kept: u64,
}

/// Copies what isn't there yet, then removes what is no longer part of the log. In between, what is
/// there may be neither the earlier backup nor this one.
fn copy(
    source: &mut dyn BackupSource,
    (blobs, folder): (&dyn Blobs, &str),
    copied: &mut Copied,
    progress: &mut BackupProgress<'_>,
) -> Result<()> {
    let journal = journal_of(folder);
    let files = source.backup_files()?;
    let there: BTreeMap<String, u64> = blobs.list(&journal)?.into_iter().collect();
    let total = files.iter().map(|file| file.bytes).sum();
    let (mut done, mut names) = (0, BTreeSet::new());
    copied.kept = 0;
    for file in &files {
        if !is_file_of_a_log(&file.name) {
            let message = format!(
                "{:?} is to be backed up, and is no file of a log",
                file.name
            );
            return Err(Error::invalid(message));
        }
        let blob = format!("{journal}/{}", file.name);
        let same_length = there.get(&blob) == Some(&file.bytes);
        if file.fixed && same_length && ends_alike(source, file, (blobs, &blob))? {
            copied.kept += u64::from(!copied.blobs.contains(&blob));
        } else {
            let content = read(source, file)?;
            blobs.put(&blob, content)?;
            copied.blobs.insert(blob.clone());
            copied.bytes += file.bytes;
        }
        names.insert(blob);
        done += file.bytes;
        progress(BackupStep::Copying, done, total);
    }
    let gone = there.keys().filter(|blob| !names.contains(*blob));
    for blob in gone {
        if blob
            .strip_prefix(&format!("{journal}/"))
            .is_some_and(is_file_of_a_log)
        {
            blobs.remove(blob)?;
        }
    }
    Ok(())
}

fn journal_of(folder: &str) -> String {
    format!("{folder}/{JOURNAL}")
}

/// The name of a backup's description: a JSON object with its root.
pub fn description_of(folder: &str) -> String {
    format!("{folder}/{DESCRIPTION}")
}

fn ends_alike(
    source: &mut dyn BackupSource,
    file: &BackupFile,
    (blobs, blob): (&dyn Blobs, &str),
) -> Result<bool> {
    let Some(from) = file.bytes.checked_sub(TRAILER_BYTES) else {
        return Ok(false);
    };
    let (mut ours, mut theirs) = ([0; TRAILER_BYTES as usize], [0; TRAILER_BYTES as usize]);
    source.backup_read(&file.name, from, &mut ours)?;
    blobs.read(blob, from, &mut theirs)?;
    Ok(ours == theirs)
}

fn read(source: &mut dyn BackupSource, file: &BackupFile) -> Result<Vec<u8>> {
    let mut content = vec![0; file.bytes as usize];
    let mut at = 0;
    while at < content.len() {
        let end = content.len().min(at + PIECE_BYTES as usize);
        let count = source.backup_read(&file.name, at as u64, &mut content[at..end])?;
        if count == 0 {
            let (name, bytes) = (&file.name, file.bytes);
            let message = format!("{name} ends at byte {at}, {bytes} were announced");
            return Err(Error::not_found(message));
        }
        at += count;
    }
    Ok(content)
}

fn describe(verified: &Verified, environment: &Environment) -> String {
    let time = Timestamp::from_instant(environment.clock.now());
    let Verified {
        events,
        commits,
        root,
        ..
    } = verified;
    format!(
        "{{\n  \"version\": 1,\n  \"time\": \"{time}\",\n  \"events\": {events},\n  \"commits\": {commits},\n  \"root\": \"{root}\"\n}}\n"
    )
}

/// Copies the log out of a backup into a folder, which must be empty, and makes it durable there.
pub fn restore(
    (blobs, folder): (&dyn Blobs, &str),
    to: &Path,
    environment: &Environment,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let (journal, files) = (journal_of(folder), &environment.files);
    let at = |error| Error::io(format_args!("can't write to {}", to.display()), error);
    files.create_dir_all(to).map_err(at)?;
    let found = blobs.list(&journal)?;
    let total = found.iter().map(|(_, bytes)| bytes).sum();
    let mut done = 0;
    for (blob, bytes) in found {
        let name = blob.strip_prefix(&format!("{journal}/"));
        let Some(name) = name.filter(|name| is_file_of_a_log(name)) else {
            continue;
        };
        let file = files.create(&to.join(name)).map_err(at)?;
        let mut offset = 0;
        while offset < bytes {
            let mut piece = vec![0; PIECE_BYTES.min(bytes - offset) as usize];
            let count = blobs.read(&blob, offset, &mut piece)?.unwrap_or(0);
            if count == 0 {
                let what = blobs.describe(&blob);
                let message = format!("{what} ends at byte {offset}, {bytes} were announced");
                return Err(Error::new(ErrorKind::Damaged, message));
            }
            file.write_all_at(&piece[..count], offset).map_err(at)?;
            offset += count as u64;
            progress(done + offset, total);
        }
        file.sync_data().map_err(at)?;
        done += bytes;
    }
    files.sync_dir(to).map_err(at)
}
