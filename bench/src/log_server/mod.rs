//! The log over the network beside its peers as servers: the same events, the same driver, in the
//! same run.

mod drive;
mod nats;
mod ours;
mod peer;
mod postgres;
#[cfg(test)]
mod tests;
mod umadb;

use std::path::PathBuf;
use std::time::Duration;

use self::drive::{Load, Measured};
use self::peer::Kind;
use crate::Result;
use crate::awake::Awake;
use crate::compare::{self, Contender, alternate, report};
use crate::log::{FEW_STREAMS, MANY_STREAMS};
use crate::results::Results;

const WRITERS: usize = 64;
/// Of the client's side.
const CLIENT_THREADS: usize = 2;
const PEERS: [Kind; 3] = [umadb::KIND, postgres::KIND, nats::KIND];

/// How long, how often, how much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    passes: usize,
    warm_up: Duration,
    measured: Duration,
    /// Events that each of the few streams, and each of the many, has before.
    few_filled: u32,
    many_filled: u32,
}

const QUICK: Plan = Plan {
    passes: 3,
    warm_up: Duration::from_millis(500),
    measured: Duration::from_millis(1_500),
    few_filled: 100,
    many_filled: 0,
};
const FULL: Plan = Plan {
    passes: 5,
    warm_up: Duration::from_secs(1),
    measured: Duration::from_secs(4),
    few_filled: 500,
    many_filled: 1,
};

/// A server and its program.
type Found = (Kind, PathBuf);

/// `without` are the peers that are left out, by name.
pub fn run(quick: bool, without: &[String], results: &mut Results) -> Result<()> {
    let plan = if quick { QUICK } else { FULL };
    let found = programs(without)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CLIENT_THREADS)
        .enable_all()
        .build()?;
    let awake = Awake::asked();
    for (streams, filled) in [
        (FEW_STREAMS, plan.few_filled),
        (MANY_STREAMS, plan.many_filled),
    ] {
        let what = format!("{WRITERS} writers, {streams} streams");
        let mut contenders: Vec<Contender<&Found, Measured>> = found
            .iter()
            .map(|found| Contender::new(found.0.name, found, None))
            .collect();
        let load = Load {
            writers: WRITERS,
            streams,
            filled,
            warm_up: plan.warm_up,
            measured: plan.measured,
        };
        alternate(
            &what,
            plan.passes,
            &mut contenders,
            results,
            |(kind, program)| {
                runtime.block_on(async {
                    let peer = (kind.start)(program.clone()).await?;
                    drive::pass(peer, load).await
                })
            },
        )?;
        rows(&what, contenders, results);
    }
    let note = awake.map(|awake| awake.note("servers"));
    results.note(note.unwrap_or_else(|| "the processors were not kept awake".to_owned()));
    compare::note(results);
    results.note(format!(
        "medians of {} passes of {:?}, servers in turn, each pass on a new store; an event is 256 bytes of JSON; client and server share the processors",
        plan.passes, plan.measured
    ));
    results.note(format!(
        "before the measure each of the {FEW_STREAMS} streams has {} events, each of the {MANY_STREAMS} has {}",
        plan.few_filled, plan.many_filled
    ));
    results.note("after each pass as many events were read as were acknowledged, and an append whose condition doesn't hold was refused");
    if !without.is_empty() {
        results.note(format!("left out: {}", without.join(", ")));
    }
    Ok(())
}

/// All servers that aren't left out, ours first.
fn programs(without: &[String]) -> Result<Vec<Found>> {
    if let Some(name) = without
        .iter()
        .find(|name| PEERS.iter().all(|kind| kind.name != **name))
    {
        let names = PEERS.map(|kind| kind.name).join(", ");
        return Err(format!("there is no peer {name:?} to leave out; there are: {names}").into());
    }
    std::iter::once(ours::KIND)
        .chain(PEERS)
        .filter(|kind| without.iter().all(|name| name != kind.name))
        .map(|kind| match (kind.program)() {
            Ok(program) => Ok((kind, program)),
            Err(error) => Err(format!("{error}, or leave it out: --without {}", kind.name).into()),
        })
        .collect()
}

fn rows(what: &str, mut contenders: Vec<Contender<&Found, Measured>>, results: &mut Results) {
    for it in &mut contenders {
        it.goal = it.kind.0.append_goal;
    }
    let append = format!("conditional append, {what}");
    report(
        &append,
        "events/s",
        &contenders,
        |m| m.events_per_s,
        results,
    );
    for it in &mut contenders {
        it.goal = it.kind.0.read_goal;
    }
    let read = format!("full read, {what}");
    report(&read, "events/s", &contenders, |m| m.read_per_s, results);
    if let Some(ours) = contenders.first() {
        let lines = format!("{read}, as JSON lines");
        results.add(
            lines,
            "events/s",
            ours.median(|m| m.lines_per_s),
            None,
            None,
        );
    }
    for it in &mut contenders {
        it.goal = None;
    }
    report(
        &format!("{append}, median"),
        "ms",
        &contenders,
        |m| m.median_ms,
        results,
    );
    for (side, of) in [
        ("server", (|m| m.server_us) as fn(&Measured) -> f64),
        ("client", |m| m.client_us),
    ] {
        let time = format!("processor time of the {side}, {append}");
        report(&time, "us", &contenders, of, results);
    }
}
