//! Sealed segments in the archive: the same answers as before, whatever happens to disk or archive.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::blobs::{MemoryBlobs, Outage};
use crate::support::shop::{check, event, fill, make, read, seal_all};
use crate::support::{Fault, FaultDisk, Seeded, open_with, restore_to, small_segments};
use foretell_log::{
    Append, Archive, ArchiveRule, Blobs, Clock, EventLog, LogOptions, ReadOptions, back_up,
};
use foretell_types::{ErrorKind, Instant, NewEvent, Position, Query, QueryItem, Result};

/// All but so many bytes of what is sealed.
fn keep(bytes: u64) -> ArchiveRule {
    ArchiveRule {
        container: "archive".into(),
        keep_bytes: Some(bytes),
        after: None,
    }
}

fn options(blobs: &MemoryBlobs, rule: ArchiveRule) -> LogOptions {
    LogOptions {
        archive: blobs.archive(rule),
        ..small_segments()
    }
}

fn open(disk: &FaultDisk, seed: u64, blobs: &MemoryBlobs) -> Result<EventLog> {
    open_with(disk, seed, &options(blobs, keep(0)))
}

fn ends(disk: &FaultDisk, end: &str) -> usize {
    let names = disk.names();
    let found = names.iter().filter(|n| n.to_string_lossy().ends_with(end));
    found.count()
}

#[test]
fn archived_events_are_read_as_before() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let log = open(&disk, 1, &blobs).unwrap();
    make(&log);
    fill(&log, 1, 1_500);
    let root = log.verify(&mut |_, _| {}).unwrap();
    seal_all(&log);
    let sealing = log.sealing();
    assert!(sealing.archived_segments > 60, "{sealing:?}");
    assert_eq!(sealing.archived_segments, sealing.sealed_segments);
    assert_eq!(ends(&disk, ".sealed"), 0);
    assert_eq!(ends(&disk, ".archived") as u64, sealing.archived_segments);
    check(&log, 1_500);
    assert_eq!(log.verify(&mut |_, _| {}).unwrap(), root);
    for n in (1..=1_500).step_by(77) {
        let proof = log.prove("shop", Position::new(n).unwrap()).unwrap();
        let proven = proof.check().unwrap();
        assert_eq!((proven.root, proven.event.event), (root.root, event(n)));
    }
    drop(log);

    let before = blobs.calls();
    let log = open(&disk, 2, &blobs).unwrap();
    assert_eq!(blobs.calls(), before, "opening asks the archive nothing");
    assert_eq!(log.sealing().archived_bytes, sealing.archived_bytes);
    check(&log, 1_500);
    assert_eq!(log.verify(&mut |_, _| {}).unwrap(), root);
    let again = log.append(Append::new().events("shop", [event(4)]));
    let again = again.unwrap().wait().unwrap();
    assert!(again.events[0].duplicate);
    fill(&log, 1_501, 1_600);
    seal_all(&log);
    check(&log, 1_600);
}

/// A cold read takes byte ranges, not whole blobs, and a second one is answered by the cache.
#[test]
fn a_read_takes_what_it_needs() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let options = LogOptions {
        segment_bytes: 256 * 1024,
        ..options(&blobs, keep(0))
    };
    let log = open_with(&disk, 1, &options).unwrap();
    make(&log);
    fill(&log, 1, 3_000);
    seal_all(&log);
    assert!(log.sealing().archived_segments >= 2);
    drop(log);
    let log = open_with(&disk, 2, &options).unwrap();
    let one = ReadOptions {
        from: Position::new(700),
        until: Position::new(700),
        ..ReadOptions::default()
    };
    for calls in [1, 0] {
        let before = blobs.calls();
        assert_eq!(read(&log, one.clone())[0].event, event(700));
        assert_eq!(blobs.calls() - before, calls);
    }
}

/// A scan fetches several blocks with each call, forward and backward.
#[test]
fn a_scan_reads_ahead() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let options = LogOptions {
        segment_bytes: 4 * 1024 * 1024,
        cache_bytes: 16 * 1024 * 1024,
        ..options(&blobs, keep(0))
    };
    let log = open_with(&disk, 1, &options).unwrap();
    make(&log);
    fill(&log, 1, 30_000);
    seal_all(&log);
    assert!(log.sealing().archived_segments >= 1);
    let here = log.sealing().archived_segments;
    drop(log);
    for backward in [false, true] {
        let log = open_with(&disk, 2, &options).unwrap();
        let before = blobs.calls();
        let all = ReadOptions {
            backward,
            ..ReadOptions::default()
        };
        assert_eq!(read(&log, all).len(), 30_000);
        // A segment has more than fifty blocks: two to begin with, then sixteen at once.
        let calls = blobs.calls() - before;
        assert!(calls < here * 12, "{calls} calls for {here} segments");
    }
}

struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed) as i64)
    }
}

#[test]
fn age_is_that_of_the_newest_event() {
    const DAY: u64 = 86_400_000_000_000;
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let clock = Arc::new(Hands(AtomicU64::new(20_000 * DAY)));
    let mut environment = disk.environment(1);
    environment.clock = clock.clone();
    let rule = ArchiveRule {
        container: "archive".into(),
        after: Some(Duration::from_secs(30 * 86_400)),
        keep_bytes: None,
    };
    let options = options(&blobs, rule);
    let log = EventLog::open_folder_with(Path::new("/j"), &environment, &options).unwrap();
    make(&log);
    for day in 0..40 {
        fill(&log, day * 10 + 1, day * 10 + 10);
        clock.0.fetch_add(DAY, Ordering::Relaxed);
    }
    seal_all(&log);
    let first_here = || {
        let names = disk.names();
        let mut here = names
            .iter()
            .filter(|n| n.to_string_lossy().ends_with(".sealed"));
        here.next().cloned()
    };
    let archived = log.sealing().archived_segments;
    assert!((2..20).contains(&archived), "{archived}");
    assert!(log.sealing().sealed_segments > archived);
    // Ten days were old enough, and a segment that was written on the eleventh too is not.
    let oldest_here = first_here().unwrap();
    clock.0.fetch_add(DAY / 2, Ordering::Relaxed);
    seal_all(&log);
    assert_eq!(first_here().unwrap(), oldest_here);
    clock.0.fetch_add(40 * DAY, Ordering::Relaxed);
    seal_all(&log);
    assert_eq!(first_here(), None);
    check(&log, 400);
}

#[test]
fn as_many_bytes_stay_as_are_to_be_kept() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let log = open_with(&disk, 1, &options(&blobs, keep(20_000))).unwrap();
    make(&log);
    let mut most = 0;
    for n in 0..100 {
        fill(&log, n * 12 + 1, n * 12 + 12);
        seal_all(&log);
        let names = disk.names();
        let here = names
            .iter()
            .filter(|n| n.to_string_lossy().ends_with(".sealed"));
        most = most.max(here.map(|name| disk.read(name).len()).sum());
    }
    assert!((15_000..=20_000).contains(&most), "{most}");
    assert!(log.sealing().archived_segments > 5);
    check(&log, 1_200);
}

/// What must hold after any crash, once the log was opened again.
fn whole(disk: &FaultDisk, blobs: &MemoryBlobs, log: &EventLog, at: &str) {
    log.verify(&mut |_, _| {})
        .unwrap_or_else(|error| panic!("{at}: {error}"));
    seal_all(log);
    log.verify(&mut |_, _| {}).unwrap();
    let sealing = log.sealing();
    assert_eq!(sealing.archived_segments, sealing.sealed_segments, "{at}");
    // Nothing is left over, here or there.
    assert_eq!(ends(disk, ".sealed"), 0, "{at}");
    assert_eq!(
        ends(disk, ".archived") as u64,
        sealing.archived_segments,
        "{at}"
    );
    assert_eq!(
        blobs.names().len() as u64,
        sealing.archived_segments,
        "{at}"
    );
}

const COUNT: u64 = 90;

/// Appends, seals, merges and archives until something fails; gives what was acknowledged.
fn work(disk: &FaultDisk, blobs: &MemoryBlobs) -> u64 {
    let mut acknowledged = 0;
    let Ok(log) = open(disk, 1, blobs) else {
        return 0;
    };
    let shop = Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false);
    if !log.append(shop).is_ok_and(|ticket| ticket.wait().is_ok()) {
        return 0;
    }
    for n in (1..=COUNT).step_by(5) {
        let append = Append::new().events("shop", (n..n + 5).map(event));
        if !log.append(append).is_ok_and(|ticket| ticket.wait().is_ok()) {
            break;
        }
        acknowledged = n + 4;
        while log.seal().is_ok_and(|more| more) {}
    }
    acknowledged
}

fn reopened(after: &FaultDisk, blobs: &MemoryBlobs, acknowledged: u64, at: &str) {
    let log = open(after, 2, blobs).unwrap_or_else(|error| panic!("{at}: {error}"));
    let there = log.head("shop").map_or(0, |h| h.map_or(0, Position::get));
    assert!(
        (acknowledged..=acknowledged + 5).contains(&there),
        "{at}: {acknowledged} acknowledged, {there} there"
    );
    let all = |log: &EventLog| {
        let events = read(log, ReadOptions::default());
        assert!((1..).zip(&events).all(|(n, e)| e.event == event(n)), "{at}");
        assert_eq!(events.len() as u64, there, "{at}");
    };
    if there > 0 {
        all(&log);
    }
    whole(after, blobs, &log, at);
    if there > 0 {
        all(&log);
    }
    drop(log);
    let log = open(after, 3, blobs).unwrap();
    whole(after, blobs, &log, at);
}

/// Power is lost at every write and sync of a workload that appends, seals, merges and archives.
#[test]
fn nothing_is_lost_when_archiving_is_cut_off() {
    let counting = FaultDisk::new();
    assert_eq!(work(&counting, &MemoryBlobs::default()), COUNT);
    assert!(ends(&counting, ".archived") >= 4, "{:?}", counting.names());
    for at in 1..=counting.operations() {
        for seed in 0..3 {
            let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
            disk.fail_at(at, Fault::Stop);
            let acknowledged = work(&disk, &blobs);
            let after = disk.crash(&Seeded::new(at * 1_000 + seed));
            let here = format!("operation {at}, seed {seed}");
            reopened(&after, &blobs, acknowledged, &here);
        }
    }
}

/// Power is lost at every call of the archive, also after the call did what it was asked to.
#[test]
fn nothing_is_lost_when_a_call_of_the_archive_is_cut_off() {
    let (disk, counting) = (FaultDisk::new(), MemoryBlobs::default());
    assert_eq!(work(&disk, &counting), COUNT);
    for at in 1..=counting.calls() {
        for (seed, outage) in [Outage::From(at), Outage::Answer(at)]
            .into_iter()
            .enumerate()
        {
            let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
            blobs.fail(Some(outage));
            let acknowledged = work(&disk, &blobs);
            assert_eq!(acknowledged, COUNT, "appending goes on");
            blobs.fail(None);
            let after = disk.crash(&Seeded::new(at * 1_000 + seed as u64));
            reopened(&after, &blobs, acknowledged, &format!("{outage:?}"));
        }
    }
}

/// Any call of the archive, and any write or sync while a segment is moved, can fail: the log goes
/// on, and moves it later.
#[test]
fn a_failed_move_is_tried_again() {
    let prepared = || {
        let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
        let log = open(&disk, 1, &blobs).unwrap();
        make(&log);
        fill(&log, 1, 60);
        blobs.fail(Some(Outage::From(1)));
        while log.seal().is_ok_and(|more| more) {}
        assert_eq!(log.sealing().archived_segments, 0);
        blobs.fail(None);
        (disk, blobs, log)
    };
    let (disk, blobs, log) = prepared();
    let (from, from_call) = (disk.operations(), blobs.calls());
    assert!(log.seal().unwrap());
    let (operations, calls) = (disk.operations() - from, blobs.calls() - from_call);
    assert!(operations >= 5 && calls >= 4, "{operations}, {calls}");
    let goes_on = |disk: &FaultDisk, blobs: &MemoryBlobs, log: EventLog, at: &str| {
        let first = log.seal();
        check(&log, 60);
        seal_all(&log);
        check(&log, 60);
        drop(log);
        let copy = disk.copy();
        let log = open(&copy, 2, blobs).unwrap_or_else(|e| panic!("{at} {first:?}: {e}"));
        check(&log, 60);
        whole(&copy, blobs, &log, at);
    };
    for fault in [Fault::Error, Fault::Full] {
        for at in 1..=operations {
            let (disk, blobs, log) = prepared();
            disk.fail_at(disk.operations() + at, fault);
            goes_on(&disk, &blobs, log, &format!("{fault:?} {at}"));
        }
    }
    for at in 1..=calls {
        for outage in [Outage::Once, Outage::Answer] {
            let (disk, blobs, log) = prepared();
            let outage = outage(blobs.calls() + at);
            blobs.fail(Some(outage));
            goes_on(&disk, &blobs, log, &format!("{outage:?}"));
        }
    }
}

/// Of an archive that can't be reached, only what lies there is missed.
#[test]
fn without_the_archive_everything_else_goes_on() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let half = options(&blobs, keep(10_000));
    let log = open_with(&disk, 1, &half).unwrap();
    make(&log);
    fill(&log, 1, 600);
    seal_all(&log);
    drop(log);
    let elsewhere = LogOptions {
        archive: None,
        ..small_segments()
    };
    for (options, told) in [(&half, "the network is down"), (&elsewhere, "no archive")] {
        blobs.fail(Some(Outage::From(1)));
        let log = open_with(&disk, 2, options).unwrap();
        assert!(log.sealing().archived_segments > 5);
        let names = blobs.names();
        let says = |error: foretell_types::Error| {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let text = error.to_string();
            let named = names.iter().any(|name| text.contains(name.as_str()));
            assert!(named && text.contains(told), "{text}");
        };
        says(
            log.read("shop", ReadOptions::default())
                .unwrap()
                .collect()
                .unwrap_err(),
        );
        says(log.verify(&mut |_, _| {}).unwrap_err());
        says(log.prove("shop", Position::new(3).unwrap()).unwrap_err());
        let events = read(&log, ReadOptions::after(Position::new(590)));
        assert!((591..=600).zip(&events).all(|(n, e)| e.event == event(n)));
        // The index stays here: streams, revisions and known ids of old events.
        let subject = event(4).subject.unwrap();
        let stream = read(&log, ReadOptions::stream(subject.clone()));
        assert_eq!(stream[0].event, event(4));
        assert!(log.revision("shop", &subject).unwrap().is_some());
        let head = log.head("shop").unwrap().unwrap().get();
        let again = log
            .append(Append::new().events("shop", [event(4)]))
            .unwrap();
        says(again.wait().unwrap_err());
        fill(&log, 601, 620);
        assert!(log.head("shop").unwrap().unwrap().get() >= head);
        while log.seal().is_ok_and(|more| more) {}
        drop(log);
    }
    blobs.fail(None);
    let log = open_with(&disk, 3, &half).unwrap();
    check(&log, 620);
    log.verify(&mut |_, _| {}).unwrap();
}

/// A small topic whose events all have subjects, such as those that a server opens with, is read
/// from the index, which stays here.
#[test]
fn a_small_topic_needs_no_archive() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let log = open(&disk, 1, &blobs).unwrap();
    make(&log);
    let side = Append::new().create_topic("side".parse().unwrap(), uuid::Uuid::from_u128(8), false);
    log.append(side).unwrap().wait().unwrap();
    let of_side = |n: u64| NewEvent {
        subject: Some(format!("s{}", n * 7 % 5)),
        ..event(n)
    };
    for n in 1..=120 {
        let both = Append::new()
            .events("side", [of_side(n)])
            .events("shop", [event(n)]);
        log.append(both).unwrap().wait().unwrap();
        if n == 60 {
            seal_all(&log);
        }
    }
    seal_all(&log);
    drop(log);
    blobs.fail(Some(Outage::From(1)));
    let log = open(&disk, 2, &blobs).unwrap();
    let prefix = Query {
        items: vec![QueryItem {
            subject_prefix: Some("s".into()),
            ..QueryItem::default()
        }],
    };
    for query in [Query::all(), prefix] {
        for (from, until) in [(1, 120), (17, 93), (50, 50)] {
            for backward in [false, true] {
                let mut expected: Vec<u64> = (from..=until).collect();
                let (mut first, mut last) = (from, until);
                if backward {
                    expected.reverse();
                    (first, last) = (last, first);
                }
                let options = ReadOptions {
                    from: Position::new(first),
                    until: Position::new(last),
                    backward,
                    query: query.clone(),
                    ..ReadOptions::default()
                };
                let found = log.read("side", options).unwrap().collect().unwrap();
                let positions: Vec<u64> = found.iter().map(|e| e.position.get()).collect();
                assert_eq!(positions, expected, "{query:?} {backward}");
                for recorded in found {
                    assert_eq!(recorded.event, of_side(recorded.position.get()));
                }
            }
        }
    }
    let again = log
        .append(Append::new().events("side", [of_side(3)]))
        .unwrap();
    assert!(again.wait().unwrap().events[0].duplicate);
    let error = log.read("shop", ReadOptions::default()).unwrap().collect();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// What an archive gives back is checked, when a segment is moved and whenever it is read.
#[test]
fn a_wrong_byte_in_the_archive_is_found() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let log = open(&disk, 1, &blobs).unwrap();
    make(&log);
    fill(&log, 1, 20);
    blobs.lie(true);
    while log.seal().is_ok_and(|more| more) {}
    assert_eq!(log.seal().unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(log.sealing().archived_segments, 0);
    check(&log, 20);
    blobs.lie(false);
    seal_all(&log);
    assert_eq!(
        log.sealing().archived_segments,
        log.sealing().sealed_segments
    );
    drop(log);
    let name = blobs.names()[0].clone();
    let good = blobs.content(&name);
    for at in 0..good.len() {
        let copy = blobs.copy();
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        copy.set(&name, bad);
        let log = open(&disk.copy(), 2, &copy).unwrap();
        if let Ok(events) = log.read("shop", ReadOptions::default()).unwrap().collect() {
            assert!((1..).zip(&events).all(|(n, e)| e.event == event(n)));
        }
        // Header, footer and trailer are read from the stub.
        match log.verify(&mut |_, _| {}) {
            Ok(_) => assert!(at + 32 >= good.len(), "byte {at}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "byte {at}: {error}");
                assert!(error.to_string().contains(&name), "{error}");
            }
        }
    }
    let missing = MemoryBlobs::default();
    let log = open(&disk.copy(), 2, &missing).unwrap();
    let error = log.verify(&mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("is missing"), "{error}");
}

#[test]
fn a_stub_that_is_wrong_is_made_anew() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let log = open(&disk, 1, &blobs).unwrap();
    make(&log);
    fill(&log, 1, 20);
    seal_all(&log);
    drop(log);
    let names = disk.names();
    let stub = names
        .iter()
        .find(|n| n.to_string_lossy().ends_with(".archived"));
    let stub = stub.unwrap();
    let good = disk.read(stub);
    for at in 0..=good.len() {
        let copy = disk.copy();
        let mut bad = good.clone();
        match bad.get_mut(at) {
            Some(byte) => *byte ^= 1 << (at % 8),
            None => bad.truncate(at / 2),
        }
        copy.write(stub, bad);
        let log = open(&copy, 2, &blobs).unwrap();
        assert_eq!(copy.read(stub), good, "byte {at}");
        check(&log, 20);
    }
    let copy = disk.copy();
    copy.environment(9).files.remove(stub).unwrap();
    let log = open(&copy, 2, &blobs).unwrap();
    assert_eq!(copy.read(stub), good);
    check(&log, 20);
    drop(log);
    copy.environment(9).files.remove(stub).unwrap();
    blobs.fail(Some(Outage::From(1)));
    let error = open(&copy, 2, &blobs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

/// A backup holds what is archived too. What comes of it archives beside the log that it was made
/// of, and neither loses anything.
#[test]
fn a_backup_is_whole_and_shares_the_archive() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let log = open_with(&disk, 1, &options(&blobs, keep(6_000))).unwrap();
    make(&log);
    fill(&log, 1, 300);
    seal_all(&log);
    let archived = log.sealing().archived_segments;
    assert!(archived > 3);
    let copy = FaultDisk::new();
    let sound = log.verify(&mut |_, _| {}).unwrap();
    let kept: Arc<dyn Blobs> = Arc::new(MemoryBlobs::default());
    let to = (&kept, "backups/shop");
    let done = back_up(
        &mut log.clone(),
        to,
        &disk.environment(4),
        &mut |_, _, _| {},
    );
    assert_eq!(done.unwrap().verified, sound);
    restore_to(&copy, to).unwrap();
    // Without an archive it is a log like any other.
    let alone = open_with(&copy.copy(), 5, &small_segments()).unwrap();
    assert_eq!(alone.sealing().archived_segments, 0);
    check(&alone, 300);
    drop(alone);

    let restored = open(&copy, 5, &blobs).unwrap();
    seal_all(&restored);
    assert_eq!(ends(&copy, ".sealed"), 0);
    check(&restored, 300);
    for (log, until) in [(&log, 400), (&restored, 500)] {
        fill(log, 301, until);
        seal_all(log);
    }
    for (log, until) in [(&log, 400), (&restored, 500)] {
        check(log, until);
        log.verify(&mut |_, _| {}).unwrap();
        let _ = log.root().unwrap();
    }
    drop((log, restored));
    let names: BTreeSet<String> = blobs.names().into_iter().collect();
    assert!(names.len() as u64 > archived);
    check(&open(&disk, 6, &blobs).unwrap(), 400);
    check(&open(&copy, 7, &blobs).unwrap(), 500);
}

/// A log that archives no more reads what is archived.
#[test]
fn archiving_can_be_ended() {
    let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
    let log = open(&disk, 1, &blobs).unwrap();
    make(&log);
    fill(&log, 1, 100);
    seal_all(&log);
    let archived = log.sealing().archived_segments;
    drop(log);
    let only_read = LogOptions {
        archive: Some(Archive {
            blobs: Arc::new(blobs.clone()),
            rule: None,
        }),
        ..small_segments()
    };
    let log = open_with(&disk, 2, &only_read).unwrap();
    fill(&log, 101, 200);
    seal_all(&log);
    let sealing = log.sealing();
    assert_eq!(sealing.archived_segments, archived);
    assert!(sealing.sealed_segments > archived);
    check(&log, 200);
    drop(log);
    // In another container the next ones.
    let rule = ArchiveRule {
        container: "other".into(),
        ..keep(0)
    };
    let log = open_with(&disk, 3, &options(&blobs, rule)).unwrap();
    seal_all(&log);
    check(&log, 200);
    let names = blobs.names();
    let of = |c: &str| names.iter().filter(|name| name.starts_with(c)).count() as u64;
    let sealed = log.sealing().sealed_segments;
    assert_eq!(
        (of("archive/"), of("other/")),
        (archived, sealed - archived)
    );
}
