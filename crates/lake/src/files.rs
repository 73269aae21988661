//! Datasets out of tables: events and label rows as Parquet files, no log and no server.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use foretell_state::{Definition, Split};
use foretell_types::limits::DATASET_EVENT_BYTES;
use foretell_types::{Error, Result};

use crate::build::Build;
use crate::fold::{Means, Progress};
use crate::labels::Labels;
use crate::manifest::{TableCounts, TableFile, TablesManifest, Text};
use crate::partial::Partial;
use crate::partition::{self, check_place, place};
use crate::plan::Plan;
use crate::rows::{Rows, Table};
use crate::source::{Columns, Source};
use crate::threads::cores;
use crate::write::{Style, TableWriter, schema};

/// What a dataset is built from.
#[derive(Clone, Debug)]
pub struct Files<'a> {
    /// Parquet files, one after the other: events of the same time are in their order.
    pub events: &'a [PathBuf],
    /// The column of the events with the key.
    pub key: &'a str,
    /// The column with the event times.
    pub time: &'a str,
    /// The column that says when an event became known, if not at once.
    pub known_time: Option<&'a str>,
    /// Parquet, or CSV with a header.
    pub labels: &'a Path,
    pub label_key: &'a str,
    pub label_time: &'a str,
    pub definition: &'a Definition,
    /// Columns of the dataset whose values are a folder each, if any.
    pub partition_by: &'a [String],
    /// A dataset was built of these files before: fails if they have changed.
    pub again: Option<&'a TablesManifest>,
}

/// What was built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Built {
    pub manifest: TablesManifest,
    pub rows: u64,
    pub columns: usize,
    pub events: u64,
    pub bytes: u64,
}

impl<'a> Files<'a> {
    /// The files of a manifest, to be built again; `definition` is its projection.
    pub fn again(
        manifest: &'a TablesManifest,
        events: &'a [PathBuf],
        definition: &'a Definition,
        partition_by: &'a [String],
    ) -> Files<'a> {
        Files {
            events,
            key: &manifest.key,
            time: &manifest.time,
            known_time: manifest.known_time.as_deref(),
            labels: &manifest.labels.path,
            label_key: &manifest.label_key,
            label_time: &manifest.label_time,
            definition,
            partition_by,
            again: Some(manifest),
        }
    }

    /// What it is built of; this reads all files, unless the build has ended.
    fn manifest(&self, ended: &AtomicBool) -> Result<TablesManifest> {
        let events = self.events.iter().map(|path| TableFile::of(path, ended));
        let projection = Text {
            name: self.definition.name.clone(),
            text: self.definition.text.clone(),
        };
        let manifest = TablesManifest::new(
            projection,
            (self.key, self.time, self.known_time),
            (self.label_key, self.label_time),
            events.collect::<Result<_>>()?,
            TableFile::of(self.labels, ended)?,
        );
        if let Some(again) = self.again {
            manifest.check(again)?;
        }
        Ok(manifest)
    }

    /// Builds the dataset: all columns of the label table, then those of the definition; rows and
    /// their order are the label table's.
    ///
    /// A row sees the events of its key with event time and known time up to its own time.
    pub fn build(&self, out: &Path, progress: &Progress<'_>) -> Result<Built> {
        check_place(out, self.partition_by)?;
        let mut arguments = Vec::new();
        let definition = self.definition;
        let plan = Plan::of(&definition.aggregates, &definition.outputs, &mut arguments);
        let columns = Columns {
            key: self.key.to_owned(),
            time: self.time.to_owned(),
            known: self.known_time.map(str::to_owned),
            inputs: definition.inputs.clone(),
            filter: definition.filter.clone(),
            condition: None,
            arguments,
            extracted: false,
        };
        let source = Source::open(self.events, columns)?;
        let labels = Labels::open(self.labels)?;
        let mut rows = Rows::Table(Table::new(labels, self.label_key, self.label_time)?);
        let build = Build {
            features: plan.typed(&source.argument_types()),
            source: &source,
            labels: None,
            split: &Split::default(),
            means: Means {
                threads: cores(),
                memory: DATASET_EVENT_BYTES as u64,
            },
        };
        let schema = schema(build.fields(Some(&rows))?);
        // Said before it is built.
        partition::columns(&schema, self.partition_by)?;
        let (columns, threads) = (schema.fields().len(), build.means.threads);
        let partial = Partial::create(out)?;
        let mut writer = TableWriter::create(partial.file()?, out, schema, threads, Style::Table)?;
        // The files are hashed meanwhile, and no longer than that if it fails or is interrupted.
        let ended = AtomicBool::new(false);
        let (written, manifest) = std::thread::scope(|scope| {
            let manifest = scope.spawn(|| self.manifest(&ended));
            let written = build.write(&mut rows, &mut writer, progress);
            ended.store(written.is_err(), Ordering::Relaxed);
            let written = written?;
            let manifest = manifest.join();
            let broken = |_| Error::unavailable("hashing the files was broken off");
            Ok((written, manifest.map_err(broken)??))
        })?;
        let manifest = TablesManifest {
            counts: TableCounts {
                rows: written.rows,
                events: source.rows(),
            },
            ..manifest
        };
        writer.finish(Some(manifest.to_json()))?;
        Ok(Built {
            manifest,
            rows: written.rows,
            columns,
            events: source.rows(),
            bytes: place(partial, out, self.partition_by, progress)?,
        })
    }
}
