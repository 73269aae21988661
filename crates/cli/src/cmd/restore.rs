use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use foretell_log::{Blobs, Environment, Verified, restore};
use foretell_storage::AccountBlobs;
use foretell_types::{Error, ErrorKind, Result};
use serde_json::json;

use super::backup::{Place, shown};
use crate::Globals;
use crate::client::Client;
use crate::local::{self, LocalFiles};
use crate::output::{Failure, amount, bar, line, note};

/// Where the files of the log lie in a data directory.
const JOURNAL: &str = "journal";

/// Bring a log back from a backup, into a data directory that has none.
#[derive(Args, Debug)]
pub struct Restore {
    #[command(flatten)]
    place: Place,
    /// With --container: the folder of the storage account; that of the data directory by default.
    #[arg(long, value_name = "DIR", conflicts_with = "dir")]
    storage: Option<PathBuf>,
}

impl Restore {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        if Client::running(globals).await?.is_some() {
            let message = "a server is running there: stop it, or name another --data".to_owned();
            return Err(Failure::Usage(message));
        }
        let (data, journal) = (&globals.data, globals.data.join(JOURNAL));
        if journal.exists() {
            let message = format!(
                "{} has a log already: restore into another directory (--data)",
                data.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message).into());
        }
        let had_keys = data.join("keys").exists();
        let verified = self.bring_back(data, &journal)?;
        // Opening makes the index anew.
        Client::connect(globals, false).await?.close().await;
        let root = verified.root.to_string();
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

    /// The backup: what holds it, and its folder there.
    fn place(&self, data: &Path) -> Result<(Arc<dyn Blobs>, String)> {
        if let Some(container) = &self.place.container {
            let storage = self.storage.clone();
            let storage = storage.unwrap_or_else(|| data.join("storage"));
            let blobs = Arc::new(AccountBlobs::of_folder(&storage)?);
            return Ok((blobs, container.trim_end_matches('/').to_owned()));
        }
        let dir = self.place.dir.clone().unwrap_or_default();
        Ok((Arc::new(LocalFiles), local::name(&dir)?))
    }

    /// Copies the backup under another name until all of it is there, durable and sound.
    fn bring_back(&self, data: &Path, journal: &Path) -> Result<Verified> {
        let (blobs, folder) = self.place(data)?;
        let part = data.join("journal.part");
        let at = |error| Error::io(format_args!("can't write {}", journal.display()), error);
        let remove = || match part.exists() {
            true => fs::remove_dir_all(&part),
            false => Ok(()),
        };
        // An earlier try left it.
        remove().map_err(at)?;
        let progress = bar(0, "");
        let restored = restore(
            (&blobs, &folder),
            &part,
            &Environment::real(),
            &mut shown(&progress),
        );
        progress.finish_and_clear();
        if restored.is_err() {
            // What is wrong is told of the backup; should this fail too, the next try removes it.
            let _ = remove();
        }
        let verified = restored?;
        fs::rename(&part, journal)
            .and_then(|()| File::open(data)?.sync_all())
            .map_err(at)?;
        Ok(verified)
    }
}
