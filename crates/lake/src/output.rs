//! The columns of a dataset as Arrow arrays.

use std::sync::Arc;

use arrow_array::builder::LargeStringBuilder;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, TimestampNanosecondArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, TimeUnit};
use foretell_state::{Expr, Scalar, ValueType};
use foretell_types::{Error, Result};

use crate::fold::Folded;
use crate::plan::Output;
use crate::values::{Flat, Values};

/// The Arrow type of a column. What is known only value by value is a number, or text.
pub fn arrow_type(value_type: ValueType) -> DataType {
    match value_type {
        ValueType::Bool => DataType::Boolean,
        ValueType::Int => DataType::Int64,
        ValueType::Float | ValueType::Number => DataType::Float64,
        ValueType::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        ValueType::Text | ValueType::Any => DataType::LargeUtf8,
    }
}

impl Output {
    /// The column, over all rows.
    pub(crate) fn array(&self, folded: &Folded, rows: usize) -> Result<ArrayRef> {
        if let Some((feature, otherwise)) = self.plain() {
            let parts = || {
                folded
                    .parts
                    .iter()
                    .map(|(rows, values)| (rows, &values[feature]))
            };
            if self.value_type == ValueType::Int
                && let Some(array) = ints(parts(), rows, otherwise)
            {
                return Ok(array);
            }
            if matches!(self.value_type, ValueType::Float | ValueType::Number)
                && otherwise.is_none()
                && let Some(array) = floats(parts(), rows)
            {
                return Ok(array);
            }
        }
        let mut named = Vec::new();
        self.expr.visit_inputs(&mut |feature| named.push(feature));
        let mut all = vec![Scalar::Null; rows];
        for (rows, values) in &folded.parts {
            let mut inputs = vec![Scalar::Null; values.len()];
            for (index, row) in rows.iter().enumerate() {
                for feature in &named {
                    inputs[*feature] = values[*feature].get(index);
                }
                all[*row as usize] = self.expr.eval(&inputs).into_owned();
            }
        }
        array(&all, self.value_type)
            .map_err(|error| error.context(format_args!("column {:?}", self.name)))
    }

    /// The feature that it is, as it stands or with an integer in place of null.
    fn plain(&self) -> Option<(usize, Option<i64>)> {
        match &self.expr {
            Expr::Input(feature) => Some((*feature, None)),
            Expr::Coalesce(list) => match list.as_slice() {
                [Expr::Input(feature), Expr::Literal(Scalar::Int(value))] => {
                    Some((*feature, Some(i64::try_from(*value).ok()?)))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// `None` if they aren't all integers.
fn ints<'a>(
    parts: impl Iterator<Item = (&'a Vec<u32>, &'a Values)>,
    rows: usize,
    otherwise: Option<i64>,
) -> Option<ArrayRef> {
    let flats = parts.map(|(rows, values)| match values {
        Values::Ints(flat) => Some((rows, flat)),
        _ => None,
    });
    let (mut values, valid) = flat(flats, rows)?;
    let valid = match (valid, otherwise) {
        (Some(valid), Some(otherwise)) => {
            for (value, valid) in values.iter_mut().zip(valid) {
                if !valid {
                    *value = otherwise;
                }
            }
            None
        }
        (valid, _) => valid,
    };
    Some(Arc::new(Int64Array::new(values.into(), valid.map(nulls))))
}

fn floats<'a>(
    parts: impl Iterator<Item = (&'a Vec<u32>, &'a Values)>,
    rows: usize,
) -> Option<ArrayRef> {
    let flats = parts.map(|(rows, values)| match values {
        Values::Floats(flat) => Some((rows, flat)),
        _ => None,
    });
    let (values, valid) = flat(flats, rows)?;
    Some(Arc::new(Float64Array::new(values.into(), valid.map(nulls))))
}

fn flat<'a, T: Copy + Default + 'a>(
    parts: impl Iterator<Item = Option<(&'a Vec<u32>, &'a Flat<T>)>>,
    rows: usize,
) -> Option<(Vec<T>, Option<Vec<bool>>)> {
    let mut values = vec![T::default(); rows];
    let mut all_valid: Option<Vec<bool>> = None;
    for part in parts {
        let (places, flat) = part?;
        for (place, value) in places.iter().zip(&flat.values) {
            values[*place as usize] = *value;
        }
        if let Some(valid) = &flat.valid {
            let all = all_valid.get_or_insert_with(|| vec![true; rows]);
            for (place, valid) in places.iter().zip(valid) {
                all[*place as usize] = *valid;
            }
        }
    }
    Some((values, all_valid))
}

fn nulls(valid: Vec<bool>) -> NullBuffer {
    NullBuffer::new(BooleanBuffer::from(valid))
}

/// Values as an array. Fails on a value that its type can't hold: nothing is rounded in silence.
pub(crate) fn array(values: &[Scalar<'_>], value_type: ValueType) -> Result<ArrayRef> {
    let unfit = |value: &Scalar<'_>, wanted: &str| {
        Error::invalid(format!(
            "{} is no {wanted}: cast it to double precision or to text",
            value.to_json()
        ))
    };
    Ok(match value_type {
        ValueType::Bool => {
            let all = values.iter().map(|value| match value {
                Scalar::Null => Ok(None),
                Scalar::Bool(value) => Ok(Some(*value)),
                other => Err(unfit(other, "boolean")),
            });
            Arc::new(all.collect::<Result<BooleanArray>>()?)
        }
        ValueType::Int => {
            let all = values.iter().map(|value| match value {
                Scalar::Null => Ok(None),
                Scalar::Int(int) => match i64::try_from(*int) {
                    Ok(int) => Ok(Some(int)),
                    Err(_) => Err(unfit(value, "integer of 64 bits")),
                },
                other => Err(unfit(other, "integer")),
            });
            Arc::new(all.collect::<Result<Int64Array>>()?)
        }
        ValueType::Float | ValueType::Number => {
            let all = values.iter().map(|value| match value {
                Scalar::Null => Ok(None),
                Scalar::Int(value) => Ok(Some(*value as f64)),
                Scalar::Float(value) => Ok(Some(*value)),
                other => Err(unfit(other, "number")),
            });
            Arc::new(all.collect::<Result<Float64Array>>()?)
        }
        ValueType::Time => {
            let all = values.iter().map(|value| match value {
                Scalar::Null => Ok(None),
                Scalar::Time(nanos) => Ok(Some(*nanos)),
                other => Err(unfit(other, "time")),
            });
            let array: TimestampNanosecondArray = all.collect::<Result<_>>()?;
            Arc::new(array.with_timezone("UTC"))
        }
        ValueType::Text | ValueType::Any => {
            let mut builder = LargeStringBuilder::new();
            for value in values {
                builder.append_option(value.to_key());
            }
            Arc::new(builder.finish())
        }
    })
}
