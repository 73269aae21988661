//! What `--at` and `--known-at` may say.

use foretell_state::{KnownAt, Moment};
use foretell_types::{Instant, Position, Timestamp};

fn time(text: &str) -> Instant {
    text.parse::<Timestamp>().unwrap().instant()
}

fn position(value: u64) -> KnownAt {
    KnownAt::Position(Position::new(value).unwrap())
}

#[test]
fn texts_that_say_a_moment() {
    let noon = "2024-05-01T12:00:00+02:00";
    for (at, known_at, expected) in [
        (None, None, (None, KnownAt::Head)),
        (Some("42"), None, (None, position(42))),
        (Some("42"), Some("042"), (None, position(42))),
        (Some("20240501"), None, (None, position(20_240_501))),
        (None, Some("7"), (None, position(7))),
        (
            Some("2024-05-01"),
            Some("7"),
            (Some(time("2024-05-01T00:00:00Z")), position(7)),
        ),
        (
            Some(noon),
            Some("2024-06-01"),
            (
                Some(time("2024-05-01T10:00:00Z")),
                KnownAt::Time(time("2024-06-01T00:00:00Z")),
            ),
        ),
    ] {
        let moment = Moment::parse(at, known_at).unwrap();
        assert_eq!(
            (moment.at, moment.known_at),
            expected,
            "{at:?} {known_at:?}"
        );
    }
}

#[test]
fn texts_that_say_none() {
    for (at, known_at, expected) in [
        (Some(""), None, "at: \"\" is neither"),
        (Some("0"), None, "at: \"0\" is not a position"),
        (Some("-1"), None, "at: \"-1\" is neither"),
        (Some("yesterday"), None, "neither a position nor a time"),
        (Some("2024-02-30"), None, "neither a position nor a time"),
        (None, Some("99999999999999999999"), "known-at: "),
        (Some("7"), Some("8"), "at is position 7"),
        (Some("7"), Some("2024-01-01"), "leave known-at out"),
    ] {
        let error = Moment::parse(at, known_at).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
    }
}
