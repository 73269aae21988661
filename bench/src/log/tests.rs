use std::time::Duration;

use super::drive::{Load, fill_rounds, one_task, threads};
use super::engine::{Condition, Kind};
use super::event::Event;
use super::lane::Streams;
use super::{fjall, ours, raw, tephra, umadb};
use crate::span;

const ALL: [Kind; 5] = [
    ours::KIND,
    tephra::KIND,
    umadb::KIND,
    fjall::KIND,
    raw::KIND,
];
const READ: [Kind; 3] = [ours::KIND, tephra::KIND, umadb::KIND];
const STREAMS: u32 = 60;

fn load(streams: Streams, measured: Duration) -> Load {
    Load {
        writers: 4,
        batch: 3,
        streams,
        warm_up: Duration::ZERO,
        measured,
    }
}

#[test]
fn what_is_counted_is_there_after_opening_anew() {
    for kind in READ {
        let measure = |span| {
            let folder = tempfile::tempdir()?;
            let filled = fill_rounds(&*(kind.open)(folder.path())?, STREAMS, 2)?;
            let measured = threads(&*(kind.open)(folder.path())?, load(filled, span))?;
            let counted = (measured.events_per_s * span.as_secs_f64()).round() as u64;
            Ok((folder, counted))
        };
        let (folder, counted) = span::that_suffices(measure).unwrap();
        // The last answer of each writer comes too late to count.
        let there = u64::from(STREAMS) * 2 + counted + 4 * 3;
        let engine = (kind.open)(folder.path()).unwrap();
        assert_eq!(engine.scan().unwrap(), there, "{}", kind.name);
        let streams = (0..STREAMS).map(|stream| engine.read_stream(stream).unwrap());
        assert_eq!(streams.sum::<u64>(), there, "{}", kind.name);
    }
}

#[test]
fn all_take_appends_in_flight_and_filled_streams() {
    for kind in ALL {
        let measure = |span| {
            let folder = tempfile::tempdir()?;
            let engine = (kind.open)(folder.path())?;
            let filled = fill_rounds(&*engine, STREAMS, 1)?;
            assert_eq!(filled.after, u64::from(STREAMS), "{}", kind.name);
            one_task(&*engine, load(filled, span))
        };
        let measured = span::that_suffices(measure).unwrap();
        assert!(measured.events_per_s > 0.0, "{}", kind.name);
    }
}

#[test]
fn all_but_the_raw_writer_check_the_condition() {
    for kind in ALL {
        let folder = tempfile::tempdir().unwrap();
        let engine = (kind.open)(folder.path()).unwrap();
        let event = |number| Event { number, stream: 7 };
        let empty = Condition {
            stream: 7,
            events: 0,
            after: 0,
        };
        assert_eq!(engine.append(&[event(1)], empty).unwrap(), 1);
        let refused = engine.append(&[event(2)], empty).is_err();
        assert_eq!(refused, kind.name != raw::NAME, "{}", kind.name);
    }
}
