//! Rows of a dataset: what they begin with, the columns of a projection, labels, their parts.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, BooleanArray};
use arrow_schema::{DataType, Field, FieldRef};
use arrow_select::nullif::nullif;
use foretell_state::Split;
use foretell_types::limits::DATASET_LABEL_ROWS;
use foretell_types::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

use crate::fold::{Folded, Knows, Means, Progress, Question, fold};
use crate::key::each_text;
use crate::output::arrow_type;
use crate::plan::{Output, Plan};
use crate::rows::{Block, Rows};
use crate::source::Source;
use crate::write::TableWriter;

/// The columns that come with labels and with a split.
const COMPLETE: &str = "label_complete";
const SPLIT: &str = "split";

pub(crate) struct Build<'a> {
    pub(crate) source: &'a Source,
    pub(crate) features: Plan,
    pub(crate) labels: Option<LabelPlan>,
    pub(crate) split: &'a Split,
    pub(crate) means: Means,
}

/// What is folded over (instant, instant + horizon], as known at the end.
pub(crate) struct LabelPlan {
    pub(crate) plan: Plan,
    pub(crate) horizon: i64,
    /// A horizon that ends later isn't over.
    pub(crate) over_until: i64,
}

/// How many rows there are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Written {
    pub(crate) rows: u64,
    /// Rows whose horizon isn't over.
    pub(crate) incomplete: u64,
}

/// A column of the dataset.
enum Column<'a> {
    Kept(usize),
    Feature(&'a Output),
    Label(&'a Output),
    Complete,
    Split,
}

impl Build<'_> {
    fn layout(&self, kept: usize) -> Vec<Column<'_>> {
        let mut layout: Vec<Column<'_>> = (0..kept).map(Column::Kept).collect();
        layout.extend(self.features.outputs.iter().map(Column::Feature));
        if let Some(labels) = &self.labels {
            layout.extend(labels.plan.outputs.iter().map(Column::Label));
            layout.push(Column::Complete);
        }
        if !self.split.parts().is_empty() {
            layout.push(Column::Split);
        }
        layout
    }

    /// The fields of the dataset, with those of its rows. A name that is there twice is an error.
    pub(crate) fn fields(&self, rows: Option<&Rows<'_>>) -> Result<Vec<FieldRef>> {
        let kept = rows.map_or_else(Vec::new, Rows::fields);
        let mut fields: Vec<FieldRef> = Vec::new();
        for column in self.layout(kept.len()) {
            let (field, what) = match column {
                Column::Kept(index) => (kept[index].clone(), "row's"),
                Column::Feature(output) => (field(output), "projection's"),
                Column::Label(output) => (field(output), "label's"),
                Column::Complete => {
                    let field = Field::new(COMPLETE, DataType::Boolean, false);
                    (Arc::new(field), "row's")
                }
                Column::Split => (Arc::new(Field::new(SPLIT, DataType::Utf8, true)), "row's"),
            };
            if fields.iter().any(|other| other.name() == field.name()) {
                let name = field.name();
                return Err(Error::invalid(match what {
                    "row's" => format!(
                        "there are two columns {name:?}: rename that of the label table or of the projection"
                    ),
                    what => format!(
                        "there is a column {name:?} already: give the {what} another name with AS"
                    ),
                }));
            }
            fields.push(field);
        }
        Ok(fields)
    }

    /// Writes all rows.
    pub(crate) fn write<W: Write + Send>(
        &self,
        rows: &mut Rows<'_>,
        writer: &mut TableWriter<W>,
        progress: &Progress<'_>,
    ) -> Result<Written> {
        let layout = self.layout(rows.fields().len());
        let mut written = Written::default();
        while let Some(block) = rows.next(DATASET_LABEL_ROWS, self.means.threads)? {
            let mut made = self.fold(&block, progress)?;
            let count = block.times.len();
            progress(
                "writing",
                written.rows,
                rows.count().unwrap_or(written.rows),
            )?;
            writer.write(count, |column| match &layout[column] {
                Column::Kept(index) => Ok(block.columns[*index].clone()),
                Column::Feature(output) => output.array(&made.features, count),
                Column::Label(output) => made.label(output, count),
                Column::Complete => Ok(Arc::new(made.complete.clone())),
                Column::Split => self.parts(&block),
            })?;
            made.features.parts.clear();
            written.rows += count as u64;
            written.incomplete += made.complete.false_count() as u64;
        }
        Ok(written)
    }

    fn fold(&self, block: &Block, progress: &Progress<'_>) -> Result<Made> {
        let mut questions = vec![Question {
            features: &self.features.features,
            times: &block.times,
            known: block.knows(),
        }];
        let mut ends = Vec::new();
        let mut complete = Vec::new();
        if let Some(labels) = &self.labels {
            let end = |time: &i64| time.saturating_add(labels.horizon);
            ends = block.times.iter().map(end).collect();
            complete = ends.iter().map(|end| *end <= labels.over_until).collect();
            questions.push(Question {
                features: &labels.plan.features,
                times: &ends,
                known: Knows::All,
            });
        }
        let folded = fold(self.source, &block.keys, &questions, self.means, progress)?;
        drop(questions);
        drop(ends);
        let mut folded = folded.into_iter();
        Ok(Made {
            features: folded.next().unwrap_or_default(),
            labels: folded.next().unwrap_or_default(),
            complete: complete.into(),
        })
    }

    /// The names of the parts that rows are in.
    fn parts(&self, block: &Block) -> Result<ArrayRef> {
        let names = self.split.parts();
        let horizon = self.labels.as_ref().map_or(0, |labels| labels.horizon);
        let mut parts: Vec<Option<usize>> = match self.split.times.is_empty() {
            true => vec![Some(usize::MAX); block.times.len()],
            false => {
                let part = |time: &i64| self.split.of_time(*time, horizon);
                block.times.iter().map(part).collect()
            }
        };
        if !self.split.shares.is_empty() {
            let by_time = !self.split.times.is_empty();
            let mut next = parts.iter_mut();
            each_text(&block.keys, |key| {
                let Some(part) = next.next() else { return };
                let of_key = key.map(|key| self.split.of_hundredth(hundredth(key)));
                *part = match (by_time, *part == of_key) {
                    (false, _) | (true, true) => of_key,
                    (true, false) => None,
                };
            })?;
        }
        let mut column = StringBuilder::new();
        for part in parts {
            column.append_option(part.and_then(|part| names.get(part)));
        }
        Ok(Arc::new(column.finish()))
    }
}

/// Where a key falls among a hundred: the same everywhere and for ever.
pub(crate) fn hundredth(key: &str) -> u32 {
    (xxh3_64(key.as_bytes()) % 100) as u32
}

fn field(output: &Output) -> FieldRef {
    Arc::new(Field::new(
        &output.name,
        arrow_type(output.value_type),
        true,
    ))
}

/// The aggregates of a block.
struct Made {
    features: Folded,
    labels: Folded,
    complete: BooleanArray,
}

impl Made {
    /// A label is null where its horizon isn't over: what has not happened yet is not known.
    fn label(&self, output: &Output, rows: usize) -> Result<ArrayRef> {
        let column = output.array(&self.labels, rows)?;
        if self.complete.false_count() == 0 {
            return Ok(column);
        }
        let open = self
            .complete
            .values()
            .iter()
            .map(|complete| Some(!complete));
        nullif(&column, &open.collect::<BooleanArray>())
            .map_err(|error| Error::invalid(format!("column {:?}: {error}", output.name)))
    }
}

impl std::fmt::Debug for Build<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Build({} columns)", self.layout(0).len())
    }
}
