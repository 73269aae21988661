//! A dataset as a folder of Parquet files, one for each value of some columns.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::take::take;
use foretell_types::limits::{DATASET_PARTITION_BYTES, DATASET_PARTITIONS};
use foretell_types::{Error, ErrorKind, Result};
use hashbrown::HashMap;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::batch::scalar;
use crate::fold::Progress;
use crate::key::plain;
use crate::partial::Partial;
use crate::table::{NOTE, Table, failed};
use crate::write::{ROW_GROUP, Style, properties};

/// Rows that are spread at once.
const BATCH: usize = 64 * 1024;
/// What others know as the partition of the rows without a value.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";
const NAME: &str = "part-0.parquet";
/// All but letters, digits and these.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Where a dataset goes that is partitioned by these columns, or by none, must be free: a file is
/// put in place of another, a folder is not.
pub fn check_place(out: &Path, by: &[String]) -> Result<()> {
    if by.is_empty() || !out.exists() {
        return Ok(());
    }
    let message = format!(
        "{} is there already: remove it, or name another folder",
        out.display()
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

/// Gives a dataset its name: as it is, or spread over the folder `out` by the values of some
/// columns: `COLUMN=VALUE/…/part-0.parquet`, as Hive names them and DuckDB, polars, Spark and
/// pandas read them. Those columns are in the names alone; rows keep their order, and the note of
/// the footer is in each file. Tells how many bytes it has.
pub fn place(partial: Partial, out: &Path, by: &[String], progress: &Progress<'_>) -> Result<u64> {
    if by.is_empty() {
        return partial.name();
    }
    check_place(out, by)?;
    let table = Table::open(partial.path())?;
    let folder = Folder::create(out)?;
    let bytes = Spread::of(&table, &folder.parts, by)?.write(progress)?;
    folder.name()?;
    Ok(bytes)
}

/// The columns to partition by, and the others.
pub(crate) fn columns(schema: &Schema, by: &[String]) -> Result<(Vec<usize>, Vec<usize>)> {
    let fields = schema.fields().iter();
    let names: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
    let found = check_columns(&names, by)?;
    let kept = (0..names.len()).filter(|column| !found.contains(column));
    let kept = kept.collect();
    Ok((found, kept))
}

/// Where the columns to partition by are among all columns. Fails if one isn't there, or if none
/// of the others is.
pub fn check_columns(names: &[&str], by: &[String]) -> Result<Vec<usize>> {
    let mut found = Vec::with_capacity(by.len());
    for name in by {
        match names.iter().position(|other| other == name) {
            Some(column) if found.contains(&column) => {
                return Err(Error::invalid(format!(
                    "column {name:?} is named twice to partition by"
                )));
            }
            Some(column) => found.push(column),
            None => {
                return Err(Error::invalid(format!(
                    "there is no column {name:?} to partition by; there are: {}",
                    names.join(", ")
                )));
            }
        }
    }
    if found.len() == names.len() {
        return Err(Error::invalid(
            "a dataset that is partitioned by all its columns has none left",
        ));
    }
    Ok(found)
}

/// A folder in the making, `NAME.parts`. It is removed unless it gets its name.
struct Folder {
    parts: PathBuf,
    path: PathBuf,
}

impl Folder {
    fn create(path: &Path) -> Result<Folder> {
        let mut name = path.as_os_str().to_owned();
        name.push(".parts");
        let parts = PathBuf::from(name);
        // Left over of one that was killed.
        let _ = std::fs::remove_dir_all(&parts);
        std::fs::create_dir_all(&parts).map_err(|error| unwritten(&parts, error))?;
        let path = path.to_owned();
        Ok(Folder { parts, path })
    }

    fn name(self) -> Result<()> {
        std::fs::rename(&self.parts, &self.path).map_err(|error| unwritten(&self.path, error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Once it has its name, there is none of this one.
        let _ = std::fs::remove_dir_all(&self.parts);
    }
}

struct Spread<'a> {
    table: &'a Table,
    folder: &'a Path,
    by: Vec<usize>,
    /// The other columns.
    kept: Vec<usize>,
    schema: SchemaRef,
    files: HashMap<String, ArrowWriter<File>>,
}

impl<'a> Spread<'a> {
    fn of(table: &'a Table, folder: &'a Path, by: &[String]) -> Result<Spread<'a>> {
        let (by, kept) = columns(table.schema(), by)?;
        let fields = kept
            .iter()
            .map(|column| table.schema().fields()[*column].clone());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Spread {
            table,
            folder,
            by,
            kept,
            schema,
            files: HashMap::new(),
        })
    }

    fn write(mut self, progress: &Progress<'_>) -> Result<u64> {
        let columns: Vec<usize> = (0..self.table.schema().fields().len()).collect();
        let mut done = 0;
        for group in 0..self.table.row_groups() {
            for batch in self.table.read(group, &columns, BATCH)? {
                let batch = batch.map_err(|error| self.table.failed(error))?;
                self.spread(&batch)?;
                done += batch.num_rows() as u64;
                progress("partitioning", done, self.table.rows())?;
            }
        }
        let mut bytes = 0;
        for (name, mut file) in self.files {
            let path = self.folder.join(&name).join(NAME);
            if let Some(note) = self.table.note() {
                file.append_key_value_metadata(KeyValue::new(NOTE.to_owned(), note.to_owned()));
            }
            let file = file.into_inner().map_err(|error| failed(&path, error))?;
            let found = file.metadata().map_err(|error| unwritten(&path, error))?;
            bytes += found.len();
        }
        Ok(bytes)
    }

    fn spread(&mut self, batch: &RecordBatch) -> Result<()> {
        let by = self.by.iter().map(|column| {
            let name = encode(self.table.field(*column).name()).to_string();
            Ok((name, plain(batch.column(*column))?))
        });
        let by = by.collect::<Result<Vec<(String, ArrayRef)>>>()?;
        let mut rows = HashMap::<String, Vec<u32>>::new();
        let mut name = String::new();
        for row in 0..batch.num_rows() {
            name.clear();
            for (column, values) in &by {
                if !name.is_empty() {
                    name.push('/');
                }
                name.push_str(column);
                name.push('=');
                match scalar(values, row).to_key() {
                    None => name.push_str(NULL),
                    Some(value) if value == NULL => {
                        return Err(Error::invalid(format!(
                            "a value is {NULL}, which stands for none in the name of a partition"
                        )));
                    }
                    Some(value) => name.extend(encode(&value)),
                }
            }
            rows.entry_ref(name.as_str()).or_default().push(row as u32);
        }
        for (name, rows) in rows {
            self.append(&name, batch, rows)?;
        }
        // Each file holds the rows of its row group back, until there is too much of it.
        let held = |file: &ArrowWriter<File>| file.in_progress_size();
        if self.files.values().map(held).sum::<usize>() > DATASET_PARTITION_BYTES {
            for (name, file) in &mut self.files {
                let path = self.folder.join(name).join(NAME);
                file.flush().map_err(|error| failed(&path, error))?;
            }
        }
        Ok(())
    }

    fn append(&mut self, name: &str, batch: &RecordBatch, rows: Vec<u32>) -> Result<()> {
        let path = self.folder.join(name).join(NAME);
        let rows = UInt32Array::from(rows);
        let columns = self.kept.iter().map(|column| {
            take(batch.column(*column), &rows, None)
                .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let rows = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
        if !self.files.contains_key(name) {
            if self.files.len() == DATASET_PARTITIONS {
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!(
                        "there are more than {DATASET_PARTITIONS} partitions: partition by columns with fewer values"
                    ),
                ));
            }
            let file = create(&path)?;
            let properties = properties(&self.schema, Style::Table)
                .set_max_row_group_row_count(Some(ROW_GROUP))
                .build();
            let file = ArrowWriter::try_new(file, self.schema.clone(), Some(properties))
                .map_err(|error| failed(&path, error))?;
            self.files.insert(name.to_owned(), file);
        }
        match self.files.get_mut(name) {
            Some(file) => file.write(&rows).map_err(|error| failed(&path, error)),
            None => Ok(()),
        }
    }
}

fn create(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, error))?;
    }
    File::create(path).map_err(|error| unwritten(path, error))
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::io(format_args!("can't write {}", path.display()), error)
}

/// As part of a path, which no value leads out of.
fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ESCAPED)
}
