//! Keys as small numbers: those of the instants that are asked about, and no others.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{AnyDictionaryArray, Array, ArrayRef, ArrowPrimitiveType};
use arrow_schema::DataType;
use arrow_select::take::take;
use foretell_types::{Error, Result};
use hashbrown::HashMap;

/// What a column of keys may be.
pub(crate) const KEYS: &str = "integers or text";

/// No key, or one that isn't asked about.
pub(crate) const NONE: u32 = u32::MAX;

/// Keys by number. The numbers are below [`KeyIndex::len`], not all of them need be taken.
#[derive(Debug)]
pub(crate) enum KeyIndex {
    /// The number is the distance from the first; those that are there are marked.
    Dense {
        first: i64,
        there: Vec<bool>,
    },
    Sparse(HashMap<i64, u32>),
    Texts(HashMap<Box<str>, u32>),
}

pub(crate) fn is_key(found: &DataType) -> bool {
    match found {
        DataType::Dictionary(_, values) => is_key(values),
        found => is_text(found) || found.is_integer(),
    }
}

/// Whether the keys of a column are all integers.
pub(crate) fn is_integer_key(found: &DataType) -> bool {
    match found {
        DataType::Dictionary(_, values) => values.is_integer(),
        found => found.is_integer(),
    }
}

/// The values of a column, if they are kept in a dictionary.
pub(crate) fn dictionary(column: &ArrayRef) -> Option<&dyn AnyDictionaryArray> {
    column.as_any_dictionary_opt()
}

/// A column without a dictionary.
pub(crate) fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    match dictionary(column) {
        None => Ok(column.clone()),
        Some(found) => take(found.values(), found.keys(), None)
            .map_err(|error| Error::invalid(format!("a dictionary is malformed: {error}"))),
    }
}

/// The numbers of columns' keys, looked up once for each value of a dictionary that they share.
#[derive(Debug)]
pub(crate) struct Numbering<'a> {
    index: &'a KeyIndex,
    last: Option<(ArrayRef, Vec<u32>)>,
}

impl<'a> Numbering<'a> {
    pub(crate) fn new(index: &'a KeyIndex) -> Numbering<'a> {
        Numbering { index, last: None }
    }

    /// As [`KeyIndex::numbers`].
    pub(crate) fn numbers(&mut self, column: &ArrayRef) -> Result<Vec<u32>> {
        let Some(found) = dictionary(column) else {
            return self.index.numbers(column);
        };
        let same = |values: &ArrayRef| values.to_data().ptr_eq(&found.values().to_data());
        if !self.last.as_ref().is_some_and(|(values, _)| same(values)) {
            let numbers = self.index.numbers(found.values())?;
            self.last = Some((found.values().clone(), numbers));
        }
        let of_values = self.last.as_ref().map_or(&[][..], |(_, numbers)| numbers);
        let number = |(row, value): (usize, &usize)| match column.is_null(row) {
            true => NONE,
            false => of_values.get(*value).copied().unwrap_or(NONE),
        };
        Ok(found
            .normalized_keys()
            .iter()
            .enumerate()
            .map(number)
            .collect())
    }
}

fn is_text(found: &DataType) -> bool {
    matches!(
        found,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

impl KeyIndex {
    /// Numbers the keys of a column; as text if `as_text`, else the column holds integers.
    pub(crate) fn of(columns: &[ArrayRef], as_text: bool) -> Result<KeyIndex> {
        if as_text {
            let mut index = HashMap::<Box<str>, u32>::new();
            for column in columns {
                each_text(column, |text| {
                    let Some(text) = text else { return };
                    if !index.contains_key(text) {
                        index.insert(text.into(), index.len() as u32);
                    }
                })?;
            }
            return Ok(KeyIndex::Texts(index));
        }
        let (mut first, mut last, mut rows) = (i64::MAX, i64::MIN, 0usize);
        for column in columns {
            each_int(column, |key| {
                if let Some(key) = key {
                    (first, last) = (first.min(key), last.max(key));
                    rows += 1;
                }
            })?;
        }
        let span = i128::from(last) - i128::from(first) + 1;
        if span > 4 * rows as i128 + 1_024 {
            let mut index = HashMap::new();
            for column in columns {
                each_int(column, |key| {
                    if let Some(key) = key {
                        let next = index.len() as u32;
                        index.entry(key).or_insert(next);
                    }
                })?;
            }
            return Ok(KeyIndex::Sparse(index));
        }
        let mut there = vec![false; usize::try_from(span).unwrap_or(0)];
        for column in columns {
            each_int(column, |key| {
                if let Some(key) = key {
                    there[(key - first) as usize] = true;
                }
            })?;
        }
        Ok(KeyIndex::Dense { first, there })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            KeyIndex::Dense { there, .. } => there.len(),
            KeyIndex::Sparse(index) => index.len(),
            KeyIndex::Texts(index) => index.len(),
        }
    }

    /// The numbers of a column's keys, [`NONE`] for null and for keys that aren't here.
    pub(crate) fn numbers(&self, column: &ArrayRef) -> Result<Vec<u32>> {
        let mut numbers = Vec::with_capacity(column.len());
        match self {
            KeyIndex::Dense { first, there } => each_int(column, |key| {
                let place = key.map_or(usize::MAX, |key| key.wrapping_sub(*first) as usize);
                let known = there.get(place).is_some_and(|there| *there);
                numbers.push(if known { place as u32 } else { NONE });
            })?,
            KeyIndex::Sparse(index) => each_int(column, |key| {
                let found = key.and_then(|key| index.get(&key));
                numbers.push(found.map_or(NONE, |number| *number));
            })?,
            KeyIndex::Texts(index) => each_text(column, |text| {
                let found = text.and_then(|text| index.get(text));
                numbers.push(found.map_or(NONE, |number| *number));
            })?,
        }
        Ok(numbers)
    }
}

/// Gives each value of a column of integers, null as `None`.
fn each_int(column: &ArrayRef, mut take: impl FnMut(Option<i64>)) -> Result<()> {
    fn walk<T: ArrowPrimitiveType>(column: &ArrayRef, take: &mut impl FnMut(Option<i64>))
    where
        T::Native: Into<i64>,
    {
        let array = column.as_primitive::<T>();
        if array.null_count() == 0 {
            array
                .values()
                .iter()
                .for_each(|value| take(Some((*value).into())));
        } else {
            array.iter().for_each(|value| take(value.map(Into::into)));
        }
    }
    match column.data_type() {
        DataType::Dictionary(..) => each_int(&plain(column)?, take)?,
        DataType::Int8 => walk::<Int8Type>(column, &mut take),
        DataType::Int16 => walk::<Int16Type>(column, &mut take),
        DataType::Int32 => walk::<Int32Type>(column, &mut take),
        DataType::Int64 => walk::<Int64Type>(column, &mut take),
        DataType::UInt8 => walk::<UInt8Type>(column, &mut take),
        DataType::UInt16 => walk::<UInt16Type>(column, &mut take),
        DataType::UInt32 => walk::<UInt32Type>(column, &mut take),
        DataType::UInt64 => {
            for value in column.as_primitive::<UInt64Type>() {
                let key = value.map(i64::try_from).transpose().map_err(|_| {
                    Error::invalid(
                        "a key is above 9223372036854775807, the largest that is understood",
                    )
                })?;
                take(key);
            }
        }
        other => {
            return Err(Error::invalid(format!(
                "keys of type {other} are not integers"
            )));
        }
    }
    Ok(())
}

/// Gives each value of a column as text: integers by their digits.
pub(crate) fn each_text(column: &ArrayRef, mut take: impl FnMut(Option<&str>)) -> Result<()> {
    match column.data_type() {
        DataType::Dictionary(..) => each_text(&plain(column)?, take)?,
        DataType::Utf8 => column.as_string::<i32>().iter().for_each(take),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().for_each(take),
        DataType::Utf8View => column.as_string_view().iter().for_each(take),
        _ => {
            let mut digits = String::new();
            each_int(column, |key| match key {
                None => take(None),
                Some(key) => {
                    use std::fmt::Write;
                    digits.clear();
                    let _ = write!(digits, "{key}");
                    take(Some(&digits));
                }
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int32Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn keys_have_one_number_each() {
        let ints = |keys: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(keys)) };
        for far in [3, i64::MAX] {
            let asked = ints(vec![Some(far), Some(-5), None, Some(far)]);
            let index = KeyIndex::of(std::slice::from_ref(&asked), false).unwrap();
            let numbers = index.numbers(&asked).unwrap();
            assert_eq!((numbers[0], numbers[2]), (numbers[3], NONE));
            assert_ne!(numbers[0], numbers[1]);
            assert!(numbers[0] < index.len() as u32);
            let others = ints(vec![Some(0), Some(i64::MIN), Some(-5)]);
            assert_eq!(index.numbers(&others).unwrap(), [NONE, NONE, numbers[1]]);
        }
    }

    #[test]
    fn integers_and_texts_meet_by_their_digits() {
        let asked: ArrayRef = Arc::new(StringArray::from(vec!["7", "07", "-1"]));
        let index = KeyIndex::of(&[asked], true).unwrap();
        let events: ArrayRef = Arc::new(Int32Array::from(vec![-1, 7, 8]));
        assert_eq!(index.numbers(&events).unwrap(), [2, 0, NONE]);
    }
}
