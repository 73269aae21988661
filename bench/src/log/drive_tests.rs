use std::collections::HashMap;
use std::sync::Mutex;

use super::*;
use crate::log::engine::Pending;

/// Holds what it has answered, and checks each condition.
#[derive(Default)]
struct Held {
    streams: Mutex<HashMap<u32, (u64, u64)>>,
    position: Mutex<u64>,
}

impl Held {
    fn hold(&self, events: &[Event], condition: Condition) -> Result<u64> {
        let mut position = self.position.lock().unwrap();
        let mut streams = self.streams.lock().unwrap();
        let (count, last) = streams.get(&condition.stream).copied().unwrap_or_default();
        if count != condition.events || last > condition.after {
            return Err(format!("{condition:?}, but {count} events up to {last}").into());
        }
        for event in events {
            *position += 1;
            let stream = streams.entry(event.stream).or_default();
            *stream = (stream.0 + 1, *position);
        }
        Ok(*position)
    }
}

impl Engine for Held {
    fn append(&self, events: &[Event], condition: Condition) -> Result<u64> {
        self.hold(events, condition)
    }

    fn begin(&self, events: &[Event], condition: Condition) -> Result<Pending> {
        let position = self.hold(events, condition);
        Ok(Box::pin(async move { position }))
    }
}

fn load(streams: Streams, measured: Duration) -> Load {
    Load {
        writers: 4,
        batch: 3,
        streams,
        warm_up: Duration::ZERO,
        measured,
    }
}

/// What is measured of an engine, which then holds what was counted, and the last answer of each
/// writer, or what each had in flight at the end, besides.
fn measure(drive: fn(&dyn Engine, Load) -> Result<Measured>) -> Measured {
    let measured = span::that_suffices(|span| {
        let engine = Held::default();
        let measured = drive(&engine, load(Streams::empty(100), span))?;
        let counted = (measured.events_per_s * span.as_secs_f64()).round() as u64;
        assert_eq!(counted + 4 * 3, *engine.position.lock().unwrap());
        Ok(measured)
    });
    measured.unwrap()
}

#[test]
fn threads_count_what_is_durable_and_no_more() {
    let measured = measure(threads);
    assert!(measured.median_ms > 0.0 && measured.cpu_ns_per_event > 0.0);
}

#[test]
fn one_task_counts_what_is_durable_and_no_more() {
    assert!(measure(one_task).median_ms > 0.0);
}

#[test]
fn what_is_not_taken_is_an_error() {
    let engine = Held::default();
    // Whatever each writer begins with.
    for stream in 0..100 {
        let event = Event { number: 0, stream };
        let condition = Condition {
            stream,
            events: 0,
            after: 0,
        };
        engine.hold(&[event], condition).unwrap();
    }
    let empty = Streams::empty(100);
    let measured = span::that_suffices(|span| threads(&engine, load(empty, span)));
    let error = measured.unwrap_err();
    assert!(error.to_string().contains("but 1 events up to "), "{error}");
}

#[test]
fn filled_streams_hold_what_the_lanes_expect() {
    let measured = span::that_suffices(|span| {
        let engine = Held::default();
        let streams = fill_rounds(&engine, 2_500, 2)?;
        assert_eq!(streams.after, 5_000);
        threads(&engine, load(streams, span))
    });
    measured.unwrap();
}
