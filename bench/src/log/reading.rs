//! Opening, reading everything, and reading single streams, from the page cache and from the disk.

use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::drive::{fill, fill_rounds};
use super::engine::{Engine, Kind};
use super::event::mix;
use super::ours::Ours;
use super::{MANY_STREAMS, Plan, ours, tephra, umadb};
use crate::Result;
use crate::results::Goal::{AtLeast, AtMost, RatioAtLeast};
use crate::results::{Results, median};

/// Events of each of the streams that are read.
const STREAM_EVENTS: u32 = 100;
/// Streams that are read in each cold pass.
const COLD_STREAMS: u32 = 200;

/// A log that isn't sealed, opened again in each pass and read from end to end; then the same
/// sealed.
pub fn open_and_scan(plan: Plan, results: &mut Results) -> Result<()> {
    let events = plan.opened_events;
    let stores = [ours::UNSEALED, tephra::KIND];
    let mut folders = Vec::new();
    for store in stores {
        eprintln!("open and scan: {events} events into {}", store.name);
        let folder = tempfile::tempdir()?;
        fill(&*(store.open)(folder.path())?, MANY_STREAMS, events)?;
        folders.push(folder);
    }
    let mut times = [Times::default(), Times::default()];
    for pass in 0..plan.passes {
        for turn in 0..stores.len() {
            let which = (pass + turn) % stores.len();
            times[which].take(stores[which], folders[which].path(), events)?;
        }
    }
    let [unsealed, peer] = times.map(Times::medians);
    let beside = Some((tephra::NAME, peer.1));
    let goal = Some(RatioAtLeast(1.5));
    results.add("scan, unsealed", "events/s", unsealed.1, beside, goal);
    let what = format!("open of {events} events, unsealed");
    let beside = Some((tephra::NAME, peer.0));
    results.add(what, "s", unsealed.0, beside, None);
    eprintln!("open and scan: sealing");
    Ours::seal(folders[0].path())?;
    let mut times = Times::default();
    for _ in 0..plan.passes {
        // Sealing begins its own with an event.
        times.take(ours::KIND, folders[0].path(), events + 1)?;
    }
    let sealed = times.medians();
    let goal = Some(AtLeast(2e6));
    let beside = Some((tephra::NAME, peer.1));
    results.add("scan, sealed", "events/s", sealed.1, beside, goal);
    let what = format!("open of {events} events, sealed");
    let beside = Some((tephra::NAME, peer.0));
    results.add(what, "s", sealed.0, beside, Some(AtMost(1.0)));
    Ok(())
}

#[derive(Default)]
struct Times {
    opened: Vec<f64>,
    scanned: Vec<f64>,
}

impl Times {
    fn take(&mut self, kind: Kind, folder: &Path, events: u64) -> Result<()> {
        let start = Instant::now();
        let store = (kind.open)(folder)?;
        self.opened.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let found = store.scan()?;
        self.scanned
            .push(found as f64 / start.elapsed().as_secs_f64());
        if found != events {
            return Err(format!("{events} events were appended, {found} read").into());
        }
        Ok(())
    }

    /// Seconds to open, events a second.
    fn medians(self) -> (f64, f64) {
        (median(self.opened), median(self.scanned))
    }
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
    eprintln!("read of streams: sealing");
    Ours::seal(folders[0].path())?;
    cold_streams(plan, results, &folders)
}

/// The same streams, each read once, after the system has forgotten all files.
fn cold_streams(plan: Plan, results: &mut Results, folders: &[TempDir]) -> Result<()> {
    let kinds: [(Kind, f64); 3] = [(ours::KIND, 0.0), (tephra::KIND, 10.0), (umadb::KIND, 1.0)];
    let mut rates = kinds.map(|_| Vec::new());
    for pass in 0..plan.passes {
        for turn in 0..kinds.len() {
            let which = (pass + turn) % kinds.len();
            let store = (kinds[which].0.open)(folders[which].path())?;
            if let Err(error) = forget_files() {
                results.note(format!("cold streams were not measured: {error}"));
                return Ok(());
            }
            let start = Instant::now();
            for n in 0..COLD_STREAMS {
                let stream = (mix(u64::from(n)) >> 20) as u32 % plan.hot_streams;
                store.read_stream(stream)?;
            }
            rates[which].push(f64::from(COLD_STREAMS) / start.elapsed().as_secs_f64());
        }
    }
    let [ours, peers @ ..] = rates.map(median);
    for ((kind, goal), peer) in kinds.into_iter().skip(1).zip(peers) {
        let what = format!("read of a stream of {STREAM_EVENTS} events, cold");
        let goal = Some(RatioAtLeast(goal));
        results.add(what, "streams/s", ours, Some((kind.name, peer)), goal);
    }
    results.note("cold: opened anew, the page cache emptied, Foretell's log sealed and merged");
    Ok(())
}

/// Has the system write everything and empty its page cache (Linux, as root).
fn forget_files() -> std::io::Result<()> {
    std::process::Command::new("sync").status()?;
    std::fs::write("/proc/sys/vm/drop_caches", "3")
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
