//! Brings a backup up to date, and brings a log back from one; wherever it lies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Result};

use super::description::{
    DescribedFile, Description, Place, check_unused, is_of_a_backup, journal_of, name_of,
    read_whole,
};
use super::kept::KeptFiles;
use super::{BackupFile, is_file_of_a_log, verify_files};
use crate::blobs::Blobs;
use crate::environment::Environment;
use crate::log::EventLog;
use crate::merkle::RootAt;
use crate::verify::Verified;

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
/// there, reads and checks all of it, also that it goes on where the backup there ends, then writes
/// down what it holds, and removes what is no longer part of it. Until then the backup that was
/// there stays as it was; one of another log is refused, and so is a folder that holds anything
/// else.
pub fn back_up(
    source: &mut dyn BackupSource,
    to: (&Arc<dyn Blobs>, &str),
    environment: &Environment,
    progress: &mut BackupProgress<'_>,
) -> Result<BackedUp> {
    let (blobs, folder) = to;
    let earlier = Description::load(&**blobs, folder)?;
    let there = blobs.list(&journal_of(folder))?;
    let known = match &earlier {
        None => {
            check_unused(&**blobs, folder)?;
            None
        }
        Some(earlier) => Some(known_root(to, earlier, environment, progress)?),
    };
    let mut copying = Copying::new(to, earlier.as_ref());
    let mut result = copying.run(source, (environment, known), progress);
    if let Err(error) = &result
        && error.kind() == ErrorKind::Damaged
        && copying.forget_damaged()
    {
        result = copying.run(source, (environment, known), progress);
    }
    let stored = result.and_then(|(files, verified)| {
        let description = Description::new(&verified, files, environment);
        if Description::load(&**blobs, folder)? != earlier {
            let message = "another backup was made there meanwhile";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        description.store(&**blobs, folder)?;
        Ok((description, verified))
    });
    let (description, verified) = stored.map_err(|error| {
        copying.take_back();
        match known {
            Some(_) => error.context(
                "the backup there stays as it was; if it is of another log, name another place",
            ),
            None => error,
        }
    })?;
    let named: Vec<String> = description.files.iter().map(|f| f.blob(folder)).collect();
    let made = copying.made.iter().map(|file| file.blob(folder));
    for blob in there.into_iter().map(|(blob, _)| blob).chain(made) {
        if is_of_a_backup(&blob, folder) && !named.contains(&blob) {
            blobs.remove(&blob)?;
        }
    }
    let kept = description.files.iter();
    let kept = kept.filter(|file| !copying.made.contains(file));
    let of_files = |count: fn(&DescribedFile) -> u64| copying.made.iter().map(count).sum();
    Ok(BackedUp {
        files: of_files(|_| 1),
        bytes: of_files(|file| file.bytes),
        kept: kept.count() as u64,
        verified,
    })
}

/// What the log held when a backup was made of it.
fn known_root(
    at: Place<'_>,
    earlier: &Description,
    environment: &Environment,
    progress: &mut BackupProgress<'_>,
) -> Result<RootAt> {
    if earlier.version > 1 {
        return earlier.root_at();
    }
    // That version didn't count frames.
    let verified = verify_described(at, earlier, environment, &mut |done, total| {
        progress(BackupStep::Verifying, done, total);
    })?;
    Ok(RootAt {
        leaves: verified.frames,
        root: verified.root,
    })
}

/// A backup that is being made.
struct Copying<'a> {
    to: Place<'a>,
    /// What an earlier backup holds, by name.
    earlier: BTreeMap<String, DescribedFile>,
    /// What was copied.
    made: Vec<DescribedFile>,
}

impl<'a> Copying<'a> {
    fn new(to: Place<'a>, earlier: Option<&Description>) -> Copying<'a> {
        let earlier = earlier.filter(|earlier| earlier.version > 1);
        let files = earlier.into_iter().flat_map(|earlier| &earlier.files);
        Copying {
            to,
            earlier: files
                .map(|file| (file.name.clone(), file.clone()))
                .collect(),
            made: Vec::new(),
        }
    }

    /// Copies what isn't there, and checks the whole.
    fn run(
        &mut self,
        source: &mut dyn BackupSource,
        (environment, known): (&Environment, Option<RootAt>),
        progress: &mut BackupProgress<'_>,
    ) -> Result<(Vec<DescribedFile>, Verified)> {
        let mut tries = 0;
        let files = loop {
            tries += 1;
            match self.copy(source, progress) {
                Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {}
                result => break result?,
            }
        };
        let progress = &mut |done, total| progress(BackupStep::Verifying, done, total);
        let verified = verify_kept(self.to, &files, (environment, known), progress)?;
        Ok((files, verified))
    }

    /// Copies what isn't there yet. What is there already is left alone.
    fn copy(
        &mut self,
        source: &mut dyn BackupSource,
        progress: &mut BackupProgress<'_>,
    ) -> Result<Vec<DescribedFile>> {
        let (blobs, folder) = self.to;
        let files = source.backup_files()?;
        let total = files.iter().map(|file| file.bytes).sum();
        let (mut done, mut described) = (0, Vec::new());
        for file in &files {
            if !is_file_of_a_log(&file.name) {
                let name = &file.name;
                let message = format!("{name:?} is to be backed up, and is no file of a log");
                return Err(Error::invalid(message));
            }
            let made = self.made.iter().find(|made| made.name == file.name);
            let there = made.or_else(|| self.earlier.get(&file.name));
            match there.filter(|there| file.fixed && there.bytes == file.bytes) {
                Some(there) if ends_alike(source, file, (&**blobs, &there.blob(folder)))? => {
                    described.push(there.clone());
                }
                _ => {
                    let content = read(source, file)?;
                    let copied = DescribedFile::of(&file.name, &content);
                    let is_there = self.earlier.get(&file.name) == Some(&copied)
                        && check_file(&copied, self.to).is_ok();
                    if !is_there {
                        // It may be there, and damaged.
                        blobs.put(&copied.blob(folder), content)?;
                        self.made.retain(|made| *made != copied);
                        self.made.push(copied.clone());
                    }
                    described.push(copied);
                }
            }
            done += file.bytes;
            progress(BackupStep::Copying, done, total);
        }
        Ok(described)
    }

    /// Of what an earlier backup holds, whatever isn't what it was is to be copied anew. Tells
    /// whether there is any.
    fn forget_damaged(&mut self) -> bool {
        let (place, before) = (self.to, self.earlier.len());
        self.earlier
            .retain(|_, file| check_file(file, place).is_ok());
        self.earlier.len() < before
    }

    /// Removes what was copied, unless a backup that is there names it.
    fn take_back(&self) {
        let (blobs, folder) = self.to;
        let Ok(there) = Description::load(&**blobs, folder) else {
            return;
        };
        let named = there.map_or(Vec::new(), |there| there.files);
        for made in self.made.iter().filter(|made| !named.contains(made)) {
            // Should it fail, the next backup removes it.
            let _ = blobs.remove(&made.blob(folder));
        }
    }
}

/// Reads a backup in a folder of blobs, all of it, and checks it, as [`EventLog::verify`] does, and
/// that it is what was written down; makes no index, and changes nothing.
pub fn verify_backup(
    at: (&Arc<dyn Blobs>, &str),
    environment: &Environment,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified> {
    let description = Description::of(&**at.0, at.1)?;
    verify_described(at, &description, environment, progress)
}

fn verify_described(
    at: Place<'_>,
    description: &Description,
    environment: &Environment,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified> {
    for file in &description.files {
        check_file(file, at)?;
    }
    let verified = verify_kept(at, &description.files, (environment, None), progress)?;
    is_described(&verified, description, at)?;
    Ok(verified)
}

/// Reads a file of a backup; its length and hash are what was written down.
fn check_file(file: &DescribedFile, (blobs, folder): Place<'_>) -> Result<Vec<u8>> {
    let blob = file.blob(folder);
    let damaged = |how: &str| {
        let message = format!("{} {how}", blobs.describe(&blob));
        Error::new(ErrorKind::Damaged, message)
    };
    let content = read_whole(&**blobs, &blob)?.ok_or_else(|| damaged("is missing"))?;
    if content.len() as u64 != file.bytes || !file.is(&content) {
        return Err(damaged("is not what was backed up"));
    }
    Ok(content)
}

fn verify_kept(
    at: Place<'_>,
    files: &[DescribedFile],
    (environment, known): (&Environment, Option<RootAt>),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified> {
    let environment = Environment {
        files: Arc::new(KeptFiles::new(at, files)),
        ..environment.clone()
    };
    verify_files(Path::new(&journal_of(at.1)), &environment, known, progress)
}

fn is_described(verified: &Verified, description: &Description, at: Place<'_>) -> Result<()> {
    let (found, written) = (verified.root.to_string(), &description.root);
    if found == *written {
        return Ok(());
    }
    let what = at.0.describe(&name_of(at.1));
    let message = format!(
        "the backup's root is {found}, while {what} says {written}: it was not finished, or changed; make another elsewhere"
    );
    Err(Error::new(ErrorKind::Damaged, message))
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

/// Copies the log out of a backup into a folder, which must be empty, makes it durable there, and
/// reads all of it again.
pub fn restore(
    at: (&Arc<dyn Blobs>, &str),
    to: &Path,
    environment: &Environment,
    progress: &mut BackupProgress<'_>,
) -> Result<Verified> {
    let files = &environment.files;
    let description = Description::of(&**at.0, at.1)?;
    let failed = |error| Error::io(format_args!("can't write to {}", to.display()), error);
    files.create_dir_all(to).map_err(failed)?;
    let total = description.files.iter().map(|file| file.bytes).sum();
    let mut done = 0;
    for described in &description.files {
        let content = check_file(described, at)
            .map_err(|error| error.context("this backup can't be restored"))?;
        let file = files.create(&to.join(&described.name)).map_err(failed)?;
        file.write_all_at(&content, 0).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        done += described.bytes;
        progress(BackupStep::Copying, done, total);
    }
    files.sync_dir(to).map_err(failed)?;
    let verified = verify_files(to, environment, None, &mut |done, total| {
        progress(BackupStep::Verifying, done, total);
    })?;
    is_described(&verified, &description, at)?;
    Ok(verified)
}
