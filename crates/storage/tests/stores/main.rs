//! Stores that are servers: a journal in each, and a log. They need programs that a fresh machine
//! doesn't have, and are run by `.ci/run`, which installs them:
//! `cargo test --workspace --test stores -- --ignored`.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod azurite;
#[cfg(feature = "jetstream")]
mod nats;

use std::sync::Arc;

use foretell_log::conformance::{check_blobs, check_journal};
use foretell_log::{
    Append, BlobJournal, Blobs, Environment, EventLog, Journal, LogOptions, ReadOptions,
};
use foretell_types::{Data, ErrorKind, NewEvent, Result};

/// The program of a name that is in a variable, or found by PATH.
fn program(variable: &str, name: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| name.to_owned())
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 64 * 1024,
        ..LogOptions::default()
    }
}

fn open(blobs: &Arc<dyn Blobs>) -> Result<EventLog> {
    let environment = Environment::real();
    let journal = BlobJournal::open(blobs, "box/log", &environment, &options())?;
    EventLog::open_with(Box::new(journal), &environment, &options(), &mut |_, _| {})
}

fn make(log: &EventLog) {
    let topic = "shop".parse().unwrap();
    let shop = Append::new().create_topic(topic, Environment::real().random.uuid(), false);
    log.append_and_wait(shop).unwrap();
}

fn event(n: u64) -> NewEvent {
    NewEvent {
        id: n.to_string(),
        source: "/till".into(),
        event_type: "sold".into(),
        subject: Some(format!("customer/{}", n % 7)),
        data: Data::json(format!(r#"{{"n":{n}}}"#)),
        ..NewEvent::default()
    }
}

fn append(log: &EventLog, numbers: std::ops::Range<u64>) -> Result<()> {
    log.append_and_wait(Append::new().events("shop", numbers.map(event)))?;
    Ok(())
}

fn read(log: &EventLog, options: ReadOptions) -> Vec<NewEvent> {
    let found = log.read("shop", options).unwrap().collect().unwrap();
    found.into_iter().map(|found| found.event).collect()
}

/// What holds of any store: it conforms, and so does a journal in it; a log is sealed there, read
/// again, and taken over.
fn check(blobs: &Arc<dyn Blobs>) {
    check_blobs(&**blobs, "box/blobs");
    check_journal(&mut || {
        let environment = Environment::real();
        let journal = BlobJournal::open(blobs, "box/journal", &environment, &options());
        Box::new(journal.unwrap()) as Box<dyn Journal>
    });

    let old = open(blobs).unwrap();
    make(&old);
    for from in (1..3_000).step_by(100) {
        append(&old, from..from + 100).unwrap();
    }
    while old.seal().unwrap() {}
    assert!(old.sealing().sealed_segments > 3);
    let sound = old.verify(&mut |_, _| {}).unwrap();

    let new = open(blobs).unwrap();
    assert_eq!(new.verify(&mut |_, _| {}).unwrap(), sound);
    append(&new, 3_001..3_100).unwrap();
    let fenced = append(&old, 3_001..3_050).unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Fenced, "{fenced}");
    let found = read(&new, ReadOptions::stream("customer/3"));
    assert_eq!(found, (3..3_100).step_by(7).map(event).collect::<Vec<_>>());
}
