//! Events out of Parquet tables.

use std::path::Path;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::DataType;
use foretell_state::{Expr, Input as Named, Scalar, Step, ValueType, at_steps};
use foretell_types::{Error, Result};

use crate::batch::{compact, scalar, value_type, values};
use crate::key::{KEYS, KeyIndex, NONE, is_key};
use crate::piece::{Events, Input};
use crate::plan::Argument;
use crate::table::Table;
use crate::time::{TIMES, nanos, unit};
use crate::values::Values;

/// Rows that are read at once.
const BATCH: usize = 128 * 1024;

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
}

impl Columns {
    /// Which inputs the arguments and the filter read.
    fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.inputs.len()];
        let of_arguments = self.arguments.iter();
        let exprs = of_arguments.flat_map(|argument| argument.value.iter().chain(&argument.filter));
        for expr in exprs.chain(&self.filter) {
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
            column.is_ok_and(|field| !field.data_type().is_integer())
        })
    }

    /// The types of the arguments, as far as all tables have them.
    pub(crate) fn argument_types(&self) -> Vec<ValueType> {
        let inputs: Vec<ValueType> = self
            .columns
            .inputs
            .iter()
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

    fn type_of(&self, input: &Named) -> ValueType {
        let of_table = |table: &Table| match input_column(table, input) {
            Ok(None) => ValueType::Time,
            Ok(Some((column, steps))) if steps.is_empty() => value_type(table.field(column)),
            _ => ValueType::Any,
        };
        let types = self.tables.iter().map(of_table);
        types.reduce(ValueType::or).unwrap_or(ValueType::Any)
    }

    /// Bytes of memory that an event takes.
    pub(crate) fn event_bytes(&self) -> u64 {
        let known = if self.columns.known.is_some() { 8 } else { 0 };
        let arguments = self.columns.arguments.iter().map(|argument| {
            let filter = u64::from(argument.filter.is_some());
            let value = match argument.value {
                None => 0,
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
        let mut row = 0;
        for batch in table.read(group, &reading.columns, BATCH)? {
            let batch = batch.map_err(|error| table.failed(error))?;
            let at = |error: Error| {
                let path = table.path().display();
                error.context(format_args!("{path}, row group {group}, from row {row} on"))
            };
            take(&reading.events(&batch, keys, &self.columns).map_err(at)?);
            row += batch.num_rows();
        }
        Ok(())
    }
}

/// The columns of one table.
struct Reading {
    /// In the order of the table, each once.
    columns: Vec<usize>,
    key: usize,
    time: usize,
    known: Option<usize>,
    /// For each input its column and the steps into its values; `None` for the event's time.
    inputs: Vec<Option<(usize, Vec<Step>)>>,
}

impl Reading {
    fn of(table: &Table, columns: &Columns) -> Result<Reading> {
        let time_column = |name: &str| {
            let column = table.column(name)?;
            let found = table.field(column).data_type();
            match unit(found) {
                Some(_) => Ok(column),
                None => Err(table.wrong_type(name, found, TIMES)),
            }
        };
        let key = table.column(&columns.key)?;
        let found = table.field(key).data_type();
        if !is_key(found) {
            return Err(table.wrong_type(&columns.key, found, KEYS));
        }
        let time = time_column(&columns.time)?;
        let known = columns.known.as_deref().map(time_column).transpose()?;
        let used = columns.used();
        let inputs = columns.inputs.iter().zip(used).map(|(input, used)| {
            // The key has a column of its own.
            if used {
                input_column(table, input)
            } else {
                Ok(None)
            }
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let named = inputs.iter().flatten().map(|(column, _)| *column);
        let more = known.into_iter().chain(named);
        let mut read: Vec<usize> = [key, time].into_iter().chain(more).collect();
        read.sort_unstable();
        read.dedup();
        let place = |column: usize| read.partition_point(|other| *other < column);
        Ok(Reading {
            key: place(key),
            time: place(time),
            known: known.map(place),
            inputs: inputs
                .into_iter()
                .map(|input| input.map(|(column, steps)| (place(column), steps)))
                .collect(),
            columns: read,
        })
    }

    fn events(&self, batch: &RecordBatch, keys: &KeyIndex, columns: &Columns) -> Result<Events> {
        let times = |column: usize, name: &str| {
            nanos(batch.column(column))
                .map_err(|error| error.context(format_args!("column {name:?}")))
        };
        let arrays: Vec<Option<(&ArrayRef, &[Step])>> = self
            .inputs
            .iter()
            .map(|input| {
                let (column, steps) = input.as_ref()?;
                Some((batch.column(*column), steps.as_slice()))
            })
            .collect();
        let times_of_events = times(self.time, &columns.time)?;
        let known = match (self.known, &columns.known) {
            (Some(column), Some(name)) => Some(times(column, name)?),
            _ => None,
        };
        let known = known.filter(|known| *known != times_of_events);
        let rows = Rows {
            arrays,
            times: &times_of_events,
        };
        let mut numbers = keys.numbers(batch.column(self.key))?;
        if let Some(filter) = &columns.filter {
            let passes = rows.evaluate(filter, &numbers, false, |inputs| filter.is_true(inputs));
            for (number, passes) in numbers.iter_mut().zip(passes) {
                *number = if passes { *number } else { NONE };
            }
        }
        Ok(Events {
            inputs: columns
                .arguments
                .iter()
                .map(|argument| rows.input(argument, &numbers))
                .collect(),
            keys: numbers,
            known,
            times: times_of_events,
        })
    }
}

fn input_column(table: &Table, input: &Named) -> Result<Option<(usize, Vec<Step>)>> {
    let Some((name, steps)) = input.column() else {
        return match input {
            Named::Time => Ok(None),
            other => Err(Error::invalid(format!(
                "{}: {other} names no column of a table",
                table.path().display()
            ))),
        };
    };
    // A table may hold what was once nested under its whole path.
    let whole = input.to_string();
    if table.schema().column_with_name(&whole).is_some() {
        return Ok(Some((table.column(&whole)?, Vec::new())));
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
    Ok(Some((column, steps.to_vec())))
}

/// The rows of a batch, as expressions see them.
struct Rows<'a> {
    arrays: Vec<Option<(&'a ArrayRef, &'a [Step])>>,
    times: &'a [i64],
}

impl Rows<'_> {
    fn input(&self, argument: &Argument, keys: &[u32]) -> Input {
        // Most arguments are a column as it stands.
        let direct = match &argument.value {
            None => Some(Values::None),
            Some(Expr::Input(input)) => match self.arrays.get(*input) {
                Some(Some((array, []))) => Some(values(array)),
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
        let mut inputs = vec![Scalar::Null; self.arrays.len()];
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
        match &self.arrays[input] {
            None => Scalar::Time(self.times[row]),
            Some((array, [])) => scalar(array, row),
            Some((array, steps)) => match scalar(array, row) {
                Scalar::Text(std::borrow::Cow::Borrowed(text)) => at_steps(text, steps),
                _ => Scalar::Null,
            },
        }
    }
}
