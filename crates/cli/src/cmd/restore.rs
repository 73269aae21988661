use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap::Args;
use foretell_types::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::backup::{DESCRIPTION, JOURNAL, sync, verify};
use crate::Globals;
use crate::client::Client;
use crate::output::{Failure, amount, bar, line, note};

/// Bring a log back from a backup, into a data directory that has none.
#[derive(Args, Debug)]
pub struct Restore {
    /// The folder that `foretell backup` wrote.
    dir: PathBuf,
}

impl Restore {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        if Client::running(globals).await?.is_some() {
            let message = "a server is running there: stop it, or name another --data".to_owned();
            return Err(Failure::Usage(message));
        }
        let expected = described(&self.dir)?;
        let (data, journal) = (&globals.data, globals.data.join(JOURNAL));
        if journal.exists() {
            let message = format!(
                "{} has a log already: restore into another directory (--data)",
                data.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message).into());
        }
        // Under another name until all of it is there, durable and sound.
        let part = data.join("journal.part");
        copy(&self.dir.join(JOURNAL), &part)?;
        let verified = verify(&part)?;
        let root = verified.root.to_string();
        if expected["root"] != root.as_str() {
            let message = format!(
                "the backup's root is {root}, while {} says {}",
                self.dir.join(DESCRIPTION).display(),
                expected["root"]
            );
            return Err(Error::new(ErrorKind::Damaged, message).into());
        }
        fs::rename(&part, &journal)
            .and_then(|()| sync(data))
            .map_err(|error| Error::io(format_args!("can't write {}", journal.display()), error))?;
        let had_keys = data.join("keys").exists();
        // Opening makes the index anew.
        Client::connect(globals, false).await?.close().await;
        if globals.json {
            let restored = json!({
                "data": data,
                "events": verified.events,
                "commits": verified.commits,
                "root": root,
            });
            return line(&restored.to_string());
        }
        line(&format!(
            "restored {} into {}, root {root}",
            amount(verified.events, "event"),
            data.display()
        ))?;
        if !had_keys {
            note(
                "all keys are new: put the old keys/master.key into place to have the old ones again",
            );
        }
        Ok(())
    }
}

fn described(dir: &Path) -> Result<Value> {
    let path = dir.join(DESCRIPTION);
    let text = fs::read_to_string(&path).map_err(|error| {
        let what = format_args!("{} holds no backup", dir.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(what.to_string()),
            _ => Error::io(what, error),
        }
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Error::invalid(format!("{} is malformed: {error}", path.display())))
}

/// Copies the files of a folder; what an earlier try left there is removed.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let at = |error| Error::io(format_args!("can't copy {}", from.display()), error);
    if to.exists() {
        fs::remove_dir_all(to).map_err(at)?;
    }
    fs::create_dir_all(to).map_err(at)?;
    let entries = fs::read_dir(from).map_err(at)?;
    let files: Vec<_> = entries
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(at)?
        .into_iter()
        .filter(|entry| entry.path().is_file())
        .collect();
    let progress = bar(files.len() as u64, "restoring");
    for file in files {
        let target = to.join(file.file_name());
        fs::copy(file.path(), &target)
            .and_then(|_| File::open(&target)?.sync_all())
            .map_err(at)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    sync(to).map_err(at)
}
