//! Whether what is under the key of an advanced filter passes it.

use std::cmp::Ordering;

use serde_json::Number as Json;

use super::advanced::{AdvancedFilter, Operator};
use super::look::{Found, Look};
use super::number::Number;

impl AdvancedFilter {
    /// Whether the event passes. `on_arrays`: the elements of an array are tested.
    pub(super) fn matches(&self, event: &Look<'_>, on_arrays: bool) -> bool {
        let under = Under {
            found: event.get(&self.key),
            on_arrays,
        };
        let equals = |a: &str, b: &str| a == b;
        let contains = |a: &str, b: &str| a.contains(b);
        let begins = |a: &str, b: &str| a.starts_with(b);
        let ends = |a: &str, b: &str| a.ends_with(b);
        // `None`: there is no value of the type. Three operators let the event pass then, as in
        // Event Grid; the others with "not" need a value.
        match &self.operator {
            Operator::NumberIn(values) => under.is_in(values) == Some(true),
            Operator::NumberNotIn(values) => under.is_in(values) != Some(true),
            Operator::NumberLessThan(bound) => under.is(bound, Ordering::is_lt),
            Operator::NumberGreaterThan(bound) => under.is(bound, Ordering::is_gt),
            Operator::NumberLessThanOrEquals(bound) => under.is(bound, Ordering::is_le),
            Operator::NumberGreaterThanOrEquals(bound) => under.is(bound, Ordering::is_ge),
            Operator::NumberInRange(ranges) => under.in_range(ranges) == Some(true),
            Operator::NumberNotInRange(ranges) => under.in_range(ranges) != Some(true),
            Operator::BoolEquals(wanted) => under.is_bool(*wanted),
            Operator::StringIn(values) => under.text(values, equals) == Some(true),
            Operator::StringNotIn(values) => under.text(values, equals) != Some(true),
            Operator::StringContains(values) => under.text(values, contains) == Some(true),
            Operator::StringNotContains(values) => under.text(values, contains) == Some(false),
            Operator::StringBeginsWith(values) => under.text(values, begins) == Some(true),
            Operator::StringNotBeginsWith(values) => under.text(values, begins) == Some(false),
            Operator::StringEndsWith(values) => under.text(values, ends) == Some(true),
            Operator::StringNotEndsWith(values) => under.text(values, ends) == Some(false),
            Operator::IsNullOrUndefined => under.found.is_none(),
            Operator::IsNotNull => under.found.is_some(),
        }
    }
}

/// What is under the key.
struct Under<'e> {
    found: Option<Found<'e>>,
    on_arrays: bool,
}

impl Under<'_> {
    /// Whether the value, or any element of the array, fits; `None` if there is nothing to test.
    /// `test` gives `None` for a value of another type, which is as good as absent.
    fn any(&self, test: impl Fn(&Found<'_>) -> Option<bool>) -> Option<bool> {
        match self.found.as_ref()? {
            Found::Array(array) if self.on_arrays => {
                Some(Found::elements(array).any(|element| test(&element) == Some(true)))
            }
            found => test(found),
        }
    }

    fn number(&self, test: impl Fn(Number) -> bool) -> Option<bool> {
        self.any(|found| match found {
            Found::Number(number) => Some(test(*number)),
            _ => None,
        })
    }

    fn is(&self, bound: &Json, wanted: fn(Ordering) -> bool) -> bool {
        let bound = Number::from_json(bound);
        self.number(|number| wanted(number.compare(bound))) == Some(true)
    }

    fn is_in(&self, values: &[Json]) -> Option<bool> {
        self.number(|number| {
            let mut values = values.iter().map(Number::from_json);
            values.any(|value| number.compare(value).is_eq())
        })
    }

    fn in_range(&self, ranges: &[[Json; 2]]) -> Option<bool> {
        self.number(|number| {
            ranges.iter().any(|[low, high]| {
                number.compare(Number::from_json(low)).is_ge()
                    && number.compare(Number::from_json(high)).is_le()
            })
        })
    }

    fn is_bool(&self, wanted: bool) -> bool {
        let equals = |found: &Found<'_>| match found {
            Found::Boolean(value) => Some(*value == wanted),
            _ => None,
        };
        self.any(equals) == Some(true)
    }

    fn text(&self, values: &[String], test: fn(&str, &str) -> bool) -> Option<bool> {
        self.any(|found| match found {
            Found::Text(text) => {
                let text = lower(text);
                Some(values.iter().any(|value| test(&text, &lower(value))))
            }
            _ => None,
        })
    }
}

fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}
