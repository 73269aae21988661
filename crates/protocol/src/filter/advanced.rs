use std::cmp::Ordering;

use foretell_types::limits::{ADVANCED_FILTER_CHARS, ADVANCED_FILTER_VALUES, ADVANCED_FILTERS};
use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Number as Json, Value, json};

use super::look::check_key;
use super::number::Number;
use crate::field::Fields;

/// An advanced filter: what must be true of the value under one key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AdvancedFilter {
    /// `Subject`, `type`, the name of an extension, `data.x.y`: without regard to case.
    pub key: String,
    pub operator: Operator,
}

/// The operators of Event Grid with their values, of which one must fit, or none for those with
/// *Not*. Strings are compared without regard to case, ranges hold their ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    NumberIn(Vec<Json>),
    NumberNotIn(Vec<Json>),
    NumberLessThan(Json),
    NumberGreaterThan(Json),
    NumberLessThanOrEquals(Json),
    NumberGreaterThanOrEquals(Json),
    NumberInRange(Vec<[Json; 2]>),
    NumberNotInRange(Vec<[Json; 2]>),
    BoolEquals(bool),
    StringIn(Vec<String>),
    StringNotIn(Vec<String>),
    StringContains(Vec<String>),
    StringNotContains(Vec<String>),
    StringBeginsWith(Vec<String>),
    StringNotBeginsWith(Vec<String>),
    StringEndsWith(Vec<String>),
    StringNotEndsWith(Vec<String>),
    IsNullOrUndefined,
    IsNotNull,
}

const OPERATORS: [&str; 19] = [
    "NumberIn",
    "NumberNotIn",
    "NumberLessThan",
    "NumberGreaterThan",
    "NumberLessThanOrEquals",
    "NumberGreaterThanOrEquals",
    "NumberInRange",
    "NumberNotInRange",
    "BoolEquals",
    "StringIn",
    "StringNotIn",
    "StringContains",
    "StringNotContains",
    "StringBeginsWith",
    "StringNotBeginsWith",
    "StringEndsWith",
    "StringNotEndsWith",
    "IsNullOrUndefined",
    "IsNotNull",
];

impl AdvancedFilter {
    /// Reads the filter at `path`; an error names the field.
    pub(super) fn from_json(path: &str, value: &Value) -> Result<AdvancedFilter> {
        let fields = Fields::of(path, value)?;
        let name = fields.text("operatorType")?;
        let name = required(&fields, "operatorType", name, "an operator")?;
        let key = fields.text("key")?;
        let key = required(&fields, "key", key, "a string such as data.x")?;
        let known = OPERATORS
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        let operator = match known.copied().unwrap_or_default() {
            "NumberIn" => Operator::NumberIn(numbers(&fields)?),
            "NumberNotIn" => Operator::NumberNotIn(numbers(&fields)?),
            "NumberLessThan" => Operator::NumberLessThan(number(&fields)?),
            "NumberGreaterThan" => Operator::NumberGreaterThan(number(&fields)?),
            "NumberLessThanOrEquals" => Operator::NumberLessThanOrEquals(number(&fields)?),
            "NumberGreaterThanOrEquals" => Operator::NumberGreaterThanOrEquals(number(&fields)?),
            "NumberInRange" => Operator::NumberInRange(ranges(&fields)?),
            "NumberNotInRange" => Operator::NumberNotInRange(ranges(&fields)?),
            "BoolEquals" => Operator::BoolEquals(boolean(&fields)?),
            "StringIn" => Operator::StringIn(texts(&fields)?),
            "StringNotIn" => Operator::StringNotIn(texts(&fields)?),
            "StringContains" => Operator::StringContains(texts(&fields)?),
            "StringNotContains" => Operator::StringNotContains(texts(&fields)?),
            "StringBeginsWith" => Operator::StringBeginsWith(texts(&fields)?),
            "StringNotBeginsWith" => Operator::StringNotBeginsWith(texts(&fields)?),
            "StringEndsWith" => Operator::StringEndsWith(texts(&fields)?),
            "StringNotEndsWith" => Operator::StringNotEndsWith(texts(&fields)?),
            "IsNullOrUndefined" => Operator::IsNullOrUndefined,
            "IsNotNull" => Operator::IsNotNull,
            _ => {
                return Err(Error::invalid(format!(
                    "{} is {name:?}: expected {}",
                    fields.name_of("operatorType"),
                    OPERATORS.join(", ")
                )));
            }
        };
        let filter = AdvancedFilter {
            key: key.to_owned(),
            operator,
        };
        match filter.parts().1 {
            None => fields.only(&["operatorType", "key"])?,
            Some((field, _)) => fields.only(&["operatorType", "key", field])?,
        }
        Ok(filter)
    }

    pub(super) fn to_json(&self) -> Value {
        let (name, values) = self.parts();
        let mut filter = json!({"operatorType": name, "key": self.key});
        if let Some((field, value)) = values {
            filter[field] = value;
        }
        filter
    }

    /// The operator's name, and the field of its values with what is in it.
    fn parts(&self) -> (&'static str, Option<(&'static str, Value)>) {
        let value = |value: Value| Some(("value", value));
        let values = |values: Value| Some(("values", values));
        match &self.operator {
            Operator::NumberIn(v) => ("NumberIn", values(json!(v))),
            Operator::NumberNotIn(v) => ("NumberNotIn", values(json!(v))),
            Operator::NumberLessThan(v) => ("NumberLessThan", value(json!(v))),
            Operator::NumberGreaterThan(v) => ("NumberGreaterThan", value(json!(v))),
            Operator::NumberLessThanOrEquals(v) => ("NumberLessThanOrEquals", value(json!(v))),
            Operator::NumberGreaterThanOrEquals(v) => {
                ("NumberGreaterThanOrEquals", value(json!(v)))
            }
            Operator::NumberInRange(v) => ("NumberInRange", values(json!(v))),
            Operator::NumberNotInRange(v) => ("NumberNotInRange", values(json!(v))),
            Operator::BoolEquals(v) => ("BoolEquals", value(json!(v))),
            Operator::StringIn(v) => ("StringIn", values(json!(v))),
            Operator::StringNotIn(v) => ("StringNotIn", values(json!(v))),
            Operator::StringContains(v) => ("StringContains", values(json!(v))),
            Operator::StringNotContains(v) => ("StringNotContains", values(json!(v))),
            Operator::StringBeginsWith(v) => ("StringBeginsWith", values(json!(v))),
            Operator::StringNotBeginsWith(v) => ("StringNotBeginsWith", values(json!(v))),
            Operator::StringEndsWith(v) => ("StringEndsWith", values(json!(v))),
            Operator::StringNotEndsWith(v) => ("StringNotEndsWith", values(json!(v))),
            Operator::IsNullOrUndefined => ("IsNullOrUndefined", None),
            Operator::IsNotNull => ("IsNotNull", None),
        }
    }
}

/// Checks all advanced filters of a subscription.
pub(super) fn check(filters: &[AdvancedFilter]) -> Result<()> {
    let most = |found: usize, of: &str, most: usize| match found > most {
        true => Err(Error::invalid(format!(
            "filter.advancedFilters has {found} {of}: at most {most} are allowed"
        ))),
        false => Ok(()),
    };
    most(filters.len(), "filters", ADVANCED_FILTERS)?;
    let mut values = 0;
    for (index, filter) in filters.iter().enumerate() {
        let checked = filter.check();
        let here = format!("filter.advancedFilters[{index}]");
        values += checked.map_err(|error| Error::invalid(format!("{here}.{}", error.message())))?;
    }
    most(values, "values in all", ADVANCED_FILTER_VALUES)
}

impl AdvancedFilter {
    /// Gives how many values there are; an error begins with the field.
    fn check(&self) -> Result<usize> {
        let short = |field: &str, text: &str| match text.chars().count() {
            ..=ADVANCED_FILTER_CHARS => Ok(()),
            count => Err(Error::invalid(format!(
                "{field} holds a string of {count} characters: at most {ADVANCED_FILTER_CHARS} are allowed"
            ))),
        };
        short("key", &self.key)?;
        check_key(&self.key)?;
        match &self.operator {
            Operator::NumberInRange(ranges) | Operator::NumberNotInRange(ranges) => {
                for [low, high] in ranges {
                    if Number::from_json(low).compare(Number::from_json(high)) == Ordering::Greater
                    {
                        return Err(Error::invalid(format!(
                            "values holds the range [{low}, {high}]: the smaller number comes first"
                        )));
                    }
                }
            }
            Operator::StringIn(texts)
            | Operator::StringNotIn(texts)
            | Operator::StringContains(texts)
            | Operator::StringNotContains(texts)
            | Operator::StringBeginsWith(texts)
            | Operator::StringNotBeginsWith(texts)
            | Operator::StringEndsWith(texts)
            | Operator::StringNotEndsWith(texts) => {
                texts.iter().try_for_each(|text| short("values", text))?;
            }
            _ => {}
        }
        match self.parts().1 {
            Some((_, Value::Array(values))) if values.is_empty() => {
                Err(Error::invalid("values is empty: give at least one"))
            }
            Some((_, Value::Array(values))) => Ok(values.len()),
            Some(_) => Ok(1),
            None => Ok(0),
        }
    }
}

fn required<T>(fields: &Fields<'_>, name: &str, read: Option<T>, expected: &str) -> Result<T> {
    read.ok_or_else(|| {
        let name = fields.name_of(name);
        Error::invalid(format!("{name} is missing: expected {expected}"))
    })
}

fn as_number(value: &Value) -> Option<Json> {
    value.as_number().cloned()
}

fn number(fields: &Fields<'_>) -> Result<Json> {
    let value = fields.number("value")?;
    required(fields, "value", value, "a number")
}

fn boolean(fields: &Fields<'_>) -> Result<bool> {
    let value = fields.boolean("value")?;
    required(fields, "value", value, "a boolean")
}

fn numbers(fields: &Fields<'_>) -> Result<Vec<Json>> {
    let expected = "an array of numbers";
    let values = fields.items("values", expected, as_number)?;
    required(fields, "values", values, expected)
}

fn ranges(fields: &Fields<'_>) -> Result<Vec<[Json; 2]>> {
    let expected = "an array of ranges [low, high]";
    let range = |value: &Value| match value.as_array()?.as_slice() {
        [low, high] => Some([as_number(low)?, as_number(high)?]),
        _ => None,
    };
    let values = fields.items("values", expected, range)?;
    required(fields, "values", values, expected)
}

fn texts(fields: &Fields<'_>) -> Result<Vec<String>> {
    let values = fields.texts("values")?;
    required(fields, "values", values, "an array of strings")
}
