//! The driver, the same for all engines: threads that append and wait, or one task that keeps
//! appends in flight. Only what was answered within the measured time counts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::engine::{Condition, Engine};
use super::event::Event;
use super::lane::{Lane, Streams};
use crate::Result;
use crate::compare::Pass;
use crate::others::{Used, Watch, of_threads};
use crate::span;

/// Events of an append that only fills.
const FILL_BATCH: u32 = 1_000;
/// Room for the times of a thread: to let them grow, page by new page, was a tenth of all the
/// processors' time.
const TIMES: usize = 1 << 16;

/// What is appended, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Threads with an append each, or appends in flight.
    pub writers: usize,
    /// Events of an append.
    pub batch: usize,
    pub streams: Streams,
    /// Appended, but not counted.
    pub warm_up: Duration,
    pub measured: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub events_per_s: f64,
    /// Of one append.
    pub median_ms: f64,
    /// Of all threads of this process together.
    pub cpu_ns_per_event: f64,
    /// Of it, nanoseconds an event by the names of the threads.
    pub threads: BTreeMap<String, Used>,
    /// The share of the processors' time that others used.
    pub others: f64,
}

/// The processors' time since it was made.
struct Meter {
    watch: Watch,
    threads: BTreeMap<String, Used>,
}

impl Meter {
    fn start() -> Result<Meter> {
        Ok(Meter {
            watch: Watch::start()?,
            threads: of_threads()?,
        })
    }

    /// Of all threads together, of each, and the share of others.
    fn read(&self) -> Result<(Duration, BTreeMap<String, Used>, f64)> {
        let own = self.watch.own();
        let mut threads = of_threads()?;
        for (name, used) in &mut threads {
            *used -= self.threads.get(name).copied().unwrap_or_default();
        }
        Ok((own, threads, self.watch.others()?))
    }
}

impl Measured {
    fn new(
        mut times: Vec<Duration>,
        load: Load,
        (cpu, mut threads, others): (Duration, BTreeMap<String, Used>, f64),
    ) -> Measured {
        times.sort_unstable();
        let events = (times.len() * load.batch) as f64;
        for used in threads.values_mut() {
            *used = used.each(events);
        }
        let median = times.get(times.len() / 2);
        Measured {
            events_per_s: events / load.measured.as_secs_f64(),
            median_ms: median.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3),
            cpu_ns_per_event: cpu.as_secs_f64() * 1e9 / events,
            threads,
            others,
        }
    }
}

impl Pass for Measured {
    fn others(&self) -> f64 {
        self.others
    }
}

/// Threads, each of which appends, waits until that is durable, and appends again.
pub fn threads(engine: &dyn Engine, load: Load) -> Result<Measured> {
    let lanes = Lane::all(load.writers, load.streams);
    let from = Instant::now() + load.warm_up;
    let until = from + load.measured;
    // Who has ended is in no list of threads any more.
    let stay = Mutex::new(());
    std::thread::scope(|scope| {
        let until_all_is_read = stay.lock();
        let write = |lane| {
            let times = writer(engine, lane, load.batch, from, until);
            drop(stay.lock());
            times
        };
        let writers: Vec<_> = lanes
            .into_iter()
            .map(|lane| scope.spawn(move || write(lane)))
            .collect();
        sleep_until(from);
        let meter = Meter::start()?;
        sleep_until(until);
        let used = meter.read()?;
        drop(until_all_is_read);
        let mut times = Vec::new();
        for writer in writers {
            times.extend(writer.join().map_err(|_| "a writer panicked")??);
        }
        Ok(Measured::new(span::answered(times)?, load, used))
    })
}

fn writer(
    engine: &dyn Engine,
    mut lane: Lane,
    batch: usize,
    from: Instant,
    until: Instant,
) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(TIMES);
    loop {
        let (events, condition) = lane.take(batch);
        let begun = Instant::now();
        let position = engine.append(events, condition)?;
        let answered = Instant::now();
        lane.done(position);
        if answered >= until {
            return Ok(times);
        }
        if answered >= from {
            times.push(answered - begun);
        }
    }
}

/// One task on a runtime of one thread, which keeps an append of each lane in flight.
pub fn one_task(engine: &dyn Engine, load: Load) -> Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(task(engine, load))
}

async fn task(engine: &dyn Engine, load: Load) -> Result<Measured> {
    let from = Instant::now() + load.warm_up;
    let until = from + load.measured;
    let mut flying = Vec::with_capacity(load.writers);
    for mut lane in Lane::all(load.writers, load.streams) {
        let (events, condition) = lane.take(load.batch);
        flying.push((Instant::now(), engine.begin(events, condition)?, lane));
    }
    let (mut times, mut meter) = (Vec::new(), None);
    loop {
        for (begun, pending, lane) in &mut flying {
            let position = pending.as_mut().await?;
            let answered = Instant::now();
            lane.done(position);
            if answered >= until {
                let meter: Meter = meter.ok_or_else(span::nothing)?;
                return Ok(Measured::new(times, load, meter.read()?));
            }
            if answered >= from {
                if meter.is_none() {
                    meter = Some(Meter::start()?);
                }
                times.push(answered - *begun);
            }
            let (events, condition) = lane.take(load.batch);
            *begun = Instant::now();
            *pending = engine.begin(events, condition)?;
        }
    }
}

/// Appends one event to each stream, so that none is new to what is measured then.
pub fn fill_each(engine: &dyn Engine, streams: u32) -> Result<Streams> {
    fill_rounds(engine, streams, 1)
}

/// Appends so many events to each stream, one after another to all.
pub fn fill_rounds(engine: &dyn Engine, streams: u32, rounds: u32) -> Result<Streams> {
    let mut after = 0;
    for round in 0..rounds {
        for first in (0..streams).step_by(FILL_BATCH as usize) {
            let number = |stream| u64::from(round) << 32 | u64::from(stream);
            let events: Vec<Event> = (first..streams.min(first + FILL_BATCH))
                .map(|stream| Event {
                    number: number(stream),
                    stream,
                })
                .collect();
            let condition = Condition {
                stream: first,
                events: u64::from(round),
                after,
            };
            after = engine.append(&events, condition)?;
        }
    }
    Ok(Streams {
        count: streams,
        filled: rounds,
        after,
    })
}

/// Appends so many events of random streams.
pub fn fill(engine: &dyn Engine, streams: u32, events: u64) -> Result<()> {
    let mut lanes = Lane::all(1, Streams::empty(streams));
    let mut left = events;
    while let Some(lane) = lanes.first_mut().filter(|_| left > 0) {
        let batch = left.min(u64::from(FILL_BATCH));
        let (events, condition) = lane.take(batch as usize);
        let position = engine.append(events, condition)?;
        lane.done(position);
        left -= batch;
    }
    Ok(())
}

fn sleep_until(time: Instant) {
    std::thread::sleep(time.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
