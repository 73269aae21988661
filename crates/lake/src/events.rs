//! Events as a stream of Arrow: a column for each attribute that CloudEvents names, and for what
//! recording adds.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, GenericByteBuilder, PrimitiveBuilder,
    StringBuilder, TimestampNanosecondBuilder, UInt64Builder,
};
use arrow_array::types::ByteArrayType;
use arrow_array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use foretell_state::ValueType;
use foretell_types::cloudevents::{DataView, ExtensionView, Place, View};
use foretell_types::{Error, Instant, Result};

use crate::output::arrow_type;

const UTC: &str = "UTC";
/// What a row takes beside its texts, about: numbers, and where the texts end.
const ROW_BYTES: usize = 80;

/// Writes events in the streaming format of Arrow's IPC, a record batch at a time. Source: Apache
/// Arrow, "Columnar format", section "IPC Streaming Format".
///
/// | column | type | |
/// | --- | --- | --- |
/// | `position` | uint64 | |
/// | `revision` | uint64 | null without a subject |
/// | `id`, `source`, `type` | utf8 | |
/// | `subject` | utf8 | null if there is none |
/// | `time` | timestamp, nanoseconds, UTC | null if there is none |
/// | `recordedtime` | timestamp, nanoseconds, UTC | |
/// | `datacontenttype`, `dataschema` | utf8 | null if there is none |
/// | `extensions` | utf8 | all other attributes as a JSON object; null if there are none |
/// | `data` | utf8 | the data as JSON; null if there is none, or it is binary |
/// | `data_binary` | binary | data that is binary |
/// | `erased` | boolean | the data is gone |
pub struct EventsToArrow {
    writer: StreamWriter<Vec<u8>>,
    schema: Arc<Schema>,
    columns: Columns,
    rows: usize,
    /// Of the texts and the data of the rows.
    bytes: usize,
}

#[derive(Default)]
struct Columns {
    position: UInt64Builder,
    revision: UInt64Builder,
    id: StringBuilder,
    source: StringBuilder,
    event_type: StringBuilder,
    subject: StringBuilder,
    time: TimestampNanosecondBuilder,
    recorded: TimestampNanosecondBuilder,
    content_type: StringBuilder,
    schema: StringBuilder,
    extensions: StringBuilder,
    data: StringBuilder,
    binary: BinaryBuilder,
    erased: BooleanBuilder,
    /// The extensions of an event, and data that is text, as JSON.
    json: Vec<u8>,
}

impl std::fmt::Debug for EventsToArrow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventsToArrow({} rows)", self.rows)
    }
}

impl EventsToArrow {
    pub fn new() -> Result<EventsToArrow> {
        let schema = schema();
        let writer = StreamWriter::try_new(Vec::new(), &schema);
        Ok(EventsToArrow {
            writer: writer.map_err(failed)?,
            schema,
            columns: Columns::default(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Adds an event to the batch. An error names a time that has no such number.
    pub fn push<'a>(
        &mut self,
        event: &View<'a>,
        extensions: impl Iterator<Item = (&'a str, ExtensionView<'a>)>,
        place: Place,
    ) -> Result<()> {
        let time = event.time.map(|time| nanos(time.instant(), &place));
        let (time, recorded) = (time.transpose()?, nanos(place.recorded_time, &place)?);
        let columns = &mut self.columns;
        columns.position.append_value(place.position.get());
        columns
            .revision
            .append_option(place.revision.map(|r| r.get()));
        columns.id.append_value(event.id);
        columns.source.append_value(event.source);
        columns.event_type.append_value(event.event_type);
        columns.subject.append_option(event.subject);
        columns.time.append_option(time);
        columns.recorded.append_value(recorded);
        let row = self.rows;
        sparse(&mut columns.content_type, row, event.datacontenttype);
        sparse(&mut columns.schema, row, event.dataschema);
        columns.extensions(row, extensions)?;
        let texts = [
            event.id,
            event.source,
            event.event_type,
            event.subject.unwrap_or(""),
        ];
        self.bytes += ROW_BYTES + texts.iter().map(|text| text.len()).sum::<usize>();
        self.bytes += columns.data(row, event.data)?;
        columns.erased.append_value(place.erased);
        self.rows += 1;
        Ok(())
    }

    /// About how many bytes the batch takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Ends the batch: the bytes since the last one. Those of the first begin with the schema, and
    /// are there even without a row.
    pub fn batch(&mut self) -> Result<Vec<u8>> {
        if self.rows > 0 {
            self.writer.get_mut().reserve(self.bytes);
            let columns = self.columns.take(self.rows);
            let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(failed)?;
            self.writer.write(&batch).map_err(failed)?;
            (self.rows, self.bytes) = (0, 0);
        }
        Ok(std::mem::take(self.writer.get_mut()))
    }

    /// Ends the stream: the bytes that say so.
    pub fn end(mut self) -> Result<Vec<u8>> {
        let mut bytes = self.batch()?;
        self.writer.finish().map_err(failed)?;
        bytes.append(self.writer.get_mut());
        Ok(bytes)
    }
}

impl Columns {
    fn extensions<'a>(
        &mut self,
        row: usize,
        extensions: impl Iterator<Item = (&'a str, ExtensionView<'a>)>,
    ) -> Result<()> {
        self.json.clear();
        for (name, value) in extensions {
            self.json
                .push(if self.json.is_empty() { b'{' } else { b',' });
            let json = &mut self.json;
            serde_json::to_writer(&mut *json, name).map_err(unwritten)?;
            json.push(b':');
            match value {
                ExtensionView::Boolean(value) => serde_json::to_writer(json, &value),
                ExtensionView::Integer(value) => serde_json::to_writer(json, &value),
                ExtensionView::String(value) => serde_json::to_writer(json, value),
            }
            .map_err(unwritten)?;
        }
        if !self.json.is_empty() {
            self.json.push(b'}');
            sparse(&mut self.extensions, row, Some(text_of(&self.json)?));
        }
        Ok(())
    }

    /// Gives the bytes of the data.
    fn data(&mut self, row: usize, data: DataView<'_>) -> Result<usize> {
        let text = match data {
            DataView::None => return Ok(0),
            DataView::Binary(bytes) => {
                sparse(&mut self.binary, row, Some(bytes));
                return Ok(bytes.len());
            }
            DataView::Json(text) => text,
            DataView::Text(text) => {
                self.json.clear();
                serde_json::to_writer(&mut self.json, text).map_err(unwritten)?;
                text_of(&self.json)?
            }
        };
        sparse(&mut self.data, row, Some(text));
        Ok(text.len())
    }

    /// In the order of the schema. The next batch gets as much room as this one took.
    fn take(&mut self, rows: usize) -> Vec<ArrayRef> {
        fill(&mut self.binary, rows);
        let numbers = |builder| -> ArrayRef { Arc::new(of_rows(builder, rows)) };
        let times = |builder| -> ArrayRef { Arc::new(of_rows(builder, rows).with_timezone(UTC)) };
        let texts = |builder: &mut StringBuilder| -> ArrayRef {
            fill(builder, rows);
            let next = StringBuilder::with_capacity(rows, builder.values_slice().len());
            Arc::new(std::mem::replace(builder, next).finish())
        };
        vec![
            numbers(&mut self.position),
            numbers(&mut self.revision),
            texts(&mut self.id),
            texts(&mut self.source),
            texts(&mut self.event_type),
            texts(&mut self.subject),
            times(&mut self.time),
            times(&mut self.recorded),
            texts(&mut self.content_type),
            texts(&mut self.schema),
            texts(&mut self.extensions),
            texts(&mut self.data),
            Arc::new(self.binary.finish()),
            Arc::new(self.erased.finish()),
        ]
    }
}

/// Adds to a column that may be mostly null: nulls only where a value follows, many at once.
fn sparse<T: ByteArrayType>(
    builder: &mut GenericByteBuilder<T>,
    row: usize,
    value: Option<&T::Native>,
) {
    if let Some(value) = value {
        fill(builder, row);
        builder.append_value(value);
    }
}

/// Nulls up to a row.
fn fill<T: ByteArrayType>(builder: &mut GenericByteBuilder<T>, row: usize) {
    let missing = row.saturating_sub(builder.len());
    if missing > 0 {
        builder.append_nulls(missing);
    }
}

fn of_rows<T: ArrowPrimitiveType>(
    builder: &mut PrimitiveBuilder<T>,
    rows: usize,
) -> PrimitiveArray<T> {
    std::mem::replace(builder, PrimitiveBuilder::with_capacity(rows)).finish()
}

fn schema() -> Arc<Schema> {
    let time = || arrow_type(ValueType::Time);
    let columns = [
        ("position", DataType::UInt64, false),
        ("revision", DataType::UInt64, true),
        ("id", DataType::Utf8, false),
        ("source", DataType::Utf8, false),
        ("type", DataType::Utf8, false),
        ("subject", DataType::Utf8, true),
        ("time", time(), true),
        ("recordedtime", time(), false),
        ("datacontenttype", DataType::Utf8, true),
        ("dataschema", DataType::Utf8, true),
        ("extensions", DataType::Utf8, true),
        ("data", DataType::Utf8, true),
        ("data_binary", DataType::Binary, true),
        ("erased", DataType::Boolean, false),
    ];
    let fields = columns.map(|(name, data_type, nullable)| Field::new(name, data_type, nullable));
    Arc::new(Schema::new(fields.to_vec()))
}

fn nanos(instant: Instant, place: &Place) -> Result<i64> {
    let nanos = instant.as_nanos();
    if Instant::from_nanos(nanos) == instant {
        return Ok(nanos);
    }
    Err(Error::invalid(format!(
        "position {}: its time lies outside of what Arrow's nanoseconds express (1677 to 2262): read it as JSON",
        place.position
    )))
}

/// What was written as JSON.
fn text_of(json: &[u8]) -> Result<&str> {
    std::str::from_utf8(json).map_err(|_| Error::invalid("JSON is no text"))
}

fn failed(error: ArrowError) -> Error {
    Error::invalid(format!("events as Arrow: {error}"))
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::invalid(format!("JSON can't be written: {error}"))
}
