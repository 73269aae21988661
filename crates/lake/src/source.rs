//! Events out of Parquet tables: those of a user, or columns of a log.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::DataType;
use foretell_state::{Expr, Input as Named, Scalar, Step, ValueType, at_steps};
use foretell_types::{Error, Result};

use crate::batch::{compact, scalar, value_type, values};
use crate::extract::{POSITION, input_name};
use crate::key::{KEYS, KeyIndex, NONE, Numbering, is_integer_key, is_key, plain};
use crate::piece::{Events, Input};
use crate::plan::Argument;
use crate::table::Table;
use crate::time::{TIMES, nanos, unit};
use crate::typed::json_type;
use crate::values::Values;

/// Rows that are read at once.
const BATCH: usize = 128 * 1024;
/// About what the text of an event takes.
const WHOLE_EVENT_BYTES: u64 = 512;

/// Tables of events, one after the other, and what their columns mean.
#[derive(Debug)]
pub(crate) struct Source {
    tables: Vec<Table>,
    columns: Columns,
    /// (table, row group) in the order of events.
    tasks: Vec<(usize, usize)>,
}

/// Which column says what, by name.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(crate) key: String,
    pub(crate) time: String,
    pub(crate) known: Option<String>,
    /// The inputs of the arguments' expressions.
    pub(crate) inputs: Vec<Named>,
    pub(crate) arguments: Vec<Argument>,
    /// Events that don't pass are nobody's.
    pub(crate) filter: Option<Expr>,
    /// What events must pass that are rows themselves.
    pub(crate) condition: Option<Expr>,
    /// Each input is a column of its own, by its number.
    pub(crate) extracted: bool,
}

impl Columns {
    /// Which inputs the arguments and the filter read.
    fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.inputs.len()];
        let of_arguments = self.arguments.iter();
        let exprs = of_arguments.flat_map(|argument| argument.value.iter().chain(&argument.filter));
        for expr in exprs.chain(&self.filter).chain(&self.condition) {
            expr.visit_inputs(&mut |input| used[input] = true);
        }
        used
    }
}

impl Source {
    pub(crate) fn open(paths: &[impl AsRef<Path>], columns: Columns) -> Result<Source> {
        let tables = paths
            .iter()
            .map(|path| Table::open(path.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        Source::of(tables, columns)
    }

    pub(crate) fn of(tables: Vec<Table>, columns: Columns) -> Result<Source> {
        let groups = |(index, table): (usize, &Table)| {
            (0..table.row_groups()).map(move |group| (index, group))
        };
        let tasks = tables.iter().enumerate().flat_map(groups).collect();
        for table in &tables {
            Reading::of(table, &columns)?;
        }
        Ok(Source {
            tables,
            columns,
            tasks,
        })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().map(Table::rows).sum()
    }

    pub(crate) fn arguments(&self) -> usize {
        self.columns.arguments.len()
    }

    pub(crate) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn rows_of(&self, task: usize) -> u64 {
        let (table, group) = self.tasks[task];
        self.tables[table].rows_of(group)
    }

    /// Whether keys are text in any of the tables.
    pub(crate) fn has_text_keys(&self) -> bool {
        self.tables.iter().any(|table| {
            let column = table
                .column(&self.columns.key)
                .map(|column| table.field(column));
            column.is_ok_and(|field| !is_integer_key(field.data_type()))
        })
    }

    /// The types of the arguments, as far as all tables have them.
    pub(crate) fn argument_types(&self) -> Vec<ValueType> {
        let inputs: Vec<ValueType> = (0..self.columns.inputs.len())
            .map(|input| self.type_of(input))
            .collect();
        let input = |index: usize| inputs.get(index).copied().unwrap_or(ValueType::Any);
        let arguments = self.columns.arguments.iter();
        arguments
            .map(|argument| match &argument.value {
                Some(expr) => expr.value_type(&input),
                None => ValueType::Any,
            })
            .collect()
    }

    /// The type of an input's values; tables without the column have none.
    fn type_of(&self, input: usize) -> ValueType {
        let of_table = |table: &Table| match self.columns.place(table, input) {
            Ok(Place::Time) => Some(ValueType::Time),
            Ok(Place::Column(column)) => Some(value_type(table.field(column))),
            Ok(Place::Json(column, steps)) if steps.is_empty() => {
                Some(value_type(table.field(column)))
            }
            Ok(Place::Nowhere) => None,
            _ => Some(ValueType::Any),
        };
        let types = self.tables.iter().filter_map(of_table);
        types.reduce(ValueType::or).unwrap_or(ValueType::Any)
    }

    /// Bytes of memory that an event takes.
    pub(crate) fn event_bytes(&self) -> u64 {
        let known = if self.columns.known.is_some() { 8 } else { 0 };
        let arguments = self.columns.arguments.iter().map(|argument| {
            let filter = u64::from(argument.filter.is_some());
            let value = match &argument.value {
                None => 0,
                Some(Expr::Input(input)) if self.columns.inputs[*input] == Named::Event => {
                    WHOLE_EVENT_BYTES
                }
                Some(_) => 9,
            };
            filter + value
        });
        12 + known + arguments.sum::<u64>()
    }

    /// Reads a task's events, in batches.
    pub(crate) fn read(
        &self,
        task: usize,
        keys: &KeyIndex,
        take: &mut dyn FnMut(&Events),
    ) -> Result<()> {
        let (table, group) = self.tasks[task];
        let table = &self.tables[table];
        let reading = Reading::of(table, &self.columns)?;
        let mut keys = Numbering::new(keys);
        let mut row = 0;
        for batch in table.read(group, &reading.columns, BATCH)? {
            let batch = batch.map_err(|error| table.failed(error))?;
            let at = |error: Error| {
                let path = table.path().display();
                error.context(format_args!("{path}, row group {group}, from row {row} on"))
            };
            take(
                &reading
                    .events(&batch, &mut keys, &self.columns)
                    .map_err(at)?,
            );
            row += batch.num_rows();
        }
        Ok(())
    }
}

/// Events as rows: their keys as they stand, times, and positions (or known times).
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) keys: ArrayRef,
    pub(crate) times: Vec<i64>,
    pub(crate) known: Option<Vec<i64>>,
    /// Which of them pass the condition.
    pub(crate) passes: Option<Vec<bool>>,
}

impl Source {
    /// Gives a task's events as rows, in batches.
    pub(crate) fn plain(
        &self,
        task: usize,
        take: &mut dyn FnMut(Plain) -> Result<()>,
    ) -> Result<()> {
        let (table, group) = self.tasks[task];
        let table = &self.tables[table];
        let reading = Reading::of(table, &self.columns)?;
        for batch in table.read(group, &reading.columns, BATCH)? {
            let batch = batch.map_err(|error| table.failed(error))?;
            let rows = reading.rows(&batch, &self.columns)?;
            let everyone = vec![0; batch.num_rows()];
            let condition = self.columns.condition.as_ref();
            let passes = condition.map(|filter| {
                rows.evaluate(filter, &everyone, false, |inputs| filter.is_true(inputs))
            });
            take(Plain {
                keys: batch.column(reading.key).clone(),
                known: reading.known(&batch, &self.columns)?,
                times: rows.times,
                passes,
            })?;
        }
        Ok(())
    }
}

/// Where the values of an input are in a table.
#[derive(Debug)]
enum Place {
    /// They are the event times.
    Time,
    Column(usize),
    /// At these steps into a column of JSON text.
    Json(usize, Vec<Step>),
    /// In these columns, whose names are quoted: the event's data.
    Event(Vec<(String, usize)>),
    /// All are null.
    Nowhere,
}

impl Place {
    fn columns(&self) -> Vec<usize> {
        match self {
            Place::Column(column) | Place::Json(column, _) => vec![*column],
            Place::Event(columns) => columns.iter().map(|(_, column)| *column).collect(),
            Place::Time | Place::Nowhere => Vec::new(),
        }
    }

    /// The same in a batch, whose columns lie elsewhere.
    fn moved(self, to: impl Fn(usize) -> usize) -> Place {
        match self {
            Place::Column(column) => Place::Column(to(column)),
            Place::Json(column, steps) => Place::Json(to(column), steps),
            Place::Event(columns) => {
                let columns = columns.into_iter();
                Place::Event(columns.map(|(name, column)| (name, to(column))).collect())
            }
            other => other,
        }
    }
}

impl Columns {
    fn place(&self, table: &Table, input: usize) -> Result<Place> {
        let named = &self.inputs[input];
        if *named == Named::Time {
            return Ok(Place::Time);
        }
        if !self.extracted {
            return match named {
                Named::Event => Ok(whole_of(table)),
                named => column_of(table, named),
            };
        }
        let found = table.schema().column_with_name(&input_name(input));
        Ok(match found {
            None => Place::Nowhere,
            Some((column, field)) if json_type(field).is_some() => Place::Json(column, Vec::new()),
            Some((column, _)) => Place::Column(column),
        })
    }

    /// The column that says when an event was known; in columns of a log there is none where all
    /// were known at once.
    fn known_place(&self, table: &Table) -> Result<Option<usize>> {
        let Some(name) = &self.known else {
            return Ok(None);
        };
        if self.extracted && table.schema().column_with_name(name).is_none() {
            return Ok(None);
        }
        if self.extracted && name == POSITION {
            return table.column(name).map(Some);
        }
        time_column(table, name).map(Some)
    }
}

fn time_column(table: &Table, name: &str) -> Result<usize> {
    let column = table.column(name)?;
    let found = table.field(column).data_type();
    match unit(found) {
        Some(_) => Ok(column),
        None => Err(table.wrong_type(name, found, TIMES)),
    }
}

/// The columns of one table.
struct Reading {
    /// In the order of the table, each once.
    columns: Vec<usize>,
    key: usize,
    time: usize,
    known: Option<usize>,
    inputs: Vec<Place>,
}

impl Reading {
    fn of(table: &Table, columns: &Columns) -> Result<Reading> {
        let key = table.column(&columns.key)?;
        let found = table.field(key).data_type();
        if !is_key(found) {
            return Err(table.wrong_type(&columns.key, found, KEYS));
        }
        let time = time_column(table, &columns.time)?;
        let known = columns.known_place(table)?;
        let used = columns.used();
        let inputs = used.into_iter().enumerate().map(|(input, used)| {
            // The key has a column of its own.
            if used {
                columns.place(table, input)
            } else {
                Ok(Place::Nowhere)
            }
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let more = known
            .into_iter()
            .chain(inputs.iter().flat_map(Place::columns));
        let mut read: Vec<usize> = [key, time].into_iter().chain(more).collect();
        read.sort_unstable();
        read.dedup();
        let place = |column: usize| read.partition_point(|other| *other < column);
        Ok(Reading {
            key: place(key),
            time: place(time),
            known: known.map(place),
            inputs: inputs.into_iter().map(|input| input.moved(place)).collect(),
            columns: read,
        })
    }

    fn events(
        &self,
        batch: &RecordBatch,
        keys: &mut Numbering<'_>,
        columns: &Columns,
    ) -> Result<Events> {
        let rows = self.rows(batch, columns)?;
        let known = self.known(batch, columns)?;
        let mut numbers = keys.numbers(batch.column(self.key))?;
        if let Some(filter) = &columns.filter {
            let passes = rows.evaluate(filter, &numbers, false, |inputs| filter.is_true(inputs));
            for (number, passes) in numbers.iter_mut().zip(passes) {
                if !passes {
                    *number = NONE;
                }
            }
        }
        Ok(Events {
            inputs: columns
                .arguments
                .iter()
                .map(|argument| rows.input(argument, &numbers))
                .collect(),
            keys: numbers,
            known: known.filter(|known| *known != rows.times),
            times: rows.times,
        })
    }

    fn rows<'a>(&'a self, batch: &RecordBatch, columns: &Columns) -> Result<Rows<'a>> {
        let array = |input: &'a Place| {
            let columns = input.columns().into_iter();
            let arrays = columns.map(|column| plain(batch.column(column)));
            Ok((arrays.collect::<Result<Vec<_>>>()?, input))
        };
        Ok(Rows {
            inputs: self.inputs.iter().map(array).collect::<Result<_>>()?,
            times: times(batch, self.time, &columns.time)?,
        })
    }

    fn known(&self, batch: &RecordBatch, columns: &Columns) -> Result<Option<Vec<i64>>> {
        let (Some(column), Some(name)) = (self.known, &columns.known) else {
            return Ok(None);
        };
        match batch.column(column).as_primitive_opt::<UInt64Type>() {
            // Positions: those that 63 bits can't hold no log has.
            Some(positions) if columns.extracted => {
                let positions = positions.values().iter();
                Ok(Some(
                    positions
                        .map(|at| i64::try_from(*at).unwrap_or(i64::MAX))
                        .collect(),
                ))
            }
            _ => times(batch, column, name).map(Some),
        }
    }
}

fn times(batch: &RecordBatch, column: usize, name: &str) -> Result<Vec<i64>> {
    nanos(batch.column(column)).map_err(|error| error.context(format_args!("column {name:?}")))
}

/// The column of a user's table that an input names.
fn column_of(table: &Table, input: &Named) -> Result<Place> {
    let Some((name, steps)) = input.column() else {
        return Err(Error::invalid(format!(
            "{}: {input} names no column of a table",
            table.path().display()
        )));
    };
    // A table may hold what was once nested under its whole path.
    let whole = input.to_string();
    if table.schema().column_with_name(&whole).is_some() {
        return table.column(&whole).map(Place::Column);
    }
    let column = table.column(name)?;
    let found = table.field(column).data_type();
    let is_text = matches!(
        found,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    if !steps.is_empty() && !is_text {
        return Err(table.wrong_type(
            name,
            found,
            &format!("JSON text, since {input} goes into it"),
        ));
    }
    if found.is_nested() {
        return Err(table.wrong_type(name, found, "numbers, text, booleans, times or JSON text"));
    }
    Ok(match steps {
        [] => Place::Column(column),
        steps => Place::Json(column, steps.to_vec()),
    })
}

/// The columns of a user's table as the data of an event. Nested ones are left out.
fn whole_of(table: &Table) -> Place {
    let fields = table.schema().fields().iter().enumerate();
    let flat = fields.filter(|(_, field)| !field.data_type().is_nested());
    Place::Event(
        flat.map(|(column, field)| (Scalar::text(field.name()).to_json(), column))
            .collect(),
    )
}

/// A row as an event: the time, the attributes that are columns, and all columns as its data.
fn event(time: i64, arrays: &[ArrayRef], columns: &[(String, usize)], row: usize) -> String {
    let mut out = String::from("{\"time\":");
    Scalar::Time(time).write_json(&mut out);
    let mut data = String::from("{");
    for (array, (name, _)) in arrays.iter().zip(columns) {
        let value = scalar(array, row);
        if ["\"type\"", "\"subject\"", "\"source\"", "\"id\""].contains(&name.as_str()) {
            out.push(',');
            out.push_str(name);
            out.push(':');
            value.write_json(&mut out);
        }
        if data.len() > 1 {
            data.push(',');
        }
        data.push_str(name);
        data.push(':');
        value.write_json(&mut data);
    }
    out.push_str(",\"data\":");
    out.push_str(&data);
    out.push_str("}}");
    out
}

/// The rows of a batch, as expressions see them.
struct Rows<'a> {
    inputs: Vec<(Vec<ArrayRef>, &'a Place)>,
    times: Vec<i64>,
}

impl Rows<'_> {
    fn input(&self, argument: &Argument, keys: &[u32]) -> Input {
        // Most arguments are a column as it stands.
        let direct = match &argument.value {
            None => Some(Values::None),
            Some(Expr::Input(input)) => match self.inputs.get(*input) {
                Some((arrays, Place::Column(_))) => arrays.first().map(values),
                Some((_, Place::Nowhere)) => Some(Values::none_of(self.times.len())),
                _ => None,
            },
            Some(_) => None,
        };
        let passes = argument
            .filter
            .as_ref()
            .map(|filter| self.evaluate(filter, keys, false, |inputs| filter.is_true(inputs)));
        let values = direct.unwrap_or_else(|| match &argument.value {
            Some(expr) => compact(self.evaluate(expr, keys, Scalar::Null, |inputs| {
                expr.eval(inputs).into_owned()
            })),
            None => Values::None,
        });
        Input { values, passes }
    }

    /// Evaluates something for each row whose key is asked about.
    fn evaluate<T: Clone>(
        &self,
        expr: &Expr,
        keys: &[u32],
        otherwise: T,
        eval: impl Fn(&[Scalar<'_>]) -> T,
    ) -> Vec<T> {
        let mut named = Vec::new();
        expr.visit_inputs(&mut |input| named.push(input));
        let mut inputs = vec![Scalar::Null; self.inputs.len()];
        let mut out = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            if *key == NONE {
                out.push(otherwise.clone());
                continue;
            }
            for input in &named {
                if let Some(place) = inputs.get_mut(*input) {
                    *place = self.get(*input, row);
                }
            }
            out.push(eval(&inputs));
        }
        out
    }

    fn get(&self, input: usize, row: usize) -> Scalar<'_> {
        let (arrays, place) = &self.inputs[input];
        match (place, &arrays[..]) {
            (Place::Time, _) => Scalar::Time(self.times[row]),
            (Place::Column(_), [array]) => scalar(array, row),
            (Place::Json(_, steps), [array]) => match scalar(array, row) {
                Scalar::Text(std::borrow::Cow::Borrowed(text)) => at_steps(text, steps),
                _ => Scalar::Null,
            },
            (Place::Event(columns), arrays) => {
                Scalar::Json(event(self.times[row], arrays, columns, row).into())
            }
            _ => Scalar::Null,
        }
    }
}
