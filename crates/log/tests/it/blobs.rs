//! A journal in blobs: the same answers as on a disk; nothing that was acknowledged is lost, whatever
//! fails, and however many take it for theirs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::blobs::{MemoryBlobs, Outage};
use crate::support::shop::{check, event, fill, make, read, read_and_verify, seal_all};
use crate::support::{Seeded, TickingClock, small_segments};
use foretell_log::{
    Append, Archive, BlobJournal, Blobs, Environment, EventLog, Journal, LogOptions, OsFiles,
    Random, ReadOptions, Seq, conformance,
};
use foretell_types::{ErrorKind, Position, Result};

const FOLDER: &str = "box/log";

fn environment(seed: u64) -> Environment {
    Environment {
        clock: Arc::new(TickingClock::default()),
        random: Arc::new(Seeded::new(seed)),
        files: Arc::new(OsFiles),
    }
}

/// Small segments; each call of the blobs is made by one thread, so that the same calls follow each
/// other whenever the test runs.
fn options() -> LogOptions {
    LogOptions {
        read_ahead: false,
        ..small_segments()
    }
}

fn journal(blobs: &MemoryBlobs, seed: u64, options: &LogOptions) -> Result<BlobJournal> {
    let blobs: Arc<dyn Blobs> = Arc::new(blobs.clone());
    BlobJournal::open(&blobs, FOLDER, &environment(seed), options)
}

pub fn open_with(blobs: &MemoryBlobs, seed: u64, options: &LogOptions) -> Result<EventLog> {
    let journal = Box::new(journal(blobs, seed, options)?);
    EventLog::open_with(journal, &environment(seed), options, &mut |_, _| {})
}

fn open(blobs: &MemoryBlobs, seed: u64) -> Result<EventLog> {
    open_with(blobs, seed, &options())
}

fn below(blobs: &MemoryBlobs, folder: &str) -> Vec<String> {
    let mut names = blobs.names();
    names.retain(|name| name.starts_with(&format!("{FOLDER}/{folder}/")));
    names
}

/// The events of a log, by their ids.
fn ids(log: &EventLog) -> Result<Vec<u64>> {
    let events = log.read("shop", ReadOptions::default())?.collect()?;
    Ok(events.iter().map(|e| e.event.id.parse().unwrap()).collect())
}

fn append(log: &EventLog, n: u64) -> Result<()> {
    log.append_and_wait(Append::new().events("shop", [event(n)]))?;
    Ok(())
}

#[test]
fn blobs_conform() {
    let blobs = MemoryBlobs::default();
    let mut seed = 0;
    let mut open = || {
        seed += 1;
        Box::new(journal(&blobs, seed, &LogOptions::default()).unwrap()) as Box<dyn Journal>
    };
    conformance::check_journal(&mut open);
    conformance::check_blobs(&MemoryBlobs::default(), "box");
}

#[test]
fn events_are_read_as_on_a_disk() {
    let blobs = MemoryBlobs::default();
    let log = open(&blobs, 1).unwrap();
    make(&log);
    fill(&log, 1, 1_500);
    check(&log, 1_500);
    let sound = log.verify(&mut |_, _| {}).unwrap();
    seal_all(&log);
    let sealing = log.sealing();
    assert!(sealing.sealed_segments > 60 && sealing.unsealed_segments == 1);
    check(&log, 1_500);
    assert_eq!(log.verify(&mut |_, _| {}).unwrap(), sound);
    drop(log);

    let before = blobs.calls();
    let log = open_with(&blobs, 2, &small_segments()).unwrap();
    let calls = blobs.calls() - before;
    assert!(calls < 500, "opening reads what isn't sealed: {calls}");
    check(&log, 1_500);
    assert_eq!(log.verify(&mut |_, _| {}).unwrap(), sound);
    for n in (1..=1_500).step_by(77) {
        let proof = log.prove("shop", Position::new(n).unwrap()).unwrap();
        let proven = proof.check().unwrap();
        assert_eq!((proven.root, proven.event.event), (sound.root, event(n)));
    }
    let again = log.append_and_wait(Append::new().events("shop", [event(4)]));
    assert!(again.unwrap().events[0].duplicate);
    fill(&log, 1_501, 1_600);
    seal_all(&log);
    check(&log, 1_600);
}

/// What isn't needed any more is removed: groups that are sealed, though no opening, files and
/// directories that others took the place of, and what a crash left.
#[test]
fn no_blob_is_left() {
    let blobs = MemoryBlobs::default();
    let mut n = 0;
    for opening in 1..=4 {
        blobs.set(&format!("{FOLDER}/files/00000000000000aa.0"), vec![7]);
        let log = open(&blobs, opening).unwrap();
        if opening == 1 {
            make(&log);
        }
        fill(&log, n + 1, n + 300);
        n += 300;
        seal_all(&log);
        check(&log, n);
        let (slots, sealing) = (below(&blobs, "commits"), log.sealing());
        let openings = slots.iter().filter(|name| blobs.content(name).len() == 48);
        assert_eq!(openings.count() as u64, opening);
        assert!(slots.len() < 40 + opening as usize);
        let files = sealing.sealed_segments + sealing.runs + 1;
        assert_eq!(below(&blobs, "files").len() as u64, files);
        assert_eq!(below(&blobs, "directory").len(), 1);
    }
}

/// Who reads a run goes on while another takes its place.
#[test]
fn what_is_read_stays_until_it_is_read() {
    let blobs = MemoryBlobs::default();
    let log = open(&blobs, 1).unwrap();
    make(&log);
    fill(&log, 1, 300);
    while log.sealing().unsealed_segments > 1 {
        log.seal().unwrap();
    }
    let mut reader = log.read("shop", ReadOptions::default()).unwrap();
    let before = log.sealing().runs;
    reader.next_recorded().unwrap().unwrap();
    seal_all(&log);
    assert!(log.sealing().runs < before);
    assert_eq!(reader.collect().unwrap().len(), 299);
}

/// The machine stops at each call, before it or after: what was acknowledged is there, and goes on.
#[test]
fn nothing_is_lost_when_a_call_is_cut_off() {
    const EVENTS: u64 = 90;
    let work = |log: &EventLog| {
        let mut acknowledged = 0;
        for n in 1..=EVENTS {
            // One that failed because something could not be read is refused, and tried again.
            if append(log, n).or_else(|_| append(log, n)).is_err() {
                break;
            }
            acknowledged = n;
            if n % 10 == 0 {
                while log.seal().unwrap_or(false) {}
            }
        }
        acknowledged
    };
    let whole = MemoryBlobs::default();
    let log = open(&whole, 1).unwrap();
    make(&log);
    let before = whole.calls();
    assert_eq!(work(&log), EVENTS);
    assert!(log.sealing().sealed_segments > 3);
    let calls = before..whole.calls();
    assert!(calls.end - calls.start > 150, "{calls:?}");
    drop(log);
    for at in calls {
        for outage in [Outage::From(at), Outage::Once(at), Outage::Answer(at)] {
            let blobs = MemoryBlobs::default();
            let log = open(&blobs, 1).unwrap();
            make(&log);
            blobs.fail(Some(outage));
            let acknowledged = work(&log);
            if !matches!(outage, Outage::From(_)) {
                assert_eq!(acknowledged, EVENTS, "{outage:?}");
                assert_eq!(ids(&log).unwrap(), (1..=EVENTS).collect::<Vec<_>>());
                log.verify(&mut |_, _| {}).unwrap();
            }
            drop(log);
            blobs.fail(None);
            let log = open(&blobs, 2).unwrap();
            let there = ids(&log).unwrap();
            let known = acknowledged.max(there.len() as u64);
            assert_eq!(there, (1..=known).collect::<Vec<_>>(), "{outage:?}");
            assert!(known <= acknowledged + 1, "{outage:?}");
            fill(&log, known + 1, EVENTS + 20);
            seal_all(&log);
            log.verify(&mut |_, _| {}).unwrap();
            if at % 10 == 0 {
                check(&log, EVENTS + 20);
            }
        }
    }
}

/// An opening that is cut off at any call leaves the next one what it found.
#[test]
fn nothing_is_lost_when_opening_is_cut_off() {
    let found = MemoryBlobs::default();
    let log = open(&found, 1).unwrap();
    make(&log);
    fill(&log, 1, 200);
    for _ in 0..12 {
        log.seal().unwrap();
    }
    drop(log);
    for at in 1.. {
        let mut opened = true;
        for outage in [Outage::From(at), Outage::Once(at), Outage::Answer(at)] {
            let blobs = found.copy();
            blobs.fail(Some(outage));
            let log = open(&blobs, 2);
            opened = blobs.calls() < at;
            drop(log);
            blobs.fail(None);
            let log = open(&blobs, 3).unwrap();
            check(&log, 200);
            seal_all(&log);
            check(&log, 200);
        }
        if opened {
            assert!(at > 40, "{at}");
            break;
        }
    }
}

/// Whoever has the journal loses it to who opens it next, and knows at its next append, though what
/// was written since is sealed; it can't seal either.
#[test]
fn who_opens_it_takes_it_over() {
    let blobs = MemoryBlobs::default();
    let old = open(&blobs, 1).unwrap();
    make(&old);
    fill(&old, 1, 100);
    let new = open(&blobs, 2).unwrap();
    check(&new, 100);
    for (from, until) in [(101, 103), (104, 300)] {
        fill(&new, from, until);
        while new.seal().unwrap() {}
        let kind = match from {
            101 => ErrorKind::Fenced,
            _ => ErrorKind::Unavailable,
        };
        assert_eq!(old.seal().unwrap_err().kind(), kind);
        check(&new, until);
    }
    assert!(new.sealing().sealed_segments > 10);
    let error = append(&old, 101).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    // One that has sealed nothing, and so hasn't heard of it.
    drop(old);
    let old = open(&blobs, 3).unwrap();
    let new = open(&blobs, 4).unwrap();
    fill(&new, 301, 600);
    while new.seal().unwrap() {}
    let error = append(&old, 301).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(error.to_string().contains("was taken over"), "{error}");
    check(&new, 600);
    drop((old, new));
    check(&open(&blobs, 5).unwrap(), 600);
}

/// Several open it, append, seal and read, in any order, while calls fail.
#[test]
fn whoever_has_it_nothing_is_lost() {
    for seed in 1..=250 {
        let random = Seeded::new(seed);
        let below = |count: u64| random.next() % count;
        let blobs = MemoryBlobs::default();
        let log = open(&blobs, seed << 20).unwrap();
        make(&log);
        let (mut logs, mut sleep) = (vec![log], Vec::new());
        let (mut acknowledged, mut seen) = (Vec::new(), Vec::new());
        for n in 1..=150 {
            let log = below(logs.len() as u64) as usize;
            match below(40) {
                0 => logs.extend(open(&blobs, (seed << 20) + n)),
                // It does nothing for long.
                33..35 => sleep.extend(open(&blobs, (seed << 20) + n)),
                1 if logs.len() > 1 => drop(logs.swap_remove(log)),
                2 => blobs.fail(Some(Outage::Once(blobs.calls() + 1 + below(6)))),
                3 => blobs.fail(Some(Outage::Answer(blobs.calls() + 1 + below(6)))),
                35 => blobs.fail(Some(Outage::Late(blobs.calls() + 1 + below(6)))),
                36 => blobs.land(),
                4..10 => drop(logs[log].seal()),
                10..13 => seen.extend(ids(&logs[log])),
                // The one that was opened last, or any.
                13..26 => {
                    let last = logs.last().unwrap();
                    acknowledged.extend(append(last, n).map(|()| n));
                }
                _ => acknowledged.extend(append(&logs[log], n).map(|()| n)),
            }
        }
        blobs.fail(None);
        blobs.land();
        sleep.append(&mut logs);
        for (n, log) in (151..).zip(&sleep) {
            acknowledged.extend(append(log, n).map(|()| n));
        }
        let log = open(&blobs, 7).unwrap();
        let there = ids(&log).unwrap();
        log.verify(&mut |_, _| {}).unwrap();
        let mut known = there.clone();
        known.retain(|n| acknowledged.contains(n));
        assert_eq!(known, acknowledged, "seed {seed}");
        assert!(there.is_sorted_by(|a, b| a < b), "seed {seed}: {there:?}");
        for seen in seen {
            assert!(
                there.starts_with(&seen),
                "seed {seed}: {seen:?} of {there:?}"
            );
        }
    }
}

/// Between any two calls of an opening, the one before appends and seals, or another opens it too,
/// appends and seals: whoever has it then, nothing is lost.
#[test]
fn others_go_on_while_it_is_opened() {
    for by_another in [false, true] {
        for at in 1.. {
            let blobs = MemoryBlobs::default();
            let old = open(&blobs, 1).unwrap();
            make(&old);
            for n in 1..=60 {
                append(&old, n).unwrap();
            }
            for _ in 0..8 {
                old.seal().unwrap();
            }
            let acknowledged = Arc::new(Mutex::new((1..=60).collect::<Vec<u64>>()));
            let others = Arc::new(Mutex::new(vec![old.clone()]));
            let (told, also, theirs) = (acknowledged.clone(), others.clone(), blobs.clone());
            blobs.meanwhile(blobs.calls() + at, move || {
                let log = match by_another {
                    true => open(&theirs, 2).unwrap(),
                    false => old,
                };
                for n in 61..=120 {
                    told.lock().unwrap().extend(append(&log, n).map(|()| n));
                }
                while log.seal().unwrap_or(false) {}
                also.lock().unwrap().push(log);
            });
            let opened = open(&blobs, 3);
            let within = !blobs.alone();
            let failed = opened.as_ref().err().map(foretell_types::Error::kind);
            let may = [ErrorKind::Fenced, ErrorKind::Busy];
            assert!(
                failed.is_none_or(|kind| may.contains(&kind)),
                "{at}: {opened:?}"
            );
            let mut last = acknowledged.lock().unwrap().clone();
            let mut goes_on = false;
            for (n, log) in (2..).zip(opened.iter().chain(&*others.lock().unwrap())) {
                // So many that there is something to seal.
                for n in n * 100..n * 100 + 40 {
                    last.extend(append(log, n).map(|()| n));
                }
                while log.seal().unwrap_or(false) {}
                let then = n * 100 + 40;
                goes_on |= append(log, then).is_ok_and(|()| {
                    last.push(then);
                    log.sealing().unsealed_segments == 1
                });
            }
            assert!(goes_on, "{by_another} {at}: nobody has it: {opened:?}");
            let log = open(&blobs, 4).unwrap();
            log.verify(&mut |_, _| {}).unwrap();
            let mut there = ids(&log).unwrap();
            there.retain(|n| last.contains(n));
            assert_eq!(there, last, "{by_another} {at}");
            if !within {
                assert!(at > 30, "{at}");
                break;
            }
        }
    }
}

/// Appends, sealing and merging in the background, reads and verifications, all at once.
#[test]
fn all_goes_on_at_once() {
    const EVENTS: u64 = 2_000;
    let blobs = MemoryBlobs::default();
    let options = LogOptions {
        seal_in_background: true,
        ..small_segments()
    };
    let log = open_with(&blobs, 1, &options).unwrap();
    make(&log);
    let acknowledged = AtomicU64::new(0);
    let is_filling = || acknowledged.load(Ordering::Relaxed) < EVENTS;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=EVENTS {
                let done = append(&log, n);
                let now = if done.is_ok() { n } else { EVENTS };
                acknowledged.store(now, Ordering::Relaxed);
                done.unwrap();
            }
        });
        scope.spawn(|| {
            while is_filling() {
                let least = acknowledged.load(Ordering::Relaxed);
                let there = ids(&log).unwrap();
                assert!(there.len() as u64 >= least);
                assert_eq!(there, (1..=there.len() as u64).collect::<Vec<_>>());
            }
        });
        scope.spawn(|| {
            while is_filling() {
                log.verify(&mut |_, _| {}).unwrap();
            }
        });
    });
    check(&log, EVENTS);
    assert!(log.sealing().sealed_segments > 50 && log.sealing().gets_on);
}

/// Threads that take the journal from each other, again and again: each event once, and all that were
/// acknowledged.
#[test]
fn it_goes_from_one_to_the_other() {
    const EACH: u64 = 40;
    let blobs = MemoryBlobs::default();
    make(&open(&blobs, 1).unwrap());
    std::thread::scope(|scope| {
        for thread in 1..=3 {
            let blobs = blobs.clone();
            scope.spawn(move || {
                let (mut log, mut seed) = (None, thread << 32);
                let mut n = 0;
                while n < EACH {
                    seed += 1;
                    let Some(ours) = &log else {
                        match open(&blobs, seed) {
                            Ok(opened) => log = Some(opened),
                            Err(error) => {
                                let may = [ErrorKind::Fenced, ErrorKind::Busy];
                                assert!(may.contains(&error.kind()), "{error}");
                            }
                        }
                        continue;
                    };
                    match append(ours, thread * 1_000 + n) {
                        Ok(()) => n += 1,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                            log = None;
                        }
                    }
                }
            });
        }
    });
    let mut there = ids(&open(&blobs, 2).unwrap()).unwrap();
    there.sort_unstable();
    let all = (1..=3).flat_map(|thread| (0..EACH).map(move |n| thread * 1_000 + n));
    assert_eq!(there, all.collect::<Vec<_>>());
}

/// Each flipped bit is found, at opening or by a verification, and no read gives a wrong event.
#[test]
fn every_flipped_bit_is_damage() {
    let blobs = MemoryBlobs::default();
    let log = open(&blobs, 1).unwrap();
    make(&log);
    fill(&log, 1, 12);
    seal_all(&log);
    fill(&log, 13, 15);
    let sound = log.verify(&mut |_, _| {}).unwrap();
    drop(log);
    for name in blobs.names() {
        let good = blobs.content(&name);
        // Each byte of sealed files is tried where they lie on a disk.
        let step = if name.contains("/files/") { 9 } else { 1 };
        for at in (0..good.len()).step_by(step) {
            let copy = blobs.copy();
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            copy.set(&name, bad);
            let found = open(&copy, 2).and_then(|log| read_and_verify(&log));
            // A run is made anew; of an opening that others followed only the name counts.
            let may_be_sound = name.contains("/files/") || good.len() == 48;
            if may_be_sound && found.as_ref().is_ok_and(|found| *found == sound) {
                continue;
            }
            let error = found.expect_err(&format!("a flipped bit in byte {at} of {name}"));
            assert!(
                matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat),
                "byte {at} of {name}: {error}"
            );
        }
    }
}

/// A bit that flips later is found by a verification, and a commit that is lost.
#[test]
fn damage_of_an_open_journal_is_found() {
    let blobs = MemoryBlobs::default();
    let log = open(&blobs, 1).unwrap();
    make(&log);
    fill(&log, 1, 9);
    let sound = log.verify(&mut |_, _| {}).unwrap();
    let name = below(&blobs, "commits").remove(2);
    let good = blobs.content(&name);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        blobs.set(&name, bad);
        let error = log.verify(&mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
    }
    blobs.lose(&name);
    let error = log.verify(&mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
    drop(log);
    let error = open(&blobs, 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(
        error.to_string().contains("commit 2 must follow"),
        "{error}"
    );
    blobs.set(&name, good);
    assert_eq!(
        open(&blobs, 3).unwrap().verify(&mut |_, _| {}).unwrap(),
        sound
    );
}

/// A file of several parts is read across them.
#[test]
fn a_large_segment_has_several_parts() {
    let blobs = MemoryBlobs::default();
    let options = LogOptions {
        segment_bytes: 12 * 1024 * 1024,
        seal_in_background: false,
        ..LogOptions::default()
    };
    let log = open_with(&blobs, 1, &options).unwrap();
    make(&log);
    let random = Seeded::new(9);
    // Nothing that could be compressed.
    let large = |n: u64| {
        let bytes = std::iter::repeat_with(|| random.next().to_le_bytes());
        foretell_types::NewEvent {
            data: foretell_types::Data::Binary(bytes.take(32 * 1024).flatten().collect()),
            ..event(n)
        }
    };
    let events: Vec<_> = (1..=60).map(large).collect();
    for some in events.chunks(4) {
        let append = Append::new().events("shop", some.iter().cloned());
        log.append_and_wait(append).unwrap();
    }
    seal_all(&log);
    let parts = below(&blobs, "files");
    assert!(parts.iter().any(|name| name.ends_with(".2")), "{parts:?}");
    let check = |log: &EventLog| {
        let found = read(log, ReadOptions::default());
        assert!(found.iter().map(|found| &found.event).eq(&events));
        let mut backward = read(
            log,
            ReadOptions {
                backward: true,
                ..ReadOptions::default()
            },
        );
        backward.reverse();
        assert_eq!(backward, found);
        log.verify(&mut |_, _| {}).unwrap();
    };
    check(&log);
    drop(log);
    check(&open_with(&blobs, 2, &options).unwrap());
    let last = parts.iter().rfind(|name| name.ends_with(".1")).unwrap();
    blobs.lose(last);
    let error = open_with(&blobs, 3, &options).and_then(|log| log.verify(&mut |_, _| {}));
    assert!(error.unwrap_err().to_string().contains("missing"));
}

/// Where blobs can't be large, neither can commits; groups and files adapt.
#[test]
fn blobs_may_be_small() {
    const LARGEST: usize = 6_000;
    let blobs = MemoryBlobs::limited(LARGEST);
    let log = open(&blobs, 1).unwrap();
    make(&log);
    let tickets: Vec<_> = (1..=400)
        .map(|n| log.append(Append::new().events("shop", [event(n)])))
        .collect();
    for ticket in tickets {
        ticket.unwrap().wait().unwrap();
    }
    let large = foretell_types::NewEvent {
        data: foretell_types::Data::Binary(vec![7; LARGEST / 2]),
        ..event(401)
    };
    let error = log.append_and_wait(Append::new().events("shop", [large.clone()]));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("at most 29"), "{error}");
    let topics = (0..80).fold(Append::new(), |append, n| {
        let name = format!("{}{n}", "t".repeat(40));
        append.create_topic(name.parse().unwrap(), uuid::Uuid::from_u128(n), false)
    });
    let error = log.append_and_wait(topics).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    seal_all(&log);
    check(&log, 400);
    drop(log);
    let log = open(&blobs, 2).unwrap();
    check(&log, 400);
    log.verify(&mut |_, _| {}).unwrap();
    // Files with parts of another size.
    let blobs = blobs.copy();
    let log = open(&blobs, 3).unwrap();
    fill(&log, 401, 600);
    seal_all(&log);
    check(&log, 600);
}

/// What can't be kept is refused.
#[test]
fn what_cannot_be_kept_is_refused() {
    let blobs = MemoryBlobs::default();
    let archive = Archive {
        blobs: Arc::new(blobs.clone()),
        rule: None,
    };
    let options = LogOptions {
        archive: Some(archive),
        ..options()
    };
    let error = journal(&blobs, 1, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let plain: Arc<dyn Blobs> = Arc::new(Unconditional);
    let error = BlobJournal::open(&plain, FOLDER, &environment(1), &LogOptions::default());
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("on the condition"), "{error}");
    let mut journal = journal(&blobs, 2, &LogOptions::default()).unwrap();
    assert_eq!(journal.last(), Seq(0));
    let meta = foretell_log::GroupMeta {
        first: Seq(5),
        commits: 1,
        frames: 1,
        epoch: 1,
        nonce: 1,
        root: [0; 32],
    };
    let mut group = foretell_log::Group::new(meta);
    let error = journal.append(Seq(4), &mut group, &mut |_, _| {});
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Fenced);
}

/// Blobs that can't be written on a condition.
#[derive(Debug)]
struct Unconditional;

impl Blobs for Unconditional {
    fn put(&self, _name: &str, _content: Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn read(&self, _name: &str, _offset: u64, _buffer: &mut [u8]) -> Result<Option<usize>> {
        Ok(None)
    }

    fn bytes(&self, _name: &str) -> Result<Option<u64>> {
        Ok(None)
    }

    fn list(&self, _folder: &str) -> Result<Vec<(String, u64)>> {
        Ok(Vec::new())
    }

    fn remove(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }
}
