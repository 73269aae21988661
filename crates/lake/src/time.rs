//! Columns of times, as nanoseconds since 1970.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use foretell_types::{Error, Result};

/// What a column of times may be.
pub(crate) const TIMES: &str = "a timestamp, a date, or int64 with microseconds since 1970";

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// Nanoseconds in a unit of the column; `None` if it holds no times.
pub(crate) fn unit(found: &DataType) -> Option<i64> {
    Some(match found {
        DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 1,
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => 1_000_000,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Date32 => NANOS_PER_DAY,
        _ => return None,
    })
}

/// The times of a column; fails on null and on what 64 bits of nanoseconds can't express, with the
/// row within the column.
pub(crate) fn nanos(array: &ArrayRef) -> Result<Vec<i64>> {
    let unit = unit(array.data_type()).ok_or_else(|| Error::invalid("it holds no times"))?;
    if array.null_count() > 0 {
        let row = (0..array.len()).find(|row| array.is_null(*row));
        return Err(Error::invalid(format!(
            "row {} has no time",
            row.unwrap_or(0)
        )));
    }
    match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().values();
            scaled(days.iter().map(|days| i64::from(*days)), unit)
        }
        _ => scaled(raw(array)?.iter().copied(), unit),
    }
}

/// The values of a column whose times are 64 bits wide, in its own unit.
fn raw(array: &ArrayRef) -> Result<&[i64]> {
    fn values<T: arrow_array::ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> &[i64] {
        let array: &PrimitiveArray<T> = array.as_primitive();
        array.values()
    }
    Ok(match array.data_type() {
        DataType::Int64 => values::<Int64Type>(array),
        DataType::Date64 => values::<Date64Type>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => values::<TimestampNanosecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => values::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => values::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Second, _) => values::<TimestampSecondType>(array),
        _ => return Err(Error::invalid("it holds no times")),
    })
}

fn scaled(values: impl ExactSizeIterator<Item = i64> + Clone, unit: i64) -> Result<Vec<i64>> {
    let most = i64::MAX / unit;
    // One pass that only looks is cheaper than a check at each value.
    let within = values.clone().fold(true, |within, value| {
        within & (-most..=most).contains(&value)
    });
    if !within {
        let row = values
            .clone()
            .position(|value| !(-most..=most).contains(&value));
        return Err(Error::invalid(format!(
            "row {} has a time before 1677 or after 2262; is it in microseconds?",
            row.unwrap_or(0)
        )));
    }
    Ok(values.map(|value| value * unit).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        Date32Array, Int64Array, StringArray, TimestampMillisecondArray, TimestampSecondArray,
    };

    use super::*;

    #[test]
    fn times_of_every_unit() {
        let check = |array: ArrayRef, expected: &[i64]| {
            assert_eq!(nanos(&array).unwrap(), expected);
        };
        check(Arc::new(Int64Array::from(vec![-1, 2])), &[-1_000, 2_000]);
        let zoned = TimestampMillisecondArray::from(vec![3]).with_timezone("+02:00");
        check(Arc::new(zoned), &[3_000_000]);
        check(Arc::new(Date32Array::from(vec![1])), &[NANOS_PER_DAY]);
    }

    #[test]
    fn what_is_no_time_is_named_by_its_row() {
        let check = |array: ArrayRef, expected: &str| {
            let error = nanos(&array).unwrap_err();
            assert!(error.message().contains(expected), "{error}");
        };
        check(
            Arc::new(Int64Array::from(vec![Some(1), None])),
            "row 1 has no time",
        );
        let far = TimestampSecondArray::from(vec![1, 2, i64::MAX / 1_000]);
        check(Arc::new(far), "row 2 has a time before 1677");
        check(Arc::new(StringArray::from(vec!["x"])), "no times");
    }
}
