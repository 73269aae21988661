//! The driver, the same for all servers: tasks that append, wait for the answer and append again,
//! each over a connection of its own. Only what was answered within the measured time counts.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::peer::{Client, Peer};
use crate::Result;
use crate::compare::Pass;
use crate::log::engine::Condition;
use crate::log::event::Event;
use crate::log::lane::{Lane, Streams};
use crate::others::Watch;
use crate::results::median;
use crate::span;

/// How often everything is read in a pass.
const READS: usize = 3;

#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub writers: usize,
    pub streams: u32,
    /// Events that each stream has before.
    pub filled: u32,
    /// Appended, but not counted.
    pub warm_up: Duration,
    pub measured: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub events_per_s: f64,
    /// Of one append.
    pub median_ms: f64,
    /// Processor time of an append, here and there.
    pub client_us: f64,
    pub server_us: f64,
    pub read_per_s: f64,
    /// As JSON lines; not a number if there is no other form.
    pub lines_per_s: f64,
    /// The share of the processors' time that others used.
    pub others: f64,
}

impl Pass for Measured {
    fn others(&self) -> f64 {
        self.others
    }
}

/// Fills, appends, and reads everything: which must be what was acknowledged.
pub async fn pass(mut peer: Box<dyn Peer>, load: Load) -> Result<Measured> {
    let streams = match load.filled {
        0 => Streams::empty(load.streams),
        rounds => peer.fill(load.streams, rounds).await?,
    };
    let (appended, measured) = append(&*peer, load, streams).await?;
    check_condition(&*peer, load.streams).await?;
    let expected = u64::from(streams.filled) * u64::from(streams.count) + appended + 1;
    Ok(Measured {
        read_per_s: read(expected, async || Ok(Some(peer.read_all().await?))).await?,
        lines_per_s: read(expected, async || peer.read_lines().await).await?,
        ..measured
    })
}

/// How many appends were acknowledged, the uncounted ones too, and what was measured.
async fn append(peer: &dyn Peer, load: Load, streams: Streams) -> Result<(u64, Measured)> {
    let mut clients = Vec::with_capacity(load.writers);
    for _ in 0..load.writers {
        clients.push(peer.connect().await?);
    }
    let from = Instant::now() + load.warm_up;
    let until = from + load.measured;
    let mut writers = JoinSet::new();
    for (client, lane) in clients.into_iter().zip(Lane::all(load.writers, streams)) {
        writers.spawn(writer(client, lane, from, until));
    }
    sleep_until(from.into()).await;
    let watch = Watch::with_server(Some(peer.id()))?;
    sleep_until(until.into()).await;
    let (client, server, others) = (watch.own(), watch.server()?, watch.others()?);
    let (mut appended, mut times) = (0, Vec::new());
    while let Some(writer) = writers.join_next().await {
        let (its_appended, its_times) = writer??;
        appended += its_appended;
        times.extend(its_times);
    }
    let mut times = span::answered(times)?;
    times.sort_unstable();
    let count = times.len() as f64;
    let middle = times.get(times.len() / 2);
    let measured = Measured {
        events_per_s: count / load.measured.as_secs_f64(),
        median_ms: middle.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3),
        client_us: client.as_secs_f64() * 1e6 / count,
        server_us: server.as_secs_f64() * 1e6 / count,
        read_per_s: f64::NAN,
        lines_per_s: f64::NAN,
        others,
    };
    Ok((appended, measured))
}

async fn writer(
    mut client: Box<dyn Client>,
    mut lane: Lane,
    from: Instant,
    until: Instant,
) -> Result<(u64, Vec<Duration>)> {
    let (mut appended, mut times) = (0, Vec::new());
    loop {
        let (events, condition) = lane.take(1);
        let event = *events.first().ok_or("a lane gave no event")?;
        let begun = Instant::now();
        let position = client.append(event, condition).await?;
        let answered = Instant::now();
        lane.done(position.ok_or_else(|| format!("refused, and yet it holds: {condition:?}"))?);
        appended += 1;
        if answered >= until {
            return Ok((appended, times));
        }
        if answered >= from {
            times.push(answered - begun);
        }
    }
}

/// Appends an event to a stream that no lane has, and another one that expects it to be empty
/// still: that must be refused.
async fn check_condition(peer: &dyn Peer, stream: u32) -> Result<()> {
    let mut client = peer.connect().await?;
    let empty = Condition {
        stream,
        events: 0,
        after: 0,
    };
    let mut append = async |number| client.append(Event { number, stream }, empty).await;
    if append(u64::MAX).await?.is_none() {
        return Err("an append to a new stream was refused".into());
    }
    match append(u64::MAX - 1).await? {
        None => Ok(()),
        Some(_) => Err("an append was taken although its condition does not hold".into()),
    }
}

/// Events a second of reading everything.
async fn read(expected: u64, all: impl AsyncFn() -> Result<Option<u64>>) -> Result<f64> {
    let mut rates = Vec::with_capacity(READS);
    for _ in 0..READS {
        let start = Instant::now();
        let Some(found) = all().await? else {
            return Ok(f64::NAN);
        };
        rates.push(found as f64 / start.elapsed().as_secs_f64());
        if found != expected {
            return Err(format!("{expected} events were acknowledged, {found} read").into());
        }
    }
    Ok(median(rates))
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
