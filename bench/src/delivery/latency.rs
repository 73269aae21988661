//! From the begin of the publish request to arrival, at a given rate.
//!
//! Requests go by a plan: one that is sent late, since the one before took long, counts from when
//! it should have been sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::events::request;
use super::sink::Sink;
use super::subscribe::{Administrator, Webhook};
use super::tally::Tally;
use super::{LOCALHOST, TOPIC};
use crate::Result;
use crate::awake::Awake;
use crate::client::Connection;
use crate::measure::Measured;
use crate::payload::Target;
use crate::results::{Goal, Results, median};
use crate::server::Server;

const PER_S: u64 = 1_000;
const CONNECTIONS: u64 = 16;
const GOAL_MEDIAN_MS: f64 = 3.0;
const GOAL_P99_MS: f64 = 25.0;
/// Not counted: the first events of a pass find cold connections.
const WARM_UP_EVENTS: u64 = PER_S / 2;
/// Until the first event is due.
const BEFORE: Duration = Duration::from_millis(100);

pub async fn run(quick: bool, results: &mut Results) -> Result<()> {
    let (passes, seconds) = if quick { (3, 4) } else { (5, 20) };
    let awake = Awake::start();
    let mut measured = Vec::new();
    for pass in 0..passes {
        let one = pass_of(seconds * PER_S).await?;
        eprintln!(
            "delivery: latency, pass {} of {passes}: median {:.2} ms, p99 {:.2} ms",
            pass + 1,
            one.median_ms,
            one.p99_ms
        );
        measured.push(one);
    }
    for (share, of, goal) in [
        (
            "median",
            (|one| one.median_ms) as fn(&Measured) -> f64,
            GOAL_MEDIAN_MS,
        ),
        ("99th percentile", |one| one.p99_ms, GOAL_P99_MS),
    ] {
        results.add(
            format!("begin of publishing to arrival, {PER_S} events/s, {share}"),
            "ms",
            median(measured.iter().map(of).collect()),
            None,
            Some(Goal::AtMost(goal)),
        );
    }
    results.note(awake.note("latency"));
    Ok(())
}

async fn pass_of(count: u64) -> Result<Measured> {
    let server = Server::start(TOPIC).await?;
    let tally = Arc::new(Tally::timed(0, count));
    let sink = Sink::start(LOCALHOST, vec![tally.clone()])?;
    let webhook = Webhook {
        url: sink.url(0),
        batch: 1,
        cloud_events: false,
    };
    let mut administrator = Administrator::of(&server).await?;
    administrator
        .subscribe("latency", &webhook, "now", true)
        .await?;
    let start = Instant::now() + BEFORE;
    let publishers: Vec<_> = (0..CONNECTIONS)
        .map(|first| {
            let target = server.target().clone();
            std::thread::spawn(move || publisher(&target, first, count, start))
        })
        .collect();
    Tally::all_complete(std::slice::from_ref(&tally)).await?;
    for publisher in publishers {
        publisher.join().map_err(|_| "a publisher panicked")??;
    }
    let times = tally.times().into_iter();
    let times = (0..)
        .zip(times)
        .skip(WARM_UP_EVENTS as usize)
        .filter_map(|(number, came)| Some(came?.saturating_duration_since(due(start, number))));
    let span = Duration::from_secs_f64((count - WARM_UP_EVENTS) as f64 / PER_S as f64);
    Ok(Measured::new(times.collect(), 1, span))
}

fn due(start: Instant, number: u64) -> Instant {
    start + Duration::from_secs(1) * number as u32 / PER_S as u32
}

/// Sends every so manieth event. A thread of its own: its sleep ends more exactly than a timer of
/// the runtime, which counts milliseconds.
fn publisher(target: &Target, first: u64, count: u64, start: Instant) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut connection = runtime.block_on(Connection::open(target.address))?;
    for number in (first..count).step_by(CONNECTIONS as usize) {
        let request = request(target, std::iter::once(number), u64::MAX);
        std::thread::sleep(due(start, number).saturating_duration_since(Instant::now()));
        runtime.block_on(connection.publish(&request))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_even() {
        let start = Instant::now();
        assert_eq!(due(start, 0), start);
        assert_eq!(due(start, PER_S * 90), start + Duration::from_secs(90));
        assert_eq!(due(start, 1) - start, Duration::from_secs(1) / PER_S as u32);
    }
}
