//! Compares a log with the model, answer by answer.

use foretell_log::{EventLog, ReadOptions};
use foretell_types::{Data, Error, Instant, NewEvent, Position, RecordedEvent, Revision};

use crate::failure::{Failure, same};
use crate::model::{Event, Model, Topic};
use crate::random::Seeded;
use crate::workload::read_options;

/// Everything: topics, registers, events, revisions, what `verify` says, some queries and proofs.
pub fn everything(log: &EventLog, model: &Model, random: &Seeded) -> Result<(), Failure> {
    topics(log, model)?;
    registers(log, model)?;
    for (name, topic) in &model.topics {
        let whole = read(log, name, &ReadOptions::default())?;
        events(name, topic, &whole, &(1..=topic.head()).collect::<Vec<_>>())?;
        revisions(log, name, topic)?;
        for _ in 0..8 {
            one_query(log, name, topic, random)?;
        }
        proof(log, name, topic, random)?;
    }
    verify(log, model)
}

fn topics(log: &EventLog, model: &Model) -> Result<(), Failure> {
    let found: Vec<_> = log
        .topics()
        .into_iter()
        .map(|t| {
            let head = Position::as_count(t.head);
            let created = t.created.as_nanos();
            let made = (t.uuid, t.reuse_ids, t.erasable, created);
            (t.name, made, head, t.streams)
        })
        .collect();
    let of = |(name, t): (&String, &Topic)| {
        let streams = t.streams.len() as u64;
        (
            name.clone(),
            (t.uuid, t.reuse_ids, t.erasable, t.created),
            t.head(),
            streams,
        )
    };
    let expected: Vec<_> = model.topics.iter().map(of).collect();
    same("topics", || "the topics".into(), &found, &expected)
}

fn registers(log: &EventLog, model: &Model) -> Result<(), Failure> {
    let found: Vec<(String, Vec<u8>)> = log
        .registers("")
        .into_iter()
        .map(|(key, value)| (key, value.to_vec()))
        .collect();
    let expected: Vec<_> = model.registers.clone().into_iter().collect();
    same("registers", || "the registers".into(), &found, &expected)
}

fn revisions(log: &EventLog, name: &str, topic: &Topic) -> Result<(), Failure> {
    let unknown = ("nobody", None);
    let known = topic
        .streams
        .iter()
        .map(|(subject, count)| (&**subject, Some(count - 1)));
    for (subject, expected) in known.chain([unknown]) {
        let found = log
            .revision(name, subject)
            .map_err(|error| Failure::said("revisions", &error).at(name))?;
        let found = found.map(Revision::get);
        same(
            "revisions",
            || format!("{subject} in {name}"),
            &found,
            &expected,
        )?;
    }
    Ok(())
}

/// A query by chance, in both the log and the model.
pub fn one_query(
    log: &EventLog,
    name: &str,
    topic: &Topic,
    random: &Seeded,
) -> Result<(), Failure> {
    let options = read_options(random, topic.head());
    let expected = topic.read(&options, topic.head());
    let found = read(log, name, &options)?;
    let here = |failure: Failure| Failure {
        check: "queries",
        ..failure.at(format_args!("{options:?}"))
    };
    events(name, topic, &found, &expected).map_err(here)
}

/// What was read is what lies at these positions.
pub fn events(
    name: &str,
    topic: &Topic,
    found: &[RecordedEvent],
    expected: &[u64],
) -> Result<(), Failure> {
    let positions: Vec<u64> = found.iter().map(|event| event.position.get()).collect();
    same(
        "events",
        || format!("positions of {name}"),
        &positions,
        &expected.to_vec(),
    )?;
    for event in found {
        let position = event.position.get();
        let there = &topic.events[position as usize - 1];
        one_event(name, event, there)?;
    }
    Ok(())
}

pub fn one_event(name: &str, found: &RecordedEvent, there: &Event) -> Result<(), Failure> {
    let position = found.position;
    let what = || format!("position {position} of {name}");
    let mut event = NewEvent::clone(&there.event);
    if there.erased {
        event.data = Data::None;
    }
    same("events", what, &found.event, &event)?;
    same("erased data", what, &found.erased, &there.erased)?;
    same(
        "revisions",
        what,
        &found.revision.map(Revision::get),
        &there.revision,
    )?;
    let recorded = Instant::from_nanos(there.recorded);
    same("recorded times", what, &found.recorded_time, &recorded)
}

fn proof(log: &EventLog, name: &str, topic: &Topic, random: &Seeded) -> Result<(), Failure> {
    let Some(position) = Position::new(random.below(topic.head() + 1)) else {
        return Ok(());
    };
    let at = |error: Error| Failure::said("proofs", &error).at(name);
    let (_, root) = log.root().map_err(at)?;
    let proven = log
        .prove(name, position)
        .and_then(|proof| proof.check())
        .map_err(at)?;
    same(
        "proofs",
        || format!("root for {position}"),
        &proven.root,
        &root,
    )?;
    let there = &topic.events[position.get() as usize - 1];
    let mut found = proven.event;
    // A proof needs no key: it shows the event without its data.
    found.erased |= there.key.is_some();
    let there = Event {
        erased: found.erased,
        ..there.clone()
    };
    one_event(name, &found, &there)
}

fn verify(log: &EventLog, model: &Model) -> Result<(), Failure> {
    let found = log
        .verify(&mut |_, _| {})
        .map_err(|error| Failure::said("verify", &error))?;
    let found = (found.commits, found.frames, found.events, found.topics);
    let expected = (
        model.commits,
        model.frames,
        model.topics.values().map(Topic::head).sum(),
        model.topics.len() as u64,
    );
    same(
        "verify",
        || "commits, frames, events, topics".into(),
        &found,
        &expected,
    )
}

fn read(log: &EventLog, name: &str, options: &ReadOptions) -> Result<Vec<RecordedEvent>, Failure> {
    log.read(name, options.clone())
        .and_then(foretell_log::Reader::collect)
        .map_err(|error| Failure::said("reading", &error).at(name))
}
