use serde::{Deserialize, Serialize};

use crate::Scalar;

/// What kind of values a column of a projection has. Any of them may be null.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    Bool,
    /// A whole number.
    Int,
    Float,
    /// Either of the two, as JSON has it: known only when the values are.
    Number,
    Text,
    Time,
    /// JSON of any kind: known only when the values are.
    Any,
}

impl ValueType {
    pub fn of(value: &Scalar<'_>) -> ValueType {
        match value {
            Scalar::Bool(_) => ValueType::Bool,
            Scalar::Int(_) => ValueType::Int,
            Scalar::Float(_) => ValueType::Float,
            Scalar::Text(_) => ValueType::Text,
            Scalar::Time(_) => ValueType::Time,
            Scalar::Null | Scalar::Json(_) => ValueType::Any,
        }
    }

    /// The type that holds the values of both.
    #[must_use]
    pub fn or(self, other: ValueType) -> ValueType {
        use ValueType::{Any, Float, Int, Number};
        match (self, other) {
            (a, b) if a == b => a,
            (Int, Float) | (Float, Int) => Float,
            (Number, Int | Float) | (Int | Float, Number) => Number,
            _ => Any,
        }
    }

    /// The type of an arithmetic result: what isn't known to be a number may be one.
    #[must_use]
    pub fn as_number(self) -> ValueType {
        match self {
            ValueType::Int | ValueType::Float => self,
            _ => ValueType::Number,
        }
    }
}
