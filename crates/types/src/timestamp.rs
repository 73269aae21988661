use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A point in time: seconds since 1970-01-01T00:00:00Z and nanoseconds within the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant {
    pub seconds: i64,
    pub nanos: u32,
}

impl Instant {
    /// Before every time that a [`Timestamp`] can express.
    pub const MIN: Instant = Instant {
        seconds: i64::MIN,
        nanos: 0,
    };
    /// After every time that a [`Timestamp`] can express.
    pub const MAX: Instant = Instant {
        seconds: i64::MAX,
        nanos: 999_999_999,
    };

    /// From nanoseconds since the epoch.
    pub fn from_nanos(nanos: i64) -> Instant {
        Instant {
            seconds: nanos.div_euclid(1_000_000_000),
            nanos: nanos.rem_euclid(1_000_000_000) as u32,
        }
    }

    /// Nanoseconds since the epoch, held within what 64 bits can express (1677 to 2262).
    pub fn as_nanos(self) -> i64 {
        self.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(self.nanos))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.seconds
            .saturating_mul(1_000)
            .saturating_add(i64::from(self.nanos / 1_000_000))
    }

    /// This instant and some nanoseconds more.
    #[must_use]
    pub fn plus_nanos(self, nanos: i64) -> Instant {
        let total = i64::from(self.nanos) + nanos.rem_euclid(1_000_000_000);
        Instant {
            seconds: self
                .seconds
                .saturating_add(nanos.div_euclid(1_000_000_000))
                .saturating_add(total / 1_000_000_000),
            nanos: (total % 1_000_000_000) as u32,
        }
    }
}

/// A date and time as RFC 3339 writes it, kept as it was written: nanoseconds, the offset from
/// UTC and the number of digits of the fraction. Compare two by [`Timestamp::instant`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
    offset_minutes: i16,
    digits: u8,
    form: OffsetForm,
}

/// How the offset was written; `-00:00` says in RFC 3339 that the local offset is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum OffsetForm {
    Zulu,
    Numeric,
    Unknown,
}

const SECONDS_PER_DAY: i64 = 86_400;

impl Timestamp {
    /// UTC, with the digits that the nanoseconds need (0, 3, 6 or 9).
    pub fn from_instant(instant: Instant) -> Timestamp {
        let digits = match instant.nanos {
            0 => 0,
            n if n % 1_000_000 == 0 => 3,
            n if n % 1_000 == 0 => 6,
            _ => 9,
        };
        Timestamp {
            seconds: instant.seconds,
            nanos: instant.nanos,
            offset_minutes: 0,
            digits,
            form: OffsetForm::Zulu,
        }
    }

    pub fn instant(&self) -> Instant {
        Instant {
            seconds: self.seconds,
            nanos: self.nanos,
        }
    }

    /// Year, month, day, hour, minute, second in UTC.
    pub fn utc_parts(&self) -> (i64, u32, u32, u32, u32, u32) {
        parts(self.seconds)
    }

    /// The fields that a codec stores: seconds, nanoseconds, offset in minutes, form and digits
    /// (digits in the low nibble).
    pub fn to_raw(self) -> (i64, u32, i16, u8) {
        let form = match self.form {
            OffsetForm::Zulu => 0,
            OffsetForm::Numeric => 1,
            OffsetForm::Unknown => 2,
        };
        (
            self.seconds,
            self.nanos,
            self.offset_minutes,
            form << 4 | self.digits,
        )
    }

    /// The inverse of [`Timestamp::to_raw`]; `None` if the fields are out of range.
    pub fn from_raw(raw: (i64, u32, i16, u8)) -> Option<Timestamp> {
        let form = match raw.3 >> 4 {
            0 => OffsetForm::Zulu,
            1 => OffsetForm::Numeric,
            2 => OffsetForm::Unknown,
            _ => return None,
        };
        let (seconds, nanos, offset_minutes, digits) = (raw.0, raw.1, raw.2, raw.3 & 0x0f);
        (nanos < 1_000_000_000 && digits <= 9 && offset_minutes.unsigned_abs() < 24 * 60).then_some(
            Timestamp {
                seconds,
                nanos,
                offset_minutes,
                digits,
                form,
            },
        )
    }

    /// Parses RFC 3339; `default_utc` also takes a time without an offset (as UTC).
    fn parse(text: &str, default_utc: bool) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        if bytes.len() < 19 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        if !matches!(bytes[10], b'T' | b't' | b' ') || bytes[13] != b':' || bytes[16] != b':' {
            return None;
        }
        let year = number(&bytes[0..4])?;
        let days = days_of_date(year, number(&bytes[5..7])?, number(&bytes[8..10])?)?;
        let (hour, minute) = (number(&bytes[11..13])?, number(&bytes[14..16])?);
        let second = number(&bytes[17..19])?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut rest = &bytes[19..];
        let (mut nanos, mut digits) = (0u32, 0u8);
        if rest.first() == Some(&b'.') {
            let count = rest[1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if count == 0 || count > 9 {
                return None;
            }
            digits = count as u8;
            nanos = number(&rest[1..=count])? as u32 * 10u32.pow(9 - count as u32);
            rest = &rest[1 + count..];
        }
        let (offset_minutes, form) = offset(rest, default_utc)?;
        let local = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
        let seconds = local - i64::from(offset_minutes) * 60;
        Some(Timestamp {
            seconds,
            nanos,
            offset_minutes,
            digits,
            form,
        })
    }

    /// RFC 3339, or the same without an offset, which is then UTC (as Azure Event Grid reads
    /// `eventTime`).
    pub fn from_text_or_utc(text: &str) -> Result<Timestamp> {
        Timestamp::parse(text, true).ok_or_else(|| wrong(text))
    }

    /// RFC 3339, or a bare date (`2024-05-01`), which is its midnight in UTC.
    pub fn from_text_or_date(text: &str) -> Result<Timestamp> {
        if text.len() == 10 {
            return format!("{text}T00:00:00Z").parse().map_err(|_| wrong(text));
        }
        text.parse()
    }
}

fn wrong(text: &str) -> Error {
    let shown: String = text.chars().take(64).collect();
    Error::invalid(format!(
        "{shown:?} is not a time: expected RFC 3339, such as 2024-05-01T12:30:00.123Z, with at most 9 digits after the point"
    ))
}

impl FromStr for Timestamp {
    type Err = Error;

    /// RFC 3339 with up to nine digits of fraction; leap seconds are refused.
    fn from_str(text: &str) -> Result<Timestamp> {
        Timestamp::parse(text, false).ok_or_else(|| wrong(text))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.seconds + i64::from(self.offset_minutes) * 60;
        let (year, month, day, hour, minute, second) = parts(local);
        // Written by hand: every event that is read has two of these.
        let mut text = *b"0000-00-00T00:00:00.000000000";
        for (at, value) in [(5, month), (8, day), (11, hour), (14, minute), (17, second)] {
            write_digits(&mut text[at..at + 2], value);
        }
        let digits = usize::from(self.digits);
        let fraction = self.nanos / 10u32.pow(9 - u32::from(self.digits));
        write_digits(&mut text[20..20 + digits], fraction);
        let end = if digits > 0 { 20 + digits } else { 19 };
        let start = match u32::try_from(year) {
            Ok(year @ ..=9999) => {
                write_digits(&mut text[..4], year);
                0
            }
            _ => {
                write!(f, "{year:04}")?;
                4
            }
        };
        f.write_str(std::str::from_utf8(&text[start..end]).map_err(|_| fmt::Error)?)?;
        let minutes = self.offset_minutes.unsigned_abs();
        match self.form {
            OffsetForm::Zulu => f.write_str("Z"),
            OffsetForm::Unknown => f.write_str("-00:00"),
            OffsetForm::Numeric => {
                let sign = if self.offset_minutes < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// Fills the digits with the last ones of the value.
fn write_digits(digits: &mut [u8], mut value: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i64::from(digit - b'0'))
    })
}

fn offset(text: &[u8], default_utc: bool) -> Option<(i16, OffsetForm)> {
    match text {
        b"Z" | b"z" => Some((0, OffsetForm::Zulu)),
        b"" if default_utc => Some((0, OffsetForm::Zulu)),
        b"-00:00" => Some((0, OffsetForm::Unknown)),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let total = (hours * 60 + minutes) as i16;
            Some((
                if *sign == b'-' { -total } else { total },
                OffsetForm::Numeric,
            ))
        }
        _ => None,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
/// After Howard Hinnant, "chrono-compatible low-level date algorithms".
fn days_of_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > longest {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month, day, hour, minute, second of seconds since the epoch; same source as above.
fn parts(seconds: i64) -> (i64, u32, u32, u32, u32, u32) {
    let (days, second_of_day) = (
        seconds.div_euclid(SECONDS_PER_DAY),
        seconds.rem_euclid(SECONDS_PER_DAY) as u32,
    );
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_index + 2) / 5 + 1) as u32;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (
        year,
        month,
        day,
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T23:59:59.5+01:30", 951_863_399, 500_000_000),
            ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
            ("0000-01-01T00:00:00Z", -62_167_219_200, 0),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.instant(), Instant { seconds, nanos }, "{text}");
            assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn keeps_what_was_written() {
        for text in [
            "2024-01-02T03:04:05.678901Z",
            "2024-01-02T03:04:05.600-00:00",
            "2024-01-02T03:04:05+00:00",
            "2024-01-02T03:04:05.0000000-11:45",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2024-01-02",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00Z ",
            "２０２４-01-01T00:00:00Z",
            "2024-01-0\u{0}T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(seconds in -62_167_000_000i64..253_402_000_000, nanos in 0u32..1_000_000_000,
                           offset in -1439i16..1439, digits in 0u8..=9) {
            let nanos = nanos / 10u32.pow(9 - u32::from(digits)) * 10u32.pow(9 - u32::from(digits));
            let time = Timestamp::from_raw((seconds, nanos, offset, 1 << 4 | digits)).unwrap();
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
            prop_assert_eq!(Timestamp::from_raw(time.to_raw()), Some(time));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC*") {
            let _ = text.parse::<Timestamp>();
            let _ = Timestamp::from_text_or_date(&text);
        }

        #[test]
        fn instants_add_up(a in -1_000_000_000_000_000i64..1_000_000_000_000_000, b in -1_000_000_000_000_000i64..1_000_000_000_000_000) {
            prop_assert_eq!(Instant::from_nanos(a).plus_nanos(b), Instant::from_nanos(a + b));
            prop_assert_eq!(Instant::from_nanos(a).as_nanos(), a);
        }
    }
}
