//! The server killed and subscribers restarted in the middle of publishing and delivery: in the end
//! every event that was acknowledged was delivered or dead-lettered, in the order of its subject.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::events::request;
use super::ledger::{Ledger, Temper};
use super::sink::{Endpoint, Sink};
use super::subscribe::{Administrator, Webhook};
use super::{LOCALHOST, TOPIC};
use crate::Result;
use crate::client::Connection;
use crate::payload::Target;
use crate::results::{Goal, Results};
use crate::server::Server;

/// How much is published, and how often the server is killed and each subscriber restarted.
#[derive(Clone, Copy, Debug)]
struct Plan {
    events: u64,
    kills: u64,
}

const QUICK: Plan = Plan {
    events: 16_000,
    kills: 4,
};
const FULL: Plan = Plan {
    events: 200_000,
    kills: 12,
};
const PUBLISHERS: u64 = 4;
const BATCH: u64 = 20;
const SUBJECTS: u64 = 100;
/// Each of the sinks stands for a subscriber with as many endpoints.
const SINKS: usize = 3;
const ENDPOINTS: usize = 4;
const SETTINGS: &str = "[delivery]\nretry_schedule = [\"1s\"]\n";
const POLL: Duration = Duration::from_millis(5);
/// An endpoint that was left alone for 30 seconds is tried again within this time.
const STALLED: Duration = Duration::from_secs(120);

pub async fn run(quick: bool, results: &mut Results) -> Result<()> {
    let plan = if quick { QUICK } else { FULL };
    let mut server = Server::start_with(TOPIC, SETTINGS).await?;
    let subscribers = Subscribers::start(&server, plan).await?;
    let published = Rc::new(Cell::new(0));
    let tasks = LocalSet::new();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|first| {
            let target = server.target().clone();
            tasks.spawn_local(publisher(target, first, plan.events, published.clone()))
        })
        .collect();
    let subscribers = tasks
        .run_until(subscribers.through(&mut server, plan, &published))
        .await?;
    for publisher in publishers {
        publisher.await??;
    }
    let (again, dead) = subscribers.judge(&server, plan).await?;
    let deliveries = plan.events * (SINKS * ENDPOINTS) as u64;
    let faults = format!("faults, {} kills of the server", plan.kills);
    // Any of them has ended the bench.
    results.add(
        format!("{faults}: events lost or out of order, of {deliveries}"),
        "events",
        0.0,
        None,
        Some(Goal::AtMost(0.0)),
    );
    results.add(
        format!("{faults}: delivered again"),
        "events",
        again as f64,
        None,
        None,
    );
    results.note(format!(
        "faults: {} subscriptions, subscribers restarted {} times, {dead} events dead-lettered",
        SINKS * ENDPOINTS,
        plan.kills
    ));
    Ok(())
}

/// Publishes every so manieth batch of consecutive numbers of its own subjects, each until it is
/// acknowledged.
async fn publisher(target: Target, first: u64, count: u64, published: Rc<Cell<u64>>) -> Result<()> {
    let mut numbers = (first..count).step_by(PUBLISHERS as usize).peekable();
    let mut connection = None;
    while numbers.peek().is_some() {
        let batch: Vec<u64> = numbers.by_ref().take(BATCH as usize).collect();
        let request = request(&target, batch.iter().copied(), SUBJECTS);
        while let Err(error) = publish(&mut connection, target.address, &request).await {
            // The server is gone for the moment; a wrong answer is another matter.
            if error.to_string().starts_with("the server answered") {
                return Err(error);
            }
            connection = None;
            tokio::time::sleep(POLL).await;
        }
        published.set(published.get() + batch.len() as u64);
    }
    Ok(())
}

async fn publish(
    connection: &mut Option<Connection>,
    address: SocketAddr,
    request: &[u8],
) -> Result<()> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(address).await?),
    };
    open.publish(request).await?;
    Ok(())
}

struct Subscribers {
    sinks: Vec<Option<Sink>>,
    /// Of each sink.
    ledgers: Vec<Vec<Arc<Ledger>>>,
}

fn name(sink: usize, endpoint: usize) -> String {
    format!("faults-{sink}-{endpoint}")
}

/// All kinds are there: one and many events in a request, both schemas, refusals and failures.
fn kind(sink: usize, endpoint: usize) -> (u32, bool, Temper) {
    let temper = match (sink, endpoint) {
        (0, 0) => Temper {
            refuses: 499,
            stumbles: 0,
        },
        (1, 0) => Temper {
            refuses: 0,
            stumbles: 997,
        },
        (2, 1) => Temper {
            refuses: 0,
            stumbles: 1_999,
        },
        _ => Temper::default(),
    };
    let batch = if endpoint.is_multiple_of(2) { 1 } else { 50 };
    (batch, endpoint >= 2, temper)
}

impl Subscribers {
    async fn start(server: &Server, plan: Plan) -> Result<Subscribers> {
        let mut administrator = Administrator::of(server).await?;
        let (mut sinks, mut ledgers) = (Vec::new(), Vec::new());
        for sink in 0..SINKS {
            let ledger = |endpoint| {
                let (_, _, temper) = kind(sink, endpoint);
                Arc::new(Ledger::new(plan.events, SUBJECTS, temper))
            };
            let its: Vec<Arc<Ledger>> = (0..ENDPOINTS).map(ledger).collect();
            let started = Sink::start(LOCALHOST, endpoints(&its))?;
            for endpoint in 0..ENDPOINTS {
                let (batch, cloud_events, _) = kind(sink, endpoint);
                let webhook = Webhook {
                    url: started.url(endpoint),
                    batch,
                    cloud_events,
                };
                administrator
                    .subscribe(&name(sink, endpoint), &webhook, "now", true)
                    .await?;
            }
            sinks.push(Some(started));
            ledgers.push(its);
        }
        Ok(Subscribers { sinks, ledgers })
    }

    fn settled(&self) -> u64 {
        let ledgers = self.ledgers.iter().flatten();
        ledgers.map(|ledger| ledger.settled()).sum()
    }

    fn is_violated(&self) -> bool {
        let mut ledgers = self.ledgers.iter().flatten();
        ledgers.any(|ledger| ledger.violations().1 > 0)
    }

    /// Kills and restarts by the progress of publishing, and then of delivery; waits until all is
    /// settled.
    async fn through(
        mut self,
        server: &mut Server,
        plan: Plan,
        published: &Cell<u64>,
    ) -> Result<Subscribers> {
        let deliveries = plan.events * (SINKS * ENDPOINTS) as u64;
        // The last one comes when all is published, and much isn't delivered.
        for kill in 0..plan.kills {
            let until = plan.events * (kill + 1) / plan.kills;
            wait(|| published.get() >= until, || published.get()).await?;
            server.kill_and_restart().await?;
            let left = deliveries - self.settled();
            let until = self.settled() + left / 50;
            wait(|| self.settled() >= until, || self.settled()).await?;
            self.restart(kill as usize % SINKS)?;
            eprintln!(
                "delivery: faults, kill {} of {}: {} events published, {} deliveries made",
                kill + 1,
                plan.kills,
                published.get(),
                self.settled()
            );
        }
        let is_over = || self.settled() >= deliveries || self.is_violated();
        wait(is_over, || self.settled()).await?;
        Ok(self)
    }

    /// Breaks off all connections of a subscriber; it listens again at once.
    fn restart(&mut self, sink: usize) -> Result<()> {
        if let Some(running) = self.sinks[sink].take() {
            let address = running.address();
            drop(running);
            self.sinks[sink] = Some(Sink::start(address, endpoints(&self.ledgers[sink]))?);
        }
        Ok(())
    }

    /// What came again, and what was dead-lettered; an error if anything was lost or out of order.
    async fn judge(&self, server: &Server, plan: Plan) -> Result<(u64, u64)> {
        let mut administrator = Administrator::of(server).await?;
        let (mut again, mut dead) = (0, 0);
        for (sink, ledgers) in self.ledgers.iter().enumerate() {
            for (endpoint, ledger) in ledgers.iter().enumerate() {
                let name = name(sink, endpoint);
                if let (Some(violation), count) = ledger.violations() {
                    return Err(format!("{name}: {violation} ({count} in all)").into());
                }
                if !ledger.is_complete() {
                    let settled = ledger.settled();
                    return Err(format!("{name}: {settled} of {} events came", plan.events).into());
                }
                let start = Instant::now();
                while administrator.lag(&name).await? > 0 {
                    if start.elapsed() > STALLED {
                        return Err(format!("{name} has all events, and still a lag").into());
                    }
                    tokio::time::sleep(POLL).await;
                }
                let letters = administrator.dead_letters(&name).await?;
                let ids = ledger.refused().into_iter();
                let ids: BTreeSet<String> = ids.map(|number| format!("n-{number:012}")).collect();
                if letters.len() != ids.len() || letters.into_iter().collect::<BTreeSet<_>>() != ids
                {
                    return Err(
                        format!("{name}: the dead letters aren't the events it refused").into(),
                    );
                }
                dead += ids.len() as u64;
                again += ledger.again();
            }
        }
        Ok((again, dead))
    }
}

fn endpoints(ledgers: &[Arc<Ledger>]) -> Vec<Arc<dyn Endpoint>> {
    let ledgers = ledgers.iter();
    ledgers
        .map(|ledger| ledger.clone() as Arc<dyn Endpoint>)
        .collect()
}

/// Waits as long as there is progress.
async fn wait(done: impl Fn() -> bool, progress: impl Fn() -> u64) -> Result<()> {
    let (mut before, mut since) = (progress(), Instant::now());
    while !done() {
        let now = progress();
        if now > before {
            (before, since) = (now, Instant::now());
        }
        if since.elapsed() > STALLED {
            return Err(format!("no progress for {STALLED:?}, at {now}").into());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
