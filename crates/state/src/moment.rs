use foretell_types::{Error, Instant, Position, RecordedEvent, Result, Timestamp};

/// The pair of times that a state is asked for: what was true at one, as it was known at the
/// other. The default is everything that is known now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Moment {
    /// Event times up to and including this one; `None` for all.
    pub at: Option<Instant>,
    pub known_at: KnownAt,
}

/// What the asker may know.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum KnownAt {
    /// Everything in the log.
    #[default]
    Head,
    /// Events up to and including this position. The answer never changes: nothing is ever
    /// appended at or before it.
    Position(Position),
    /// Events whose known time is at or before this one.
    Time(Instant),
}

impl Moment {
    /// Reads `--at` and `--known-at` (`at` and `known_at` in a URL). All digits are a position,
    /// which as `at` means: known at that position, all event times. Anything else is RFC 3339
    /// or a bare date, its midnight in UTC.
    ///
    /// Fails if a text is neither, or if `at` is a position and `known_at` is not the same one.
    pub fn parse(at: Option<&str>, known_at: Option<&str>) -> Result<Moment> {
        let at = at.map(|text| bound("at", text)).transpose()?;
        let known_at = known_at.map(|text| bound("known-at", text)).transpose()?;
        let known = match (at, known_at) {
            (Some(Bound::Position(at)), Some(known)) if known != Bound::Position(at) => {
                return Err(Error::invalid(format!(
                    "at is position {at}, which says what is known, and known-at says otherwise: leave known-at out, or give a time as at"
                )));
            }
            (Some(Bound::Position(position)), _) | (_, Some(Bound::Position(position))) => {
                KnownAt::Position(position)
            }
            (_, Some(Bound::Time(instant))) => KnownAt::Time(instant),
            (_, None) => KnownAt::Head,
        };
        Ok(Moment {
            at: match at {
                Some(Bound::Time(instant)) => Some(instant),
                Some(Bound::Position(_)) | None => None,
            },
            known_at: known,
        })
    }

    /// Reads the two instants that states are compared at (`--diff` and `diff`), with `at` and
    /// `known_at` as for both. A position says what is known, so `known_at` may not say it too; a
    /// time says what is true, so `at` may not.
    pub fn parse_pair(
        pair: (&str, &str),
        at: Option<&str>,
        known_at: Option<&str>,
    ) -> Result<(Moment, Moment)> {
        let one = |text: &str| match bound("diff", text)? {
            Bound::Position(_) if known_at.is_some() => Err(Error::invalid(format!(
                "diff: position {text} says what is known, and known-at says it too: leave known-at out, or compare two times"
            ))),
            Bound::Position(_) => Moment::parse(at, Some(text)),
            Bound::Time(_) if at.is_some() => Err(Error::invalid(format!(
                "diff: {text} says what had happened, and at says it too: leave at out, or compare two positions"
            ))),
            Bound::Time(_) => Moment::parse(Some(text), known_at),
        };
        Ok((one(pair.0)?, one(pair.1)?))
    }

    /// Whether the event was known.
    pub fn knows(&self, event: &RecordedEvent) -> bool {
        match self.known_at {
            KnownAt::Head => true,
            KnownAt::Position(position) => event.position <= position,
            KnownAt::Time(instant) => event.known_time() <= instant,
        }
    }

    /// Whether the event had happened.
    pub fn covers(&self, event: &RecordedEvent) -> bool {
        self.at.is_none_or(|at| event.event_time() <= at)
    }

    /// The last position that can matter; `None` if that is the head. A reader may stop there.
    pub fn last_position(&self) -> Option<Position> {
        match self.known_at {
            KnownAt::Position(position) => Some(position),
            KnownAt::Head | KnownAt::Time(_) => None,
        }
    }
}

/// What one of the texts can say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Position(Position),
    Time(Instant),
}

fn bound(name: &str, text: &str) -> Result<Bound> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(position) => Ok(Bound::Position(position)),
            Err(error) => Err(error.context(name)),
        };
    }
    match Timestamp::from_text_or_date(text) {
        Ok(time) => Ok(Bound::Time(time.instant())),
        Err(_) => Err(Error::invalid(format!(
            "{name}: {:?} is neither a position nor a time: expected a whole number from 1, a date such as 2024-05-01, or RFC 3339 such as 2024-05-01T12:30:00Z",
            text.chars().take(64).collect::<String>()
        ))),
    }
}
