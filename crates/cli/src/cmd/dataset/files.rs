//! A dataset out of Parquet files, without a log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use foretell_lake::{Built, Files, TablesManifest, Text};
use foretell_state::Definition;
use foretell_types::Error;
use indicatif::ProgressBar;
use serde_json::json;

use super::build::{beside, write_manifest};
use crate::output::{Failure, amount, bar, line};

/// What is read in place of a log.
#[derive(Args, Debug, Clone)]
pub struct Tables {
    /// Without a log: Parquet files of events, in this order where times are equal.
    #[arg(long, value_name = "FILE", num_args = 1.., requires_all = ["key", "time", "labels", "projection"])]
    pub events: Vec<PathBuf>,
    /// The column of the events with the key: integers or text.
    #[arg(long, value_name = "COLUMN", requires = "events")]
    key: Option<String>,
    /// The column with the event times: timestamps, dates, or int64 with microseconds since 1970.
    #[arg(long, value_name = "COLUMN", requires = "events")]
    time: Option<String>,
    /// The column that says when an event became known, if that was later than it happened.
    #[arg(long, value_name = "COLUMN", requires = "events")]
    known_time: Option<String>,
    /// The label table's column with the key, if that has another name than the events'.
    #[arg(long, value_name = "COLUMN", requires = "events")]
    label_key: Option<String>,
    /// Its column with the instants, if that has another name than the events'.
    #[arg(long, value_name = "COLUMN", requires = "events")]
    label_time: Option<String>,
    /// The projection: a file with CREATE PROJECTION.
    #[arg(long, value_name = "FILE", requires = "events")]
    projection: Option<PathBuf>,
}

/// Builds a dataset of tables again, of the same files.
pub fn again(
    manifest: &TablesManifest,
    (out, partition_by): (&Path, &[String]),
    json: bool,
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let Text { name, text } = &manifest.projection;
    let definition = Definition::parse(text, &format!("{name}.sql"))?;
    let events: Vec<PathBuf> = manifest
        .events
        .iter()
        .map(|file| file.path.clone())
        .collect();
    let files = Files::again(manifest, &events, &definition, partition_by);
    build(&files, out, json, interrupted)
}

fn build(
    files: &Files<'_>,
    out: &Path,
    json: bool,
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let progress = bar(0, "");
    let built = files.build(out, &watched(&progress, interrupted));
    progress.finish_and_clear();
    let built = built?;
    write_manifest(out, built.manifest.to_json())?;
    tell(&built, out, json)
}

impl Tables {
    pub fn run(
        &self,
        labels: &Path,
        (out, partition_by): (&Path, &[String]),
        json: bool,
        interrupted: &AtomicBool,
    ) -> Result<(), Failure> {
        let (key, time) = (
            self.key.as_deref().unwrap_or_default(),
            self.time.as_deref().unwrap_or_default(),
        );
        let projection = self.projection.clone().unwrap_or_default();
        let file = projection.display().to_string();
        let text = std::fs::read_to_string(&projection)
            .map_err(|error| Error::io(format_args!("can't read {file}"), error))?;
        let definition = Definition::parse(&text, &file)?;
        let files = Files {
            events: &self.events,
            key,
            time,
            known_time: self.known_time.as_deref(),
            labels,
            label_key: self.label_key.as_deref().unwrap_or(key),
            label_time: self.label_time.as_deref().unwrap_or(time),
            definition: &definition,
            partition_by,
            again: None,
        };
        build(&files, out, json, interrupted)
    }
}

/// Shows how far a build is, and ends it once it is interrupted.
pub fn watched(
    progress: &ProgressBar,
    interrupted: &AtomicBool,
) -> impl Fn(&str, u64, u64) -> Result<(), Error> {
    |step, done, total| {
        show(progress, step, done, total);
        match interrupted.load(Ordering::Relaxed) {
            true => Err(Error::unavailable("interrupted")),
            false => Ok(()),
        }
    }
}

/// Shows how far a build is.
pub fn show(progress: &ProgressBar, step: &str, done: u64, total: u64) {
    progress.set_message(step.to_owned());
    progress.set_length(total);
    progress.set_position(done);
}

fn tell(built: &Built, out: &Path, json: bool) -> Result<(), Failure> {
    let shown = out.display();
    if json {
        let built = json!({
            "out": shown.to_string(),
            "manifest": beside(out),
            "rows": built.rows,
            "columns": built.columns,
            "events": built.events,
            "bytes": built.bytes,
        });
        return line(&built.to_string());
    }
    line(&format!(
        "{shown}: {}, {}, out of {}",
        amount(built.rows, "row"),
        amount(built.columns as u64, "column"),
        amount(built.events, "event"),
    ))
}
