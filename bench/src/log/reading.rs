//! Opening, reading everything, and reading single streams. All files are in the page cache.

use std::time::Instant;

use super::drive::{fill, fill_rounds};
use super::engine::{Engine, Kind};
use super::event::mix;
use super::{MANY_STREAMS, Plan, ours, tephra, umadb};
use crate::Result;
use crate::results::Goal::{AtMost, RatioAtLeast};
use crate::results::{Results, median};

/// Events of each of the streams that are read.
const STREAM_EVENTS: u32 = 100;

/// One log, opened again in each pass and read from end to end.
pub fn open_and_scan(plan: Plan, results: &mut Results) -> Result<()> {
    let events = plan.opened_events;
    let stores = [ours::KIND, tephra::KIND];
    let (mut opened, mut scanned) = (Vec::new(), Vec::new());
    let mut folders = Vec::new();
    for store in stores {
        eprintln!("open and scan: {events} events into {}", store.name);
        let folder = tempfile::tempdir()?;
        fill(&*(store.open)(folder.path())?, MANY_STREAMS, events)?;
        folders.push(folder);
        opened.push(Vec::new());
        scanned.push(Vec::new());
    }
    for pass in 0..plan.passes {
        for turn in 0..stores.len() {
            let which = (pass + turn) % stores.len();
            let start = Instant::now();
            let store = (stores[which].open)(folders[which].path())?;
            opened[which].push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let found = store.scan()?;
            scanned[which].push(found as f64 / start.elapsed().as_secs_f64());
            if found != events {
                return Err(format!("{events} events were appended, {found} read").into());
            }
        }
    }
    let middle = |all: &mut Vec<Vec<f64>>, which: usize| median(std::mem::take(&mut all[which]));
    let (ours, peer) = (middle(&mut scanned, 0), middle(&mut scanned, 1));
    let goal = Some(RatioAtLeast(1.5));
    let beside = Some((tephra::NAME, peer));
    results.add("scan of all events", "events/s", ours, beside, goal);
    let (ours, peer) = (middle(&mut opened, 0), middle(&mut opened, 1));
    let what = format!("open of {events} events");
    let beside = Some((tephra::NAME, peer));
    results.add(what, "s", ours, beside, Some(AtMost(1.0)));
    Ok(())
}

/// Streams of 100 events that lie scattered, read one after another at random.
pub fn hot_streams(plan: Plan, results: &mut Results) -> Result<()> {
    let kinds: [(Kind, f64); 3] = [(ours::KIND, 0.0), (tephra::KIND, 1.5), (umadb::KIND, 1.0)];
    let (mut stores, mut folders) = (Vec::new(), Vec::new());
    for (kind, _) in kinds {
        eprintln!("read of streams: filling {}", kind.name);
        let folder = tempfile::tempdir()?;
        let store = (kind.open)(folder.path())?;
        fill_rounds(&*store, plan.hot_streams, STREAM_EVENTS)?;
        stores.push(store);
        folders.push(folder);
    }
    let mut rates = kinds.map(|_| Vec::new());
    for pass in 0..plan.passes {
        for turn in 0..stores.len() {
            let which = (pass + turn) % stores.len();
            rates[which].push(read_for(plan, &*stores[which])?);
        }
    }
    drop(stores);
    let [ours, peers @ ..] = rates.map(median);
    for ((kind, goal), peer) in kinds.into_iter().skip(1).zip(peers) {
        let what = format!("read of a stream of {STREAM_EVENTS} events, hot");
        let goal = Some(RatioAtLeast(goal));
        results.add(what, "streams/s", ours, Some((kind.name, peer)), goal);
    }
    Ok(())
}

fn read_for(plan: Plan, store: &dyn Engine) -> Result<f64> {
    let (start, mut streams) = (Instant::now(), 0);
    while start.elapsed() < plan.measured {
        let stream = (mix(streams) >> 20) as u32 % plan.hot_streams;
        let found = store.read_stream(stream)?;
        if found != u64::from(STREAM_EVENTS) {
            return Err(format!("stream {stream} has {found} events").into());
        }
        streams += 1;
    }
    Ok(streams as f64 / start.elapsed().as_secs_f64())
}
