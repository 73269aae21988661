use foretell_types::{Error, Instant, Result, Timestamp};

/// Reads the expiry of a shared access signature in every form that SDKs write, UTC where no
/// offset is given:
///
/// | From | Example |
/// | --- | --- |
/// | Python | `2024-01-02 03:04:05.678901+00:00` |
/// | Python of the documentation | `2024-01-02T03:04:05.678901` |
/// | JavaScript, C# | `1/2/2024 3:04:05 AM` (month first) |
/// | others | a bare date, 24 hours, a comma after the date, no seconds |
pub fn parse_expiry(text: &str) -> Result<Instant> {
    let text = text.trim();
    Timestamp::from_text_or_utc(text)
        .or_else(|_| Timestamp::from_text_or_date(text))
        .ok()
        .or_else(|| slashes(text))
        .map(|time| time.instant())
        .ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            Error::invalid(format!(
                "{shown:?} is not an expiry: expected 2024-01-02T03:04:05Z or 1/2/2024 3:04:05 AM (UTC)"
            ))
        })
}

/// `M/d/yyyy h:mm:ss tt`, as the invariant culture of .NET and `en-US` of JavaScript write it;
/// newer ones of the latter put a narrow no-break space before AM and PM.
fn slashes(text: &str) -> Option<Timestamp> {
    let mut parts = text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|part| !part.is_empty());
    let mut date = parts.next()?.split('/');
    let (month, day, year) = (
        number(date.next()?, 2)?,
        number(date.next()?, 2)?,
        number(date.next()?, 4)?,
    );
    let mut time = parts.next().unwrap_or("0:00:00").split(':');
    let hour = number(time.next()?, 2)?;
    let minute = number(time.next()?, 2)?;
    let second = time.next().map_or(Some(0), |text| number(text, 2))?;
    let hour = match parts.next().map(str::to_ascii_uppercase).as_deref() {
        None => hour,
        Some("AM") if (1..=12).contains(&hour) => hour % 12,
        Some("PM") if (1..=12).contains(&hour) => hour % 12 + 12,
        Some(_) => return None,
    };
    let done = date.next().is_none() && time.next().is_none() && parts.next().is_none();
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    done.then(|| text.parse().ok()).flatten()
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let good = (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}
