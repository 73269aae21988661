//! Datasets out of tables: events and label rows as Parquet files, no log and no server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{Field, FieldRef};
use foretell_state::Definition;
use foretell_types::limits::{DATASET_EVENT_BYTES, DATASET_LABEL_ROWS};
use foretell_types::{Error, Result};

use crate::fold::{Instants, Means, Progress, fold};
use crate::key::{KEYS, is_key};
use crate::labels::Labels;
use crate::output::arrow_type;
use crate::plan::Plan;
use crate::source::{Columns, Source};
use crate::threads::cores;
use crate::time::{TIMES, nanos, unit};
use crate::write::{TableWriter, schema};

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
        let plan = Plan::of(self.definition);
        let columns = Columns {
            key: self.key.to_owned(),
            time: self.time.to_owned(),
            known: self.known_time.map(str::to_owned),
            inputs: self.definition.inputs.clone(),
            filter: self.definition.filter.clone(),
            arguments: plan.arguments.clone(),
        };
        let source = Source::open(self.events, columns)?;
        let plan = plan.typed(&source.argument_types());
        let mut labels = Labels::open(self.labels)?;
        let (key, time) = self.label_columns(&labels)?;
        let kept = labels.schema().fields().len();
        let fields = fields(&labels, &plan)?;
        let means = Means {
            threads: cores(),
            memory: DATASET_EVENT_BYTES as u64,
        };
        let mut writer = TableWriter::create(out, schema(fields), means.threads)?;
        let mut rows = 0;
        while let Some(columns) = labels.next(DATASET_LABEL_ROWS, means.threads)? {
            let at = |error: Error| {
                let (path, column) = (self.labels.display(), self.label_time);
                error.context(format_args!(
                    "{path}, column {column:?}, from row {rows} on"
                ))
            };
            let instants = Instants {
                keys: columns[key].clone(),
                times: nanos(&columns[time]).map_err(at)?,
                known: None,
            };
            let count = instants.times.len();
            let folded = fold(&source, &plan, &instants, means, progress)?;
            drop(instants);
            progress("writing", rows, labels.rows().unwrap_or(rows))?;
            writer.write(count, |column| match columns.get(column) {
                Some(array) => Ok(array.clone()),
                None => plan.outputs[column - kept].array(&folded, count),
            })?;
            rows += count as u64;
        }
        Ok(Built {
            rows,
            columns: kept + plan.outputs.len(),
            events: source.rows(),
            bytes: writer.finish()?,
        })
    }

    fn label_columns(&self, labels: &Labels) -> Result<(usize, usize)> {
        let (key, time) = (
            labels.column(self.label_key)?,
            labels.column(self.label_time)?,
        );
        let wrong = |column: usize, wanted: &str| {
            let schema = labels.schema();
            let field = schema.field(column);
            Err(Error::invalid(format!(
                "{}: column {:?} is of type {}: expected {wanted}",
                self.labels.display(),
                field.name(),
                field.data_type()
            )))
        };
        let schema = labels.schema();
        if !is_key(schema.field(key).data_type()) {
            return wrong(key, KEYS);
        }
        if unit(schema.field(time).data_type()).is_none() {
            return wrong(time, TIMES);
        }
        Ok((key, time))
    }
}

/// The fields of the label table, then those of the plan. A name that both have is an error.
fn fields(labels: &Labels, plan: &Plan) -> Result<Vec<FieldRef>> {
    let mut fields: Vec<FieldRef> = labels.schema().fields().iter().cloned().collect();
    for output in &plan.outputs {
        if fields.iter().any(|field| *field.name() == output.name) {
            return Err(Error::invalid(format!(
                "the label table has a column {:?} already: give the projection's another name with AS",
                output.name
            )));
        }
        let field = Field::new(&output.name, arrow_type(output.value_type), true);
        fields.push(Arc::new(field));
    }
    Ok(fields)
}
