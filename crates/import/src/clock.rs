//! Times as files write them.

use foretell_types::{Error, Instant, Result, Timestamp};
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

/// Years 0000 to 9999, which RFC 3339 can express.
const SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// Reads times in one form; those without an offset are in one zone.
#[derive(Debug)]
pub(crate) struct Clock {
    form: Form,
    zone: TimeZone,
}

#[derive(Debug)]
enum Form {
    Auto,
    Epoch { digits: usize },
    Strptime(String),
}

impl Clock {
    pub fn new(format: Option<&str>, zone: Option<&str>) -> Result<Clock> {
        let form = match format {
            None => Form::Auto,
            Some("epoch") => Form::Epoch { digits: 0 },
            Some("epoch_ms") => Form::Epoch { digits: 3 },
            Some(text) if text.contains('%') => Form::Strptime(text.to_owned()),
            Some(text) => {
                return Err(Error::invalid(format!(
                    "{text:?} is not a time format: expected 'epoch', 'epoch_ms' or one of strptime such as %Y%m%d"
                )));
            }
        };
        Ok(Clock {
            form,
            zone: read_zone(zone.unwrap_or("UTC"))?,
        })
    }

    /// The error says what was expected.
    pub fn read(&self, text: &str) -> Result<Timestamp> {
        let text = text.trim();
        let found = match &self.form {
            Form::Auto => self.auto(text),
            Form::Epoch { digits } => epoch(text, *digits),
            Form::Strptime(format) => self.strptime(format, text),
        };
        found.ok_or_else(|| Error::invalid(format!("expected {}", self.expected())))
    }

    fn expected(&self) -> String {
        match &self.form {
            Form::Auto => "a time such as 2024-05-01, 2024-05-01 12:30:00 or 2024-05-01T12:30:00.123Z (else give a time format)".to_owned(),
            Form::Epoch { digits: 0 } => "seconds since 1970-01-01".to_owned(),
            Form::Epoch { .. } => "milliseconds since 1970-01-01".to_owned(),
            Form::Strptime(format) => format!("a time of the form {format}"),
        }
    }

    fn auto(&self, text: &str) -> Option<Timestamp> {
        if let Ok(time) = text.parse() {
            return Some(time);
        }
        if text.len() == 10 {
            let midnight = Timestamp::from_text_or_date(text).ok()?;
            return self.localise(midnight);
        }
        if let Some(time) = short_offset(text) {
            return Some(time);
        }
        // Only a time without an offset is left; read as if it were UTC, then put in its zone.
        self.localise(Timestamp::from_text_or_utc(text).ok()?)
    }

    fn strptime(&self, format: &str, text: &str) -> Option<Timestamp> {
        let parsed = BrokenDownTime::parse(format, text).ok()?;
        if let Some(time) = parsed.timestamp() {
            return in_range(Timestamp::from_instant(instant(time)));
        }
        if parsed.iana_time_zone().is_some() {
            let time = parsed.to_zoned().ok()?.timestamp();
            return in_range(Timestamp::from_instant(instant(time)));
        }
        let local = Offset::UTC.to_timestamp(parsed.to_datetime().ok()?).ok()?;
        let local = Timestamp::from_instant(instant(local));
        match parsed.offset() {
            Some(offset) => in_range(with_offset(local, offset)?),
            None => self.localise(local),
        }
    }

    /// Takes a local time that was read as UTC for what it is in the zone.
    fn localise(&self, local: Timestamp) -> Option<Timestamp> {
        if self.zone == TimeZone::UTC {
            return in_range(local);
        }
        let at = local.instant();
        let stamp = jiff::Timestamp::new(at.seconds, i32::try_from(at.nanos).ok()?).ok()?;
        let civil: DateTime = Offset::UTC.to_datetime(stamp);
        let actual = self.zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        let offset = self.zone.to_offset(actual);
        let shifted = Timestamp::from_instant(instant(actual));
        // In a gap the time itself moves, so the offset applies to where it moved to.
        let wall = jiff_local(shifted, offset)?;
        let (.., form) = local.to_raw();
        let (seconds, nanos, minutes, _) = wall.to_raw();
        let kept = Timestamp::from_raw((seconds, nanos, minutes, 1 << 4 | (form & 0x0f)));
        in_range(kept.filter(|_| offset.seconds() % 60 == 0).unwrap_or(wall))
    }
}

/// A time in UTC as it reads with an offset; in UTC if the offset isn't of whole minutes.
fn jiff_local(utc: Timestamp, offset: Offset) -> Option<Timestamp> {
    if offset.seconds() % 60 != 0 {
        return Some(utc);
    }
    let (seconds, nanos, _, form) = utc.to_raw();
    let minutes = i16::try_from(offset.seconds() / 60).ok()?;
    Timestamp::from_raw((seconds, nanos, minutes, 1 << 4 | (form & 0x0f)))
}

/// A local time that was read as UTC, with the offset it was written with.
fn with_offset(local: Timestamp, offset: Offset) -> Option<Timestamp> {
    let at = local.instant();
    let utc = Timestamp::from_instant(Instant {
        seconds: at.seconds - i64::from(offset.seconds()),
        nanos: at.nanos,
    });
    jiff_local(utc, offset)
}

fn in_range(time: Timestamp) -> Option<Timestamp> {
    let (seconds, _, minutes, _) = time.to_raw();
    let local = seconds + i64::from(minutes) * 60;
    (SECONDS.contains(&seconds) && SECONDS.contains(&local)).then_some(time)
}

fn instant(time: jiff::Timestamp) -> Instant {
    let (second, nanos) = (time.as_second(), time.subsec_nanosecond());
    // Before 1970 both parts are negative.
    Instant {
        seconds: second,
        nanos: 0,
    }
    .plus_nanos(i64::from(nanos))
}

/// RFC 3339 but for an offset written `+02` or `+0200`.
fn short_offset(text: &str) -> Option<Timestamp> {
    let at = text.rfind(['+', '-']).filter(|at| *at >= 19)?;
    let (time, offset) = text.split_at(at);
    let (hours, minutes) = match offset.len() {
        3 => (&offset[1..], "00"),
        5 if offset.is_ascii() => offset[1..].split_at(2),
        _ => return None,
    };
    format!("{time}{}{hours}:{minutes}", &offset[..1])
        .parse()
        .ok()
}

/// A count since the epoch with `scale` digits below the second, and a fraction.
fn epoch(text: &str, scale: usize) -> Option<Timestamp> {
    let (negative, plain) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 18 || !digits(whole) || !digits(fraction) {
        return None;
    }
    if fraction.len() > 9 - scale {
        return None;
    }
    let padded = format!("{whole}{fraction:0<width$}", width = 9 - scale);
    let nanos: i128 = padded.parse().ok()?;
    let nanos = if negative { -nanos } else { nanos };
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    if !SECONDS.contains(&seconds) {
        return None;
    }
    Some(Timestamp::from_instant(Instant {
        seconds,
        nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?,
    }))
}

fn read_zone(name: &str) -> Result<TimeZone> {
    let wrong = || {
        Error::invalid(format!(
            "{name:?} is not a time zone: expected UTC, an offset such as +02:00 or a name such as Europe/Berlin"
        ))
    };
    if name.eq_ignore_ascii_case("utc") || name == "Z" {
        return Ok(TimeZone::UTC);
    }
    if name.starts_with(['+', '-']) {
        let at: Timestamp = format!("1970-01-02T00:00:00{name}")
            .parse()
            .map_err(|_| wrong())?;
        let (_, _, minutes, _) = at.to_raw();
        let offset = Offset::from_seconds(i32::from(minutes) * 60).map_err(|_| wrong())?;
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(name).map_err(|_| wrong())
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
