//! A value inside a projection: what an expression gives, a kernel takes and a state shows.

use std::borrow::Cow;
use std::cmp::Ordering;

use foretell_types::{Instant, Timestamp};
use serde::{Deserialize, Serialize};

/// One value. Integers are exact; a float is never NaN or infinite, so that all values of a kind
/// have an order and stand as JSON.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub enum Scalar<'a> {
    #[default]
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'a, str>),
    /// Nanoseconds since the epoch.
    Time(i64),
    /// JSON text that is none of the others: an object, an array, or a number that is too large.
    Json(Cow<'a, str>),
}

/// A number as the numeric kernels take it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

impl<'a> Scalar<'a> {
    /// A float, or null if it is none that JSON could write.
    pub fn float(value: f64) -> Scalar<'static> {
        if value.is_finite() {
            // One zero: -0 would tell apart what compares equal.
            Scalar::Float(value + 0.0)
        } else {
            Scalar::Null
        }
    }

    pub fn text(value: &'a str) -> Scalar<'a> {
        Scalar::Text(Cow::Borrowed(value))
    }

    /// A time; those that 64 bits of nanoseconds can't hold are at the nearest end.
    pub fn time(instant: Instant) -> Scalar<'static> {
        Scalar::Time(instant.as_nanos())
    }

    /// The value of compact, valid JSON text. Text with escapes is unescaped; a nested value keeps
    /// its text.
    pub fn from_json(text: &'a str) -> Scalar<'a> {
        match text.as_bytes().first() {
            Some(b'n') => Scalar::Null,
            Some(b't') => Scalar::Bool(true),
            Some(b'f') => Scalar::Bool(false),
            Some(b'"') => from_quoted(text),
            Some(b'-' | b'0'..=b'9') => from_digits(text),
            _ => Scalar::Json(Cow::Borrowed(text)),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Scalar::Null)
    }

    /// The number that it is. An integer beyond 64 bits is the nearest float.
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Scalar::Int(value) => Some(match i64::try_from(*value) {
                Ok(value) => Number::Int(value),
                Err(_) => Number::Float(*value as f64),
            }),
            Scalar::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }

    pub fn into_owned(self) -> Scalar<'static> {
        match self {
            Scalar::Null => Scalar::Null,
            Scalar::Bool(value) => Scalar::Bool(value),
            Scalar::Int(value) => Scalar::Int(value),
            Scalar::Float(value) => Scalar::Float(value),
            Scalar::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Scalar::Time(nanos) => Scalar::Time(nanos),
            Scalar::Json(text) => Scalar::Json(Cow::Owned(text.into_owned())),
        }
    }

    /// Reads something of its text's line of the processor's cache.
    pub(crate) fn near(&self) -> u64 {
        match self {
            Scalar::Text(text) | Scalar::Json(text) => {
                text.as_bytes().first().map_or(0, |byte| u64::from(*byte))
            }
            _ => 0,
        }
    }

    /// Takes another value, and keeps the memory of its text if the other is text too.
    pub(crate) fn assign(&mut self, value: &Scalar<'_>) {
        match (self, value) {
            (Scalar::Text(Cow::Owned(text)), Scalar::Text(other)) => {
                text.clear();
                text.push_str(other);
            }
            (this, value) => *this = value.clone().into_owned(),
        }
    }

    /// The same value, borrowing its text.
    pub fn borrowed(&self) -> Scalar<'_> {
        match self {
            Scalar::Text(text) => Scalar::Text(Cow::Borrowed(text)),
            Scalar::Json(text) => Scalar::Json(Cow::Borrowed(text)),
            Scalar::Null => Scalar::Null,
            Scalar::Bool(value) => Scalar::Bool(*value),
            Scalar::Int(value) => Scalar::Int(*value),
            Scalar::Float(value) => Scalar::Float(*value),
            Scalar::Time(nanos) => Scalar::Time(*nanos),
        }
    }

    /// How two values of one kind compare; integers and floats are one kind, and compare exactly.
    /// `None` if one is null or their kinds differ.
    pub fn compare(&self, other: &Scalar<'_>) -> Option<Ordering> {
        match (self, other) {
            (Scalar::Int(a), Scalar::Int(b)) => Some(a.cmp(b)),
            (Scalar::Float(a), Scalar::Float(b)) => Some(a.total_cmp(b)),
            (Scalar::Int(a), Scalar::Float(b)) => Some(compare_mixed(*a, *b)),
            (Scalar::Float(a), Scalar::Int(b)) => Some(compare_mixed(*b, *a).reverse()),
            (Scalar::Text(a), Scalar::Text(b)) | (Scalar::Json(a), Scalar::Json(b)) => {
                Some(a.cmp(b))
            }
            (Scalar::Bool(a), Scalar::Bool(b)) => Some(a.cmp(b)),
            (Scalar::Time(a), Scalar::Time(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// An order of all values: by kind, then as [`Scalar::compare`].
    pub fn total_order(&self, other: &Scalar<'_>) -> Ordering {
        self.kind()
            .cmp(&other.kind())
            .then_with(|| self.compare(other).unwrap_or(Ordering::Equal))
    }

    fn kind(&self) -> u8 {
        match self {
            Scalar::Null => 0,
            Scalar::Bool(_) => 1,
            Scalar::Int(_) | Scalar::Float(_) => 2,
            Scalar::Time(_) => 3,
            Scalar::Text(_) => 4,
            Scalar::Json(_) => 5,
        }
    }

    /// As the key of a state and as text: strings as they are, a whole float as an integer.
    pub fn to_key(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Scalar::Null => return None,
            Scalar::Text(text) | Scalar::Json(text) => Cow::Borrowed(text),
            Scalar::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Scalar::Int(value) => Cow::Owned(value.to_string()),
            Scalar::Float(value) if value.fract() == 0.0 && value.abs() < WHOLE => {
                Cow::Owned((*value as i128).to_string())
            }
            Scalar::Float(_) => Cow::Owned(self.to_json()),
            Scalar::Time(nanos) => Cow::Owned(time_text(*nanos)),
        })
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Scalar::Null => out.push_str("null"),
            Scalar::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Scalar::Int(value) => out.push_str(&value.to_string()),
            Scalar::Float(value) => {
                out.push_str(&serde_json::to_string(value).unwrap_or_else(|_| "null".into()));
            }
            Scalar::Text(text) => write_quoted(out, text),
            Scalar::Time(nanos) => write_quoted(out, &time_text(*nanos)),
            Scalar::Json(text) => out.push_str(text),
        }
    }

    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let text = match self {
            Scalar::Text(text) | Scalar::Json(text) => text.len(),
            _ => 0,
        };
        size_of::<Scalar<'_>>() + text
    }
}

/// Floats below this are whole numbers of 128 bits if they have no fraction.
const WHOLE: f64 = 1e38;

pub(crate) fn time_text(nanos: i64) -> String {
    Timestamp::from_instant(Instant::from_nanos(nanos)).to_string()
}

pub(crate) fn write_quoted(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).unwrap_or_else(|_| "null".into()));
}

fn from_quoted(text: &str) -> Scalar<'_> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Scalar::Text(Cow::Borrowed(inner));
    }
    match serde_json::from_str::<String>(text) {
        Ok(text) => Scalar::Text(Cow::Owned(text)),
        // A lone surrogate: no text, yet not nothing.
        Err(_) => Scalar::Json(Cow::Borrowed(text)),
    }
}

fn from_digits(text: &str) -> Scalar<'_> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    // Up to 18 digits fit without a look at each step.
    if digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let value = digits
            .bytes()
            .fold(0i64, |sum, byte| sum * 10 + i64::from(byte - b'0'));
        return Scalar::Int(i128::from(if negative { -value } else { value }));
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(value) = text.parse::<i128>()
    {
        return Scalar::Int(value);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Scalar::Float(value + 0.0),
        _ => Scalar::Json(Cow::Borrowed(text)),
    }
}

/// An integer and a finite float, exactly.
fn compare_mixed(int: i128, float: f64) -> Ordering {
    let limit = 2f64.powi(127);
    if float >= limit {
        return Ordering::Less;
    }
    if float < -limit {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    int.cmp(&(whole as i128))
        .then_with(|| 0.0f64.total_cmp(&(float - whole + 0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_and_back() {
        for (text, expected) in [
            ("null", Scalar::Null),
            ("true", Scalar::Bool(true)),
            ("-12", Scalar::Int(-12)),
            ("9223372036854775808", Scalar::Int(1 << 63)),
            ("-0.5", Scalar::Float(-0.5)),
            ("\"a\\n\"", Scalar::text("a\n")),
            ("[1,2]", Scalar::Json("[1,2]".into())),
            ("1e999", Scalar::Json("1e999".into())),
        ] {
            let scalar = Scalar::from_json(text);
            assert_eq!(scalar, expected, "{text}");
            assert_eq!(scalar.to_json(), text);
        }
        assert_eq!(Scalar::from_json("-0"), Scalar::Int(0));
        assert_eq!(Scalar::from_json("1e2").to_key().unwrap(), "100");
    }

    #[test]
    fn integers_and_floats_compare_exactly() {
        let large = (1i128 << 53) + 1;
        for (int, float, expected) in [
            (large, 2f64.powi(53), Ordering::Greater),
            (1, 1.5, Ordering::Less),
            (-1, -1.5, Ordering::Greater),
            (0, 0.0, Ordering::Equal),
            (i128::MAX, 1e300, Ordering::Less),
            (i128::MIN, -1e300, Ordering::Greater),
            (i128::MIN, -(2f64.powi(127)), Ordering::Equal),
        ] {
            let (a, b) = (Scalar::Int(int), Scalar::Float(float));
            assert_eq!(a.compare(&b), Some(expected), "{int} {float}");
            assert_eq!(b.compare(&a), Some(expected.reverse()), "{int} {float}");
        }
    }
}
