//! The rows of a dataset as they begin: keys and instants, a block at a time.

use std::sync::{Arc, Mutex};

use arrow_array::builder::LargeStringBuilder;
use arrow_array::{ArrayRef, Int64Array, TimestampNanosecondArray};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use foretell_types::limits::DATASET_KEYS;
use foretell_types::{Error, ErrorKind, Result};
use hashbrown::HashMap;

use crate::fold::{Knows, Progress};
use crate::key::{KEYS, dictionary, each_text, is_key};
use crate::labels::Labels;
use crate::source::{Plain, Source};
use crate::threads::spread;
use crate::time::{TIMES, nanos, unit};

/// Where rows come from.
pub(crate) enum Rows<'a> {
    Table(Table),
    Every(Every),
    Events(Events<'a>),
}

/// Some rows: their columns, and what is asked for each.
pub(crate) struct Block {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) keys: ArrayRef,
    pub(crate) times: Vec<i64>,
    /// Positions up to which events are known.
    positions: Option<Vec<i64>>,
}

impl Block {
    pub(crate) fn knows(&self) -> Knows<'_> {
        match &self.positions {
            Some(positions) => Knows::Until(positions),
            None => Knows::Then,
        }
    }
}

impl Rows<'_> {
    pub(crate) fn fields(&self) -> Vec<FieldRef> {
        match self {
            Rows::Table(table) => table.labels.schema().fields().iter().cloned().collect(),
            Rows::Every(_) => vec![key_field(), time_field()],
            Rows::Events(_) => {
                let position = Field::new("position", DataType::Int64, false);
                vec![key_field(), time_field(), Arc::new(position)]
            }
        }
    }

    /// How many rows there are, if that is known beforehand.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Rows::Table(table) => table.labels.rows(),
            Rows::Every(every) => Some(every.count),
            Rows::Events(_) => None,
        }
    }

    /// The next rows; `None` at the end.
    pub(crate) fn next(&mut self, rows: usize, threads: usize) -> Result<Option<Block>> {
        match self {
            Rows::Table(table) => table.next(rows, threads),
            Rows::Every(every) => Ok(every.next(rows)),
            Rows::Events(events) => events.next(rows),
        }
    }
}

fn key_field() -> FieldRef {
    Arc::new(Field::new("key", DataType::LargeUtf8, false))
}

fn time_field() -> FieldRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Field::new("time", time, false))
}

fn time_array(times: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))
}

/// The rows of a label table.
pub(crate) struct Table {
    labels: Labels,
    key: usize,
    time: usize,
    time_name: String,
    done: u64,
}

impl Table {
    pub(crate) fn new(labels: Labels, key: &str, time: &str) -> Result<Table> {
        let (key, time_column) = (labels.column(key)?, labels.column(time)?);
        let schema = labels.schema();
        let check = |column: usize, fits: bool, wanted: &str| match fits {
            true => Ok(()),
            false => {
                let field = schema.field(column);
                Err(Error::invalid(format!(
                    "{}: column {:?} is of type {}: expected {wanted}",
                    labels.display(),
                    field.name(),
                    field.data_type()
                )))
            }
        };
        check(key, is_key(schema.field(key).data_type()), KEYS)?;
        let is_time = unit(schema.field(time_column).data_type()).is_some();
        check(time_column, is_time, TIMES)?;
        Ok(Table {
            labels,
            key,
            time: time_column,
            time_name: time.to_owned(),
            done: 0,
        })
    }

    fn next(&mut self, rows: usize, threads: usize) -> Result<Option<Block>> {
        let Some(columns) = self.labels.next(rows, threads)? else {
            return Ok(None);
        };
        let times = nanos(&columns[self.time]).map_err(|error| {
            let (table, name) = (self.labels.display(), &self.time_name);
            error.context(format_args!(
                "{table}, column {name:?}, from row {} on",
                self.done
            ))
        })?;
        self.done += times.len() as u64;
        Ok(Some(Block {
            keys: columns[self.key].clone(),
            columns,
            times,
            positions: None,
        }))
    }
}

/// Each key at every instant from the first on at which something is known about it. Ordered by
/// instant, then key.
pub(crate) struct Every {
    interval: i64,
    to: i64,
    /// Keys in their order, and since when something is known about them.
    keys: Vec<(Box<str>, i64)>,
    /// The instant that is next, and which key.
    next: Option<(i64, usize)>,
    count: u64,
}

impl Every {
    /// No rows.
    pub(crate) fn none() -> Every {
        Every {
            interval: 1,
            to: 0,
            keys: Vec::new(),
            next: None,
            count: 0,
        }
    }

    /// Looks which keys there are.
    pub(crate) fn find(
        source: &Source,
        (interval, from, to): (i64, i64, i64),
        threads: usize,
        progress: &Progress<'_>,
    ) -> Result<Every> {
        let all: Mutex<HashMap<Box<str>, i64>> = Mutex::default();
        spread(threads, source.tasks(), |task| {
            let mut found = HashMap::new();
            source.plain(task, &mut |rows| firsts(&rows, &mut found))?;
            // A thread that failed while it held this ends the build.
            let Ok(mut all) = all.lock() else {
                return Err(Error::unavailable("a thread of the build has failed"));
            };
            for (key, since) in found {
                let first = all.entry(key).or_insert(since);
                *first = since.min(*first);
            }
            if all.len() > DATASET_KEYS {
                let message = format!(
                    "there are more than {DATASET_KEYS} keys: build at the rows of a table (AT ROWS)"
                );
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            progress("looking for keys", task as u64 + 1, source.tasks() as u64)
        })?;
        let all = all.into_inner().unwrap_or_default();
        let mut keys: Vec<(Box<str>, i64)> =
            all.into_iter().filter(|(_, since)| *since <= to).collect();
        keys.sort_unstable();
        let instants = |since: i64| {
            let before = i128::from(since) - i128::from(from);
            let skipped = before.max(0) as u128;
            let all = (i128::from(to) - i128::from(from)) / i128::from(interval) + 1;
            (all as u128).saturating_sub(skipped.div_ceil(interval as u128)) as u64
        };
        Ok(Every {
            interval,
            to,
            count: keys.iter().map(|(_, since)| instants(*since)).sum(),
            keys,
            next: Some((from, 0)),
        })
    }

    fn next(&mut self, rows: usize) -> Option<Block> {
        let mut keys = LargeStringBuilder::new();
        let mut times = Vec::new();
        while let Some((at, from)) = self.next {
            for (index, (key, since)) in self.keys.iter().enumerate().skip(from) {
                if times.len() == rows {
                    self.next = Some((at, index));
                    return Some(block(keys, times));
                }
                if *since <= at {
                    keys.append_value(key);
                    times.push(at);
                }
            }
            let next = at.checked_add(self.interval);
            self.next = next.filter(|next| *next <= self.to).map(|next| (next, 0));
        }
        (!times.is_empty()).then(|| block(keys, times))
    }
}

fn block(mut keys: LargeStringBuilder, times: Vec<i64>) -> Block {
    let keys: ArrayRef = Arc::new(keys.finish());
    Block {
        columns: vec![keys.clone(), time_array(times.clone())],
        keys,
        times,
        positions: None,
    }
}

/// Since when something is known about each key of some rows.
fn firsts(rows: &Plain, found: &mut HashMap<Box<str>, i64>) -> Result<()> {
    let known = rows.known.as_ref().unwrap_or(&rows.times);
    let since = rows
        .times
        .iter()
        .zip(known)
        .map(|(time, known)| *time.max(known));
    let mut note = |key: &str, since: i64| match found.get_mut(key) {
        Some(first) => *first = since.min(*first),
        None => {
            found.insert(key.into(), since);
        }
    };
    let Some(texts) = dictionary(&rows.keys) else {
        let mut since = since;
        return each_text(&rows.keys, |key| {
            let since = since.next();
            if let (Some(key), Some(since)) = (key, since) {
                note(key, since);
            }
        });
    };
    // Each text is looked at once.
    let mut first = vec![None; texts.values().len()];
    for (value, since) in texts.normalized_keys().into_iter().zip(since) {
        let first = &mut first[value];
        *first = Some(first.map_or(since, |first: i64| first.min(since)));
    }
    let mut first = first.into_iter();
    each_text(texts.values(), |key| {
        let since = first.next().flatten();
        if let (Some(key), Some(since)) = (key, since) {
            note(key, since);
        }
    })
}

/// The events of a log that pass a condition, in their order, each for the keys that it touches.
/// What was known at an event is what lies up to its position.
pub(crate) struct Events<'a> {
    source: &'a Source,
    task: usize,
}

impl<'a> Events<'a> {
    /// `source` has positions for known times, and the condition.
    pub(crate) fn new(source: &'a Source) -> Events<'a> {
        Events { source, task: 0 }
    }

    /// Goes beyond `rows` by what one task has.
    fn next(&mut self, rows: usize) -> Result<Option<Block>> {
        let mut keys = LargeStringBuilder::new();
        let (mut times, mut positions) = (Vec::new(), Vec::new());
        while times.len() < rows && self.task < self.source.tasks() {
            self.source.plain(self.task, &mut |rows| {
                let passes = |row: usize| rows.passes.as_ref().is_none_or(|passes| passes[row]);
                let mut row = 0;
                each_text(&rows.keys, |key| {
                    if passes(row) {
                        keys.append_option(key);
                        times.push(rows.times[row]);
                        positions.push(rows.known.as_ref().map_or(i64::MAX, |at| at[row]));
                    }
                    row += 1;
                })
            })?;
            self.task += 1;
        }
        if times.is_empty() {
            return Ok(None);
        }
        let keys: ArrayRef = Arc::new(keys.finish());
        let at: ArrayRef = Arc::new(Int64Array::from(positions.clone()));
        Ok(Some(Block {
            columns: vec![keys.clone(), time_array(times.clone()), at],
            keys,
            times,
            positions: Some(positions),
        }))
    }
}
