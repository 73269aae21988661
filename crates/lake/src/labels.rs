//! Label tables: the rows that a dataset is to have, each with a key and an instant.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchReader, new_empty_array};
use arrow_csv::reader::Format;
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::concat;
use foretell_types::{Error, Result};

use crate::table::{Table, open};
use crate::threads::spread;

/// Rows of a CSV file that tell the types of its columns.
const INFERRED_ROWS: usize = 100_000;

/// A label table, read a block of rows at a time.
#[derive(Debug)]
pub(crate) enum Labels {
    Parquet { table: Table, next: u64 },
    Csv(Box<Csv>),
}

pub(crate) struct Csv {
    path: PathBuf,
    schema: SchemaRef,
    reader: arrow_csv::Reader<File>,
}

impl std::fmt::Debug for Csv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Csv({})", self.path.display())
    }
}

impl Labels {
    /// Opens a table: CSV with a header if the name ends in `.csv`, else Parquet.
    pub(crate) fn open(path: &Path) -> Result<Labels> {
        let is_csv = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        if !is_csv {
            let table = Table::open(path)?;
            return Ok(Labels::Parquet { table, next: 0 });
        }
        let bad = |error: arrow_schema::ArrowError| {
            Error::invalid(format!("{} can't be read as CSV: {error}", path.display()))
        };
        let format = Format::default().with_header(true);
        let mut file = open(path)?;
        let (schema, _) = format
            .infer_schema(BufReader::new(&file), Some(INFERRED_ROWS))
            .map_err(bad)?;
        file.rewind()
            .map_err(|error| Error::io(format_args!("can't read {}", path.display()), error))?;
        let schema = Arc::new(schema);
        let reader = arrow_csv::ReaderBuilder::new(schema.clone())
            .with_header(true)
            .build(file)
            .map_err(bad)?;
        Ok(Labels::Csv(Box::new(Csv {
            path: path.to_owned(),
            schema,
            reader,
        })))
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        match self {
            Labels::Parquet { table, .. } => table.schema().clone(),
            Labels::Csv(csv) => csv.schema.clone(),
        }
    }

    /// Where it lies, for messages.
    pub(crate) fn display(&self) -> std::path::Display<'_> {
        match self {
            Labels::Parquet { table, .. } => table.path().display(),
            Labels::Csv(csv) => csv.path.display(),
        }
    }

    /// How many rows there are, if that is known beforehand.
    pub(crate) fn rows(&self) -> Option<u64> {
        match self {
            Labels::Parquet { table, .. } => Some(table.rows()),
            Labels::Csv(_) => None,
        }
    }

    /// The place of a column.
    pub(crate) fn column(&self, name: &str) -> Result<usize> {
        let schema = self.schema();
        schema.index_of(name).map_err(|_| {
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            Error::invalid(format!(
                "the label table has no column {name:?}; it has: {}",
                names.join(", ")
            ))
        })
    }

    /// The columns of the next rows; `None` at the end.
    pub(crate) fn next(&mut self, rows: usize, threads: usize) -> Result<Option<Vec<ArrayRef>>> {
        match self {
            Labels::Parquet { table, next } => {
                let count = (table.rows() - *next).min(rows as u64);
                if count == 0 {
                    return Ok(None);
                }
                let columns = spread(threads, table.schema().fields().len(), |column| {
                    let reader = table.read_rows(column, *next, count)?;
                    joined(table.schema(), column, reader, |error| table.failed(error))
                })?;
                *next += count;
                Ok(Some(columns))
            }
            Labels::Csv(csv) => csv.next(rows),
        }
    }
}

fn joined(
    schema: &Schema,
    column: usize,
    reader: impl RecordBatchReader,
    failed: impl Fn(arrow_schema::ArrowError) -> Error,
) -> Result<ArrayRef> {
    let mut parts = Vec::new();
    for batch in reader {
        parts.push(batch.map_err(&failed)?.column(0).clone());
    }
    join(&parts, schema, column).map_err(failed)
}

fn join(
    parts: &[ArrayRef],
    schema: &Schema,
    column: usize,
) -> Result<ArrayRef, arrow_schema::ArrowError> {
    match parts {
        [] => Ok(new_empty_array(schema.field(column).data_type())),
        [one] => Ok(one.clone()),
        parts => {
            let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
            concat(&parts)
        }
    }
}

impl Csv {
    fn next(&mut self, rows: usize) -> Result<Option<Vec<ArrayRef>>> {
        let path = self.path.clone();
        let bad = |error| Error::invalid(format!("{}: {error}", path.display()));
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut count = 0;
        while count < rows {
            let Some(batch) = self.reader.next() else {
                break;
            };
            let batch = batch.map_err(bad)?;
            count += batch.num_rows();
            batches.push(batch);
        }
        if count == 0 {
            return Ok(None);
        }
        let columns = 0..self.schema.fields().len();
        let columns = columns.map(|column| {
            let parts: Vec<ArrayRef> = batches
                .iter()
                .map(|batch| batch.column(column).clone())
                .collect();
            join(&parts, &self.schema, column).map_err(bad)
        });
        columns.collect::<Result<Vec<_>>>().map(Some)
    }
}
