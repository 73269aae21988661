//! Parquet files that are read in parallel, a row group at a time.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, SchemaRef};
use bytes::Bytes;
use foretell_types::{Error, ErrorKind, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// What a file's footer says of it beside its rows, under this key.
pub(crate) const NOTE: &str = "foretell";

/// A Parquet file, its footer read. It is read to the end even if it loses its name meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    path: PathBuf,
    file: Pieces,
    metadata: ArrowReaderMetadata,
}

/// A file that several threads read at once.
#[derive(Clone, Debug)]
struct Pieces {
    file: Arc<File>,
    bytes: u64,
}

/// A file from a place on.
struct Rest {
    pieces: Pieces,
    at: u64,
}

impl Length for Pieces {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.pieces.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl ChunkReader for Pieces {
    type T = BufReader<Rest>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(Rest {
            pieces: self.clone(),
            at: start,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        // A footer that is damaged may name any length.
        if start.saturating_add(length as u64) > self.bytes {
            return Err(ParquetError::EOF(format!(
                "bytes {start} to {start} + {length} of {} are needed",
                self.bytes
            )));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl Table {
    pub(crate) fn open(path: &Path) -> Result<Table> {
        let file = open(path)?;
        let found = file
            .metadata()
            .map_err(|error| Error::io(format_args!("can't read {}", path.display()), error))?;
        let file = Pieces {
            file: Arc::new(file),
            bytes: found.len(),
        };
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| failed(path, error))?;
        Ok(Table {
            path: path.to_owned(),
            file,
            metadata,
        })
    }

    /// What its writer noted in its footer.
    pub(crate) fn note(&self) -> Option<&str> {
        let notes = self.metadata.metadata().file_metadata();
        let note = notes
            .key_value_metadata()?
            .iter()
            .find(|note| note.key == NOTE);
        note?.value.as_deref()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    pub(crate) fn rows(&self) -> u64 {
        let rows = self.metadata.metadata().file_metadata().num_rows();
        u64::try_from(rows).unwrap_or(0)
    }

    pub(crate) fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    pub(crate) fn rows_of(&self, row_group: usize) -> u64 {
        let rows = self.metadata.metadata().row_group(row_group).num_rows();
        u64::try_from(rows).unwrap_or(0)
    }

    /// The place of a column, by its name.
    pub(crate) fn column(&self, name: &str) -> Result<usize> {
        let schema = self.schema();
        if let Some((index, _)) = schema.column_with_name(name) {
            return Ok(index);
        }
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        Err(Error::invalid(format!(
            "{}: there is no column {name:?}; there are: {}",
            self.path.display(),
            names.join(", ")
        )))
    }

    pub(crate) fn field(&self, column: usize) -> &Field {
        self.schema().field(column)
    }

    /// Reads columns of a row group, in batches. The columns of a batch are in the order of the
    /// file, whatever the order of `columns`.
    pub(crate) fn read(
        &self,
        row_group: usize,
        columns: &[usize],
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader> {
        let schema = self.metadata.parquet_schema();
        let mask = ProjectionMask::roots(schema, columns.iter().copied());
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_groups(vec![row_group])
            .with_projection(mask)
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| failed(&self.path, error))
    }

    /// Reads one column over a range of rows.
    pub(crate) fn read_rows(
        &self,
        column: usize,
        from: u64,
        count: u64,
    ) -> Result<ParquetRecordBatchReader> {
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), [column]);
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_projection(mask)
            .with_offset(from as usize)
            .with_limit(count as usize)
            .with_batch_size(count as usize)
            .build()
            .map_err(|error| failed(&self.path, error))
    }

    /// An error of reading this file.
    pub(crate) fn failed(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        damaged(&self.path, error)
    }

    /// A column that is of no type that is understood.
    pub(crate) fn wrong_type(&self, name: &str, found: &DataType, wanted: &str) -> Error {
        Error::invalid(format!(
            "{}: column {name:?} is of type {found}: expected {wanted}",
            self.path.display()
        ))
    }
}

pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| {
        let kind = error.kind();
        let failed = Error::io(format_args!("can't read {}", path.display()), error);
        match kind {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("there is no file {}", path.display()))
            }
            _ => failed,
        }
    })
}

/// What the Parquet library says of a file.
pub(crate) fn failed(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(_) => {
            Error::new(ErrorKind::Io, format!("{}: {error}", path.display())).with_source(error)
        }
        error => damaged(path, error),
    }
}

fn damaged(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid(format!(
        "{} can't be read as Parquet: {error}",
        path.display()
    ))
    .with_source(error)
}
