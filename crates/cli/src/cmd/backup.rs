use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use foretell_log::{Environment, Verified, verify_backup};
use foretell_types::{Error, ErrorKind, Result, Timestamp};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::output::{Failure, amount, bar, line};

/// Where the files of the log lie in a backup, and in a data directory.
pub const JOURNAL: &str = "journal";
/// What was backed up, and when.
pub const DESCRIPTION: &str = "backup.json";
const PIECE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes at the end of a fixed file that tell it from others.
const TRAILER_BYTES: u64 = 32;
/// The log may seal segments while it is copied; then the copy begins again, with what it has.
const TRIES: u32 = 20;

/// Copy the log into a folder while it is in use; a second time only what is new.
#[derive(Args, Debug)]
#[command(
    after_help = "The storage account, functions and keys are not part of it: back up keys/master.key apart,
and the storage account by its own means. `foretell restore DIR` brings the log back."
)]
pub struct Backup {
    /// The folder: made if it isn't there, brought up to date if it holds a backup.
    dir: PathBuf,
}

#[derive(Default)]
struct Copied {
    files: u64,
    bytes: u64,
    kept: u64,
}

impl Backup {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = Client::connect(globals, false).await?;
        let copied = copy(&client, &self.dir).await;
        client.close().await;
        let copied = copied?;
        let verified = verify(&self.dir.join(JOURNAL))?;
        describe(&self.dir, &verified)?;
        if globals.json {
            return line(
                &json!({
                    "dir": self.dir,
                    "files": copied.files,
                    "bytes": copied.bytes,
                    "kept": copied.kept,
                    "events": verified.events,
                    "commits": verified.commits,
                    "root": verified.root.to_string(),
                })
                .to_string(),
            );
        }
        line(&format!(
            "copied {} ({} bytes), kept {} that were there",
            amount(copied.files, "file"),
            copied.bytes,
            copied.kept
        ))?;
        line(&format!(
            "verified: {}, root {}",
            amount(verified.events, "event"),
            verified.root
        ))
    }
}

async fn copy(client: &Client, dir: &Path) -> Result<Copied> {
    let journal = dir.join(JOURNAL);
    fs::create_dir_all(&journal)
        .map_err(|error| Error::io(format_args!("can't make {}", journal.display()), error))?;
    let mut copied = Copied::default();
    let mut tries = 0;
    loop {
        tries += 1;
        match copy_files(client, &journal, &mut copied).await {
            Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {}
            result => return result.map(|()| copied),
        }
    }
}

/// Copies what isn't there yet, then removes what is no longer part of the log: until then the
/// earlier backup is whole.
async fn copy_files(client: &Client, journal: &Path, copied: &mut Copied) -> Result<()> {
    let at = |error| Error::io(format_args!("can't write to {}", journal.display()), error);
    let answer = client.send(Request::get("/backup")).await?.json().await?;
    let files = answer["files"].as_array().cloned().unwrap_or_default();
    let total = files.iter().filter_map(|file| file["bytes"].as_u64()).sum();
    let progress = bar(total, "copying");
    copied.kept = 0;
    let mut names = Vec::new();
    for file in &files {
        let name = plain_name(file)?;
        let bytes = file["bytes"].as_u64().unwrap_or(0);
        let path = journal.join(name);
        if file["fixed"] == true && is_same(client, name, &path, bytes).await? {
            copied.kept += 1;
            progress.inc(bytes);
        } else {
            fetch(client, name, &path, bytes, &progress).await?;
            copied.files += 1;
            copied.bytes += bytes;
        }
        names.push(name.to_owned());
    }
    sync(journal).map_err(at)?;
    for entry in fs::read_dir(journal).map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let of_a_log = ["segment", "sealed", "manifest", "part", "run"]
            .iter()
            .any(|kind| name.rsplit_once('.').is_some_and(|(_, end)| end == *kind));
        if of_a_log && !names.contains(&name) {
            fs::remove_file(entry.path()).map_err(at)?;
        }
    }
    progress.finish_and_clear();
    sync(journal).map_err(at)
}

/// The name of a file, which stays in the folder.
fn plain_name(file: &Value) -> Result<&str> {
    let name = file["name"].as_str().unwrap_or("");
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(Error::invalid(format!("the server names a file {name:?}")));
    }
    Ok(name)
}

async fn piece(client: &Client, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>> {
    let path = format!("/backup/{}?offset={offset}&bytes={bytes}", encode(name));
    client.send(Request::get(path)).await?.bytes().await
}

async fn is_same(client: &Client, name: &str, path: &Path, bytes: u64) -> Result<bool> {
    if bytes < TRAILER_BYTES {
        return Ok(false);
    }
    let from = bytes - TRAILER_BYTES;
    let Ok(there) = trailer(path, bytes, from) else {
        return Ok(false);
    };
    Ok(piece(client, name, from, TRAILER_BYTES).await? == there)
}

/// What a file of this length holds from an offset on; nothing if it has another length.
fn trailer(path: &Path, bytes: u64, from: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut end = Vec::new();
    if file.metadata()?.len() == bytes {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut end)?;
    }
    Ok(end)
}

/// Copies a file under another name, and gives it its own once it is durable.
async fn fetch(
    client: &Client,
    name: &str,
    path: &Path,
    bytes: u64,
    progress: &ProgressBar,
) -> Result<()> {
    let part = path.with_extension("part");
    let at = |error| Error::io(format_args!("can't write {}", part.display()), error);
    let mut file = File::create(&part).map_err(at)?;
    let mut offset = 0;
    while offset < bytes {
        let piece = piece(client, name, offset, PIECE_BYTES.min(bytes - offset)).await?;
        if piece.is_empty() {
            let message = format!("{name} ends at byte {offset}, {bytes} were announced");
            return Err(Error::not_found(message));
        }
        file.write_all(&piece).map_err(at)?;
        offset += piece.len() as u64;
        progress.inc(piece.len() as u64);
    }
    file.sync_all().map_err(at)?;
    fs::rename(&part, path).map_err(at)
}

pub fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

pub fn verify(journal: &Path) -> Result<Verified> {
    let progress = bar(0, "verifying");
    let verified = verify_backup(journal, &Environment::real(), &mut |done, total| {
        progress.set_length(total);
        progress.set_position(done);
    });
    progress.finish_and_clear();
    verified
}

fn describe(dir: &Path, verified: &Verified) -> Result<()> {
    let path = dir.join(DESCRIPTION);
    let at = |error| Error::io(format_args!("can't write {}", path.display()), error);
    let now = Environment::real().clock.now();
    let text = json!({
        "version": 1,
        "time": Timestamp::from_instant(now).to_string(),
        "events": verified.events,
        "commits": verified.commits,
        "root": verified.root.to_string(),
    });
    let draft = dir.join("backup.json.part");
    let mut file = File::create(&draft).map_err(at)?;
    file.write_all(format!("{text:#}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, &path))
        .and_then(|()| sync(dir))
        .map_err(at)
}
