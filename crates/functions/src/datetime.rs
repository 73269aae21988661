//! .NET custom date and time format strings, as `{DateTime:yyyy-MM-dd}` has them, always in UTC
//! and in the invariant culture.
//! Source: .NET, "Custom date and time format strings".

use foretell_types::{Error, Instant, Result, Timestamp};

/// How Azure Functions writes `{DateTime}`: ISO 8601, with hyphens that a blob name can hold.
pub(crate) const DEFAULT: &str = "yyyy-MM-ddTHH-mm-ssZ";

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const SECONDS_PER_DAY: i64 = 86_400;

/// Writes an instant by a format of .NET: a standard one (`o`, `s`, `u`, `r`, `d`, …) or a custom
/// one.
pub(crate) fn format(instant: Instant, format: &str) -> Result<String> {
    custom(instant, standard(format)?)
}

/// The custom format that a standard format of one letter stands for.
fn standard(format: &str) -> Result<&str> {
    if format.chars().count() != 1 {
        return Ok(format);
    }
    Ok(match format {
        "d" => "MM/dd/yyyy",
        "D" => "dddd, dd MMMM yyyy",
        "g" => "MM/dd/yyyy HH:mm",
        "G" => "MM/dd/yyyy HH:mm:ss",
        "M" | "m" => "MMMM dd",
        "o" | "O" => "yyyy-MM-ddTHH:mm:ss.fffffffK",
        "r" | "R" => "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
        "s" => "yyyy-MM-ddTHH:mm:ss",
        "t" => "HH:mm",
        "T" => "HH:mm:ss",
        "u" => "yyyy-MM-dd HH:mm:ssZ",
        "Y" | "y" => "yyyy MMMM",
        _ => return Err(wrong(format)),
    })
}

fn custom(instant: Instant, format: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        let run = rest.chars().take_while(|c| *c == first).count();
        let mut used = run * first.len_utf8();
        match first {
            '\'' | '"' => {
                let quoted = &rest[1..];
                let end = quoted.find(first).ok_or_else(|| wrong(format))?;
                out.push_str(&quoted[..end]);
                used = end + 2;
            }
            '\\' => {
                let escaped = rest[1..].chars().next().ok_or_else(|| wrong(format))?;
                out.push(escaped);
                used = 1 + escaped.len_utf8();
            }
            // Makes a single letter a custom format.
            '%' => used = 1,
            'd' | 'f' | 'F' | 'h' | 'H' | 'K' | 'm' | 'M' | 's' | 't' | 'y' | 'z' => {
                specifier(&mut out, instant, first, run).ok_or_else(|| wrong(format))?;
            }
            other => out.extend(std::iter::repeat_n(other, run)),
        }
        rest = &rest[used..];
    }
    Ok(out)
}

/// Writes one specifier, the letter repeated `run` times; `None` where .NET has no such.
fn specifier(out: &mut String, instant: Instant, letter: char, run: usize) -> Option<()> {
    let (year, month, day, hour, minute, second) = Timestamp::from_instant(instant).utc_parts();
    let number = |value: i64, width: usize| format!("{value:0width$}");
    let two = |value: u32| number(i64::from(value), run.min(2));
    let text = match letter {
        'y' if run <= 2 => number(year.rem_euclid(100), run),
        'y' => number(year, run),
        'M' if run == 3 => MONTHS.get(month as usize - 1)?[..3].to_owned(),
        'M' if run > 3 => (*MONTHS.get(month as usize - 1)?).to_owned(),
        'M' => two(month),
        'd' if run >= 3 => {
            let days = instant.seconds.div_euclid(SECONDS_PER_DAY);
            // 1970-01-01 was a Thursday.
            let name = DAYS[(days + 4).rem_euclid(7) as usize];
            if run == 3 {
                name[..3].to_owned()
            } else {
                name.to_owned()
            }
        }
        'd' => two(day),
        'H' => two(hour),
        'h' => two((hour + 11) % 12 + 1),
        'm' => two(minute),
        's' => two(second),
        't' => ["AM", "PM"][usize::from(hour >= 12)][..run.min(2)].to_owned(),
        'K' => "Z".repeat(run),
        'z' => match run {
            1 => "+0".to_owned(),
            2 => "+00".to_owned(),
            _ => "+00:00".to_owned(),
        },
        'f' | 'F' if run <= 7 => {
            let digits = &format!("{:09}", instant.nanos)[..run];
            let digits = if letter == 'F' {
                digits.trim_end_matches('0')
            } else {
                digits
            };
            if digits.is_empty() && out.ends_with('.') {
                out.pop();
            }
            digits.to_owned()
        }
        _ => return None,
    };
    out.push_str(&text);
    Some(())
}

fn wrong(format: &str) -> Error {
    Error::invalid(format!("{format:?} is not a date and time format"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_dotnet_does() {
        let instant: Timestamp = "2009-06-05T03:05:07.0617Z".parse().unwrap();
        for (pattern, expected) in [
            (DEFAULT, "2009-06-05T03-05-07Z"),
            ("yyyy-MM-dd", "2009-06-05"),
            ("yyyy/MM/dd/HH", "2009/06/05/03"),
            ("yy.M.d H:m:s", "09.6.5 3:5:7"),
            ("dddd, d MMMM", "Friday, 5 June"),
            ("ddd dd MMM", "Fri 05 Jun"),
            ("hh:mm tt", "03:05 AM"),
            ("ss.fff", "07.061"),
            ("ss.FFFFFF", "07.0617"),
            ("yyyyMMdd'T'HHmm\\Z", "20090605T0305Z"),
            ("%d", "5"),
            ("o", "2009-06-05T03:05:07.0617000Z"),
            ("r", "Fri, 05 Jun 2009 03:05:07 GMT"),
            ("zzz", "+00:00"),
            ("", ""),
        ] {
            assert_eq!(
                format(instant.instant(), pattern).unwrap(),
                expected,
                "{pattern}"
            );
        }
        for pattern in ["x", "ffffffff", "'open", "yyyy\\"] {
            assert!(format(instant.instant(), pattern).is_err(), "{pattern}");
        }
    }
}
