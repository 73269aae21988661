//! One fast webhook: a subscription that begins in a backlog drains it.

use std::sync::Arc;
use std::time::Instant;

use super::events::requests;
use super::raw;
use super::sink::{Endpoint, Sink};
use super::subscribe::{Administrator, Webhook};
use super::tally::Tally;
use super::{LOCALHOST, PUBLISHED_AT_ONCE, TOPIC};
use crate::Result;
use crate::client::Connection;
use crate::results::{Goal, Results, median};
use crate::server::Server;

/// Events of the backlog that are drained one in a request, and a hundred in a request.
#[derive(Clone, Copy, Debug)]
struct Plan {
    passes: usize,
    single: u64,
    batched: u64,
}

const QUICK: Plan = Plan {
    passes: 3,
    single: 60_000,
    batched: 300_000,
};
const FULL: Plan = Plan {
    passes: 5,
    single: 200_000,
    batched: 1_000_000,
};
const BATCH: u32 = 100;
/// Events a second.
const GOAL_SINGLE: f64 = 20_000.0;
const GOAL_BATCHED: f64 = 150_000.0;
/// Where order holds things up: one event of a subject at a time.
const FEW_SUBJECTS: u64 = 16;
const RAW_CONNECTIONS: usize = 64;

pub async fn run(quick: bool, results: &mut Results) -> Result<()> {
    let plan = if quick { QUICK } else { FULL };
    distinct(plan, results).await?;
    few(plan, results).await
}

/// Every event has a subject of its own.
async fn distinct(plan: Plan, results: &mut Results) -> Result<()> {
    let backlog = Backlog::publish(plan.batched, u64::MAX).await?;
    for (batch, count, goal) in [
        (1, plan.single, GOAL_SINGLE),
        (BATCH, plan.batched, GOAL_BATCHED),
    ] {
        let (mut ours, mut limit) = (Vec::new(), Vec::new());
        for pass in 0..plan.passes {
            let (rate, sink) = backlog.drain(batch, count).await?;
            eprintln!(
                "delivery: batches of {batch}, pass {} of {}: {rate:.0} events/s",
                pass + 1,
                plan.passes
            );
            ours.push(rate);
            let sample = sink.sample().ok_or("nothing was delivered")?;
            let each = count as usize / batch as usize / RAW_CONNECTIONS;
            let requests = raw::requests_per_s(&sink, sample, 1, RAW_CONNECTIONS, each).await?;
            limit.push(requests * f64::from(batch));
        }
        results.add(
            name(batch, "each of its own subject"),
            "events/s",
            median(ours),
            Some((raw::NAME, median(limit))),
            Some(Goal::AtLeast(goal)),
        );
    }
    Ok(())
}

async fn few(plan: Plan, results: &mut Results) -> Result<()> {
    let backlog = Backlog::publish(plan.batched, FEW_SUBJECTS).await?;
    for (batch, count) in [(1, plan.single), (BATCH, plan.batched)] {
        let mut ours = Vec::new();
        for _ in 0..plan.passes {
            ours.push(backlog.drain(batch, count).await?.0);
        }
        let subjects = format!("{FEW_SUBJECTS} subjects");
        results.add(name(batch, &subjects), "events/s", median(ours), None, None);
    }
    Ok(())
}

fn name(batch: u32, subjects: &str) -> String {
    match batch {
        1 => format!("one webhook, an event in a request, {subjects}"),
        _ => format!("one webhook, {batch} events in a request, {subjects}"),
    }
}

struct Backlog {
    server: Server,
    events: u64,
}

impl Backlog {
    /// Position = number + 1.
    async fn publish(events: u64, subjects: u64) -> Result<Backlog> {
        let server = Server::start(TOPIC).await?;
        let mut connection = Connection::open(server.target().address).await?;
        for request in requests(server.target(), 0..events, PUBLISHED_AT_ONCE, subjects) {
            connection.publish(&request).await?;
        }
        Ok(Backlog { server, events })
    }

    /// Events a second of a new subscription that drains the end of the backlog, from the request
    /// that makes it to the last arrival; and the sink.
    async fn drain(&self, batch: u32, count: u64) -> Result<(f64, Sink)> {
        let first = self.events - count;
        let tally = Arc::new(Tally::new(first, count));
        // The second is for the raw client.
        let endpoints: Vec<Arc<dyn Endpoint>> = vec![tally.clone(), Arc::new(Tally::new(0, 0))];
        let sink = Sink::start(LOCALHOST, endpoints)?;
        let mut administrator = Administrator::of(&self.server).await?;
        let webhook = Webhook {
            url: sink.url(0),
            batch,
            cloud_events: false,
        };
        let start = Instant::now();
        let from = (first + 1).to_string();
        administrator
            .subscribe("drain", &webhook, &from, true)
            .await?;
        Tally::all_complete(std::slice::from_ref(&tally)).await?;
        let took = tally.last().ok_or("nothing came")? - start;
        administrator.unsubscribe("drain").await?;
        if tally.twice() > 0 {
            return Err(format!("{} events came twice with no fault", tally.twice()).into());
        }
        Ok((count as f64 / took.as_secs_f64(), sink))
    }
}
