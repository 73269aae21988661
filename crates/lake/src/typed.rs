//! A column in the making, of whatever type its values turn out to have.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, LargeStringBuilder, TimestampNanosecondBuilder,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use foretell_state::{Scalar, ValueType};

/// A field's note that its values are JSON text, and of which type they are together.
const JSON: &str = "foretell.json";

/// Values of one column. Those of one type are kept as that; where types meet, as JSON text, so
/// that each comes back as it was.
#[derive(Debug)]
pub(crate) enum Typed {
    Nulls(usize),
    Bools(BooleanBuilder),
    Ints(Int64Builder),
    Floats(Float64Builder),
    Times(TimestampNanosecondBuilder),
    Texts(LargeStringBuilder),
    Json(LargeStringBuilder, ValueType),
}

impl Typed {
    pub(crate) fn push(&mut self, value: &Scalar<'_>) {
        match (&mut *self, value) {
            (Typed::Nulls(count), Scalar::Null) => *count += 1,
            (Typed::Bools(to), Scalar::Null) => to.append_null(),
            (Typed::Ints(to), Scalar::Null) => to.append_null(),
            (Typed::Floats(to), Scalar::Null) => to.append_null(),
            (Typed::Times(to), Scalar::Null) => to.append_null(),
            (Typed::Texts(to) | Typed::Json(to, _), Scalar::Null) => to.append_null(),
            (Typed::Bools(to), Scalar::Bool(value)) => to.append_value(*value),
            (Typed::Ints(to), Scalar::Int(value)) if i64::try_from(*value).is_ok() => {
                to.append_value(*value as i64);
            }
            (Typed::Floats(to), Scalar::Float(value)) => to.append_value(*value),
            (Typed::Times(to), Scalar::Time(value)) => to.append_value(*value),
            (Typed::Texts(to), Scalar::Text(value)) => to.append_value(value),
            (Typed::Json(to, of), value) => {
                *of = of.or(ValueType::of(value));
                to.append_value(value.to_json());
            }
            (Typed::Nulls(count), value) => {
                let count = *count;
                *self = Typed::of(value);
                (0..count).for_each(|_| self.push(&Scalar::Null));
                self.push(value);
            }
            (_, value) => {
                self.turn_to_json();
                self.push(value);
            }
        }
    }

    /// An empty column for values such as this one.
    fn of(value: &Scalar<'_>) -> Typed {
        match value {
            Scalar::Null => Typed::Nulls(0),
            Scalar::Bool(_) => Typed::Bools(BooleanBuilder::new()),
            Scalar::Int(value) if i64::try_from(*value).is_ok() => Typed::Ints(Int64Builder::new()),
            Scalar::Float(_) => Typed::Floats(Float64Builder::new()),
            Scalar::Time(_) => Typed::Times(TimestampNanosecondBuilder::new()),
            Scalar::Text(_) => Typed::Texts(LargeStringBuilder::new()),
            Scalar::Int(_) | Scalar::Json(_) => {
                Typed::Json(LargeStringBuilder::new(), ValueType::of(value))
            }
        }
    }

    fn turn_to_json(&mut self) {
        let of = match self {
            Typed::Bools(_) => ValueType::Bool,
            Typed::Ints(_) => ValueType::Int,
            Typed::Floats(_) => ValueType::Float,
            Typed::Texts(_) => ValueType::Text,
            _ => ValueType::Any,
        };
        let mut json = Typed::Json(LargeStringBuilder::new(), of);
        // Times alone have no JSON of their own: what was a time is one always.
        if let Some(array) = std::mem::replace(self, Typed::Nulls(0)).finish() {
            for row in 0..array.len() {
                json.push(&crate::batch::scalar(&array, row));
            }
        }
        *self = json;
    }

    /// The column's field and values; `None` if all are null.
    pub(crate) fn column(self, name: String) -> Option<(Field, ArrayRef)> {
        let json = match &self {
            Typed::Json(_, of) => Some(*of),
            _ => None,
        };
        let array = self.finish()?;
        let mut field = Field::new(name, array.data_type().clone(), true);
        if let Some(of) = json {
            let of = serde_json::to_string(&of).unwrap_or_default();
            field = field.with_metadata(HashMap::from([(JSON.to_owned(), of)]));
        }
        Some((field, array))
    }

    fn finish(self) -> Option<ArrayRef> {
        Some(match self {
            Typed::Nulls(_) => return None,
            Typed::Bools(mut values) => Arc::new(values.finish()),
            Typed::Ints(mut values) => Arc::new(values.finish()),
            Typed::Floats(mut values) => Arc::new(values.finish()),
            Typed::Times(mut values) => Arc::new(values.finish()),
            Typed::Texts(mut values) | Typed::Json(mut values, _) => Arc::new(values.finish()),
        })
    }
}

/// Of a column of JSON text the type of its values.
pub(crate) fn json_type(field: &Field) -> Option<ValueType> {
    let of = field.metadata().get(JSON)?;
    debug_assert_eq!(*field.data_type(), DataType::LargeUtf8);
    Some(serde_json::from_str(of).unwrap_or(ValueType::Any))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let big = Scalar::Int(i128::from(i64::MAX) + 1);
        let check = |values: &[Scalar<'_>], expected: &DataType, of: Option<ValueType>| {
            let mut typed = Typed::Nulls(0);
            values.iter().for_each(|value| typed.push(value));
            let (field, array) = typed.column("x".into()).unwrap();
            assert_eq!(array.len(), values.len());
            assert_eq!((field.data_type(), json_type(&field)), (expected, of));
            for (row, value) in values.iter().enumerate() {
                let found = match of {
                    Some(_) if !array.is_null(row) => {
                        Scalar::from_json(array.as_string::<i64>().value(row))
                    }
                    _ => crate::batch::scalar(&array, row),
                };
                assert_eq!(found, *value);
            }
        };
        let (one, half) = (Scalar::Int(1), Scalar::float(0.5));
        check(
            &[Scalar::Null, one.clone(), Scalar::Null],
            &DataType::Int64,
            None,
        );
        check(
            &[half.clone(), Scalar::float(40.0)],
            &DataType::Float64,
            None,
        );
        let text = DataType::LargeUtf8;
        check(
            &[Scalar::Null, one.clone(), half, Scalar::float(40.0)],
            &text,
            Some(ValueType::Float),
        );
        check(std::slice::from_ref(&big), &text, Some(ValueType::Int));
        check(&[one, big], &text, Some(ValueType::Int));
        check(&[Scalar::text("a\"b")], &text, None);
        let mixed = [
            Scalar::text("1"),
            Scalar::Json("[1]".into()),
            Scalar::Bool(true),
        ];
        check(&mixed, &text, Some(ValueType::Any));
        assert!(Typed::Nulls(3).column("x".into()).is_none());
    }
}
