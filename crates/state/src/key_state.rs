use std::borrow::Cow;
use std::collections::BTreeSet;

use foretell_types::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::kernel::Slot;
use crate::{Definition, Scalar};
use foretell_types::limits::{KEY_BYTES, KEYS_PER_EVENT};

/// Where an event stands in the fold: by its time, then its topic, then its position there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Its place among [`Definition::topics`].
    pub topic: u32,
    pub position: u64,
}

impl Stamp {
    /// After all events.
    pub const MAX: Stamp = Stamp {
        time: i64::MAX,
        topic: u32::MAX,
        position: u64::MAX,
    };
}

/// The state of one key: events are folded in, in the order of their stamps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyState {
    slots: Vec<Slot>,
    last: Option<Stamp>,
    events: u64,
}

impl KeyState {
    pub fn new(definition: &Definition) -> KeyState {
        KeyState {
            slots: definition
                .aggregates
                .iter()
                .map(|aggregate| Slot::new(&aggregate.function))
                .collect(),
            last: None,
            events: 0,
        }
    }

    /// Folds an event in by its inputs. Its stamp is after all others.
    pub fn lift(&mut self, definition: &Definition, stamp: Stamp, inputs: &[Scalar<'_>]) {
        debug_assert!(self.last < Some(stamp), "events are folded in their order");
        for (slot, aggregate) in self.slots.iter_mut().zip(&definition.aggregates) {
            let value = aggregate.value(inputs);
            slot.lift(&aggregate.function, aggregate.window, stamp.time, &value);
        }
        self.last = Some(stamp);
        self.events += 1;
    }

    /// The stamp of the last event.
    pub fn last(&self) -> Option<Stamp> {
        self.last
    }

    pub fn events(&self) -> u64 {
        self.events
    }

    /// The columns at an instant, not before the last event. Moves the windows there: what is
    /// folded later must not be earlier.
    pub fn outputs(&mut self, definition: &Definition, at: i64) -> Vec<Scalar<'static>> {
        let values: Vec<Scalar<'static>> = self
            .slots
            .iter_mut()
            .zip(&definition.aggregates)
            .map(|(slot, aggregate)| slot.finish(&aggregate.function, aggregate.window, at))
            .collect();
        definition
            .outputs
            .iter()
            .map(|output| output.expr.eval(&values).into_owned())
            .collect()
    }

    /// Why the projection's function has no state any more: its call failed at an event.
    pub fn failure(&self) -> Option<&str> {
        self.slots.iter().find_map(Slot::failure)
    }

    /// Columns with values that had to be numbers and weren't, and how many.
    pub fn not_numbers<'d>(&self, definition: &'d Definition) -> Vec<(&'d str, u64)> {
        let mut counts = Vec::new();
        for output in &definition.outputs {
            let mut count = 0;
            output.expr.visit_inputs(&mut |index| {
                count += self.slots.get(index).map_or(0, |slot| slot.not_numbers);
            });
            if count > 0 {
                counts.push((output.name.as_str(), count));
            }
        }
        counts
    }

    /// Reads something of each of the processor's cache lines that [`KeyState::lift`] writes, and
    /// does nothing else: of many states, so the processor waits for many at once.
    pub fn near(&self) -> u64 {
        self.slots.iter().fold(0, |all, slot| all ^ slot.near())
    }

    /// As [`KeyState::near`], one step of memory further.
    pub fn near_below(&self) -> u64 {
        self.slots
            .iter()
            .fold(0, |all, slot| all ^ slot.near_below())
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        size_of::<KeyState>() + self.slots.iter().map(Slot::bytes).sum::<usize>()
    }

    pub fn encode(&self, out: Vec<u8>) -> Result<Vec<u8>> {
        postcard::to_extend(self, out).map_err(|error| damaged("a state can't be written", error))
    }

    /// The state of this definition that bytes begin with, and the rest of them.
    pub fn decode<'b>(definition: &Definition, bytes: &'b [u8]) -> Result<(KeyState, &'b [u8])> {
        let (state, rest) = postcard::take_from_bytes::<KeyState>(bytes)
            .map_err(|error| damaged("a state can't be read", error))?;
        if state.slots.len() != definition.aggregates.len() {
            return Err(Error::new(
                ErrorKind::Damaged,
                "a state isn't one of this projection",
            ));
        }
        Ok((state, rest))
    }
}

/// An event as the history of a key keeps it: what the aggregates read of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    pub stamp: Stamp,
    /// When it became known, in nanoseconds since the epoch.
    pub known: i64,
    pub inputs: Vec<Scalar<'static>>,
}

/// A row as bytes: numbers tell the difference to the row before.
#[derive(Serialize, Deserialize)]
struct Written<I> {
    time: i64,
    topic: u32,
    position: i64,
    known: i64,
    inputs: I,
}

/// What the next row of a history is told against.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowBase {
    time: i64,
    position: u64,
}

/// Appends a row.
pub fn encode_row(
    out: Vec<u8>,
    base: &mut RowBase,
    stamp: Stamp,
    known: i64,
    inputs: &[Scalar<'_>],
) -> Result<Vec<u8>> {
    let written = Written {
        time: stamp.time.wrapping_sub(base.time),
        topic: stamp.topic,
        position: stamp.position.wrapping_sub(base.position) as i64,
        known: known.wrapping_sub(stamp.time),
        inputs,
    };
    *base = RowBase {
        time: stamp.time,
        position: stamp.position,
    };
    postcard::to_extend(&written, out).map_err(|error| damaged("a row can't be written", error))
}

/// All rows that were appended from a first base on.
pub fn decode_rows(mut bytes: &[u8], rows: &mut Vec<Row>) -> Result<()> {
    let mut base = RowBase::default();
    while !bytes.is_empty() {
        let (written, rest) = postcard::take_from_bytes::<Written<Vec<Scalar<'_>>>>(bytes)
            .map_err(|error| damaged("a row can't be read", error))?;
        bytes = rest;
        base = RowBase {
            time: base.time.wrapping_add(written.time),
            position: base.position.wrapping_add(written.position as u64),
        };
        rows.push(Row {
            stamp: Stamp {
                time: base.time,
                topic: written.topic,
                position: base.position,
            },
            known: written.known.wrapping_add(base.time),
            inputs: written.inputs.into_iter().map(Scalar::into_owned).collect(),
        });
    }
    Ok(())
}

fn damaged(what: &str, error: postcard::Error) -> Error {
    Error::new(ErrorKind::Damaged, what).with_source(error)
}

/// The keys that an event touches.
#[derive(Clone, PartialEq, Debug)]
pub enum Keys<'a> {
    None,
    One(Cow<'a, str>),
    /// Distinct, in their order.
    Many(Vec<String>),
    /// It has a key that is too long, or too many: it touches none.
    TooLarge,
}

impl Definition {
    /// The keys that an event touches, by its inputs.
    pub fn keys<'a>(&'a self, inputs: &'a [Scalar<'a>]) -> Keys<'a> {
        if self
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.is_true(inputs))
        {
            return Keys::None;
        }
        match self.key.eval(inputs) {
            Scalar::Json(text) if text.starts_with('[') => elements(&text),
            Scalar::Text(text) => one(text),
            value => match value.to_key() {
                None => Keys::None,
                Some(key) => one(Cow::Owned(key.into_owned())),
            },
        }
    }

    /// The inputs that the aggregates read: what a history keeps of an event.
    pub fn kept_inputs(&self) -> Vec<usize> {
        let mut kept = BTreeSet::new();
        for aggregate in &self.aggregates {
            for expr in aggregate.argument.iter().chain(&aggregate.filter) {
                expr.visit_inputs(&mut |index| {
                    kept.insert(index);
                });
            }
        }
        kept.into_iter().collect()
    }

    /// The state as JSON: the columns as an object, in their order, or what the function gave.
    pub fn to_json(&self, values: &[Scalar<'_>]) -> String {
        if let (true, [value]) = (self.whole, values) {
            return value.to_json();
        }
        let mut out = String::from("{");
        for (index, (output, value)) in self.outputs.iter().zip(values).enumerate() {
            if index > 0 {
                out.push(',');
            }
            crate::scalar::write_quoted(&mut out, &output.name);
            out.push(':');
            value.write_json(&mut out);
        }
        out.push('}');
        out
    }
}

fn one(key: Cow<'_, str>) -> Keys<'_> {
    if key.len() > KEY_BYTES {
        return Keys::TooLarge;
    }
    Keys::One(key)
}

fn elements(text: &str) -> Keys<'static> {
    let Ok(list) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(text) else {
        return Keys::None;
    };
    let mut keys = BTreeSet::new();
    for element in list {
        if let Some(key) = Scalar::from_json(element.get()).to_key() {
            if key.len() > KEY_BYTES || keys.len() == KEYS_PER_EVENT {
                return Keys::TooLarge;
            }
            keys.insert(key.into_owned());
        }
    }
    Keys::Many(keys.into_iter().collect())
}
