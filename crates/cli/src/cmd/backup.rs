use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use foretell_log::{
    BackupFile, BackupSource, BackupStep, Blobs, Environment, back_up, verify_backup,
};
use foretell_server::backed_up_to_json;
use foretell_types::{Error, Result};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::local::{self, LocalFiles};
use crate::output::{Failure, amount, bar, line};

/// Copy the log into a folder or a container while it is in use; a second time only what is new.
#[derive(Args, Debug)]
#[command(
    after_help = "The storage account, functions and keys are not part of it: back up keys/master.key and
erasure-keys apart from it, and the storage account by its own means. What is archived there is
part of it. A folder is made if it isn't there; one that holds anything but a backup of this log is
refused. `foretell restore` brings the log back."
)]
pub struct Backup {
    #[command(flatten)]
    place: Place,
    /// Read and check the backup that is in the folder; nothing is copied, no log is needed.
    #[arg(long, conflicts_with = "container")]
    check: bool,
}

/// Where a backup lies.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// The folder of the backup.
    pub dir: Option<PathBuf>,
    /// A container of the storage account, and what the names of the backup's blobs begin with.
    #[arg(long, value_name = "NAME[/PREFIX]")]
    pub container: Option<String>,
}

impl Backup {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        if self.check {
            let done = check(&self.place.dir.unwrap_or_default())?;
            return told(globals, &done);
        }
        let client = Client::connect(globals, false).await?;
        let (client, done) = match &self.place.container {
            Some(container) => {
                let done = into_container(&client, container).await;
                (client, done)
            }
            None => into_folder(client, self.place.dir.unwrap_or_default()).await?,
        };
        client.close().await;
        let done = done?;
        if !globals.json {
            let number = |name: &str| done[name].as_u64().unwrap_or(0);
            line(&format!(
                "copied {} ({} bytes), kept {} that were there",
                amount(number("files"), "file"),
                number("bytes"),
                number("kept")
            ))?;
        }
        told(globals, &done)
    }
}

/// What a backup holds.
fn told(globals: &Globals, done: &Value) -> Result<(), Failure> {
    if globals.json {
        return line(&done.to_string());
    }
    line(&format!(
        "verified: {}, root {}",
        amount(done["events"].as_u64().unwrap_or(0), "event"),
        done["root"].as_str().unwrap_or("")
    ))
}

fn check(dir: &Path) -> Result<Value> {
    let blobs: Arc<dyn Blobs> = Arc::new(LocalFiles);
    let folder = local::name(dir)?;
    let progress = bar(0, "verifying");
    let verified = verify_backup(
        (&blobs, &folder),
        &Environment::real(),
        &mut |done, total| {
            progress.set_length(total);
            progress.set_position(done);
        },
    );
    progress.finish_and_clear();
    let verified = verified?;
    Ok(json!({
        "dir": dir,
        "events": verified.events,
        "commits": verified.commits,
        "root": verified.root.to_string(),
    }))
}

/// Shows how far a backup, or its way back, is.
pub fn shown(progress: &ProgressBar) -> impl FnMut(BackupStep, u64, u64) {
    |step, done, total| {
        progress.set_message(step.name());
        progress.set_length(total);
        progress.set_position(done);
    }
}

async fn into_container(client: &Client, place: &str) -> Result<Value> {
    let (container, prefix) = match place.split_once('/') {
        Some((container, prefix)) => (container, Some(prefix)),
        None => (place, None),
    };
    let body = json!({ "container": container, "prefix": prefix });
    let mut done = client.follow(Request::post("/backup").json(&body)).await?;
    done["container"] = place.into();
    Ok(done)
}

/// The log behind the HTTP interface.
struct Remote {
    client: Client,
    runtime: Handle,
}

impl BackupSource for Remote {
    fn backup_files(&mut self) -> Result<Vec<BackupFile>> {
        let answer = self.runtime.block_on(async {
            let answer = self.client.send(Request::get("/backup")).await?;
            answer.json().await
        })?;
        let files = answer["files"].as_array().into_iter().flatten();
        Ok(files
            .map(|file| BackupFile {
                name: file["name"].as_str().unwrap_or("").to_owned(),
                bytes: file["bytes"].as_u64().unwrap_or(0),
                fixed: file["fixed"] == true,
            })
            .collect())
    }

    fn backup_read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let (name, bytes) = (encode(name), buffer.len());
        let path = format!("/backup/{name}?offset={offset}&bytes={bytes}");
        let piece = self.runtime.block_on(async {
            let answer = self.client.send(Request::get(path)).await?;
            answer.bytes().await
        })?;
        let count = piece.len().min(bytes);
        buffer[..count].copy_from_slice(&piece[..count]);
        Ok(count)
    }
}

/// Copies on a thread that may block.
async fn into_folder(client: Client, dir: PathBuf) -> Result<(Client, Result<Value>)> {
    let mut remote = Remote {
        client,
        runtime: Handle::current(),
    };
    let work = move || {
        let done = copy(&mut remote, &dir);
        (remote.client, done)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::unavailable(format!("the copying was cut off: {error}")))
}

fn copy(remote: &mut Remote, dir: &Path) -> Result<Value> {
    let blobs: Arc<dyn Blobs> = Arc::new(LocalFiles);
    let folder = local::name(dir)?;
    let progress = bar(0, "");
    let done = back_up(
        remote,
        (&blobs, &folder),
        &Environment::real(),
        &mut shown(&progress),
    );
    progress.finish_and_clear();
    let mut done = backed_up_to_json(&done?);
    done["dir"] = json!(dir);
    Ok(done)
}
