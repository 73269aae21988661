use foretell_types::Result;
use sqlparser::ast::{self, DateTimeField, Value};
use sqlparser::tokenizer::Location;

use super::place::Place;
use crate::kernel::TimeUnit;

/// The nanoseconds of `INTERVAL '30 days'`, `INTERVAL '30' DAY` or `INTERVAL 30 DAY`.
pub(super) fn nanos(place: Place<'_>, at: Location, interval: &ast::Interval) -> Result<i64> {
    let text = match &*interval.value {
        ast::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            Value::Number(text, _) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let unit = interval.leading_field.as_ref().map(name);
    match parse(&text, unit.as_deref()) {
        Ok(nanos) => Ok(nanos),
        Err(what) => Err(place.error(at, what)),
    }
}

fn name(field: &DateTimeField) -> String {
    field.to_string()
}

/// One or several numbers with units, as in `1 day 12 hours`.
pub(super) fn parse(text: &str, unit: Option<&str>) -> Result<i64, String> {
    let wrong = || {
        format!(
            "{text:?} is no length of time: write a number and a unit (second, minute, hour, day, week), as in INTERVAL '30 days'"
        )
    };
    let mut words = text.split_whitespace();
    let mut total = 0i128;
    let mut any = false;
    while let Some(number) = words.next() {
        let unit = match unit {
            Some(unit) => unit,
            None => words.next().ok_or_else(wrong)?,
        };
        let lower = unit.to_ascii_lowercase();
        if matches!(lower.trim_end_matches('s'), "month" | "year" | "quarter") {
            return Err(format!(
                "a window can't be in {lower}: their lengths differ; write days, each of 86,400 seconds"
            ));
        }
        let unit = TimeUnit::parse(unit).ok_or_else(wrong)?;
        total += scaled(number, i128::from(unit.nanos())).ok_or_else(wrong)?;
        any = true;
    }
    match i64::try_from(total) {
        Ok(nanos) if nanos > 0 && any => Ok(nanos),
        _ => Err(wrong()),
    }
}

/// A decimal number of units, exactly.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 18
        || fraction.len() > 9
        || !digits(whole)
        || !digits(fraction)
    {
        return None;
    }
    let scale = 10i128.pow(fraction.len() as u32);
    let value = whole.parse::<i128>().ok()? * scale + fraction.parse::<i128>().unwrap_or(0);
    (value * unit % scale == 0).then(|| value * unit / scale)
}
