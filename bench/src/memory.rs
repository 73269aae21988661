//! What a large log takes: memory, disk, time. Foretell alone.

use std::time::Instant;

use crate::Result;
use crate::log::{MANY_STREAMS, Ours, fill, mix};
use crate::results::Results;
use crate::server::field;

const EVENTS: u64 = 100_000_000;
const QUICK_EVENTS: u64 = 10_000_000;
/// Streams that are read once everything is sealed.
const READ: u32 = 1_000;

pub fn run(quick: bool, results: &mut Results) -> Result<()> {
    let events = if quick { QUICK_EVENTS } else { EVENTS };
    let what = |measure: &str| format!("{measure}, {events} events, {MANY_STREAMS} streams");
    let folder = tempfile::tempdir()?;
    eprintln!("filling: {events} events");
    let store = Ours::open(folder.path())?;
    let start = Instant::now();
    fill(&store, MANY_STREAMS, events)?;
    let rate = events as f64 / start.elapsed().as_secs_f64();
    results.add(
        what("appending, batches of 1,000"),
        "events/s",
        rate,
        None,
        None,
    );
    memory(&what("while appending"), results)?;
    let start = Instant::now();
    store.seal_rest()?;
    let rest = start.elapsed().as_secs_f64();
    results.add(what("sealing and merging the rest"), "s", rest, None, None);
    let bytes = store.log().size().0 as f64 / events as f64;
    results.add(what("disk"), "bytes/event", bytes, None, None);
    drop(store);
    let start = Instant::now();
    let store = Ours::open(folder.path())?;
    let opened = start.elapsed().as_secs_f64();
    results.add(what("open"), "s", opened, None, None);
    let start = Instant::now();
    let found: u64 = (0..READ)
        .map(|n| crate::log::read_stream(&store, (mix(u64::from(n)) >> 20) as u32 % MANY_STREAMS))
        .sum::<Result<u64>>()?;
    let each = start.elapsed().as_secs_f64() * 1e3 / f64::from(READ);
    let length = found / u64::from(READ);
    let measure = format!("read of a stream of about {length} events");
    results.add(what(&measure), "ms", each, None, None);
    let start = Instant::now();
    let verified = store.log().verify(&mut |_, _| {})?;
    if verified.events != events {
        return Err(format!(
            "{events} events were appended, {} verified",
            verified.events
        )
        .into());
    }
    let rate = events as f64 / start.elapsed().as_secs_f64();
    results.add(what("verify"), "events/s", rate, None, None);
    memory(&what("in all"), results)
}

/// This process's memory: that of the log, and a few megabytes.
fn memory(when: &str, results: &mut Results) -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let (resident, peak) = (field(&status, "VmRSS:")?, field(&status, "VmHWM:")?);
    results.add(
        format!("resident memory {when}"),
        "MB",
        resident,
        None,
        None,
    );
    results.add(format!("peak memory {when}"), "MB", peak, None, None);
    Ok(())
}
