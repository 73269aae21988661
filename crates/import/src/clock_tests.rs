use proptest::prelude::*;

use super::*;

fn read(format: Option<&str>, zone: Option<&str>, text: &str) -> Option<String> {
    let clock = Clock::new(format, zone).unwrap();
    clock.read(text).ok().map(|time| time.to_string())
}

#[test]
fn without_a_format() {
    for (text, expected) in [
        (
            "2024-05-01T12:30:00.120+02:00",
            Some("2024-05-01T12:30:00.120+02:00"),
        ),
        ("2024-05-01", Some("2024-05-01T00:00:00Z")),
        ("2024-05-01 12:30:00", Some("2024-05-01T12:30:00Z")),
        (" 2024-05-01 12:30:00.5 ", Some("2024-05-01T12:30:00.5Z")),
        ("2024-05-01 12:30:00+00", Some("2024-05-01T12:30:00+00:00")),
        (
            "2024-05-01T12:30:00.1-0330",
            Some("2024-05-01T12:30:00.1-03:30"),
        ),
        ("2024-02-30", None),
        ("20240501", None),
        ("1700000000", None),
        ("01/05/2024", None),
        ("", None),
        ("2024-05-01T12:30:00+é", None),
    ] {
        assert_eq!(read(None, None, text).as_deref(), expected, "{text:?}");
    }
}

#[test]
fn with_a_format() {
    for (format, text, expected) in [
        ("%Y%m%d", "19970101", Some("1997-01-01T00:00:00Z")),
        ("%Y%m%d", "19971301", None),
        ("%Y%m%d", "199701011", None),
        (
            "%d.%m.%Y %H:%M",
            "31.12.2023 23:59",
            Some("2023-12-31T23:59:00Z"),
        ),
        (
            "%m/%d/%y %I:%M %p",
            "7/4/24 1:05 PM",
            Some("2024-07-04T13:05:00Z"),
        ),
        (
            "%Y/%m/%d %H:%M:%S%.f",
            "2010/01/13 08:40:25.25",
            Some("2010-01-13T08:40:25.250Z"),
        ),
        (
            "%Y-%m-%d %H:%M:%S %z",
            "2010-01-13 08:40:25 +0200",
            Some("2010-01-13T08:40:25+02:00"),
        ),
        ("%s", "86400", Some("1970-01-02T00:00:00Z")),
        ("%H:%M", "12:00", None),
        ("epoch", "1700000000", Some("2023-11-14T22:13:20Z")),
        ("epoch", "-0.5", Some("1969-12-31T23:59:59.500Z")),
        ("epoch", "1700000000.25", Some("2023-11-14T22:13:20.250Z")),
        (
            "epoch_ms",
            "1700000000001",
            Some("2023-11-14T22:13:20.001Z"),
        ),
        (
            "epoch_ms",
            "1700000000001.5",
            Some("2023-11-14T22:13:20.001500Z"),
        ),
        ("epoch", "1700000000001", None),
        ("epoch", "1e9", None),
        ("epoch", "", None),
    ] {
        assert_eq!(
            read(Some(format), None, text).as_deref(),
            expected,
            "{format} {text}"
        );
    }
}

#[test]
fn in_a_zone() {
    for (zone, text, expected) in [
        ("+05:30", "2024-05-01", "2024-05-01T00:00:00+05:30"),
        (
            "Europe/Berlin",
            "2024-05-01 12:00:00.50",
            "2024-05-01T12:00:00.50+02:00",
        ),
        (
            "Europe/Berlin",
            "2024-01-01T12:00:00Z",
            "2024-01-01T12:00:00Z",
        ),
        (
            "Europe/Berlin",
            "2024-03-31 02:30:00",
            "2024-03-31T03:30:00+02:00",
        ),
        (
            "Europe/Berlin",
            "2024-10-27 02:30:00",
            "2024-10-27T02:30:00+02:00",
        ),
        (
            "Europe/Berlin",
            "1850-01-01 00:53:28",
            "1850-01-01T00:00:00Z",
        ),
    ] {
        assert_eq!(
            read(None, Some(zone), text).as_deref(),
            Some(expected),
            "{zone} {text}"
        );
    }
    assert!(Clock::new(None, Some("Mars/Olympus")).is_err());
    assert!(Clock::new(None, Some("+25:00")).is_err());
    assert!(Clock::new(Some("date"), None).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*", format in 0usize..6, zone in 0usize..3) {
        let format = [None, Some("epoch"), Some("epoch_ms"), Some("%Y%m%d"), Some("%s"), Some("%c %z")][format];
        let clock = Clock::new(format, [None, Some("-11:00"), Some("Europe/Berlin")][zone]).unwrap();
        if let Ok(time) = clock.read(&text) {
            prop_assert!(time.to_string().parse::<Timestamp>().is_ok());
        }
    }

    #[test]
    fn epochs_round_trip(millis in -62_167_219_200_000i64..253_402_300_799_000) {
        let clock = Clock::new(Some("epoch_ms"), None).unwrap();
        prop_assert_eq!(clock.read(&millis.to_string()).unwrap().instant().as_millis(), millis);
    }

    #[test]
    fn local_times_are_kept(seconds in -10_000_000_000i64..100_000_000_000) {
        // What is written without an offset reads the same but for the offset, gaps apart.
        let text = Timestamp::from_instant(Instant { seconds, nanos: 0 }).to_string();
        let naive = text.trim_end_matches('Z');
        let clock = Clock::new(None, Some("+03:00")).unwrap();
        prop_assert_eq!(clock.read(naive).unwrap().to_string(), format!("{naive}+03:00"));
    }
}
