//! Publishing over HTTP: batches of 1, 100 and 1,000 Event Grid events over 1, 8 and 64
//! connections, beside a raw writer that syncs the same bytes in the same groups.

use std::time::Duration;

use crate::Result;
use crate::awake::Awake;
use crate::measure::{Load, Measured, publish};
use crate::payload::{Batch, Target};
use crate::rawsync::{self, RawWriter};
use crate::results::{Goal, Results, median};
use crate::server::Server;

const TOPIC: &str = "bench";
const BATCHES: [usize; 3] = [1, 100, 1_000];
const CONNECTIONS: [usize; 3] = [1, 8, 64];

/// Durable events a second over 64 connections in batches of 100.
const GOAL: f64 = 100_000.0;

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
struct Plan {
    passes: usize,
    warm_up: Duration,
    measured: Duration,
}

const QUICK: Plan = Plan {
    passes: 3,
    warm_up: Duration::from_millis(300),
    measured: Duration::from_millis(1_500),
};
const FULL: Plan = Plan {
    passes: 5,
    warm_up: Duration::from_secs(1),
    measured: Duration::from_secs(5),
};

/// A configuration, and what each pass gave for it.
#[derive(Debug)]
struct Configuration {
    connections: usize,
    batch: usize,
    ours: Vec<Measured>,
    raw: Vec<Measured>,
}

pub async fn run(quick: bool, results: &mut Results) -> Result<()> {
    let plan = if quick { QUICK } else { FULL };
    let mut configurations: Vec<Configuration> = CONNECTIONS
        .into_iter()
        .flat_map(|connections| BATCHES.map(|batch| (connections, batch)))
        .map(|(connections, batch)| Configuration {
            connections,
            batch,
            ours: Vec::new(),
            raw: Vec::new(),
        })
        .collect();
    let awake = Awake::start();
    let mut raw = RawWriter::new()?;
    for pass in 0..plan.passes {
        // A new server each pass, so that none has to carry the events of another.
        let server = Server::start(TOPIC).await?;
        // Each pass begins with another configuration, so that none always follows the same.
        let count = configurations.len();
        configurations.rotate_left(pass * 4 % count);
        let mut series = 0;
        for configuration in &mut configurations {
            eprintln!(
                "publish: pass {} of {}: {}",
                pass + 1,
                plan.passes,
                configuration.name()
            );
            configuration
                .measure(server.target(), series, plan, &mut raw)
                .await?;
            series += configuration.connections as u32;
        }
    }
    configurations.sort_by_key(|configuration| (configuration.connections, configuration.batch));
    report(&configurations, results);
    results.note(awake.note("publishing"));
    results.note(format!(
        "medians of {} passes of {:?}; a group of the raw writer is a batch of each connection; client and server share the processors",
        plan.passes, plan.measured
    ));
    Ok(())
}

impl Configuration {
    fn name(&self) -> String {
        let plural = if self.connections == 1 { "" } else { "s" };
        format!(
            "{} connection{plural}, batches of {}",
            self.connections, self.batch
        )
    }

    async fn measure(
        &mut self,
        target: &Target,
        series: u32,
        plan: Plan,
        raw: &mut RawWriter,
    ) -> Result<()> {
        let load = Load {
            connections: self.connections,
            batch: self.batch,
            warm_up: plan.warm_up,
            measured: plan.measured,
        };
        self.ours.push(publish(target, series, load).await?);
        let bytes = Batch::new(target, 0, self.batch).body_bytes() * self.connections;
        let groups = raw.measure(bytes, plan.measured / 3)?;
        let span = groups.iter().sum();
        self.raw
            .push(Measured::new(groups, self.batch * self.connections, span));
        Ok(())
    }

    /// Ours and the peer's medians over the passes.
    fn medians(&self, of: fn(&Measured) -> f64) -> (f64, Option<(&'static str, f64)>) {
        let ours = median(self.ours.iter().map(of).collect());
        let raw = median(self.raw.iter().map(of).collect());
        (ours, Some((rawsync::NAME, raw)))
    }
}

fn report(configurations: &[Configuration], results: &mut Results) {
    for it in configurations {
        let goal = (it.connections == 64 && it.batch == 100).then_some(Goal::AtLeast(GOAL));
        let (ours, peer) = it.medians(|measured| measured.events_per_s);
        results.add(
            format!("publish, {}", it.name()),
            "events/s",
            ours,
            peer,
            goal,
        );
    }
    for it in configurations.iter().filter(|it| it.batch == 1) {
        for (share, of) in [
            ("median", (|m| m.median_ms) as fn(&Measured) -> f64),
            ("99th percentile", |m| m.p99_ms),
        ] {
            let (ours, peer) = it.medians(of);
            results.add(
                format!("answer time, {}, {share}", it.name()),
                "ms",
                ours,
                peer,
                None,
            );
        }
    }
    let refused: u64 = configurations
        .iter()
        .flat_map(|it| &it.ours)
        .map(|measured| measured.refused)
        .sum();
    if refused > 0 {
        results.note(format!(
            "{refused} requests were refused (429, 503) and sent again"
        ));
    }
}
