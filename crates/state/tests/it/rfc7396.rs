//! The examples of RFC 7396, appendix A, and what the RFC leaves to us: the text of numbers.

use crate::events::{event, json};
use foretell_state::{Moment, fold};

/// The state after events with this data, in this order.
fn state(data: &[&str]) -> String {
    let events = data.iter().enumerate().map(|(index, data)| {
        let position = index as u64 + 1;
        Ok(event(position, 0, "thing.changed", json(data)))
    });
    let state = fold(events, Moment::default()).unwrap();
    state.value.get().to_owned()
}

#[test]
fn appendix_a() {
    for (original, patch, expected) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        // The original of the RFC, {"e":null}, is no state: no event can put a null there.
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        assert_eq!(state(&[original, patch]), expected, "{original} {patch}");
    }
}

#[test]
fn numbers_stand_as_written() {
    let data = r#"{"big":123456789012345678901234567890,"price":1.10,"tiny":1e-400}"#;
    assert_eq!(state(&[data]), data);
    assert_eq!(
        state(&[data, r#"{"list":[0.10,{"b":2,"a":1.0}],"price":-0}"#]),
        r#"{"big":123456789012345678901234567890,"list":[0.10,{"b":2,"a":1.0}],"price":-0,"tiny":1e-400}"#
    );
}

#[test]
fn odd_keys_and_strings() {
    assert_eq!(state(&[r#"{"\u0061":1}"#, r#"{"a":2}"#]), r#"{"a":2}"#);
    assert_eq!(
        state(&[r#"{"a":1,"a":{"x":null},"a":{"b":"\ud800"}}"#]),
        r#"{"a":{"b":"\ud800"}}"#
    );
    assert_eq!(
        state(&[r#"{"\ud800":1}"#, r#"{"\ud800":2}"#]),
        r#"{"\ud800":2}"#
    );
}

#[test]
fn data_that_claims_to_be_json_is_an_error_that_names_the_event() {
    let broken = [Ok(event(7, 0, "thing.changed", json("{\"a\":")))];
    let error = fold(broken, Moment::default()).unwrap_err();
    assert!(error.message().contains("position 7"), "{error}");
}
