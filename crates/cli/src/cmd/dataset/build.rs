use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use foretell_lake::{Manifest, Origin, Partial, check_columns, check_place, place};
use foretell_types::{Error, Result};
use futures::StreamExt;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::files::{self, Tables, show, watched};
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
        let stop = Arc::new(AtomicBool::new(false));
        let (json, noticed) = (globals.json, stop.clone());
        let again = match self.manifest.as_deref().map(Origin::read).transpose()? {
            None => None,
            Some(Origin::Log(manifest)) => Some(manifest),
            Some(Origin::Tables(manifest)) => {
                if self.labels.is_some() {
                    let message = "the manifest names the label table: leave --labels out";
                    return Err(Failure::Usage(message.to_owned()));
                }
                let work = super::blocking(move || {
                    let to = (&*self.out, &*self.partition_by);
                    files::again(&manifest, to, json, &noticed)
                });
                return stoppable(work, interrupted, &stop).await;
            }
        };
        if !self.tables.events.is_empty() {
            let work = super::blocking(move || {
                let labels = self.labels.unwrap_or_default();
                let to = (&*self.out, &*self.partition_by);
                self.tables.run(&labels, to, json, &noticed)
            });
            return stoppable(work, interrupted, &stop).await;
        }
        let client = Client::connect(globals, false).await?;
        let fetched = tokio::select! {
            fetched = self.fetch(&client, again.as_ref()) => fetched,
            () = &mut interrupted => Err(Error::unavailable("interrupted")),
        };
        client.close().await;
        let (partial, manifest) = fetched?;
        let (out, by) = (self.out.clone(), self.partition_by.clone());
        let work = super::blocking(move || {
            let progress = bar(0, "");
            let placed = place(partial, &out, &by, &watched(&progress, &noticed));
            progress.finish_and_clear();
            placed
        });
        stoppable(work, interrupted, &stop).await?;
        write_manifest(&self.out, manifest.to_json())?;
        self.tell(&manifest, globals.json)
    }

    /// Has the dataset built, and writes it; it has no name yet.
    async fn fetch(
        &self,
        client: &Client,
        manifest: Option<&Manifest>,
    ) -> Result<(Partial, Manifest)> {
        check_place(&self.out, &self.partition_by)?;
        let of_manifest = manifest.map(|manifest| &manifest.dataset.name);
        let name = encode(
            self.name
                .as_ref()
                .or(of_manifest)
                .map_or("", String::as_str),
        );
        self.check_partitions(client, &name, manifest).await?;
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
            if let Some(manifest) = manifest {
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
        progress.finish_and_clear();
        written?;
        let manifest = Manifest::of_file(partial.path())?;
        Ok((partial, manifest))
    }

    /// Fails if the dataset has no such columns to partition by, before it is built. Of a label
    /// table and of a former definition that is seen only afterwards.
    async fn check_partitions(
        &self,
        client: &Client,
        name: &str,
        manifest: Option<&Manifest>,
    ) -> Result<()> {
        if self.partition_by.is_empty() || self.labels.is_some() || manifest.is_some() {
            return Ok(());
        }
        let request = Request::get(format!("/datasets/{name}"));
        let dataset: Value = client.send(request).await?.json().await?;
        let columns = dataset["columns"].as_array().into_iter().flatten();
        let names = columns.filter_map(|column| column["name"].as_str());
        check_columns(&names.collect::<Vec<_>>(), &self.partition_by).map(drop)
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

/// Waits for work on another thread; if it is interrupted, until it has removed what it has begun.
async fn stoppable<T, E>(
    work: impl Future<Output = Result<T, E>>,
    interrupted: impl Future<Output = ()>,
    stop: &AtomicBool,
) -> Result<T, E> {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => done,
        () = interrupted => {
            stop.store(true, Ordering::Relaxed);
            work.await
        }
    }
}

/// Where the manifest lies beside a dataset.
pub fn beside(out: &Path) -> PathBuf {
    out.with_extension("manifest.json")
}

/// Writes a manifest beside its dataset.
pub fn write_manifest(out: &Path, manifest: String) -> Result<()> {
    let beside = beside(out);
    std::fs::write(&beside, manifest + "\n")
        .map_err(|error| Error::io(format_args!("can't write {}", beside.display()), error))
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
