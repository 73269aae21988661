//! The columns of a log: what a dataset needs of each event, extracted once. They can be dropped
//! at any time, and are made anew from the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::{DataType, Field, FieldRef};
use foretell_state::{Expr, Input, Scalar, ValueType};
use foretell_types::limits::DATASET_COLUMN_EVENTS;
use foretell_types::{Error, Position, Result};

use crate::batch::{JSON, scalar_of};
use crate::output::{array, arrow_type};
use crate::plan::Argument;
use crate::source::Columns;
use crate::table::Table;
use crate::threads::cores;
use crate::write::{TableWriter, schema};

pub(crate) const KEY: &str = "key";
pub(crate) const TIME: &str = "time";
pub(crate) const KNOWN: &str = "known";
pub(crate) const POSITION: &str = "position";

/// One row: an event, as one of the keys that it touches.
#[derive(Debug)]
pub struct Row<'a> {
    pub key: &'a str,
    /// Event time and known time, in nanoseconds.
    pub time: i64,
    pub known: i64,
    pub position: Position,
    /// What each argument gives, null where its filter doesn't pass.
    pub arguments: &'a [Scalar<'a>],
}

/// A folder with the columns of a topic's events, in the order of their positions.
#[derive(Debug)]
pub struct ColumnStore {
    folder: PathBuf,
    arguments: usize,
    /// Whole files, and the last position in each.
    files: Vec<(PathBuf, u64)>,
    /// Rows that are not in a whole file.
    rest: Rest,
    last: u64,
}

#[derive(Debug, Default)]
struct Rest {
    keys: Vec<String>,
    times: Vec<i64>,
    known: Vec<i64>,
    positions: Vec<i64>,
    arguments: Vec<Vec<Scalar<'static>>>,
    /// What is there already in a file of its own, to be replaced.
    file: Option<PathBuf>,
    changed: bool,
}

impl ColumnStore {
    /// Opens a folder, or makes it. A file that can't be read is removed with those after it:
    /// they are made anew.
    pub fn open(folder: &Path, arguments: usize) -> Result<ColumnStore> {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::io(format_args!("can't make {}", folder.display()), error))?;
        let mut store = ColumnStore {
            folder: folder.to_owned(),
            arguments,
            files: Vec::new(),
            rest: Rest::new(arguments),
            last: 0,
        };
        let mut names: Vec<PathBuf> = std::fs::read_dir(folder)
            .map_err(|error| Error::io(format_args!("can't read {}", folder.display()), error))?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        names.sort();
        let mut sound = true;
        for path in names {
            if !sound || !store.take(&path) {
                sound = sound && path.extension().is_none_or(|extension| extension != "parquet");
                std::fs::remove_file(&path).map_err(|error| {
                    Error::io(format_args!("can't remove {}", path.display()), error)
                })?;
            }
        }
        Ok(store)
    }

    /// Takes a file up if it is the next one.
    fn take(&mut self, path: &Path) -> bool {
        let Some((first, last)) = positions(path) else {
            return false;
        };
        let Ok(table) = Table::open(path) else {
            return false;
        };
        let fits = first == self.last + 1
            && self.rest.file.is_none()
            && table.schema().fields().len() == 4 + self.arguments;
        if !fits {
            return false;
        }
        if table.rows() < DATASET_COLUMN_EVENTS as u64 {
            let Ok(rest) = Rest::read(&table, self.arguments) else {
                return false;
            };
            self.rest = rest;
            self.rest.file = Some(path.to_owned());
        } else {
            self.files.push((path.to_owned(), last));
        }
        self.last = last;
        true
    }

    /// The last position that is there.
    pub fn last(&self) -> Option<Position> {
        Position::new(self.last)
    }

    pub fn push(&mut self, row: &Row<'_>) -> Result<()> {
        let full = self.rest.keys.len() >= DATASET_COLUMN_EVENTS;
        let before = self.rest.positions.last().map_or(0, |last| *last as u64);
        // The rows of an event stay together.
        if full && before < row.position.get() {
            self.last = before;
            self.flush()?;
        }
        self.rest.push(row);
        Ok(())
    }

    /// All events up to a position were looked at, whether they touch a key or not.
    pub fn reached(&mut self, position: Position) {
        if position.get() > self.last {
            self.last = position.get();
            self.rest.changed = true;
        }
    }

    /// Writes what is new. Call it once all rows of the last position are pushed.
    pub fn flush(&mut self) -> Result<()> {
        if !self.rest.changed {
            return Ok(());
        }
        let first = self.files.last().map_or(0, |(_, last)| *last) + 1;
        let path = self.folder.join(format!("{first:020}-{:020}.parquet", self.last));
        self.rest.write(&path)?;
        if let Some(old) = self.rest.file.take()
            && old != path
        {
            std::fs::remove_file(&old)
                .map_err(|error| Error::io(format_args!("can't remove {}", old.display()), error))?;
        }
        if self.rest.keys.len() >= DATASET_COLUMN_EVENTS {
            self.files.push((path, self.last));
            self.rest = Rest::new(self.arguments);
        } else {
            self.rest.file = Some(path);
            self.rest.changed = false;
        }
        Ok(())
    }

    /// All files that hold rows up to a position.
    pub(crate) fn files(&self, until: u64) -> Vec<PathBuf> {
        let mut before = 0;
        let whole = self.files.iter().map(|(path, last)| (path, *last));
        let rest = self.rest.file.as_ref().map(|path| (path, self.last));
        whole
            .chain(rest)
            .filter(|(_, last)| std::mem::replace(&mut before, *last) < until)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.files(u64::MAX)
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|found| found.len())
            .sum()
    }
}

/// How the columns are read. `positions`: what may be known is a bound on positions, not on times.
pub(crate) fn columns(arguments: &[Argument], positions: bool, until: u64) -> Columns {
    let names = 0..arguments.len();
    Columns {
        key: KEY.to_owned(),
        time: TIME.to_owned(),
        known: Some(if positions { POSITION } else { KNOWN }.to_owned()),
        inputs: names
            .clone()
            .map(|index| Input::Attribute(argument_name(index)))
            .collect(),
        arguments: names
            .map(|index| Argument {
                value: Some(Expr::Input(index)),
                filter: None,
            })
            .collect(),
        filter: None,
        until: Some((POSITION.to_owned(), i64::try_from(until).unwrap_or(i64::MAX))),
    }
}

fn argument_name(index: usize) -> String {
    format!("a{index}")
}

/// The first and last position in a file's name.
fn positions(path: &Path) -> Option<(u64, u64)> {
    let (first, last) = path.file_name()?.to_str()?.strip_suffix(".parquet")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

impl Rest {
    fn new(arguments: usize) -> Rest {
        Rest {
            arguments: vec![Vec::new(); arguments],
            ..Rest::default()
        }
    }

    fn push(&mut self, row: &Row<'_>) {
        self.keys.push(row.key.to_owned());
        self.times.push(row.time);
        self.known.push(row.known);
        self.positions.push(row.position.get() as i64);
        for (column, value) in self.arguments.iter_mut().zip(row.arguments) {
            column.push(value.clone().into_owned());
        }
        self.changed = true;
    }

    fn read(table: &Table, arguments: usize) -> Result<Rest> {
        let mut rest = Rest::new(arguments);
        let names = [KEY, TIME, KNOWN, POSITION].map(str::to_owned).into_iter();
        let names = names.chain((0..arguments).map(argument_name));
        let columns = names.map(|name| table.column(&name)).collect::<Result<Vec<_>>>()?;
        let all: Vec<usize> = (0..columns.len()).collect();
        for group in 0..table.row_groups() {
            for batch in table.read(group, &all, DATASET_COLUMN_EVENTS)? {
                let batch = batch.map_err(|error| table.failed(error))?;
                let column = |index: usize| batch.column(columns[index]);
                for row in 0..batch.num_rows() {
                    let text = |index| scalar_of(table.field(columns[index]), column(index), row);
                    rest.keys.push(text(0).to_key().unwrap_or_default().into_owned());
                    for (argument, values) in rest.arguments.iter_mut().enumerate() {
                        values.push(text(4 + argument).into_owned());
                    }
                }
                rest.times.extend(crate::time::nanos(column(1))?);
                rest.known.extend(crate::time::nanos(column(2))?);
                rest.positions.extend(crate::batch::int64(column(3))?);
            }
        }
        Ok(rest)
    }

    fn write(&self, path: &Path) -> Result<()> {
        let times = |values: &[i64]| -> ArrayRef {
            let array = arrow_array::TimestampNanosecondArray::from(values.to_vec());
            Arc::new(array.with_timezone("UTC"))
        };
        let time = arrow_type(ValueType::Time);
        let mut fields: Vec<FieldRef> = vec![
            Arc::new(Field::new(KEY, DataType::Utf8, false)),
            Arc::new(Field::new(TIME, time.clone(), false)),
            Arc::new(Field::new(KNOWN, time, false)),
            Arc::new(Field::new(POSITION, DataType::Int64, false)),
        ];
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(&self.keys)),
            times(&self.times),
            times(&self.known),
            Arc::new(Int64Array::from(self.positions.clone())),
        ];
        for (index, values) in self.arguments.iter().enumerate() {
            let (field, array) = argument_column(&argument_name(index), values)?;
            fields.push(Arc::new(field));
            arrays.push(array);
        }
        let mut writer = TableWriter::create(path, schema(fields), cores())?;
        if !self.keys.is_empty() {
            writer.write(self.keys.len(), |column| Ok(arrays[column].clone()))?;
        }
        writer.finish()?;
        Ok(())
    }
}

/// The narrowest column that holds all values; JSON text where they are of several kinds.
fn argument_column(name: &str, values: &[Scalar<'static>]) -> Result<(Field, ArrayRef)> {
    let kinds = values.iter().filter(|value| !value.is_null()).map(ValueType::of);
    let kind = kinds.reduce(|a, b| if a == b { a } else { ValueType::Any });
    let as_json = || {
        let texts = values.iter().map(|value| match value {
            Scalar::Null => None,
            value => Some(value.to_json()),
        });
        let array: StringArray = texts.collect();
        let metadata: std::collections::HashMap<String, String> =
            [(JSON.to_owned(), "true".to_owned())].into();
        let field = Field::new(name, DataType::Utf8, true).with_metadata(metadata);
        (field, Arc::new(array) as ArrayRef)
    };
    let kind = match kind {
        None => ValueType::Int,
        Some(ValueType::Any | ValueType::Number) => return Ok(as_json()),
        Some(kind) => kind,
    };
    match array(values, kind) {
        Ok(array) => Ok((Field::new(name, arrow_type(kind), true), array)),
        // An integer of more than 64 bits.
        Err(_) => Ok(as_json()),
    }
}
