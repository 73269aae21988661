use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use foretell_lake::{Manifest, Partial, check_place, place};
use foretell_types::{Error, Result};
use futures::StreamExt;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::files::{Tables, show};
use super::form::Form;
use crate::Globals;
use crate::client::{Client, Request, encode};
use crate::cmd::serve::stop_signal;
use crate::output::{Failure, amount, bar, line};

/// How often is asked how far a build is.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args, Debug, Clone)]
pub struct Build {
    /// A dataset of the application.
    #[arg(required_unless_present_any = ["events", "manifest"], conflicts_with = "events")]
    name: Option<String>,
    /// The Parquet file to write; the folder, if the dataset is partitioned.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write a folder COLUMN=VALUE for each of the column's values (Hive partitioning); of several
    /// columns, one below the other.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    partition_by: Vec<String>,
    /// The table of keys and instants: Parquet, or CSV with a header. Its rows are the dataset's.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Events up to this position only; of several topics: topic=position,…
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["events", "manifest"])]
    at_head: Option<String>,
    /// How far time has gone, in place of the frontier: horizons that end later aren't over.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["events", "manifest"])]
    as_of: Option<String>,
    /// Build the same bytes again: a manifest, or a dataset that has one.
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    tables: Tables,
}

impl Build {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let interrupted = stop_signal()?;
        tokio::pin!(interrupted);
        if !self.tables.events.is_empty() {
            let (json, stop) = (globals.json, Arc::new(AtomicBool::new(false)));
            let noticed = stop.clone();
            let work = super::blocking(move || {
                let labels = self.labels.unwrap_or_default();
                let to = (&*self.out, &*self.partition_by);
                self.tables.run(&labels, to, json, &noticed)
            });
            tokio::pin!(work);
            return tokio::select! {
                done = &mut work => done,
                () = &mut interrupted => {
                    // It removes what it has begun.
                    stop.store(true, Ordering::Relaxed);
                    work.await
                }
            };
        }
        let client = Client::connect(globals, false).await?;
        let built = tokio::select! {
            built = self.fetch(&client) => built,
            () = &mut interrupted => Err(Error::unavailable("interrupted")),
        };
        client.close().await;
        self.tell(&built?, globals.json)
    }

    /// Has the dataset built, and writes it.
    async fn fetch(&self, client: &Client) -> Result<Manifest> {
        check_place(&self.out, &self.partition_by)?;
        let manifest = self.manifest.as_deref().map(read_manifest).transpose()?;
        let of_manifest = manifest.as_ref().map(|manifest| &manifest.dataset.name);
        let name = encode(
            self.name
                .as_ref()
                .or(of_manifest)
                .map_or("", String::as_str),
        );
        let id = foretell_log::Environment::real().random.uuid().to_string();
        let mut path = format!("/datasets/{name}/build?id={id}");
        for (parameter, value) in [("at_head", &self.at_head), ("as_of", &self.as_of)] {
            if let Some(value) = value {
                path.push_str(&format!("&{parameter}={}", encode(value)));
            }
        }
        let mut request = Request::post(path);
        if manifest.is_some() || self.labels.is_some() {
            let mut form = Form::new(format!("foretell-{id}"));
            if let Some(manifest) = &manifest {
                form = form.text("manifest", manifest.to_json());
            }
            if let Some(labels) = &self.labels {
                form = form.file("labels", labels)?;
            }
            request = request.stream(&form.content_type(), form.stream());
        }
        let partial = Partial::create(&self.out)?;
        let progress = bar(0, "");
        let written = tokio::select! {
            written = write(client, request, &partial, &progress) => written,
            never = follow(client, &name, &id, &progress) => match never {},
        };
        let manifest = written.and_then(|()| Manifest::of_file(partial.path()));
        let placed = match manifest {
            Ok(manifest) => {
                let (out, by, shown) = (
                    self.out.clone(),
                    self.partition_by.clone(),
                    progress.clone(),
                );
                let placed = super::blocking(move || {
                    let show = |step: &str, done, total| {
                        show(&shown, step, done, total);
                        Ok(())
                    };
                    place(partial, &out, &by, &show)
                });
                placed.await.map(|_| manifest)
            }
            Err(error) => Err(error),
        };
        progress.finish_and_clear();
        let manifest = placed?;
        let beside = beside(&self.out);
        std::fs::write(&beside, manifest.to_json() + "\n")
            .map_err(|error| Error::io(format_args!("can't write {}", beside.display()), error))?;
        Ok(manifest)
    }

    fn tell(&self, built: &Manifest, json: bool) -> Result<(), Failure> {
        let counts = built.counts;
        if json {
            let told = json!({
                "out": self.out,
                "manifest": beside(&self.out),
                "rows": counts.rows,
                "incomplete": counts.incomplete,
                "events": counts.events,
            });
            return line(&told.to_string());
        }
        let open = match counts.incomplete {
            0 => String::new(),
            open => format!("; the horizon of {} isn't over", amount(open, "row")),
        };
        line(&format!(
            "{}: {}, out of {}{open}",
            self.out.display(),
            amount(counts.rows, "row"),
            amount(counts.events, "event"),
        ))
    }
}

/// Where the manifest lies beside a dataset.
fn beside(out: &Path) -> PathBuf {
    out.with_extension("manifest.json")
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let bytes = std::fs::read(path)
        .map_err(|error| Error::io(format_args!("can't read {}", path.display()), error))?;
    let here = |error: Error| error.context(path.display());
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.trim_start().starts_with('{') => Manifest::parse(text).map_err(here),
        _ => Manifest::of_file(path),
    }
}

async fn write(
    client: &Client,
    request: Request,
    partial: &Partial,
    progress: &ProgressBar,
) -> Result<()> {
    let mut pieces = client.send(request).await?.pieces();
    let mut file = partial.file()?;
    let mut written = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        written += piece.len() as u64;
        file.write_all(&piece)
            .map_err(|error| Error::io("can't write the dataset", error))?;
        progress.set_message(format!("{} received", indicatif::HumanBytes(written)));
    }
    Ok(())
}

enum Never {}

/// Shows how far a build is, as long as it is asked to.
async fn follow(client: &Client, name: &str, id: &str, progress: &ProgressBar) -> Never {
    loop {
        tokio::time::sleep(LOOK).await;
        let request = Request::get(format!("/datasets/{name}/builds"));
        let Ok(answer) = client.send(request).await else {
            continue;
        };
        let builds: Value = answer.json().await.unwrap_or_default();
        let mut builds = builds.as_array().into_iter().flatten();
        if let Some(build) = builds.find(|build| build["id"] == *id) {
            let number = |at: usize| build["progress"][at].as_u64().unwrap_or(0);
            show(
                progress,
                build["step"].as_str().unwrap_or(""),
                number(0),
                number(1),
            );
        }
    }
}
