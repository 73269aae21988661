//! Events for the tests.

use foretell_types::{
    Data, ExtensionValue, Instant, KNOWN_TIME, NewEvent, Position, RecordedEvent, Revision,
    Timestamp,
};

pub fn json(text: &str) -> Data {
    Data::json(text)
}

pub fn seconds(seconds: i64) -> Instant {
    Instant { seconds, nanos: 0 }
}

/// An event at a position that happened at a second, recorded as many seconds after 1000 as the
/// position says.
pub fn event(position: u64, time: i64, event_type: &str, data: Data) -> RecordedEvent {
    RecordedEvent {
        event: NewEvent {
            id: position.to_string(),
            event_type: event_type.to_owned(),
            subject: Some("thing".to_owned()),
            time: Some(Timestamp::from_instant(seconds(time))),
            data,
            ..NewEvent::default()
        },
        position: Position::new(position).unwrap(),
        revision: Some(Revision::new(position - 1)),
        recorded_time: seconds(1000 + position as i64),
        erased: false,
    }
}

/// The same event, as an import that declares when it became known.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn known(mut event: RecordedEvent, time: i64) -> RecordedEvent {
    let text = Timestamp::from_instant(seconds(time)).to_string();
    event
        .event
        .set_extension(KNOWN_TIME, ExtensionValue::String(text));
    event
}
