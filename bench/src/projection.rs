//! A projection kept up to date, and its states at any time. Foretell alone: what it is beside is
//! a replay of the log for the same state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_log::{Append, Environment, EventLog, ReadOptions, Ticket};
use foretell_projections::{Ask, Projection, Projections};
use foretell_state::{Definition, KeyState, Keys, Scalar, Stamp};
use foretell_types::{Data, NewEvent, Timestamp};

use crate::Result;
use crate::log::mix;
use crate::results::{Goal, Results, median};
use crate::server::field;

const EVENTS: u64 = 10_000_000;
const QUICK_EVENTS: u64 = 1_000_000;
const KEYS: u64 = 100_000;
/// One event of so many is about one and the same key.
const HOT: u64 = 100;
/// One event of so many comes late.
const LATE: u64 = 100;
const BATCH: u64 = 1_000;
/// Batches in flight while the log is filled.
const FLIGHT: usize = 16;
const STATES: u64 = 10_000;
const HOT_STATES: u64 = 1_000;
/// Full replays, of which the median counts.
const REPLAYS: u64 = 3;
/// The log spans a year.
const SPAN_S: u64 = 365 * 86_400;
const BEGIN_S: i64 = 1_704_067_200;
const PATIENCE: Duration = Duration::from_secs(3_600);

const SQL: &str = "CREATE PROJECTION customer ON shop KEY data.customer AS SELECT
    count(*) AS events,
    count(*) FILTER (WHERE type = 'order.placed') AS orders,
    sum(data.total) AS spend,
    sum(data.total) OVER (RANGE INTERVAL '30 days' PRECEDING) AS spend_30d,
    avg(data.total) AS mean,
    min(data.items) AS least,
    max(data.items) OVER (RANGE INTERVAL '30 days' PRECEDING) AS most_30d,
    last(data.status) AS status,
    count(DISTINCT data.status) AS statuses,
    time_since_last() FILTER (WHERE type = 'order.placed') AS recency";

const GOAL_RATE: f64 = 300_000.0;
const GOAL_REBUILD_S: f64 = 20.0;
const GOAL_P99_MS: f64 = 5.0;
/// Of the time that a full replay takes.
const GOAL_REPLAY: f64 = 0.01;

pub async fn run(quick: bool, results: &mut Results) -> Result<()> {
    let events = if quick { QUICK_EVENTS } else { EVENTS };
    let what = |measure: &str| format!("{measure}, {events} events, {KEYS} keys");
    let folder = tempfile::tempdir()?;
    let log = EventLog::open_folder(&folder.path().join("journal"), &Environment::real())?;
    eprintln!("filling: {events} events");
    fill(&log, events).await?;
    while log.seal()? {}
    let runtime = tokio::runtime::Handle::current();
    let derived = folder.path().join("derived");
    let projections = Projections::new(derived, log.clone(), runtime);
    eprintln!("building");
    let (wall, processor) = build(&projections, events).await?;
    results.add(
        what("building a projection of 10 aggregates"),
        "s",
        wall,
        None,
        (!quick).then_some(Goal::AtMost(GOAL_REBUILD_S)),
    );
    results.add(
        what("building, of one processor's time"),
        "events/s",
        events as f64 / processor,
        None,
        Some(Goal::AtLeast(GOAL_RATE)),
    );
    let (projection, _) = projections.get("customer")?;
    eprintln!("following");
    let more = events / 10;
    let (wall, processor) = follow(&log, &projection, events, more).await?;
    results.add(
        what("following while events come, with appending them"),
        "events/s",
        more as f64 / wall,
        None,
        None,
    );
    results.add(
        what("following while events come, with appending them, of one processor's time"),
        "events/s",
        more as f64 / processor,
        None,
        None,
    );
    let bytes = projection.status().disk_bytes as f64 / (events + more) as f64;
    results.add(what("disk"), "bytes/event", bytes, None, None);
    eprintln!("asking");
    let replay = replays(&log, &projection, events)?;
    ask_states(&projection, &what, replay, results)?;
    projections.stop().await;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = field(&status, "VmHWM:")?;
    results.add(what("peak memory"), "MB", peak, None, None);
    results.note("the processor's time is that of all threads of the process");
    Ok(())
}

/// Appends numbers of events, many batches in flight.
async fn append(log: &EventLog, numbers: std::ops::Range<u64>, all: u64) -> Result<()> {
    let mut flight: std::collections::VecDeque<Ticket> = std::collections::VecDeque::new();
    for first in numbers.clone().step_by(BATCH as usize) {
        let batch = first..numbers.end.min(first + BATCH);
        let events: Vec<NewEvent> = batch.map(|number| event(number, all)).collect();
        if flight.len() == FLIGHT
            && let Some(ticket) = flight.pop_front()
        {
            ticket.await?;
        }
        flight.push_back(log.append(Append::new().events("shop", events))?);
    }
    for ticket in flight {
        ticket.await?;
    }
    Ok(())
}

async fn fill(log: &EventLog, events: u64) -> Result<()> {
    let topic = log.environment().random.uuid();
    let create = Append::new().create_topic("shop".parse()?, topic, false);
    log.append(create)?.await?;
    append(log, 0..events, events).await
}

fn customer(number: u64) -> u64 {
    match number % HOT {
        0 => 0,
        _ => (mix(number) >> 16) % KEYS,
    }
}

fn time_s(number: u64, all: u64) -> i64 {
    let on_time = BEGIN_S + (number * SPAN_S / all) as i64;
    match mix(number) % LATE {
        0 => on_time - 7 * 86_400,
        _ => on_time,
    }
}

fn event(number: u64, all: u64) -> NewEvent {
    let drawn = mix(number);
    let kind = ["order.placed", "order.paid", "order.sent"][(drawn >> 40) as usize % 3];
    let time = foretell_types::Instant::from_nanos(time_s(number, all) * 1_000_000_000);
    NewEvent {
        id: number.to_string(),
        source: "/bench".into(),
        event_type: kind.into(),
        time: Some(Timestamp::from_instant(time)),
        data: Data::json(format!(
            r#"{{"customer":"c{}","total":{}.{:02},"items":{},"status":"s{}","note":"left at the door"}}"#,
            customer(number),
            drawn >> 20 & 0xff,
            (drawn >> 32) % 100,
            (drawn >> 44) % 20,
            (drawn >> 50) % 4,
        )),
        ..NewEvent::default()
    }
}

/// Seconds by the clock, and of the processors.
async fn build(projections: &Arc<Projections>, events: u64) -> Result<(f64, f64)> {
    let (start, processor) = (Instant::now(), processor_s());
    projections
        .define(Definition::parse(SQL, "customer.sql")?)
        .await?;
    let (projection, _) = projections.get("customer")?;
    // Stored, too.
    if !projection.built().await || projection.status().events != events {
        return Err("the projection was not built".into());
    }
    Ok((start.elapsed().as_secs_f64(), processor_s() - processor))
}

async fn follow(
    log: &EventLog,
    projection: &Projection,
    events: u64,
    more: u64,
) -> Result<(f64, f64)> {
    let (start, processor) = (Instant::now(), processor_s());
    append(log, events..events + more, events).await?;
    projection.reached(&[events + more], PATIENCE).await?;
    Ok((start.elapsed().as_secs_f64(), processor_s() - processor))
}

fn processor_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// An instant of the log at random.
fn instant(number: u64) -> i64 {
    (BEGIN_S + (mix(number ^ 0x5eed) % SPAN_S) as i64) * 1_000_000_000
}

fn ask_states(
    projection: &Projection,
    what: &dyn Fn(&str) -> String,
    replay_ms: f64,
    results: &mut Results,
) -> Result<()> {
    let random = |number: u64| format!("c{}", (mix(number) >> 16) % KEYS);
    let hot = |_: u64| "c0".to_owned();
    for (name, asked, key) in [
        ("state at T", STATES, &random as &dyn Fn(u64) -> String),
        (
            "state at T of the key with a hundredth of all",
            HOT_STATES,
            &hot,
        ),
    ] {
        // The second time they are warm.
        timed(projection, asked, key)?;
        let mut times = timed(projection, asked, key)?;
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        let p99 = format!("{name}, 99th percentile");
        results.add(
            what(&p99),
            "ms",
            at(99),
            None,
            Some(Goal::AtMost(GOAL_P99_MS)),
        );
        let goal = Some(Goal::RatioAtMost(GOAL_REPLAY));
        let peer = Some(("replay of the log", replay_ms));
        results.add(what(&format!("{name}, median")), "ms", at(50), peer, goal);
    }
    Ok(())
}

/// Milliseconds of each state.
fn timed(projection: &Projection, asked: u64, key: &dyn Fn(u64) -> String) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for number in 0..asked {
        let ask = Ask {
            at: Some(instant(number)),
            ..Ask::default()
        };
        let key = key(number);
        let start = Instant::now();
        let found = projection.state(&key, &ask, 0)?;
        if let Some(mut found) = found {
            found.state.outputs(projection.definition(), found.as_of);
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// The median time of a replay of the log for one state, in milliseconds; its answer is the
/// projection's.
fn replays(log: &EventLog, projection: &Projection, events: u64) -> Result<f64> {
    let mut times = Vec::new();
    for number in 0..REPLAYS {
        let key = format!("c{}", (mix(number) >> 16) % KEYS);
        let at = instant(number);
        let start = Instant::now();
        let replayed = replay(log, projection.definition(), &key, at)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let ask = Ask {
            at: Some(at),
            ..Ask::default()
        };
        let found = projection.state(&key, &ask, 0)?;
        let found = found.map(|mut found| found.state.outputs(projection.definition(), at));
        if found.as_ref() != Some(&replayed) {
            return Err(format!(
                "{key} at {at} of {events} events: the projection has {found:?}, a replay {replayed:?}"
            )
            .into());
        }
    }
    Ok(median(times))
}

fn replay(
    log: &EventLog,
    definition: &Definition,
    key: &str,
    at: i64,
) -> Result<Vec<Scalar<'static>>> {
    let mut rows = Vec::new();
    let mut reader = log.read("shop", ReadOptions::default())?;
    while let Some(event) = reader.next_recorded()? {
        let time = event.event_time().as_nanos();
        let mut inputs = Vec::new();
        definition.extractor.read(&event, &mut inputs);
        if time <= at && matches!(definition.keys(&inputs), Keys::One(of) if of == key) {
            let inputs: Vec<Scalar<'static>> = inputs.into_iter().map(Scalar::into_owned).collect();
            let stamp = Stamp {
                time,
                topic: 0,
                position: event.position.get(),
            };
            rows.push((stamp, inputs));
        }
    }
    rows.sort_by_key(|(stamp, _)| *stamp);
    let mut state = KeyState::new(definition);
    for (stamp, inputs) in &rows {
        state.lift(definition, *stamp, inputs);
    }
    Ok(state.outputs(definition, at))
}
