//! The log within this process: appending with some appends in flight, opening, and replay.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use foretell_log::{Append, Environment, EventLog, ReadOptions, Ticket};
use foretell_types::{Data, ExtensionValue, NewEvent};

use crate::Result;
use crate::awake::Awake;
use crate::measure::Measured;
use crate::payload::SUBJECTS;
use crate::rawsync::{self, RawWriter};
use crate::results::{Goal, Results, median};

const TOPIC: &str = "bench";
const SOURCE: &str = "/subscriptions/0/resourceGroups/bench/topics/bench";

/// Appends in flight, and events of each.
const LOADS: [(usize, usize); 4] = [(1, 1), (1, 100), (64, 1), (64, 100)];

/// Events read a second.
const REPLAY_GOAL: f64 = 2_000_000.0;

/// How long, how often, and how much is replayed.
#[derive(Clone, Copy, Debug)]
struct Plan {
    passes: usize,
    measured: Duration,
    replayed: u64,
}

const QUICK: Plan = Plan {
    passes: 3,
    measured: Duration::from_secs(1),
    replayed: 500_000,
};
const FULL: Plan = Plan {
    passes: 5,
    measured: Duration::from_secs(3),
    replayed: 2_000_000,
};

pub fn run(quick: bool, results: &mut Results) -> Result<()> {
    let plan = if quick { QUICK } else { FULL };
    appending(plan, results)?;
    replay(plan, results)
}

/// A configuration, and the durable events a second that each pass gave for it.
#[derive(Debug)]
struct Load {
    in_flight: usize,
    batch: usize,
    ours: Vec<f64>,
    raw: Vec<f64>,
}

impl Load {
    fn name(&self) -> String {
        format!("{} in flight, batches of {}", self.in_flight, self.batch)
    }

    fn measure(&mut self, plan: Plan, log: &mut Appender, raw: &mut RawWriter) -> Result<()> {
        self.ours
            .push(log.measure(self.in_flight, self.batch, plan.measured)?);
        let events = self.in_flight * self.batch;
        let groups = raw.measure(events * size(&event(1)), plan.measured / 3)?;
        let span = groups.iter().sum();
        self.raw
            .push(Measured::new(groups, events, span).events_per_s);
        Ok(())
    }
}

fn appending(plan: Plan, results: &mut Results) -> Result<()> {
    let _awake = Awake::start();
    let mut raw = RawWriter::new()?;
    let mut loads = LOADS.map(|(in_flight, batch)| Load {
        in_flight,
        batch,
        ours: Vec::new(),
        raw: Vec::new(),
    });
    for pass in 0..plan.passes {
        // A new log each pass; each begins with another configuration.
        let folder = tempfile::tempdir()?;
        let mut log = Appender::open(folder.path())?;
        loads.rotate_left(1);
        for load in &mut loads {
            eprintln!(
                "append: pass {} of {}: {}",
                pass + 1,
                plan.passes,
                load.name()
            );
            load.measure(plan, &mut log, &mut raw)?;
        }
    }
    loads.sort_by_key(|load| (load.in_flight, load.batch));
    for load in loads {
        let measure = format!("append in process, {}", load.name());
        let peer = Some((rawsync::NAME, median(load.raw)));
        results.add(measure, "events/s", median(load.ours), peer, None);
    }
    Ok(())
}

fn replay(plan: Plan, results: &mut Results) -> Result<()> {
    let folder = tempfile::tempdir()?;
    eprintln!("replay: {} events", plan.replayed);
    Appender::open(folder.path())?.fill(plan.replayed)?;
    let (mut opened, mut read, mut owned) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.passes {
        let start = Instant::now();
        let log = EventLog::open_folder(folder.path(), &Environment::real())?;
        opened.push(rate(plan.replayed, start));
        let start = Instant::now();
        let mut reader = log.read(TOPIC, ReadOptions::default())?;
        let (mut events, mut bytes) = (0, 0);
        while let Some(event) = reader.next_event()? {
            events += 1;
            bytes += event.id.len() + event.subject.map_or(0, str::len);
        }
        std::hint::black_box(bytes);
        read.push(rate(events, start));
        let start = Instant::now();
        let mut reader = log.read(TOPIC, ReadOptions::default())?;
        let mut copies = 0;
        while let Some(event) = reader.next_recorded()? {
            std::hint::black_box(&event);
            copies += 1;
        }
        owned.push(rate(copies, start));
        if (events, copies) != (plan.replayed, plan.replayed) {
            return Err(format!("{} events were appended, {events} read", plan.replayed).into());
        }
    }
    let goal = Some(Goal::AtLeast(REPLAY_GOAL));
    results.add("replay in process", "events/s", median(read), None, goal);
    results.add(
        "replay in process, each event copied",
        "events/s",
        median(owned),
        None,
        None,
    );
    results.add(
        "open the log, checking every byte",
        "events/s",
        median(opened),
        None,
        None,
    );
    Ok(())
}

/// A log with one topic, and the number of its next event.
struct Appender {
    log: EventLog,
    next: u64,
}

impl Appender {
    fn open(folder: &Path) -> Result<Appender> {
        let environment = Environment::real();
        let log = EventLog::open_folder(folder, &environment)?;
        let topic = Append::new().create_topic(TOPIC.parse()?, environment.random.uuid(), false);
        log.append(topic)?.wait()?;
        Ok(Appender { log, next: 0 })
    }

    fn append(&mut self, batch: usize) -> Result<Ticket> {
        let first = self.next;
        self.next += batch as u64;
        let append = Append::new().events(TOPIC, (first..self.next).map(event));
        Ok(self.log.append(append)?)
    }

    /// Durable events a second.
    fn measure(&mut self, in_flight: usize, batch: usize, duration: Duration) -> Result<f64> {
        let mut tickets = VecDeque::new();
        let (start, mut durable) = (Instant::now(), 0);
        while start.elapsed() < duration {
            while tickets.len() < in_flight {
                tickets.push_back(self.append(batch)?);
            }
            if let Some(ticket) = tickets.pop_front() {
                durable += ticket.wait()?.events.len() as u64;
            }
        }
        let rate = rate(durable, start);
        for ticket in tickets {
            ticket.wait()?;
        }
        Ok(rate)
    }

    fn fill(&mut self, events: u64) -> Result<()> {
        while self.next < events {
            let batch = (events - self.next).min(10_000) as usize;
            self.append(batch)?.wait()?;
        }
        Ok(())
    }
}

/// As what is published over HTTP arrives.
fn event(number: u64) -> NewEvent {
    NewEvent {
        id: format!("00000000-{number:016x}"),
        source: SOURCE.to_owned(),
        event_type: "shop.order.placed".to_owned(),
        // A multiplicative hash (Knuth) spreads the subjects.
        subject: Some(format!(
            "customer/{:04}",
            (number.wrapping_mul(11_400_714_819_323_198_485) >> 40) % SUBJECTS
        )),
        time: "2024-05-01T12:30:00.1234567Z".parse().ok(),
        extensions: vec![(
            "dataversion".to_owned(),
            ExtensionValue::String("1.0".to_owned()),
        )],
        data: Data::json(format!(
            r#"{{"order":{number},"item":"sku-{:06}","quantity":2,"total":19.99,"currency":"EUR"}}"#,
            number % 1_000_000
        )),
        ..NewEvent::default()
    }
}

/// Bytes of the event's texts.
fn size(event: &NewEvent) -> usize {
    let subject = event.subject.as_ref().map_or(0, String::len);
    event.id.len() + event.source.len() + event.event_type.len() + subject + event.data.len()
}

fn rate(events: u64, start: Instant) -> f64 {
    events as f64 / start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let mut appender = Appender::open(folder.path()).unwrap();
        let rate = appender.measure(4, 10, Duration::from_millis(50)).unwrap();
        appender.fill(appender.next + 5).unwrap();
        let appended = appender.next;
        drop(appender);
        let log = EventLog::open_folder(folder.path(), &Environment::real()).unwrap();
        assert_eq!(log.head(TOPIC).unwrap().unwrap().get(), appended);
        assert!(rate > 0.0 && log.topic(TOPIC).unwrap().streams > 1);
    }
}
