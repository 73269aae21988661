//! Erasure: what is erased is gone for good, everything else stays, and the proofs hold.

use std::path::Path;

use crate::support::{Fault, FaultDisk, Seeded, open_with, small_segments};
use foretell_log::{Append, Erased, ErasedKey, EventLog, LogOptions, ReadOptions};
use foretell_types::{
    Data, ErrorKind, ExpectedRevision, NewEvent, Position, RecordedEvent, Revision, TopicName,
};

const SECRET: &str = "the secret of";

fn options() -> LogOptions {
    LogOptions {
        keys: Some("/keys".into()),
        ..small_segments()
    }
}

fn open(disk: &FaultDisk, seed: u64) -> foretell_types::Result<EventLog> {
    open_with(disk, seed, &options())
}

fn people() -> TopicName {
    "people".parse().unwrap()
}

fn make(log: &EventLog) {
    let uuid = uuid::Uuid::from_u128(9);
    let append = Append::new()
        .create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false)
        .create_erasable_topic(people(), uuid)
        .events("people", [event(0)]);
    log.append(append).unwrap().wait().unwrap();
}

fn subject(n: u64) -> String {
    format!("person/{}", n % 7)
}

fn event(n: u64) -> NewEvent {
    let data = format!("{SECRET} {n}{}", "\0".repeat(n as usize % 5 * 150));
    NewEvent {
        id: n.to_string(),
        source: "/test".into(),
        event_type: "told".into(),
        subject: Some(subject(n)),
        data: match n % 4 {
            0 => Data::json(format!("\"{SECRET} {n}\"")),
            1 => Data::Text(data),
            2 => Data::Binary(data.into()),
            _ => Data::None,
        },
        ..NewEvent::default()
    }
}

/// Appends the events up to a number, a few in each commit.
fn fill(log: &EventLog, from: u64, until: u64) {
    let numbers: Vec<u64> = (from..=until).collect();
    for some in numbers.chunks(3) {
        let append = Append::new().events("people", some.iter().map(|n| event(*n)));
        log.append(append).unwrap().wait().unwrap();
    }
}

fn read(log: &EventLog) -> Vec<RecordedEvent> {
    let reader = log.read("people", ReadOptions::default()).unwrap();
    reader.collect().unwrap()
}

fn record(keys: &[ErasedKey]) -> Append {
    Append::new().events(
        "shop",
        keys.iter().map(|key| NewEvent {
            id: format!("{}/{}", key.subject, key.generation),
            source: "/erasures".into(),
            event_type: "erased".into(),
            subject: Some(key.subject.clone()),
            ..NewEvent::default()
        }),
    )
}

fn erase(log: &EventLog, subjects: &[&str]) -> foretell_types::Result<Erased> {
    let subjects: Vec<String> = subjects.iter().map(|s| (*s).to_owned()).collect();
    log.erase("people", &subjects, |keys| Ok(record(keys)))
}

/// Checks the events from 0 on; those of these subjects, each up to a number, are erased.
fn check(log: &EventLog, gone: &[(&str, u64)]) {
    for (n, found) in (0..).zip(&read(log)) {
        let mut of_gone = gone.iter();
        let erased = of_gone.any(|(gone, until)| *gone == subject(n) && n <= *until);
        assert_eq!(found.erased, erased, "event {n}");
        let expected = match erased {
            true => NewEvent {
                data: Data::None,
                ..event(n)
            },
            false => event(n),
        };
        assert_eq!(found.event, expected);
    }
}

fn all_bytes(disk: &FaultDisk) -> Vec<u8> {
    let names = disk.names();
    names.iter().flat_map(|name| disk.read(name)).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn erased_subjects_are_gone_and_all_else_stays() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 60);
    // Once in the journal, once sealed and merged.
    for round in 0..2 {
        check(&log, &[]);
        assert!(!holds(&all_bytes(&disk), SECRET));
        if round == 0 {
            while log.seal().unwrap() {}
            assert!(log.sealing().sealed_segments > 3);
        }
    }
    let (leaves, root) = log.root().unwrap();
    let proof = log.prove("people", Position::new(3).unwrap()).unwrap();
    let gone = [("person/2", 60), ("person/5", 60)];
    let erased = erase(&log, &["person/2", "person/5"]).unwrap();
    assert_eq!(erased.keys.len(), 2);
    assert!(erased.record.is_some());
    check(&log, &gone);
    assert_eq!(log.verify(&mut |_, _| {}).unwrap().events, 63);
    // An older proof is as good as before, and the same event can be proven again.
    assert_eq!(proof.check().unwrap().root, root);
    assert_eq!(proof.leaves, leaves);
    let again = log.prove("people", Position::new(3).unwrap()).unwrap();
    assert_eq!(again.frame, proof.frame);
    again.check().unwrap();
    // New events of the same subjects have new keys.
    fill(&log, 61, 90);
    check(&log, &gone);
    drop(log);
    let log = open(&disk, 2).unwrap();
    check(&log, &gone);
    // What is appended again is told apart from what is erased.
    let known = log.append(Append::new().events("people", [event(61)]));
    assert!(known.unwrap().wait().unwrap().events[0].duplicate);
    let of_erased = log.append(Append::new().events("people", [event(2)]));
    let error = of_erased.unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // Again, under the next keys.
    let erased = erase(&log, &["person/2", "person/2"]).unwrap();
    assert_eq!(
        erased.keys[..],
        [ErasedKey {
            topic: uuid::Uuid::from_u128(9),
            subject: "person/2".into(),
            generation: 1,
        }]
    );
    check(&log, &[("person/2", 90), ("person/5", 60)]);
    assert!(erase(&log, &["person/2"]).unwrap().record.is_none());
}

#[test]
fn what_cannot_be_erased_is_refused() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    let kind = |error: foretell_types::Error| error.kind();
    let error = erase(&log, &["nobody"]).unwrap_err();
    assert_eq!(kind(error), ErrorKind::NotFound);
    let error = log.erase("shop", &["a".into()], |keys| Ok(record(keys)));
    assert_eq!(kind(error.unwrap_err()), ErrorKind::Conflict);
    let error = log.erase("none", &["a".into()], |keys| Ok(record(keys)));
    assert_eq!(kind(error.unwrap_err()), ErrorKind::NotFound);
    let without = NewEvent {
        subject: None,
        ..event(1)
    };
    let error = log.append(Append::new().events("people", [without]));
    assert_eq!(kind(error.unwrap_err()), ErrorKind::Invalid);
    // Nowhere to keep keys.
    let plain = open_with(&FaultDisk::new(), 1, &small_segments()).unwrap();
    let error = plain.append(Append::new().create_erasable_topic(people(), uuid::Uuid::nil()));
    assert_eq!(kind(error.unwrap_err()), ErrorKind::Invalid);
    // Conditions and revisions are those of any topic.
    let expected = ExpectedRevision::Exact(Revision::new(0));
    let append = Append::new()
        .events("people", [event(7)])
        .expect("people", "person/0", expected);
    log.append(append).unwrap().wait().unwrap();
}

#[test]
fn without_its_keys_a_log_says_what_is_missing() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    log.append(record(&[ErasedKey {
        topic: uuid::Uuid::nil(),
        subject: "plain".into(),
        generation: 0,
    }]))
    .unwrap()
    .wait()
    .unwrap();
    drop(log);
    let lost = disk.copy();
    let keys: Vec<_> = lost
        .names()
        .into_iter()
        .filter(|n| n.starts_with("/keys"))
        .collect();
    let files = lost.environment(1).files;
    for name in &keys {
        files.remove(name).unwrap();
    }
    let log = open(&lost, 2).unwrap();
    let error = log
        .read("people", ReadOptions::default())
        .unwrap()
        .collect();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    let error = log.append(Append::new().events("people", [event(1)]));
    let error = error.and_then(|ticket| ticket.wait()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let plain = log.read("shop", ReadOptions::default()).unwrap();
    assert_eq!(plain.collect().unwrap().len(), 1);
    drop(log);
    // Another log's keys.
    let other = FaultDisk::new();
    let log = open(&other, 77).unwrap();
    make(&log);
    drop(log);
    let name = Path::new("/keys/0000000001.keys");
    let file = files.create(name).unwrap();
    file.write_all_at(&other.read(name), 0).unwrap();
    let error = open(&lost, 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    // Any flipped bit of the key store is noticed.
    let whole = disk.read(name);
    for at in 0..whole.len() {
        let damaged = disk.copy();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        damaged.write(name, bytes);
        // The reserved bytes are covered as well; a higher version is named.
        let error = open(&damaged, 4).unwrap_err();
        let kinds = [ErrorKind::Damaged, ErrorKind::NewerFormat];
        assert!(kinds.contains(&error.kind()), "byte {at}: {error}");
    }
}

/// Power is lost, or a call fails, at every write and sync of two erasures: what was said to be
/// erased is, what wasn't asked for stays.
#[test]
fn an_erasure_that_is_cut_off_is_finished_or_never_was() {
    let work = |disk: &FaultDisk| -> (bool, usize) {
        let Ok(log) = open(disk, 1) else {
            return (false, 0);
        };
        let append = Append::new()
            .create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false)
            .create_erasable_topic(people(), uuid::Uuid::from_u128(9))
            .events("people", (0..14).map(event));
        if !log.append(append).is_ok_and(|t| t.wait().is_ok()) {
            return (false, 0);
        }
        let mut erased = 0;
        for subject in ["person/2", "person/5"] {
            if erase(&log, &[subject]).is_err() {
                break;
            }
            erased += 1;
        }
        (true, erased)
    };
    let counting = FaultDisk::new();
    assert_eq!(work(&counting), (true, 2));
    let operations = counting.operations();
    assert!(operations > 20, "{operations}");
    for at in 1..=operations {
        for (seed, fault) in [
            (0, Fault::Stop),
            (1, Fault::Stop),
            (2, Fault::Error),
            (3, Fault::Full),
        ] {
            let disk = FaultDisk::new();
            disk.fail_at(at, fault);
            let (made, erased) = work(&disk);
            disk.heal();
            let after = disk.crash(&Seeded::new(at * 1_000 + seed));
            let here = format!("operation {at}, seed {seed}");
            let log = open(&after, 2).unwrap_or_else(|error| panic!("{here}: {error}"));
            if log.head("people").is_err() {
                assert!(!made, "{here}");
                continue;
            }
            let recorded = log.read("shop", ReadOptions::default()).unwrap();
            let recorded = recorded.collect().unwrap();
            assert!(recorded.len() >= erased, "{here}");
            // As whoever opens the log does.
            let keys: Vec<ErasedKey> = recorded
                .iter()
                .map(|event| ErasedKey {
                    topic: uuid::Uuid::from_u128(9),
                    subject: event.subject.clone().unwrap(),
                    generation: 0,
                })
                .collect();
            let before: Vec<bool> = read(&log).iter().map(|event| event.erased).collect();
            for (n, erased_already) in before.iter().enumerate() {
                let said = ["person/2", "person/5"][..erased].contains(&&*subject(n as u64));
                assert!(
                    !said || *erased_already,
                    "{here}: event {n} was said to be erased"
                );
            }
            log.destroy_keys(&keys).unwrap();
            check(
                &log,
                &[("person/2", 14), ("person/5", 14)][..recorded.len()],
            );
            let left = after.names();
            let left = left.iter().filter(|name| name.starts_with("/keys")).count();
            assert_eq!(left, 1, "{here}: an older file of keys is left");
        }
    }
}

/// Threads append while subjects are erased again and again: an event is erased exactly if an
/// erasure of its subject was recorded behind it, so nothing that came later is lost with it.
#[test]
fn what_is_appended_meanwhile_is_erased_only_by_what_comes_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions {
        keys: Some(folder.path().join("keys")),
        ..LogOptions::default()
    };
    let environment = foretell_log::Environment::real();
    let journal = folder.path().join("journal");
    let log = EventLog::open_folder_with(&journal, &environment, &options).unwrap();
    let append = Append::new().create_erasable_topic(people(), uuid::Uuid::from_u128(9));
    log.append(append).unwrap().wait().unwrap();
    let new = |id: String, subject: &str, event_type: &str| NewEvent {
        id,
        source: "/test".into(),
        event_type: event_type.into(),
        subject: Some(subject.to_owned()),
        data: Data::Text(SECRET.into()),
        ..NewEvent::default()
    };
    let subjects = ["a", "b"];
    let done = std::sync::atomic::AtomicBool::new(false);
    let is_done = || done.load(std::sync::atomic::Ordering::Relaxed);
    let acknowledged: u64 = std::thread::scope(|scope| {
        let appending: Vec<_> = (0..3)
            .map(|thread| {
                let (log, new) = (&log, &new);
                scope.spawn(move || {
                    let mut acknowledged = 0;
                    for n in 0.. {
                        if is_done() {
                            break;
                        }
                        let events = subjects.map(|s| new(format!("{thread}/{n}/{s}"), s, "told"));
                        let append = Append::new().events("people", events);
                        match log.append(append).and_then(|ticket| ticket.wait()) {
                            Ok(_) => acknowledged += 2,
                            // It was on its way while its subject was erased.
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        for n in 0..40 {
            let subject = subjects[n % 2];
            // Until there is something to erase.
            while log.revision("people", subject).unwrap().is_none() {
                std::thread::yield_now();
            }
            let record = |keys: &[ErasedKey]| {
                let of = |key: &ErasedKey| new(format!("erased {n}"), "records", &key.subject);
                Ok(Append::new().events("people", keys.iter().map(of)))
            };
            log.erase("people", &[subject.to_owned()], record).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        appending
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    let events = read(&log);
    let last_record = |subject: &str| {
        let mut records = events.iter().rev();
        records
            .find(|event| event.event_type == subject)
            .unwrap()
            .position
    };
    let told = events.iter().filter(|event| event.event_type == "told");
    assert_eq!(told.clone().count() as u64, acknowledged);
    for event in told {
        let behind = event.position < last_record(event.subject.as_deref().unwrap());
        assert_eq!(event.erased, behind, "position {}", event.position);
    }
}

/// A topic is made anew while one of its name, whose events are encrypted, is there still.
#[test]
fn a_topic_made_anew_is_encrypted_as_it_says() {
    let disk = FaultDisk::new();
    let options = LogOptions {
        write_in_background: false,
        ..options()
    };
    let log = open_with(&disk, 1, &options).unwrap();
    let make = Append::new().create_erasable_topic(people(), uuid::Uuid::from_u128(9));
    let make = log.append(make).unwrap();
    assert!(log.write());
    make.wait().unwrap();
    let delete = log.append(Append::new().delete_topic("people")).unwrap();
    let again = Append::new()
        .create_topic(people(), uuid::Uuid::from_u128(10), false)
        .events("people", [event(4)]);
    let again = log.append(again).unwrap();
    assert!(log.write());
    delete.wait().unwrap();
    again.wait().unwrap();
    drop(log);
    let log = open(&disk, 2).unwrap();
    assert_eq!(read(&log)[0].event, event(4));
}
