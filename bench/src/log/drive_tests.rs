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

fn load(streams: Streams) -> Load {
    Load {
        writers: 4,
        batch: 3,
        streams,
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(50),
    }
}

fn counted(measured: &Measured) -> u64 {
    (measured.events_per_s * 0.05).round() as u64
}

#[test]
fn threads_count_what_is_durable_and_no_more() {
    let engine = Held::default();
    let measured = threads(&engine, load(Streams::empty(100))).unwrap();
    // The last answer of each writer comes too late to count.
    assert_eq!(counted(&measured) + 4 * 3, *engine.position.lock().unwrap());
    assert!(measured.median_ms > 0.0 && measured.cpu_ns_per_event > 0.0);
}

#[test]
fn one_task_counts_what_is_durable_and_no_more() {
    let engine = Held::default();
    let measured = one_task(&engine, load(Streams::empty(100))).unwrap();
    // Those in flight at the end don't count.
    assert_eq!(counted(&measured) + 4 * 3, *engine.position.lock().unwrap());
}

#[test]
fn what_is_not_taken_is_an_error() {
    let engine = Held::default();
    engine
        .hold(
            &[Event {
                number: 0,
                stream: 5,
            }],
            Condition {
                stream: 5,
                events: 0,
                after: 0,
            },
        )
        .unwrap();
    let error = threads(&engine, load(Streams::empty(100))).unwrap_err();
    assert!(
        error.to_string().contains("but 1 events up to 1"),
        "{error}"
    );
}

#[test]
fn filled_streams_hold_what_the_lanes_expect() {
    let engine = Held::default();
    let streams = fill_rounds(&engine, 2_500, 2).unwrap();
    assert_eq!(streams.after, 5_000);
    threads(&engine, load(streams)).unwrap();
}
