//! Many subscriptions on a topic, with the same events waiting in each: what one dead and one slow
//! endpoint take from the others, and what memory all that takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::events::requests;
use super::sink::{Endpoint, Sink};
use super::subscribe::{Administrator, Webhook};
use super::tally::Tally;
use super::{LOCALHOST, PUBLISHED_AT_ONCE, TOPIC};
use crate::Result;
use crate::client::Connection;
use crate::process::free_address;
use crate::results::{Goal, Results, median};
use crate::server::Server;

const SUBSCRIPTIONS: usize = 500;
const BATCH: u32 = 100;
/// How late the slow endpoint answers.
const SLOW: Duration = Duration::from_secs(1);
/// Connections over which the subscriptions are made.
const ADMINISTRATORS: usize = 8;
/// Of the rate without the dead and the slow endpoint.
const GOAL_KEPT: f64 = 0.9;
/// Peak memory of the server.
const GOAL_MB: f64 = 1_000.0;
const ALONE: &str = "without the dead and the slow one";

pub async fn run(quick: bool, long: bool, results: &mut Results) -> Result<()> {
    let (events, passes) = match (quick, long) {
        (_, true) => (100_000, 1),
        (true, _) => (2_000, 3),
        (false, _) => (10_000, 3),
    };
    let (mut alone, mut beside, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for pass in 0..passes {
        // Each pass begins with the other one.
        let order = [pass % 2 == 1, pass % 2 == 0];
        for with_two in order {
            let (rate, peak) = drain(events, with_two).await?;
            eprintln!(
                "delivery: {SUBSCRIPTIONS} subscriptions, pass {} of {passes}{}: {rate:.0} events/s, {peak:.0} MB",
                pass + 1,
                if with_two { ", one dead, one slow" } else { "" }
            );
            match with_two {
                true => beside.push(rate),
                false => alone.push(rate),
            }
            peaks.push(peak);
        }
    }
    let of = format!("{SUBSCRIPTIONS} subscriptions, {events} events waiting in each");
    results.add(
        format!("{of}: the healthy ones"),
        "events/s",
        median(beside),
        Some((ALONE, median(alone))),
        Some(Goal::RatioAtLeast(GOAL_KEPT)),
    );
    results.add(
        format!("{of}: peak memory of the server"),
        "MB",
        peaks.into_iter().fold(0.0, f64::max),
        None,
        Some(Goal::AtMost(GOAL_MB)),
    );
    Ok(())
}

/// Events a second of the healthy subscriptions, from the first request that makes one to the last
/// arrival; the peak of the server's memory.
async fn drain(events: u64, with_two: bool) -> Result<(f64, f64)> {
    let server = Server::start(TOPIC).await?;
    let mut connection = Connection::open(server.target().address).await?;
    for request in requests(server.target(), 0..events, PUBLISHED_AT_ONCE, u64::MAX) {
        connection.publish(&request).await?;
    }
    let healthy: Vec<Arc<Tally>> = (2..SUBSCRIPTIONS)
        .map(|_| Arc::new(Tally::new(0, events)))
        .collect();
    let slow = Arc::new(Tally::slow(0, events, SLOW));
    let mut endpoints: Vec<Arc<dyn Endpoint>> = vec![slow.clone()];
    endpoints.extend(
        healthy
            .iter()
            .map(|tally| tally.clone() as Arc<dyn Endpoint>),
    );
    let sink = Sink::start(LOCALHOST, endpoints)?;
    let mut urls: Vec<String> = (1..=healthy.len()).map(|index| sink.url(index)).collect();
    if with_two {
        let dead = format!("http://{}/", free_address()?);
        urls.splice(0..0, [dead, sink.url(0)]);
    }
    let start = Instant::now();
    subscribe(&server, urls).await?;
    Tally::all_complete(&healthy).await?;
    let last = healthy.iter().filter_map(|tally| tally.last()).max();
    let took = last.ok_or("nothing came")? - start;
    let twice: u64 = healthy.iter().map(|tally| tally.twice()).sum();
    if twice > 0 {
        return Err(format!("{twice} events came twice with no fault").into());
    }
    if with_two && slow.came() == 0 {
        return Err("the slow endpoint got nothing".into());
    }
    let count = healthy.len() as u64 * events;
    Ok((count as f64 / took.as_secs_f64(), server.memory()?.peak))
}

/// Makes a subscription for each of the URLs, several at a time.
async fn subscribe(server: &Server, urls: Vec<String>) -> Result<()> {
    let urls: Vec<(usize, String)> = urls.into_iter().enumerate().collect();
    let administrators = LocalSet::new();
    let mut running = Vec::new();
    for some in urls.chunks(urls.len().div_ceil(ADMINISTRATORS)) {
        let (mut administrator, some) = (Administrator::of(server).await?, some.to_vec());
        running.push(administrators.spawn_local(async move {
            for (index, url) in some {
                let (name, batch) = (format!("many-{index}"), BATCH);
                let webhook = Webhook {
                    url,
                    batch,
                    cloud_events: false,
                };
                // One of them is dead.
                administrator
                    .subscribe(&name, &webhook, "beginning", false)
                    .await?;
            }
            Ok::<(), crate::Error>(())
        }));
    }
    administrators.await;
    for administrator in running {
        administrator.await??;
    }
    Ok(())
}
