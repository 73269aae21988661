//! Batches of a Parquet file as events: keys as numbers, times in nanoseconds, arguments evaluated.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use foretell_state::{Scalar, ValueType};

use crate::key::plain;
use crate::typed::json_type;
use crate::values::{Flat, Values};

/// The type of a column's values.
pub(crate) fn value_type(field: &Field) -> ValueType {
    if let Some(of) = json_type(field) {
        return of;
    }
    of_type(field.data_type())
}

fn of_type(found: &DataType) -> ValueType {
    match found {
        DataType::Dictionary(_, values) => of_type(values),
        found if found.is_integer() => ValueType::Int,
        DataType::Decimal128(_, 0) => ValueType::Int,
        DataType::Boolean => ValueType::Bool,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ValueType::Text,
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
            ValueType::Float
        }
        found if crate::time::unit(found).is_some() => ValueType::Time,
        _ => ValueType::Any,
    }
}

/// A whole column as values.
pub(crate) fn values(column: &ArrayRef) -> Values {
    match column.data_type() {
        DataType::Int64 => Values::Ints(flat::<Int64Type, i64>(column)),
        DataType::Int32 => Values::Ints(flat::<Int32Type, i64>(column)),
        DataType::Int16 => Values::Ints(flat::<Int16Type, i64>(column)),
        DataType::Int8 => Values::Ints(flat::<Int8Type, i64>(column)),
        DataType::UInt32 => Values::Ints(flat::<UInt32Type, i64>(column)),
        DataType::UInt16 => Values::Ints(flat::<UInt16Type, i64>(column)),
        DataType::UInt8 => Values::Ints(flat::<UInt8Type, i64>(column)),
        DataType::Float64 => floats(flat::<Float64Type, f64>(column)),
        DataType::Float32 => floats(flat::<Float32Type, f64>(column)),
        DataType::Float16 => floats(flat::<Float16Type, f64>(column)),
        DataType::Dictionary(..) => match plain(column) {
            Ok(column) => values(&column),
            Err(_) => Values::none_of(column.len()),
        },
        _ => {
            let rows = 0..column.len();
            compact(rows.map(|row| scalar(column, row).into_owned()).collect())
        }
    }
}

fn flat<T: ArrowPrimitiveType, N: From<T::Native>>(column: &ArrayRef) -> Flat<N> {
    let array = column.as_primitive::<T>();
    Flat {
        values: array.values().iter().map(|value| N::from(*value)).collect(),
        valid: array
            .nulls()
            .filter(|nulls| nulls.null_count() > 0)
            .map(|nulls| nulls.iter().collect()),
    }
}

/// What is no finite number is null.
fn floats(mut flat: Flat<f64>) -> Values {
    if flat.values.iter().all(|value| value.is_finite()) {
        return Values::Floats(flat);
    }
    let valid = flat
        .valid
        .get_or_insert_with(|| vec![true; flat.values.len()]);
    for (valid, value) in valid.iter_mut().zip(&flat.values) {
        *valid &= value.is_finite();
    }
    Values::Floats(flat)
}

/// Values side by side without their kind, if all are integers or all are floats.
pub(crate) fn compact(values: Vec<Scalar<'static>>) -> Values {
    let ints = values.iter().map(|value| match value {
        Scalar::Null => Some(None),
        Scalar::Int(value) => i64::try_from(*value).ok().map(Some),
        _ => None,
    });
    if let Some(ints) = ints.collect::<Option<Vec<Option<i64>>>>() {
        return Values::Ints(ints.into_iter().collect());
    }
    let floats = values.iter().map(|value| match value {
        Scalar::Null => Some(None),
        Scalar::Float(value) => Some(Some(*value)),
        _ => None,
    });
    if let Some(floats) = floats.collect::<Option<Vec<Option<f64>>>>() {
        return Values::Floats(floats.into_iter().collect());
    }
    Values::Scalars(values)
}

/// One value, of a column without a dictionary. A type that no expression knows is null.
pub(crate) fn scalar(column: &ArrayRef, row: usize) -> Scalar<'_> {
    if column.is_null(row) {
        return Scalar::Null;
    }
    fn int<'a, T: ArrowPrimitiveType>(column: &ArrayRef, row: usize) -> Scalar<'a>
    where
        T::Native: Into<i128>,
    {
        Scalar::Int(column.as_primitive::<T>().value(row).into())
    }
    match column.data_type() {
        DataType::Int64 => int::<Int64Type>(column, row),
        DataType::Int32 => int::<Int32Type>(column, row),
        DataType::Int16 => int::<Int16Type>(column, row),
        DataType::Int8 => int::<Int8Type>(column, row),
        DataType::UInt64 => int::<arrow_array::types::UInt64Type>(column, row),
        DataType::UInt32 => int::<UInt32Type>(column, row),
        DataType::UInt16 => int::<UInt16Type>(column, row),
        DataType::UInt8 => int::<UInt8Type>(column, row),
        DataType::Float64 => Scalar::float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => Scalar::float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Boolean => Scalar::Bool(column.as_boolean().value(row)),
        DataType::Utf8 => Scalar::text(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Scalar::text(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Scalar::text(column.as_string_view().value(row)),
        DataType::Decimal128(_, scale) => {
            let value = column
                .as_primitive::<arrow_array::types::Decimal128Type>()
                .value(row);
            match scale {
                0 => Scalar::Int(value),
                scale => Scalar::float(value as f64 / 10f64.powi(i32::from(*scale))),
            }
        }
        _ => crate::time::nanos(&column.slice(row, 1))
            .ok()
            .and_then(|nanos| nanos.first().copied())
            .map_or(Scalar::Null, Scalar::Time),
    }
}
