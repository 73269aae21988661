//! Many followers of one topic: each is told of every event, and reads it.

use std::time::{Duration, Instant};

use foretell_log::{EventLog, ReadOptions};
use foretell_types::Position;
use tokio::task::{JoinSet, LocalSet};

use super::ours::{Ours, TOPIC};
use super::{FEW_STREAMS, Plan, lane::Lane, lane::Streams};
use crate::Result;
use crate::results::{Results, median};

const FOLLOWERS: [usize; 2] = [100, 5_000];

/// One thread appends events one by one, so many tasks on another follow. Each of them must have
/// seen every event, in order.
pub fn followers(plan: Plan, results: &mut Results) -> Result<()> {
    for count in FOLLOWERS {
        eprintln!("followers: {count}");
        let (mut rates, mut behind) = (Vec::new(), Vec::new());
        for _ in 0..plan.passes {
            let (rate, last) = pass(plan, count)?;
            rates.push(rate);
            behind.push(last.as_secs_f64() * 1e3);
        }
        let what = format!("following, {count} followers of a topic");
        results.add(what, "deliveries/s", median(rates), None, None);
        let what = format!("last of {count} followers behind the last append");
        results.add(what, "ms", median(behind), None, None);
    }
    Ok(())
}

/// Deliveries a second, and how long after the last append the last follower had it.
fn pass(plan: Plan, count: usize) -> Result<(f64, Duration)> {
    let folder = tempfile::tempdir()?;
    let ours = Ours::open(folder.path())?;
    let log = ours.log();
    let begun = Instant::now();
    let until = begun + plan.measured;
    let (end, ended) = tokio::sync::watch::channel(None);
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let appended = append(&ours, until);
            let events = appended.as_ref().map_or(0, |(events, _)| *events);
            end.send_replace(Some(events));
            appended
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let delivered = LocalSet::new().block_on(&runtime, async {
            let mut followers = JoinSet::new();
            for _ in 0..count {
                followers.spawn_local(follow(log.clone(), ended.clone()));
            }
            let mut delivered = 0;
            while let Some(seen) = followers.join_next().await {
                delivered += seen??;
            }
            Ok::<u64, crate::Error>(delivered)
        })?;
        let done = Instant::now();
        let (events, last) = appending.join().map_err(|_| "the writer panicked")??;
        if delivered != events * count as u64 {
            return Err(format!("{count} followers of {events} events had {delivered}").into());
        }
        let rate = delivered as f64 / (done - begun).as_secs_f64();
        Ok((rate, done.saturating_duration_since(last)))
    })
}

/// Appends until then; gives how many, and when the last was durable.
fn append(ours: &Ours, until: Instant) -> Result<(u64, Instant)> {
    let mut lanes = Lane::all(1, Streams::empty(FEW_STREAMS));
    let (mut events, mut last) = (0, Instant::now());
    while let Some(lane) = lanes.first_mut().filter(|_| last < until) {
        let (one, condition) = lane.take(1);
        let position = super::engine::Engine::append(ours, one, condition)?;
        lane.done(position);
        (events, last) = (events + 1, Instant::now());
    }
    Ok((events, last))
}

/// Reads everything as it comes, up to the end once that is known; gives the number of events.
async fn follow(
    log: EventLog,
    mut ended: tokio::sync::watch::Receiver<Option<u64>>,
) -> Result<u64> {
    let mut head = log.watch(TOPIC)?;
    let mut seen = 0;
    loop {
        let mut reader = log.read(TOPIC, ReadOptions::after(Position::new(seen)))?;
        while let Some(event) = reader.next_event()? {
            if event.position.get() != seen + 1 {
                return Err(format!("position {} follows {seen}", event.position).into());
            }
            seen += 1;
        }
        if *ended.borrow() == Some(seen) {
            return Ok(seen);
        }
        tokio::select! {
            changed = head.wait_for(|head| *head > seen) => drop(changed?),
            changed = ended.changed() => changed?,
        }
    }
}
