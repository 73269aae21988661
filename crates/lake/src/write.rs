//! Parquet files that are written in parallel, a column at a time.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};
use foretell_types::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::table::failed;
use crate::threads::spread;

/// Rows of a row group: what a reader skips by its statistics.
const ROW_GROUP: usize = 256 * 1024;

/// A file in the making. It has its name once it is whole.
pub(crate) struct TableWriter {
    path: PathBuf,
    partial: Partial,
    schema: SchemaRef,
    writer: SerializedFileWriter<BufWriter<File>>,
    factory: ArrowRowGroupWriterFactory,
    row_groups: usize,
    threads: usize,
}

/// A file without its name. It is removed unless it gets that.
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // What is left over is written anew by the next try.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl std::fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableWriter({})", self.path.display())
    }
}

impl TableWriter {
    pub(crate) fn create(path: &Path, schema: SchemaRef, threads: usize) -> Result<TableWriter> {
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let file = File::create(&partial)
            .map_err(|error| Error::io(format_args!("can't write {}", path.display()), error))?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by("foretell".to_owned());
        for field in schema.fields() {
            // Numbers rarely repeat so often that a dictionary is worth its time.
            if field.data_type().is_numeric()
                || matches!(field.data_type(), DataType::Timestamp(..))
            {
                let column = ColumnPath::new(vec![field.name().clone()]);
                properties = properties.set_column_dictionary_enabled(column, false);
            }
        }
        let (writer, factory) = ArrowWriter::try_new(
            BufWriter::with_capacity(1 << 20, file),
            schema.clone(),
            Some(properties.build()),
        )
        .and_then(ArrowWriter::into_serialized_writer)
        .map_err(|error| failed(path, error))?;
        Ok(TableWriter {
            path: path.to_owned(),
            partial: Partial(Some(partial)),
            schema,
            writer,
            factory,
            row_groups: 0,
            threads,
        })
    }

    /// Writes rows: each column is made, encoded and dropped by one task.
    pub(crate) fn write(
        &mut self,
        rows: usize,
        column: impl Fn(usize) -> Result<ArrayRef> + Sync,
    ) -> Result<()> {
        let wrong = |error| failed(&self.path, error);
        let groups = rows.div_ceil(ROW_GROUP);
        let fields = self.schema.fields().len();
        // One column writer each for (column, row group), taken by the column's task.
        let mut writers: Vec<Vec<ArrowColumnWriter>> = (0..fields).map(|_| Vec::new()).collect();
        for group in 0..groups {
            let made = self
                .factory
                .create_column_writers(self.row_groups + group)
                .map_err(wrong)?;
            if made.len() != fields {
                return Err(Error::invalid(
                    "columns that hold columns can't be kept in a dataset",
                ));
            }
            for (column, writer) in made.into_iter().enumerate() {
                writers[column].push(writer);
            }
        }
        let writers: Vec<Mutex<Vec<ArrowColumnWriter>>> =
            writers.into_iter().map(Mutex::new).collect();
        let encoded = spread(self.threads, fields, |index| {
            let array = column(index)?;
            let writers = writers[index]
                .lock()
                .map(|mut writers| std::mem::take(&mut *writers))
                .unwrap_or_default();
            let mut chunks = Vec::with_capacity(groups);
            for (group, mut writer) in writers.into_iter().enumerate() {
                let from = group * ROW_GROUP;
                let part = array.slice(from, ROW_GROUP.min(rows - from));
                for leaf in compute_leaves(self.schema.field(index), &part).map_err(wrong)? {
                    writer.write(&leaf).map_err(wrong)?;
                }
                chunks.push(writer.close().map_err(wrong)?);
            }
            Ok(chunks)
        })?;
        self.append(encoded, groups)
    }

    fn append(&mut self, encoded: Vec<Vec<ArrowColumnChunk>>, groups: usize) -> Result<()> {
        let path = &self.path;
        let wrong = |error| failed(path, error);
        let mut columns: Vec<_> = encoded.into_iter().map(Vec::into_iter).collect();
        for _ in 0..groups {
            let mut row_group = self.writer.next_row_group().map_err(wrong)?;
            for chunk in columns.iter_mut().filter_map(Iterator::next) {
                chunk.append_to_row_group(&mut row_group).map_err(wrong)?;
            }
            row_group.close().map_err(wrong)?;
        }
        self.row_groups += groups;
        Ok(())
    }

    /// Ends the file and gives it its name, in place of one that has it.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let at = |error| Error::io(format_args!("can't write {}", self.path.display()), error);
        let writer = self
            .writer
            .into_inner()
            .map_err(|error| failed(&self.path, error))?;
        let file = writer
            .into_inner()
            .map_err(|error| at(error.into_error()))?;
        let bytes = file.metadata().map_err(at)?.len();
        if let Some(partial) = self.partial.0.as_ref() {
            std::fs::rename(partial, &self.path).map_err(at)?;
        }
        self.partial.0 = None;
        Ok(bytes)
    }
}

/// A schema with these fields.
pub(crate) fn schema(fields: Vec<arrow_schema::FieldRef>) -> SchemaRef {
    Arc::new(arrow_schema::Schema::new(fields))
}
