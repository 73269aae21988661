//! What a backup says of itself: which blobs make it up, and what they hold. A backup is what its
//! description names; other blobs beside them were left by one that was broken off.

use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::is_file_of_a_log;
use crate::blobs::Blobs;
use crate::environment::Environment;
use crate::merkle::RootAt;
use crate::verify::Verified;

/// Version 1 named no files: they lay in [`JOURNAL`] under their own names.
const VERSION: u32 = 2;
/// Where the files of the log lie in a backup.
const JOURNAL: &str = "journal";
const NAME: &str = "backup.json";
/// Digits of a file's hash in the name of its blob: two contents of a file are two blobs.
const HASH_DIGITS: usize = 16;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Description {
    pub version: u32,
    pub time: String,
    pub events: u64,
    pub commits: u64,
    #[serde(default)]
    pub frames: u64,
    pub root: String,
    #[serde(default)]
    pub files: Vec<DescribedFile>,
    /// BLAKE3 of all this as JSON without spaces, itself left empty; in hexadecimal.
    #[serde(default)]
    pub check: String,
}

/// A file of the log, as the backup holds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct DescribedFile {
    pub name: String,
    pub bytes: u64,
    /// BLAKE3 of its content, in hexadecimal; empty in version 1.
    pub blake3: String,
}

impl DescribedFile {
    pub fn of(name: &str, content: &[u8]) -> DescribedFile {
        DescribedFile {
            name: name.to_owned(),
            bytes: content.len() as u64,
            blake3: hash(content),
        }
    }

    /// The blob that holds it.
    pub fn blob(&self, folder: &str) -> String {
        let plain = format!("{}/{}", journal_of(folder), self.name);
        match self.blake3.get(..HASH_DIGITS) {
            Some(digits) => format!("{plain}-{digits}"),
            None => plain,
        }
    }

    /// Whether this is its content, as far as that was written down.
    pub fn is(&self, content: &[u8]) -> bool {
        self.blake3.is_empty() || self.blake3 == hash(content)
    }
}

fn hash(content: &[u8]) -> String {
    blake3::hash(content).to_string()
}

impl Description {
    pub fn new(
        verified: &Verified,
        files: Vec<DescribedFile>,
        environment: &Environment,
    ) -> Description {
        let mut description = Description {
            version: VERSION,
            time: Timestamp::from_instant(environment.clock.now()).to_string(),
            events: verified.events,
            commits: verified.commits,
            frames: verified.frames,
            root: verified.root.to_string(),
            files,
            check: String::new(),
        };
        description.check = description.checked();
        description
    }

    /// What its check must be.
    fn checked(&self) -> String {
        let unchecked = Description {
            check: String::new(),
            ..self.clone()
        };
        hash(&serde_json::to_vec(&unchecked).unwrap_or_default())
    }

    /// Of the backup in a folder of blobs, if there is one.
    pub fn load(blobs: &dyn Blobs, folder: &str) -> Result<Option<Description>> {
        let name = name_of(folder);
        let Some(content) = read_whole(blobs, &name)? else {
            return Ok(None);
        };
        let what = blobs.describe(&name);
        let mut found = Description::parse(&content, &what)?;
        if found.version == 1 {
            found.files = files_of_version_1(blobs, folder)?;
        }
        Ok(Some(found))
    }

    /// Reads a description from what is kept in `what`.
    pub fn parse(content: &[u8], what: &str) -> Result<Description> {
        let damaged = |why: &dyn std::fmt::Display| {
            let message = format!(
                "{what} is no description of a backup: {why}; make the next backup in another place"
            );
            Error::new(ErrorKind::Damaged, message)
        };
        let version = serde_json::from_slice::<serde_json::Value>(content)
            .map_err(|error| damaged(&error))?["version"]
            .as_u64();
        match version {
            Some(version) if version > u64::from(VERSION) => {
                let message = format!(
                    "{what} is of version {version}, this foretell reads up to {VERSION}: use a newer one"
                );
                return Err(Error::new(ErrorKind::NewerFormat, message));
            }
            Some(1..) => {}
            _ => return Err(damaged(&"it has no version")),
        }
        let found: Description =
            serde_json::from_slice(content).map_err(|error| damaged(&error))?;
        found.root_at().map_err(|error| damaged(&error))?;
        if found.version > 1 && found.check != found.checked() {
            return Err(damaged(&"it is not what was written"));
        }
        for file in &found.files {
            let is_hashed = file.blake3.len() == 64 && file.blake3.is_ascii();
            if found.version == 1 || !is_hashed || !is_file_of_a_log(&file.name) {
                return Err(damaged(&format!("{:?} is no file of a log", file.name)));
            }
        }
        Ok(found)
    }

    /// As [`Description::load`], where there must be one.
    pub fn of(blobs: &dyn Blobs, folder: &str) -> Result<Description> {
        Description::load(blobs, folder)?.ok_or_else(|| {
            let what = blobs.describe(&name_of(folder));
            Error::not_found(format!("there is no backup: {what} is missing"))
        })
    }

    pub fn store(&self, blobs: &dyn Blobs, folder: &str) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::unavailable(format!("a backup can't be described: {error}")))?;
        text.push('\n');
        blobs.put(&name_of(folder), text.into_bytes())
    }

    /// What the log held when the backup was made.
    pub fn root_at(&self) -> Result<RootAt> {
        Ok(RootAt {
            leaves: self.frames,
            root: self.root.parse()?,
        })
    }
}

fn files_of_version_1(blobs: &dyn Blobs, folder: &str) -> Result<Vec<DescribedFile>> {
    let listed = blobs.list(&journal_of(folder))?.into_iter();
    let files = listed.filter_map(|(blob, bytes)| {
        let name = in_journal(&blob, folder).filter(|name| is_file_of_a_log(name))?;
        Some(DescribedFile {
            name: name.to_owned(),
            bytes,
            blake3: String::new(),
        })
    });
    Ok(files.collect())
}

/// The blobs of a folder that is to hold a backup of which nothing is there yet, or only what one
/// left that was broken off. Anything else is somebody's.
pub(super) fn check_unused(blobs: &dyn Blobs, folder: &str) -> Result<()> {
    let listed = blobs.list(folder)?.into_iter();
    let mut foreign = listed.map(|(blob, _)| blob);
    match foreign.find(|blob| !in_journal(blob, folder).is_some_and(is_hashed)) {
        None => Ok(()),
        Some(blob) => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "{} is there, and no backup: name a place that is empty, or holds a backup of this log",
                blobs.describe(&blob)
            ),
        )),
    }
}

/// The name of a blob within the journal's folder of a backup.
fn in_journal<'a>(blob: &'a str, folder: &str) -> Option<&'a str> {
    blob.strip_prefix(&journal_of(folder))?.strip_prefix('/')
}

/// Whether a name ends with a hash, which only those of backups do.
fn is_hashed(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(file, digits)| {
        let is_hash = digits.len() == HASH_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash && is_file_of_a_log(file)
    })
}

/// Whether a blob of a folder is one of a backup's, of any version.
pub(super) fn is_of_a_backup(blob: &str, folder: &str) -> bool {
    in_journal(blob, folder).is_some_and(|name| is_file_of_a_log(name) || is_hashed(name))
}

pub(super) fn journal_of(folder: &str) -> String {
    format!("{folder}/{JOURNAL}")
}

pub(super) fn name_of(folder: &str) -> String {
    format!("{folder}/{NAME}")
}

/// A blob's content; `None` if it isn't there.
pub(super) fn read_whole(blobs: &dyn Blobs, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(bytes) = blobs.bytes(name)? else {
        return Ok(None);
    };
    let mut content = vec![0; bytes as usize];
    let mut at = 0;
    while at < content.len() {
        match blobs.read(name, at as u64, &mut content[at..])? {
            None | Some(0) => break,
            Some(count) => at += count,
        }
    }
    content.truncate(at);
    Ok(Some(content))
}

/// A folder of blobs.
pub(super) type Place<'a> = (&'a Arc<dyn Blobs>, &'a str);
