//! Datasets out of a log, by the columns that are extracted of it.

use std::io::Write;
use std::path::Path;

use foretell_state::{Dataset, Instants};
use foretell_types::limits::DATASET_EVENT_BYTES;
use foretell_types::{Error, Result};

use crate::build::{Build, LabelPlan};
use crate::cache::ColumnCache;
use crate::extract::{Extraction, KEY, KNOWN, POSITION, Range, TIME};
use crate::fold::{Means, Progress};
use crate::labels::Labels;
use crate::manifest::{Counts, Manifest};
use crate::plan::Plan;
use crate::rows::{Events, Every, Rows, Table as TableRows};
use crate::source::{Columns, Source};
use crate::table::Table;
use crate::threads::cores;
use crate::topic::Topic;
use crate::write::{Style, TableWriter, schema};

/// What a dataset is built from.
pub struct LogBuild<'a> {
    pub dataset: &'a Dataset,
    /// As the projection orders them, each with the last position that is read.
    pub topics: &'a [(&'a dyn Topic, u64)],
    pub cache: &'a ColumnCache,
}

impl std::fmt::Debug for LogBuild<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogBuild({})", self.dataset.name)
    }
}

/// The columns of a dataset's topics, ready to be folded.
#[derive(Debug)]
pub struct LogColumns<'a> {
    build: &'a LogBuild<'a>,
    drops: u64,
    tables: Vec<Table>,
    ranges: Vec<Range>,
}

/// A column of a dataset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchemaColumn {
    pub name: String,
    /// Of Arrow.
    pub type_name: String,
}

impl<'a> LogBuild<'a> {
    /// Extracts the columns that aren't there yet.
    pub fn columns(&'a self, progress: &Progress<'_>) -> Result<LogColumns<'a>> {
        let drops = self.cache.drops();
        let instants = &self.dataset.instants;
        if matches!(instants, Instants::Events(_)) && self.topics.len() > 1 {
            return Err(Error::invalid(format!(
                "dataset {} is AT EVENTS, and projection {} reads {} topics: what was known of one at an event of another is not defined; write AT EVERY or AT ROWS",
                self.dataset.name,
                self.dataset.features.name,
                self.topics.len()
            )));
        }
        let checked = |step: &str, done: u64, total: u64| {
            self.cache.check(drops)?;
            progress(step, done, total)
        };
        let extraction = Extraction::of(self.dataset);
        let (mut tables, mut ranges) = (Vec::new(), Vec::new());
        for (topic, head) in self.topics {
            let found = self
                .cache
                .columns(*topic, *head, &extraction, cores(), &checked)?;
            tables.extend(found.tables);
            ranges.push(found.range);
        }
        Ok(LogColumns {
            build: self,
            drops,
            tables,
            ranges,
        })
    }
}

impl LogColumns<'_> {
    /// How far time is known to have gone, in nanoseconds since the epoch: to the largest event
    /// time where all topics are imported history, else to `clock`, or to when the last event of
    /// a topic was recorded that is read not to its head.
    pub fn frontier(&self, clock: i64, at_head: &[bool]) -> i64 {
        let imported = self
            .ranges
            .iter()
            .all(|range| range.imported || range.events == 0);
        let latest = self.ranges.iter().filter_map(|range| range.latest).max();
        match latest {
            Some(latest) if imported => latest,
            _ => {
                let cut = self
                    .ranges
                    .iter()
                    .zip(at_head)
                    .filter(|(_, at_head)| !**at_head);
                cut.map(|(range, _)| range.recorded).fold(clock, i64::min)
            }
        }
    }

    /// Events that are read, and how many of them were erased.
    pub fn events(&self) -> (u64, u64) {
        let range = self
            .ranges
            .iter()
            .fold(Range::default(), |all, next| all.then(*next));
        (range.events, range.erased)
    }

    fn source(&self) -> Result<(Source, Plan, Option<Plan>)> {
        let dataset = self.build.dataset;
        let definition = &dataset.features;
        let mut arguments = Vec::new();
        let features = Plan::of(&definition.aggregates, &definition.outputs, &mut arguments);
        let labels = dataset
            .labels
            .as_ref()
            .map(|labels| Plan::of(&labels.aggregates, &labels.outputs, &mut arguments));
        let known = match dataset.instants {
            Instants::Events(_) => POSITION,
            _ => KNOWN,
        };
        let columns = Columns {
            key: KEY.to_owned(),
            time: TIME.to_owned(),
            known: Some(known.to_owned()),
            inputs: definition.inputs.clone(),
            // Events that don't pass were not extracted.
            filter: None,
            condition: match &dataset.instants {
                Instants::Events(condition) => condition.clone(),
                _ => None,
            },
            arguments,
            extracted: true,
        };
        let source = Source::of(self.tables.clone(), columns)?;
        let types = source.argument_types();
        let typed = |plan: Plan| plan.typed(&types);
        let (features, labels) = (typed(features), labels.map(typed));
        Ok((source, features, labels))
    }

    /// Writes the dataset into `to`, the manifest with its counts in the footer. `table` is the
    /// label table of a dataset at rows.
    pub fn write<W: Write + Send>(
        &self,
        to: W,
        table: Option<&Path>,
        mut manifest: Manifest,
        progress: &Progress<'_>,
    ) -> Result<Manifest> {
        let checked = |step: &str, done: u64, total: u64| {
            self.build.cache.check(self.drops)?;
            progress(step, done, total)
        };
        let dataset = self.build.dataset;
        let means = Means {
            threads: cores(),
            memory: DATASET_EVENT_BYTES as u64,
        };
        let (source, features, labels) = self.source()?;
        let mut rows = self.rows(&source, table, means, &checked)?;
        let label_plan = match (&dataset.labels, labels) {
            (Some(labels), Some(plan)) => Some(LabelPlan {
                plan: plan.within(labels.horizon),
                horizon: labels.horizon,
                over_until: manifest.as_of_nanos()?.saturating_sub(labels.lateness),
            }),
            _ => None,
        };
        let build = Build {
            source: &source,
            features,
            labels: label_plan,
            split: &dataset.split,
            means,
        };
        let place = Path::new(&dataset.name);
        let schema = schema(build.fields(Some(&rows))?);
        let mut writer = TableWriter::create(to, place, schema, means.threads, Style::Table)?;
        let written = build.write(&mut rows, &mut writer, &checked)?;
        let (events, erased) = self.events();
        manifest.counts = Counts {
            rows: written.rows,
            incomplete: written.incomplete,
            events,
            erased,
        };
        writer.finish(Some(manifest.to_json()))?;
        Ok(manifest)
    }

    fn rows<'s>(
        &self,
        source: &'s Source,
        table: Option<&Path>,
        means: Means,
        progress: &Progress<'_>,
    ) -> Result<Rows<'s>> {
        let dataset = self.build.dataset;
        match (&dataset.instants, table) {
            (Instants::Rows { key, time }, Some(table)) => {
                let labels = Labels::open(table)?;
                TableRows::new(labels, key, time).map(Rows::Table)
            }
            (Instants::Rows { .. }, None) => Err(Error::invalid(format!(
                "dataset {} is built at the rows of a table: give it with --labels FILE",
                dataset.name
            ))),
            (_, Some(_)) => Err(Error::invalid(format!(
                "dataset {} has its own instants: leave --labels out, or write AT ROWS",
                dataset.name
            ))),
            (Instants::Every { interval, from, to }, None) => {
                let every = (*interval, *from, *to);
                Every::find(source, every, means.threads, progress).map(Rows::Every)
            }
            (Instants::Events(_), None) => Ok(Rows::Events(Events::new(source))),
        }
    }

    /// The columns of the dataset, by what was extracted. Those of a label table come before them.
    pub fn schema(&self) -> Result<Vec<SchemaColumn>> {
        let dataset = self.build.dataset;
        let (source, features, labels) = self.source()?;
        let rows = match &dataset.instants {
            Instants::Rows { .. } => None,
            Instants::Every { .. } => Some(Rows::Every(Every::none())),
            Instants::Events(_) => Some(Rows::Events(Events::new(&source))),
        };
        let build = Build {
            source: &source,
            features,
            labels: labels.map(|plan| LabelPlan {
                plan,
                horizon: 0,
                over_until: 0,
            }),
            split: &dataset.split,
            means: Means {
                threads: 1,
                memory: 0,
            },
        };
        let column = |field: arrow_schema::FieldRef| SchemaColumn {
            name: field.name().clone(),
            type_name: field.data_type().to_string(),
        };
        Ok(build
            .fields(rows.as_ref())?
            .into_iter()
            .map(column)
            .collect())
    }
}
