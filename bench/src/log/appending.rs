//! Conditional appends: of single events by many threads, of single events by one task, of
//! batches; and how long one takes.

use std::collections::BTreeSet;

use super::drive::Measured;
use super::engine::Kind;
use super::pass::Pass;
use super::{FEW_STREAMS, MANY_STREAMS, Plan, fjall, ours, raw, tephra, umadb};
use crate::Result;
use crate::compare::{Contender, alternate, report};
use crate::rawsync::{self, RawWriter};
use crate::results::Goal::{RatioAtLeast, RatioAtMost};
use crate::results::{Goal, Results, median};

const IN_FLIGHT: usize = 64;
const BATCH: usize = 512;
/// As the system calls threads without a name of their own: after this program.
const WHO_APPENDS: &str = "foretell-bench";
/// The bytes that one event takes as JSON.
const EVENT_BYTES: usize = 256;

pub fn many_threads(plan: Plan, without: &[String], results: &mut Results) -> Result<()> {
    for streams in [FEW_STREAMS, MANY_STREAMS] {
        let what = format!("conditional append, {IN_FLIGHT} threads, {streams} streams");
        let mut contenders = vec![
            contender(ours::KIND, None),
            contender(tephra::KIND, Some(RatioAtLeast(1.0))),
            contender(raw::KIND, Some(RatioAtLeast(0.9))),
            contender(umadb::KIND, Some(RatioAtLeast(2.5))),
            contender(fjall::KIND, None),
        ];
        leave_out(&mut contenders, without);
        let pass = Pass {
            streams,
            fill: streams == MANY_STREAMS && plan.fill_streams,
            ..pass(plan, IN_FLIGHT, 1)
        };
        in_turn(&what, plan.passes, &mut contenders, results, pass)?;
        report(&what, "events/s", &contenders, |m| m.events_per_s, results);
    }
    Ok(())
}

pub fn one_async_task(plan: Plan, without: &[String], results: &mut Results) -> Result<()> {
    let what = format!("conditional append, one task, {IN_FLIGHT} in flight");
    let mut contenders = vec![
        contender(ours::KIND, None),
        contender(tephra::KIND, Some(RatioAtLeast(1.5))),
        contender(raw::KIND, None),
    ];
    leave_out(&mut contenders, without);
    let pass = Pass {
        one_task: true,
        ..pass(plan, IN_FLIGHT, 1)
    };
    in_turn(&what, plan.passes, &mut contenders, results, pass)?;
    report(&what, "events/s", &contenders, |m| m.events_per_s, results);
    Ok(())
}

pub fn batches(plan: Plan, without: &[String], results: &mut Results) -> Result<()> {
    for (writers, goals) in [(1, true), (8, false)] {
        let goal = |value| goals.then_some(RatioAtLeast(value));
        let plural = if writers == 1 { "" } else { "s" };
        let what = format!("batches of {BATCH}, {writers} thread{plural}");
        let mut contenders = vec![
            contender(ours::KIND, None),
            contender(tephra::KIND, goal(1.2)),
            contender(raw::KIND, None),
            contender(umadb::KIND, goal(8.0)),
        ];
        leave_out(&mut contenders, without);
        let pass = pass(plan, writers, BATCH);
        in_turn(&what, plan.passes, &mut contenders, results, pass)?;
        report(&what, "events/s", &contenders, |m| m.events_per_s, results);
        for contender in &mut contenders {
            contender.goal = None;
        }
        let what = format!("processor time of an event, {what}");
        report(&what, "ns", &contenders, |m| m.cpu_ns_per_event, results);
        where_it_goes(&what, &contenders[0], results);
    }
    Ok(())
}

/// A row for each kind of thread, and one for what the system does for all of them.
fn where_it_goes(what: &str, ours: &Contender<Kind, Measured>, results: &mut Results) {
    let of_all = |of: &dyn Fn(&Measured) -> f64| median(ours.measured.iter().map(of).collect());
    let names = ours.measured.iter().flat_map(|m| m.threads.keys());
    for name in names.collect::<BTreeSet<_>>() {
        let of = |m: &Measured| m.threads.get(name).map_or(0.0, |used| used.all());
        let who = match name.as_str() {
            WHO_APPENDS => "who appends",
            name => name,
        };
        let what = format!("{what}, of it {who}");
        results.add(what, "ns", of_all(&of), None, None);
    }
    let of = |m: &Measured| m.threads.values().map(|used| used.system).sum();
    let what = format!("{what}, of it in the system");
    results.add(what, "ns", of_all(&of), None, None);
}

/// What the hash tree costs who appends: the log beside one that hashes nothing.
pub fn hashing(plan: Plan, results: &mut Results) -> Result<()> {
    if super::pass::unhashed().is_none() {
        results.note("what hashing costs wasn't measured: FORETELL_BENCH_UNHASHED names no build with the feature `unhashed`");
        return Ok(());
    }
    let unhashed = Kind {
        name: ours::UNHASHED,
        ..ours::KIND
    };
    for (writers, batch) in [(1, BATCH), (IN_FLIGHT, 1)] {
        let plural = if writers == 1 { "" } else { "s" };
        let what = format!("hashing, batches of {batch}, {writers} thread{plural}");
        let mut contenders = [
            contender(ours::KIND, None),
            contender(unhashed, Some(RatioAtLeast(0.95))),
        ];
        let pass = pass(plan, writers, batch);
        // Two of them, whose difference is small: more passes than of others.
        in_turn(&what, plan.passes * 2, &mut contenders, results, pass)?;
        report(&what, "events/s", &contenders, |m| m.events_per_s, results);
    }
    Ok(())
}

pub fn latency(plan: Plan, results: &mut Results) -> Result<()> {
    let what = "one writer, 1 event, median";
    let mut contenders = [
        contender(ours::KIND, None),
        contender(raw::KIND, None),
        contender(tephra::KIND, None),
    ];
    let mut limit = Vec::new();
    for _ in 0..plan.passes {
        let times = RawWriter::new()?.measure(EVENT_BYTES, plan.measured / 2)?;
        limit.push(median(
            times.iter().map(|time| time.as_secs_f64() * 1e3).collect(),
        ));
        in_turn(what, 1, &mut contenders, results, pass(plan, 1, 1))?;
        contenders[1..].rotate_left(1);
    }
    contenders[1..].sort_by_key(|contender| contender.name);
    let ours = contenders[0].median(|m| m.median_ms);
    let beside = Some((rawsync::NAME, median(limit)));
    results.add(what, "ms", ours, beside, Some(RatioAtMost(1.15)));
    report(what, "ms", &contenders, |m| m.median_ms, results);
    Ok(())
}

fn contender(kind: Kind, goal: Option<Goal>) -> Contender<Kind, Measured> {
    Contender::new(kind.name, kind, goal)
}

/// By which a peer is left out: the first word of its name.
fn short(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Whether all that are to be left out are peers.
pub fn check_peers(without: &[String]) -> Result<()> {
    let peers = [tephra::KIND, raw::KIND, umadb::KIND, fjall::KIND].map(|kind| short(kind.name));
    match without.iter().find(|name| !peers.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let peers = peers.join(", ");
            Err(format!("there is no peer {name:?} to leave out; there are: {peers}").into())
        }
    }
}

fn leave_out(contenders: &mut Vec<Contender<Kind, Measured>>, without: &[String]) {
    contenders.retain(|contender| without.iter().all(|name| name != short(contender.name)));
}

fn in_turn(
    what: &str,
    passes: usize,
    contenders: &mut [Contender<Kind, Measured>],
    results: &mut Results,
    pass: Pass,
) -> Result<()> {
    alternate(what, passes, contenders, results, |kind| {
        pass.apart(kind.name)
    })
}

/// Threads that append to few streams.
fn pass(plan: Plan, writers: usize, batch: usize) -> Pass {
    Pass {
        one_task: false,
        writers,
        batch,
        streams: FEW_STREAMS,
        fill: false,
        warm_up: plan.warm_up,
        measured: plan.measured,
    }
}
