//! Datasets out of tables: events and label rows as Parquet files, no log and no server.

use std::path::{Path, PathBuf};

use foretell_state::{Definition, Split};
use foretell_types::Result;
use foretell_types::limits::DATASET_EVENT_BYTES;

use crate::build::Build;
use crate::fold::{Means, Progress};
use crate::labels::Labels;
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
}

/// What was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Built {
    pub rows: u64,
    pub columns: usize,
    pub events: u64,
    pub bytes: u64,
}

impl Files<'_> {
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
        let written = build.write(&mut rows, &mut writer, progress)?;
        writer.finish(None)?;
        Ok(Built {
            rows: written.rows,
            columns,
            events: source.rows(),
            bytes: place(partial, out, self.partition_by, progress)?,
        })
    }
}
