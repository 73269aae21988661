//! Every provider passes the conformance suite; damage is named, a torn end is cut.

use std::path::{Path, PathBuf};

use crate::support::{Fault, FaultDisk, Seeded, open_with, small_segments};
use foretell_log::{
    Append, DirectoryLock, DiskJournal, Environment, EventLog, Group, GroupMeta, Journal,
    LogOptions, MemoryJournal, ReadOptions, Seq, conformance,
};
use foretell_types::{Data, ErrorKind, NewEvent};

#[test]
fn memory_conforms() {
    let journal = MemoryJournal::new();
    conformance::check_journal(&mut || Box::new(journal.clone()));
}

/// Several append to clones at once, each what must follow: of those that expect the same, one does.
#[test]
fn one_of_those_who_append_at_once_is_not_fenced() {
    const THREADS: usize = 4;
    let journal = MemoryJournal::new();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let mut journal = journal.clone();
            scope.spawn(move || {
                for _ in 0..500 {
                    let last = journal.last();
                    let meta = GroupMeta {
                        first: Seq(last.0 + 1),
                        commits: 1,
                        frames: 1,
                        epoch: 1,
                        nonce: 1,
                        root: [0; 32],
                    };
                    let mut meanwhile = |_: &[u8], _| std::thread::yield_now();
                    let done = journal.append(last, &mut Group::new(meta), &mut meanwhile);
                    let refused = done.err().map(|error| error.kind());
                    assert!(refused.is_none_or(|kind| kind == ErrorKind::Fenced));
                }
            });
        }
    });
    let mut next = 1;
    let mut visit = |meta: &GroupMeta, _, _: &[u8]| {
        assert_eq!(meta.first, Seq(next));
        next += 1;
        Ok(())
    };
    let reader = journal.reader();
    reader.walk(&mut visit, &mut |_, _| {}).unwrap();
    assert!(next > 500, "the first to ask is never fenced");
}

#[test]
fn disk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::real();
    for large_group_bytes in LARGE {
        let options = LogOptions {
            large_group_bytes,
            ..LogOptions::default()
        };
        let folder = folder.path().join(large_group_bytes.to_string());
        let mut open = || {
            let journal = DiskJournal::open_with(&folder, &environment, &options).unwrap();
            Box::new(journal) as Box<dyn Journal>
        };
        conformance::check_journal(&mut open);
    }
}

#[test]
fn fault_disk_conforms() {
    let disk = FaultDisk::new();
    let mut open = || {
        Box::new(DiskJournal::open(Path::new("/j"), &disk.environment(1)).unwrap())
            as Box<dyn Journal>
    };
    conformance::check_journal(&mut open);
}

fn event(n: u64) -> NewEvent {
    NewEvent {
        id: n.to_string(),
        source: "/test".into(),
        event_type: "counted".into(),
        subject: Some(format!("s{}", n % 3)),
        data: match n % 3 {
            0 => Data::Binary(vec![0; (n as usize * 37) % 3000]),
            1 => Data::json(format!("{{\"n\":{n}}}")),
            _ => Data::Text("\0".repeat(n as usize * 11 % 2000)),
        },
        ..NewEvent::default()
    }
}

fn open(disk: &FaultDisk, seed: u64) -> foretell_types::Result<EventLog> {
    open_large(disk, seed, LogOptions::default().large_group_bytes)
}

/// All groups are small, or all are large.
const LARGE: [u64; 2] = [u64::MAX, 0];

/// Groups are large from so many bytes on.
fn open_large(
    disk: &FaultDisk,
    seed: u64,
    large_group_bytes: u64,
) -> foretell_types::Result<EventLog> {
    let options = LogOptions {
        large_group_bytes,
        seal_in_background: false,
        ..LogOptions::default()
    };
    open_with(disk, seed, &options)
}

fn open_small(disk: &FaultDisk, seed: u64) -> foretell_types::Result<EventLog> {
    open_with(disk, seed, &small_segments())
}

fn create(log: &EventLog) {
    let shop = Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false);
    log.append(shop).unwrap().wait().unwrap();
}

/// Appends until something fails; gives how many events were acknowledged.
fn fill(log: &EventLog, count: u64) -> u64 {
    for n in 1..=count {
        let Ok(ticket) = log.append(
            Append::new()
                .events("shop", [event(n)])
                .register("n", Some(n.to_le_bytes().to_vec())),
        ) else {
            return n - 1;
        };
        if ticket.wait().is_err() {
            return n - 1;
        }
    }
    count
}

fn check(log: &EventLog, acknowledged: u64, possible: u64) {
    let events = match log.read("shop", ReadOptions::default()) {
        Ok(reader) => reader.collect().unwrap(),
        Err(error) => {
            assert_eq!((error.kind(), acknowledged), (ErrorKind::NotFound, 0));
            return;
        }
    };
    let there = events.len() as u64;
    assert!(
        (acknowledged..=possible).contains(&there),
        "{acknowledged} <= {there} <= {possible}"
    );
    for (recorded, n) in events.iter().zip(1..) {
        assert_eq!(recorded.event, event(n));
        assert_eq!(recorded.position.get(), n);
    }
    let register = log
        .register("n")
        .map(|value| u64::from_le_bytes(value[..].try_into().unwrap()));
    assert_eq!(register.unwrap_or(0), there, "a commit is whole");
    assert_eq!(log.verify(&mut |_, _| {}).unwrap().events, there);
}

/// Power is lost at every write and sync of a workload, several times each with other sectors.
#[test]
fn nothing_acknowledged_is_lost_in_a_crash() {
    for large in LARGE {
        let counting = FaultDisk::new();
        let log = open_large(&counting, 1, large).unwrap();
        create(&log);
        fill(&log, 40);
        drop(log);
        let operations = counting.operations();
        assert!(operations > 80);
        for at in 1..=operations {
            for seed in 0..6 {
                let disk = FaultDisk::new();
                disk.fail_at(at, Fault::Stop);
                let mut acknowledged = None;
                if let Ok(log) = open_large(&disk, 1, large) {
                    let made = log.append(Append::new().create_topic(
                        "shop".parse().unwrap(),
                        uuid::Uuid::from_u128(7),
                        false,
                    ));
                    if made.is_ok_and(|ticket| ticket.wait().is_ok()) {
                        acknowledged = Some(fill(&log, 40));
                    }
                }
                let after = disk.crash(&Seeded::new(at * 1000 + seed));
                let log = open_large(&after, 2, large)
                    .unwrap_or_else(|error| panic!("operation {at}, seed {seed}: {error}"));
                match acknowledged {
                    Some(acknowledged) => {
                        check(&log, acknowledged, acknowledged + 1);
                        // It goes on where it was.
                        let next = log.head("shop").unwrap().map_or(1, |head| head.get() + 1);
                        log.append(Append::new().events("shop", [event(next)]))
                            .unwrap()
                            .wait()
                            .unwrap();
                    }
                    None => drop(log.topics()),
                }
            }
        }
    }
}

#[test]
fn a_failed_write_stops_the_writer_and_loses_nothing() {
    for large in LARGE {
        let counting = FaultDisk::new();
        let log = open_large(&counting, 1, large).unwrap();
        create(&log);
        fill(&log, 10);
        let operations = counting.operations();
        drop(log);
        for at in 4..=operations {
            let disk = FaultDisk::new();
            let log = open_large(&disk, 1, large).unwrap();
            disk.fail_at(at, Fault::Error);
            let made = log
                .append(Append::new().create_topic(
                    "shop".parse().unwrap(),
                    uuid::Uuid::from_u128(7),
                    false,
                ))
                .unwrap()
                .wait();
            let acknowledged = made.map_or(0, |_| fill(&log, 10));
            drop(log);
            let log = open_large(&disk.copy(), 2, large)
                .unwrap_or_else(|error| panic!("operation {at}: {error}"));
            check(&log, acknowledged, acknowledged + 1);
        }
    }
}

fn made(disk: &FaultDisk, large: u64) -> EventLog {
    let log = open_large(disk, 1, large).unwrap();
    create(&log);
    log
}

/// The disk's operations by which ten events are appended to such a log.
fn filling(large: u64) -> std::ops::RangeInclusive<u64> {
    let counting = FaultDisk::new();
    let log = made(&counting, large);
    let from = counting.operations();
    fill(&log, 10);
    from + 1..=counting.operations()
}

/// A file system that copies on write can be full when preallocated space is overwritten, or at
/// the sync: what lies in the file is unknown then, so the writer stops.
#[test]
fn a_disk_that_is_full_when_a_group_is_written_stops_the_writer() {
    for large in LARGE {
        for at in filling(large) {
            let disk = FaultDisk::new();
            let log = made(&disk, large);
            disk.fail_at(at, Fault::Full);
            let acknowledged = fill(&log, 10);
            let again = event(acknowledged + 1);
            let append = Append::new().events("shop", [again]);
            let refused = log.append(append).unwrap().wait();
            assert_eq!(
                refused.unwrap_err().kind(),
                ErrorKind::Unavailable,
                "operation {at}"
            );
            drop(log);
            let log = open_large(&disk.copy(), 2, large)
                .unwrap_or_else(|error| panic!("operation {at}: {error}"));
            check(&log, acknowledged, acknowledged + 1);
        }
    }
}

/// A sync fails, the process starts again on the same boot, where the page cache still shows what
/// was lost: what is read then must be on the platter before anything follows it.
#[test]
fn a_failed_sync_is_not_hidden_by_the_cache() {
    for large in LARGE {
        for at in filling(large) {
            let disk = FaultDisk::new();
            let log = made(&disk, large);
            disk.fail_at(at, Fault::LostSync);
            fill(&log, 10);
            drop(log);
            disk.heal();
            let log = open_large(&disk, 2, large).unwrap();
            let there = log.head("shop").unwrap().map_or(0, |head| head.get());
            for n in there + 1..=there + 3 {
                let value = Some(n.to_le_bytes().to_vec());
                let append = Append::new()
                    .events("shop", [event(n)])
                    .register("n", value);
                log.append(append).unwrap().wait().unwrap();
            }
            drop(log);
            for seed in 0..4 {
                let after = disk.crash(&Seeded::new(at * 100 + seed));
                let log = open_large(&after, 3, large)
                    .unwrap_or_else(|error| panic!("operation {at}: {error}"));
                check(&log, there + 3, there + 3);
            }
        }
    }
}

#[test]
fn a_journal_in_memory_is_read_backward_over_groups() {
    let environment = Environment::real();
    let journal = Box::new(MemoryJournal::new());
    let log = EventLog::open(journal, &environment, &mut |_, _| {}).unwrap();
    create(&log);
    fill(&log, 50);
    let options = ReadOptions {
        backward: true,
        ..ReadOptions::default()
    };
    let events = log.read("shop", options).unwrap().collect().unwrap();
    let positions: Vec<u64> = events.iter().map(|event| event.position.get()).collect();
    assert_eq!(positions, (1..=50).rev().collect::<Vec<_>>());
}

#[test]
fn an_append_that_can_not_be_whole_leaves_nothing() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    create(&log);
    let twice = Append::new()
        .register("k", Some(vec![1]))
        .delete_topic("shop")
        .delete_topic("shop");
    assert_eq!(
        log.append(twice).unwrap().wait().unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let other = NewEvent {
        data: Data::json("0"),
        ..event(1)
    };
    let both = Append::new()
        .create_topic("new".parse().unwrap(), uuid::Uuid::from_u128(8), false)
        .events("new", [event(1), other]);
    assert_eq!(
        log.append(both).unwrap().wait().unwrap_err().kind(),
        ErrorKind::Conflict
    );
    fill(&log, 1);
    assert_eq!(log.register("k"), None);
    drop(log);
    check(&open(&disk, 2).unwrap(), 1, 1);
}

#[test]
fn a_full_disk_refuses_and_goes_on() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    create(&log);
    disk.set_capacity(Some(600 * 1024));
    let acknowledged = fill(&log, 100_000);
    assert!(acknowledged > 10);
    let refused = log
        .append(Append::new().events("shop", [event(acknowledged + 1)]))
        .unwrap()
        .wait();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Full);
    check(&log, acknowledged, acknowledged);
    disk.set_capacity(None);
    let (from, to) = (acknowledged + 1, acknowledged + 100);
    for n in from..=to {
        log.append(
            Append::new()
                .events("shop", [event(n)])
                .register("n", Some(n.to_le_bytes().to_vec())),
        )
        .unwrap()
        .wait()
        .unwrap();
    }
    drop(log);
    check(&open(&disk.copy(), 2).unwrap(), to, to);
}

fn first_segment(disk: &FaultDisk) -> PathBuf {
    let mut names = disk.names().into_iter();
    let first = names.find(|name| name.to_string_lossy().ends_with(".segment"));
    first.unwrap()
}

/// Has a bit flipped in each byte of a file, up to the last that isn't zero, one after the other.
fn flip_bits(disk: &FaultDisk, path: &Path, mut check: impl FnMut(usize)) {
    let good = disk.read(path);
    let used = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in 0..used {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        disk.write(path, bad);
        check(at);
    }
}

/// Each flipped bit is found when opening: never a short or a wrong answer.
#[test]
fn every_flipped_bit_is_damage() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    create(&log);
    fill(&log, 3);
    drop(log);
    flip_bits(&disk, &first_segment(&disk), |at| {
        let error = open(&disk.copy(), 2).expect_err(&format!("a flipped bit in byte {at}"));
        assert!(
            matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat),
            "byte {at}: {error}"
        );
        assert!(
            error.message().contains("0000000000.segment"),
            "byte {at}: {error}"
        );
    });
}

/// So is one that flips later, by who reads it: what lies before it is read, it and what follows
/// isn't.
#[test]
fn every_bit_flipped_after_opening_is_damage() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    create(&log);
    fill(&log, 7);
    let options = |backward| ReadOptions {
        backward,
        ..ReadOptions::default()
    };
    let all = log.read("shop", options(false)).unwrap().collect().unwrap();
    let mut damaged = std::collections::BTreeSet::new();
    flip_bits(&disk, &first_segment(&disk), |at| {
        let read = |backward| {
            let mut reader = log.read("shop", options(backward)).unwrap();
            let mut events = Vec::new();
            loop {
                match reader.next_recorded() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => return (events, None),
                    Err(error) => return (events, Some(error)),
                }
            }
        };
        let (forward, error) = read(false);
        let (mut backward, backward_error) = read(true);
        backward.reverse();
        assert_eq!(forward, all[..forward.len()], "byte {at}");
        assert_eq!(backward, all[all.len() - backward.len()..], "byte {at}");
        assert_eq!(error.is_some(), backward_error.is_some(), "byte {at}");
        if let Some(error) = error {
            assert_eq!(error.kind(), ErrorKind::Damaged, "byte {at}: {error}");
            assert_eq!(forward.len() + backward.len() + 1, all.len(), "byte {at}");
            damaged.insert(forward.len());
        } else {
            // Not of an event: of a header, a trailer, the topic.
            assert_eq!(forward.len(), all.len(), "byte {at}");
        }
    });
    assert_eq!(damaged.len(), all.len(), "each event was damaged");
}

/// So is each flipped bit of a segment that others follow, to its last byte.
#[test]
fn every_flipped_bit_before_the_last_segment_is_damage() {
    let disk = FaultDisk::new();
    let options = LogOptions {
        segment_bytes: 1_024,
        ..small_segments()
    };
    let log = open_with(&disk, 1, &options).unwrap();
    create(&log);
    fill(&log, 5);
    drop(log);
    let names = disk.names();
    assert!(names.len() >= 3, "{names:?}");
    let good = disk.read(&names[1]);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        disk.write(&names[1], bad);
        let error =
            open_with(&disk.copy(), 2, &options).expect_err(&format!("a flipped bit in byte {at}"));
        assert!(
            matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat)
                && error.message().contains("0000000001.segment"),
            "byte {at}: {error}"
        );
    }
}

/// The next segment is prepared once something was written. Until it begins it holds nothing: a
/// process that is killed leaves it, opening and closing remove it.
#[test]
fn a_prepared_segment_holds_nothing_until_it_begins() {
    let prepared = Path::new("/j/0000000001.segment");
    let options = LogOptions {
        segment_bytes: 64 * 1024,
        ..small_segments()
    };
    let disk = FaultDisk::new();
    let log = open_with(&disk, 1, &options).unwrap();
    create(&log);
    assert!(!log.seal().unwrap(), "there is no need for another yet");
    assert_eq!(fill(&log, 40), 40);
    while log.seal().unwrap() {}
    let good = disk.read(prepared);
    assert_eq!(good.len(), 64 * 1024);
    assert!(good[512..].iter().all(|byte| *byte == 0));

    let killed = disk.copy();
    check(&open_with(&killed, 2, &options).unwrap(), 40, 40);
    assert!(!killed.names().iter().any(|name| name == prepared));
    for at in 0..512 {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let copy = disk.copy();
        copy.write(prepared, bad);
        let error = open_with(&copy, 2, &options).expect_err(&format!("byte {at}"));
        assert!(
            matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat)
                && error.message().contains("0000000001.segment"),
            "byte {at}: {error}"
        );
    }

    for n in 41..=90 {
        let append = Append::new()
            .events("shop", [event(n)])
            .register("n", Some(n.to_le_bytes().to_vec()));
        log.append(append).unwrap().wait().unwrap();
    }
    assert!(disk.read(prepared)[512..].iter().any(|byte| *byte != 0));
    while log.seal().unwrap() {}
    let another = Path::new("/j/0000000002.segment");
    assert!(disk.names().iter().any(|name| name == another));
    drop(log);
    assert!(!disk.names().iter().any(|name| name == another));
    check(&open_with(&disk, 3, &options).unwrap(), 90, 90);
}

/// What lies behind the last group is no event of anyone: a flipped bit there is named as damage,
/// or cut off, kept and reported; nothing before it is lost.
#[test]
fn a_flipped_bit_behind_the_last_group_is_found() {
    let disk = FaultDisk::new();
    let log = open_small(&disk, 1).unwrap();
    create(&log);
    fill(&log, 3);
    drop(log);
    let path = disk.names().pop().unwrap();
    let good = disk.read(&path);
    let used = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in (used..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let copy = disk.copy();
        copy.write(&path, bad);
        let environment = copy.environment(2);
        let journal = match DiskJournal::open_with(Path::new("/j"), &environment, &small_segments())
        {
            Ok(journal) => journal,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "byte {at}: {error}");
                continue;
            }
        };
        let cut = journal
            .cut_tail()
            .unwrap_or_else(|| panic!("byte {at} is passed over"));
        let end = cut.offset + cut.bytes;
        assert!(
            (cut.offset..end).contains(&(at as u64)),
            "byte {at}: {cut:?}"
        );
        assert_eq!(copy.read(&cut.kept_in).last(), Some(&(1 << (at % 8))));
        drop(journal);
        check(&open_small(&copy, 3).unwrap(), 3, 3);
    }
}

/// What was cut off is only kept: a flipped bit in it, or a part of it that is gone, changes
/// nothing.
#[test]
fn a_flipped_bit_of_what_was_cut_off_changes_nothing() {
    let disk = with_a_torn_end();
    let environment = disk.environment(2);
    let journal = DiskJournal::open(Path::new("/j"), &environment).unwrap();
    let kept_in = journal.cut_tail().unwrap().kept_in.clone();
    drop(journal);
    let good = disk.read(&kept_in);
    for at in (0..good.len()).step_by(23) {
        let copy = disk.copy();
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        copy.write(&kept_in, bad.clone());
        check(&open_small(&copy, 4).unwrap(), 3, 3);
        assert_eq!(copy.read(&kept_in), bad, "it isn't touched either");
        copy.write(&kept_in, good[..at].to_vec());
        check(&open_small(&copy, 4).unwrap(), 3, 3);
    }
}

/// A log of three events, and behind them a group of which some sectors were written, but not the
/// first, with its header.
fn with_a_torn_end() -> FaultDisk {
    let disk = FaultDisk::new();
    let log = open_small(&disk, 1).unwrap();
    create(&log);
    fill(&log, 3);
    drop(log);
    let path = disk.names().pop().unwrap();
    let mut torn = disk.read(&path);
    let used = torn.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let sector = used.next_multiple_of(512) + 512;
    torn[sector..sector + 1_024].fill(7);
    disk.write(&path, torn);
    disk
}

/// The sync by which a torn end is cleared fails, and the process starts again on the same boot,
/// where all looks clear. Groups of every length follow, then power is lost: what is torn must not
/// come back behind them.
#[test]
fn a_torn_end_is_cleared_though_a_sync_failed() {
    let torn = with_a_torn_end();
    let counting = torn.copy();
    open_small(&counting, 2).unwrap();
    let operations = counting.operations();
    let mut failed = 0;
    for at in 1..=operations {
        for eights in 0..64 {
            let disk = torn.copy();
            disk.fail_at(at, Fault::LostSync);
            if open_small(&disk, 2).is_ok() {
                // No sync of a file.
                break;
            }
            failed += usize::from(eights == 0);
            disk.heal();
            let log = open_small(&disk, 3).unwrap();
            let value = Some(vec![1; 400 + eights * 8]);
            let append = Append::new().register("long", value.clone());
            log.append(append).unwrap().wait().unwrap();
            drop(log);
            // Nothing that wasn't synced is left.
            let log = open_small(&disk.durable(), 4)
                .unwrap_or_else(|error| panic!("operation {at}, {eights}: {error}"));
            check(&log, 3, 3);
            assert_eq!(log.register("long").map(|value| value.to_vec()), value);
        }
    }
    assert!(failed >= 3, "{failed} syncs");
}

#[test]
fn a_missing_segment_is_damage() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    create(&log);
    let big = |n: u64| NewEvent {
        data: Data::Binary(vec![1; 1_000_000]),
        ..event(n)
    };
    for n in 0..150 {
        log.append(Append::new().events("shop", [big(n)]))
            .unwrap()
            .wait()
            .unwrap();
    }
    drop(log);
    let names = disk.names();
    assert!(names.len() >= 3, "{names:?}");
    assert_eq!(
        open(&disk.copy(), 2)
            .unwrap()
            .head("shop")
            .unwrap()
            .unwrap()
            .get(),
        150
    );
    let environment = disk.environment(3);
    environment.files.remove(&names[1]).unwrap();
    assert_eq!(open(&disk, 2).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn the_second_writer_is_fenced() {
    let journal = MemoryJournal::new();
    let environment = Environment::real();
    let first = EventLog::open(Box::new(journal.clone()), &environment, &mut |_, _| {}).unwrap();
    create(&first);
    let second = EventLog::open(Box::new(journal), &environment, &mut |_, _| {}).unwrap();
    second
        .append(Append::new().events("shop", [event(1)]))
        .unwrap()
        .wait()
        .unwrap();
    let error = first
        .append(Append::new().events("shop", [event(2)]))
        .unwrap()
        .wait()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let error = first
        .append(Append::new().events("shop", [event(3)]))
        .unwrap()
        .wait()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_directory_has_one_holder() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = DirectoryLock::acquire(folder.path()).unwrap();
    lock.announce("http://127.0.0.1:1").unwrap();
    let error = DirectoryLock::acquire(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(
        DirectoryLock::holder(folder.path()).unwrap().url.as_deref(),
        Some("http://127.0.0.1:1")
    );
    drop(lock);
    DirectoryLock::acquire(folder.path()).unwrap();
}

/// The lock is the system's, not its text: whatever the file says, it can be taken, once.
#[test]
fn a_flipped_bit_of_the_lock_file_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("LOCK");
    DirectoryLock::acquire(folder.path())
        .and_then(|mut lock| lock.announce("http://127.0.0.1:1"))
        .unwrap();
    let good = std::fs::read(&path).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bad).unwrap();
        // Nobody holds it, whoever is named.
        assert_eq!(DirectoryLock::holder(folder.path()), None);
        let lock = DirectoryLock::acquire(folder.path()).unwrap();
        assert!(DirectoryLock::acquire(folder.path()).is_err(), "bit {bit}");
        let holder = DirectoryLock::holder(folder.path()).unwrap();
        assert_eq!(holder.process, std::process::id());
        drop(lock);
    }
}
