//! Parquet files that are written in parallel, a column at a time.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};
use foretell_types::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::table::{NOTE, failed};
use crate::threads::spread;

/// Rows of a row group: what a reader skips by its statistics.
pub(crate) const ROW_GROUP: usize = 256 * 1024;
/// The dictionary of the texts of a row group of columns.
const DICTIONARY_BYTES: usize = 256 * 1024 * 1024;

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// To be kept and carried.
    Table,
    /// To be read again and again on this machine.
    Columns,
}

/// A table in the making.
pub(crate) struct TableWriter<W: Write + Send> {
    /// Where it goes, for messages.
    place: PathBuf,
    schema: SchemaRef,
    writer: SerializedFileWriter<BufWriter<W>>,
    factory: ArrowRowGroupWriterFactory,
    row_groups: usize,
    threads: usize,
}

impl<W: Write + Send> std::fmt::Debug for TableWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableWriter({})", self.place.display())
    }
}

impl<W: Write + Send> TableWriter<W> {
    pub(crate) fn create(
        to: W,
        place: &Path,
        schema: SchemaRef,
        threads: usize,
        style: Style,
    ) -> Result<TableWriter<W>> {
        let (writer, factory) = ArrowWriter::try_new(
            BufWriter::with_capacity(1 << 20, to),
            schema.clone(),
            Some(properties(&schema, style).build()),
        )
        .and_then(ArrowWriter::into_serialized_writer)
        .map_err(|error| failed(place, error))?;
        Ok(TableWriter {
            place: place.to_owned(),
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
        let wrong = |error| failed(&self.place, error);
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
        let path = &self.place;
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

    /// Ends the table, with a note in its footer.
    pub(crate) fn finish(mut self, note: Option<String>) -> Result<W> {
        let failed = |error| failed(&self.place, error);
        if let Some(note) = note {
            self.writer
                .append_key_value_metadata(KeyValue::new(NOTE.to_owned(), note));
        }
        let writer = self.writer.into_inner().map_err(failed)?;
        writer.into_inner().map_err(|error| {
            let place = self.place.display();
            Error::io(format_args!("can't write {place}"), error.into_error())
        })
    }
}

/// How a table is written.
pub(crate) fn properties(schema: &SchemaRef, style: Style) -> WriterPropertiesBuilder {
    let compression = match style {
        Style::Table => Compression::SNAPPY,
        Style::Columns => Compression::LZ4_RAW,
    };
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by("foretell".to_owned());
    for field in schema.fields() {
        // Numbers rarely repeat so often that a dictionary is worth its time.
        if field.data_type().is_numeric() || matches!(field.data_type(), DataType::Timestamp(..)) {
            let column = ColumnPath::new(vec![field.name().clone()]);
            properties = properties.set_column_dictionary_enabled(column, false);
        }
    }
    match style {
        Style::Table => properties,
        Style::Columns => columns(properties, schema),
    }
}

/// Columns are read by all their rows: what is quick to decode is quick to read.
fn columns(mut properties: WriterPropertiesBuilder, schema: &SchemaRef) -> WriterPropertiesBuilder {
    properties = properties.set_dictionary_page_size_limit(DICTIONARY_BYTES);
    for field in schema.fields() {
        let column = ColumnPath::new(vec![field.name().clone()]);
        properties = match field.data_type() {
            // Positions go up by ones.
            DataType::UInt64 => {
                properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
            }
            _ => properties,
        };
    }
    properties
}

/// A schema with these fields.
pub(crate) fn schema(fields: Vec<arrow_schema::FieldRef>) -> SchemaRef {
    Arc::new(arrow_schema::Schema::new(fields))
}
