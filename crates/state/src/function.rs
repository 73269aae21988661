//! The functions of one value, or of a few: those that are cheap.

use std::borrow::Cow;
use std::cmp::Ordering;

use foretell_types::{Instant, Timestamp};

use crate::kernel::TimeUnit;
use crate::{Expr, Scalar, ValueType};

/// A function of scalars. A null among the arguments makes it null, unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scalars {
    Lower,
    Upper,
    Trim,
    Length,
    /// Of a text, from this character (from 1), so many of them.
    Substring,
    StartsWith,
    EndsWith,
    Contains,
    Replace,
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Ln,
    Exp,
    Power,
    /// The smallest, nulls left out.
    Least,
    /// The largest, nulls left out.
    Greatest,
    /// Null if both are equal.
    NullIf,
    /// The beginning of the unit that a time is in, in UTC.
    DateTrunc,
    /// A part of a time, in UTC.
    DatePart,
    /// Seconds since 1970.
    Epoch,
}

/// Every function: its name and the fewest and most arguments.
pub(crate) const FUNCTIONS: [(&str, Scalars, usize, usize); 24] = [
    ("lower", Scalars::Lower, 1, 1),
    ("upper", Scalars::Upper, 1, 1),
    ("trim", Scalars::Trim, 1, 1),
    ("length", Scalars::Length, 1, 1),
    ("substr", Scalars::Substring, 2, 3),
    ("substring", Scalars::Substring, 2, 3),
    ("starts_with", Scalars::StartsWith, 2, 2),
    ("ends_with", Scalars::EndsWith, 2, 2),
    ("contains", Scalars::Contains, 2, 2),
    ("replace", Scalars::Replace, 3, 3),
    ("abs", Scalars::Abs, 1, 1),
    ("round", Scalars::Round, 1, 2),
    ("floor", Scalars::Floor, 1, 1),
    ("ceil", Scalars::Ceil, 1, 1),
    ("sqrt", Scalars::Sqrt, 1, 1),
    ("ln", Scalars::Ln, 1, 1),
    ("exp", Scalars::Exp, 1, 1),
    ("power", Scalars::Power, 2, 2),
    ("least", Scalars::Least, 1, 64),
    ("greatest", Scalars::Greatest, 1, 64),
    ("nullif", Scalars::NullIf, 2, 2),
    ("date_trunc", Scalars::DateTrunc, 2, 2),
    ("date_part", Scalars::DatePart, 2, 2),
    ("epoch", Scalars::Epoch, 1, 1),
];

impl Scalars {
    pub(crate) fn call<'a>(self, values: Vec<Scalar<'a>>) -> Scalar<'a> {
        match self {
            Scalars::Least => extreme(values, Ordering::is_lt),
            Scalars::Greatest => extreme(values, Ordering::is_gt),
            Scalars::NullIf => {
                let equal = values[0].compare(&values[1]) == Some(Ordering::Equal);
                let first = values.into_iter().next();
                first.filter(|_| !equal).unwrap_or_default()
            }
            _ if values.iter().any(Scalar::is_null) => Scalar::Null,
            Scalars::DateTrunc | Scalars::DatePart | Scalars::Epoch => self.of_time(&values),
            _ => match values.first() {
                Some(Scalar::Text(text)) => self.of_text(text, &values[1..]),
                Some(number) => self.of_number(number, values.get(1)),
                None => Scalar::Null,
            },
        }
    }

    fn of_text(self, text: &str, rest: &[Scalar<'_>]) -> Scalar<'static> {
        let owned = |text: String| Scalar::Text(Cow::Owned(text));
        let argument = |index: usize| match rest.get(index) {
            Some(Scalar::Text(text)) => Some(text.as_ref()),
            _ => None,
        };
        let about = |test: fn(&str, &str) -> bool| match argument(0) {
            Some(other) => Scalar::Bool(test(text, other)),
            None => Scalar::Null,
        };
        match self {
            Scalars::Lower => owned(text.to_lowercase()),
            Scalars::Upper => owned(text.to_uppercase()),
            Scalars::Trim => owned(text.trim().to_owned()),
            Scalars::Length => Scalar::Int(text.chars().count() as i128),
            Scalars::StartsWith => about(|text, other| text.starts_with(other)),
            Scalars::EndsWith => about(|text, other| text.ends_with(other)),
            Scalars::Contains => about(|text, other| text.contains(other)),
            Scalars::Replace => match (argument(0), argument(1)) {
                // The result is at most a text's length longer for each character.
                (Some(from), Some(to)) if !from.is_empty() => owned(text.replace(from, to)),
                (Some(_), Some(_)) => owned(text.to_owned()),
                _ => Scalar::Null,
            },
            Scalars::Substring => {
                let whole = |index: usize| match rest.get(index) {
                    Some(Scalar::Int(value)) => Some(*value),
                    _ => None,
                };
                let Some(from) = whole(0) else {
                    return Scalar::Null;
                };
                let until = match rest.len() {
                    1 => i128::MAX,
                    _ => match whole(1) {
                        Some(count) => from.saturating_add(count.max(0)),
                        None => return Scalar::Null,
                    },
                };
                let inside = |index: usize| (from..until).contains(&(index as i128 + 1));
                let chars = text.chars().enumerate();
                owned(
                    chars
                        .filter(|(index, _)| inside(*index))
                        .map(|(_, char)| char)
                        .collect(),
                )
            }
            _ => Scalar::Null,
        }
    }

    fn of_number(self, number: &Scalar<'_>, second: Option<&Scalar<'_>>) -> Scalar<'static> {
        if let Scalar::Int(value) = number {
            match self {
                Scalars::Abs => return value.checked_abs().map_or(Scalar::Null, Scalar::Int),
                Scalars::Floor | Scalars::Ceil => return Scalar::Int(*value),
                Scalars::Round if second.is_none() => return Scalar::Int(*value),
                _ => {}
            }
        }
        let as_f64 = |value: &Scalar<'_>| value.as_number().map(crate::Number::as_f64);
        let Some(value) = as_f64(number) else {
            return Scalar::Null;
        };
        let second = second.map(as_f64);
        Scalar::float(match (self, second) {
            (Scalars::Abs, _) => value.abs(),
            (Scalars::Floor, _) => value.floor(),
            (Scalars::Ceil, _) => value.ceil(),
            (Scalars::Sqrt, _) => value.sqrt(),
            (Scalars::Ln, _) => value.ln(),
            (Scalars::Exp, _) => value.exp(),
            (Scalars::Power, Some(Some(power))) => value.powf(power),
            (Scalars::Round, None) => value.round(),
            (Scalars::Round, Some(Some(digits))) => {
                let scale = 10f64.powi(digits.clamp(-300.0, 300.0) as i32);
                (value * scale).round() / scale
            }
            _ => return Scalar::Null,
        })
    }

    fn of_time(self, values: &[Scalar<'_>]) -> Scalar<'static> {
        match (self, values) {
            (Scalars::Epoch, [Scalar::Time(time)]) => {
                Scalar::float(TimeUnit::Second.of_nanos(*time))
            }
            (Scalars::DateTrunc, [Scalar::Text(unit), Scalar::Time(time)]) => {
                trunc(unit, *time).map_or(Scalar::Null, Scalar::Time)
            }
            (Scalars::DatePart, [Scalar::Text(part), Scalar::Time(time)]) => {
                date_part(part, *time).map_or(Scalar::Null, |part| Scalar::Int(i128::from(part)))
            }
            _ => Scalar::Null,
        }
    }

    pub(crate) fn value_type(
        self,
        arguments: &[Expr],
        inputs: &dyn Fn(usize) -> ValueType,
    ) -> ValueType {
        let first = || {
            arguments
                .first()
                .map_or(ValueType::Any, |expr| expr.value_type(inputs))
        };
        match self {
            Scalars::Lower
            | Scalars::Upper
            | Scalars::Trim
            | Scalars::Substring
            | Scalars::Replace => ValueType::Text,
            Scalars::Length | Scalars::DatePart => ValueType::Int,
            Scalars::StartsWith | Scalars::EndsWith | Scalars::Contains => ValueType::Bool,
            Scalars::Abs | Scalars::Floor | Scalars::Ceil => first().as_number(),
            Scalars::Round if arguments.len() == 1 => first().as_number(),
            Scalars::Round
            | Scalars::Sqrt
            | Scalars::Ln
            | Scalars::Exp
            | Scalars::Power
            | Scalars::Epoch => ValueType::Float,
            Scalars::NullIf => first(),
            Scalars::Least | Scalars::Greatest => arguments
                .iter()
                .map(|expr| expr.value_type(inputs))
                .reduce(ValueType::or)
                .unwrap_or(ValueType::Any),
            Scalars::DateTrunc => ValueType::Time,
        }
    }
}

fn extreme<'a>(values: Vec<Scalar<'a>>, wins: fn(Ordering) -> bool) -> Scalar<'a> {
    let there = values.into_iter().filter(|value| !value.is_null());
    there
        .reduce(|best, value| match value.compare(&best) {
            Some(ordering) if wins(ordering) => value,
            _ => best,
        })
        .unwrap_or_default()
}

fn trunc(unit: &str, nanos: i64) -> Option<i64> {
    let instant = Instant::from_nanos(nanos);
    let (year, month, ..) = Timestamp::from_instant(instant).utc_parts();
    let date = |year: i64, month: u32| {
        let time: Timestamp = format!("{year:04}-{month:02}-01T00:00:00Z").parse().ok()?;
        Some(time.instant().as_nanos())
    };
    match unit.to_ascii_lowercase().as_str() {
        "year" => date(year, 1),
        "quarter" => date(year, (month - 1) / 3 * 3 + 1),
        "month" => date(year, month),
        // 1970 began on a Thursday; weeks begin on Monday.
        "week" => {
            let week = TimeUnit::Week.nanos();
            let monday = 4 * TimeUnit::Day.nanos();
            Some(nanos.checked_sub((nanos - monday).rem_euclid(week))?)
        }
        other => {
            let unit = TimeUnit::parse(other)?.nanos();
            nanos.checked_sub(nanos.rem_euclid(unit))
        }
    }
}

fn date_part(part: &str, nanos: i64) -> Option<i64> {
    let instant = Instant::from_nanos(nanos);
    let (year, month, day, hour, minute, second) = Timestamp::from_instant(instant).utc_parts();
    Some(match part.to_ascii_lowercase().as_str() {
        "year" => year,
        "quarter" => i64::from((month - 1) / 3 + 1),
        "month" => i64::from(month),
        "day" => i64::from(day),
        "hour" => i64::from(hour),
        "minute" => i64::from(minute),
        "second" => i64::from(second),
        // Monday is 1, Sunday 7.
        "isodow" => (instant.seconds.div_euclid(86_400) + 3).rem_euclid(7) + 1,
        _ => return None,
    })
}
