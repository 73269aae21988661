//! Columns out of a range of a topic: for each key that an event touches a row with its times, its
//! position and what a dataset reads of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, LargeStringArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow_schema::{Field, FieldRef};
use foretell_state::{Dataset, Definition, Expr, Input, Instants, Keys};
use foretell_types::limits::COLUMN_ROWS;
use foretell_types::{Error, ErrorKind, Result};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::topic::{LogRow, Topic};
use crate::typed::Typed;

/// The names of the columns beside those of the inputs.
pub(crate) const KEY: &str = "key";
pub(crate) const TIME: &str = "time";
pub(crate) const KNOWN: &str = "known";
pub(crate) const POSITION: &str = "position";
/// The form of the columns: others are made anew.
const FORMAT: u32 = 1;

/// The column of an input, by its number.
pub(crate) fn input_name(input: usize) -> String {
    format!("input {input}")
}

/// What a dataset reads of each event.
#[derive(Debug)]
pub(crate) struct Extraction<'a> {
    definition: &'a Definition,
    /// The inputs that are columns.
    kept: Vec<usize>,
}

/// What is told of a range beside its rows. Times are nanoseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) events: u64,
    /// The largest event time.
    pub(crate) latest: Option<i64>,
    /// When the last event was recorded.
    pub(crate) recorded: i64,
    /// The last event is imported history.
    pub(crate) imported: bool,
    /// Events whose data is gone.
    pub(crate) erased: u64,
    /// Events that touch no key since theirs is too large.
    pub(crate) too_large: u64,
}

impl Range {
    /// This range and the one after it.
    pub(crate) fn then(self, next: Range) -> Range {
        if next.events == 0 {
            return self;
        }
        Range {
            events: self.events + next.events,
            latest: self.latest.max(next.latest),
            recorded: next.recorded,
            imported: next.imported,
            erased: self.erased + next.erased,
            too_large: self.too_large + next.too_large,
        }
    }
}

impl<'a> Extraction<'a> {
    pub(crate) fn of(dataset: &'a Dataset) -> Extraction<'a> {
        let definition = &dataset.features;
        let labels = dataset.labels.iter().flat_map(|labels| &labels.aggregates);
        let aggregates = definition.aggregates.iter().chain(labels);
        let exprs = aggregates.flat_map(|of| of.argument.iter().chain(&of.filter));
        let condition = match &dataset.instants {
            Instants::Events(condition) => condition.as_ref(),
            _ => None,
        };
        let mut kept = BTreeSet::new();
        let mut keep = |expr: &Expr| {
            expr.visit_inputs(&mut |input| {
                if definition.inputs.get(input) != Some(&Input::Time) {
                    kept.insert(input);
                }
            });
        };
        exprs.chain(condition).for_each(&mut keep);
        Extraction {
            definition,
            kept: kept.into_iter().collect(),
        }
    }

    /// A name for a folder: the same for those that read the same.
    pub(crate) fn id(&self) -> String {
        let Definition {
            inputs,
            key,
            filter,
            ..
        } = self.definition;
        let text = format!("{FORMAT} {inputs:?} {:?} {key:?} {filter:?}", self.kept);
        let hash = blake3::hash(text.as_bytes()).to_hex();
        hash[..32].to_owned()
    }

    /// The columns of a range of positions.
    pub(crate) fn read(&self, topic: &dyn Topic, from: u64, until: u64) -> Result<Extracted> {
        let mut rows = Rows::new(self.kept.len());
        let mut range = Range::default();
        topic.read(from, until, &mut |row| {
            range = range.then(Range {
                events: 1,
                latest: Some(row.event.time()),
                recorded: row.recorded,
                imported: row.declared.is_some(),
                erased: u64::from(row.erased),
                too_large: u64::from(!self.take(row, &mut rows)?),
            });
            Ok(())
        })?;
        if range.events != until - from + 1 {
            let message = format!(
                "topic {:?} gave {} of the events at {from} to {until}: was it deleted? Try again",
                topic.name(),
                range.events
            );
            return Err(Error::unavailable(message));
        }
        let (fields, columns) = rows.finish(&self.kept);
        Ok(Extracted {
            fields,
            columns,
            range,
        })
    }

    /// Takes an event in; gives whether its keys were of a size that is kept.
    fn take(&self, row: &LogRow<'_>, rows: &mut Rows) -> Result<bool> {
        let mut inputs = Vec::new();
        self.definition.extractor.read(row.event, &mut inputs);
        let mut push = |key: &str| {
            rows.push(key, row)?;
            for (column, input) in rows.inputs.iter_mut().zip(&self.kept) {
                column.push(&inputs[*input]);
            }
            Ok(())
        };
        match self.definition.keys(&inputs) {
            Keys::None => {}
            Keys::One(key) => push(&key)?,
            Keys::Many(keys) => keys.iter().try_for_each(|key| push(key))?,
            Keys::TooLarge => return Ok(false),
        }
        Ok(true)
    }
}

/// The columns of a range.
#[derive(Debug)]
pub(crate) struct Extracted {
    pub(crate) fields: Vec<FieldRef>,
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) range: Range,
}

/// Rows as they are gathered.
struct Rows {
    numbers: HashMap<Box<str>, i32>,
    keys: Vec<i32>,
    times: Vec<i64>,
    known: Vec<i64>,
    positions: Vec<u64>,
    inputs: Vec<Typed>,
}

impl Rows {
    fn new(inputs: usize) -> Rows {
        Rows {
            numbers: HashMap::new(),
            keys: Vec::new(),
            times: Vec::new(),
            known: Vec::new(),
            positions: Vec::new(),
            inputs: (0..inputs).map(|_| Typed::Nulls(0)).collect(),
        }
    }

    fn push(&mut self, key: &str, row: &LogRow<'_>) -> Result<()> {
        if self.keys.len() == COLUMN_ROWS {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "events before position {} touch more than {COLUMN_ROWS} keys in one range of columns: let the projection's KEY touch fewer",
                    row.position
                ),
            ));
        }
        let number = match self.numbers.get(key) {
            Some(number) => *number,
            None => {
                let next = self.numbers.len() as i32;
                self.numbers.insert(key.into(), next);
                next
            }
        };
        self.keys.push(number);
        self.times.push(row.event.time());
        self.known.push(row.declared.unwrap_or(row.recorded));
        self.positions.push(row.position);
        Ok(())
    }

    fn finish(self, kept: &[usize]) -> (Vec<FieldRef>, Vec<ArrayRef>) {
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut add = |field: Field, column: ArrayRef| {
            fields.push(Arc::new(field));
            columns.push(column);
        };
        let plain =
            |name: &str, column: &ArrayRef| Field::new(name, column.data_type().clone(), false);
        let keys = keys(self.numbers, self.keys);
        add(plain(KEY, &keys), keys);
        let known = (self.known != self.times).then_some(self.known);
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(self.times));
        add(plain(TIME, &times), times);
        if let Some(known) = known {
            let known: ArrayRef = Arc::new(TimestampNanosecondArray::from(known));
            add(plain(KNOWN, &known), known);
        }
        let positions: ArrayRef = Arc::new(UInt64Array::from(self.positions));
        add(plain(POSITION, &positions), positions);
        for (typed, input) in self.inputs.into_iter().zip(kept) {
            if let Some((field, column)) = typed.column(input_name(*input)) {
                add(field, column);
            }
        }
        (fields, columns)
    }
}

/// The column of the keys: integers if all are written as such, else text by a dictionary.
fn keys(numbers: HashMap<Box<str>, i32>, keys: Vec<i32>) -> ArrayRef {
    let mut texts: Vec<(i32, Box<str>)> = numbers.into_iter().map(|(key, at)| (at, key)).collect();
    texts.sort_unstable();
    let ints = texts.iter().map(|(_, text)| integer(text));
    if let Some(ints) = ints.collect::<Option<Vec<i64>>>() {
        let ints = keys.iter().map(|key| ints[*key as usize]);
        return Arc::new(Int64Array::from_iter_values(ints));
    }
    let texts = LargeStringArray::from_iter_values(texts.iter().map(|(_, text)| text));
    let keys = Int32Array::from(keys);
    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(texts)))
}

/// The integer that is written as this text, and as no other.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && !(digits.starts_with('0') && text != "0");
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_that_are_written_so() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("007", None),
            ("-0", None),
            ("+1", None),
            ("", None),
            ("-", None),
            ("1 ", None),
        ] {
            assert_eq!(integer(text), expected, "{text:?}");
        }
    }
}
