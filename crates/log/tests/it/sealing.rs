//! Sealed segments and the index over them: the same answers as before, whatever happens.

use std::sync::Arc;

use crate::support::blobs::MemoryBlobs;
use crate::support::shop::{check, event, fill, make, read, read_and_verify, seal_all};
use crate::support::{Fault, FaultDisk, Seeded, open_with, restore_to, small_segments};
use foretell_log::{
    Append, Blobs, Environment, EventLog, LogOptions, ReadOptions, RootAt, back_up, verify_backup,
};
use foretell_types::limits::UNSEALED_SEGMENTS;
use foretell_types::{Data, ErrorKind, ExpectedRevision, NewEvent, Position, Revision};

fn open(disk: &FaultDisk, seed: u64) -> foretell_types::Result<EventLog> {
    open_with(disk, seed, &small_segments())
}

#[test]
fn sealed_events_are_read_as_before() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 1_500);
    check(&log, 1_500);
    let root = log.verify(&mut |_, _| {}).unwrap();
    let before = log.size();
    let steps = seal_all(&log);
    assert!(steps > 60, "{steps} steps");
    let after = log.size();
    assert!(after.0 * 2 < before.0, "{before:?} {after:?}");
    check(&log, 1_500);
    assert_eq!(log.verify(&mut |_, _| {}).unwrap(), root);
    let streams = log.topic("shop").unwrap().streams;
    drop(log);
    let log = open(&disk, 2).unwrap();
    check(&log, 1_500);
    assert_eq!(log.verify(&mut |_, _| {}).unwrap(), root);
    assert_eq!(log.topic("shop").unwrap().streams, streams);
    fill(&log, 1_501, 1_600);
    check(&log, 1_600);
    seal_all(&log);
    check(&log, 1_600);
}

#[test]
fn identity_and_conditions_hold_over_what_is_sealed() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 600);
    seal_all(&log);
    drop(log);
    let log = open(&disk, 2).unwrap();
    let again = log
        .append(Append::new().events("shop", [event(4)]))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(
        (again.events[0].position.get(), again.events[0].duplicate),
        (4, true)
    );
    let other = NewEvent {
        data: Data::json("0"),
        ..event(4)
    };
    let refused = log
        .append(Append::new().events("shop", [other]))
        .unwrap()
        .wait();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    let subject = event(4).subject.unwrap();
    let revision = log.revision("shop", &subject).unwrap().unwrap();
    let of_stream = read(&log, ReadOptions::stream(subject.clone()));
    assert_eq!(revision, of_stream.last().unwrap().revision.unwrap());
    let next = NewEvent {
        id: "next".into(),
        ..event(4)
    };
    let wrong = ExpectedRevision::Exact(Revision::new(revision.get() - 1));
    let append = Append::new()
        .events("shop", [next.clone()])
        .expect("shop", &subject, wrong);
    assert_eq!(
        log.append(append).unwrap().wait().unwrap_err().kind(),
        ErrorKind::ConditionFailed
    );
    let right = ExpectedRevision::Exact(revision);
    let append = Append::new()
        .events("shop", [next])
        .expect("shop", &subject, right);
    let done = log.append(append).unwrap().wait().unwrap();
    assert_eq!(
        done.events[0].revision,
        Some(Revision::after(Some(revision)))
    );
}

/// Who appends faster than segments are sealed waits, so that what is held in memory is bounded.
#[test]
fn what_is_not_sealed_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions {
        seal_in_background: true,
        ..small_segments()
    };
    let environment = Environment::real();
    let log = EventLog::open_folder_with(folder.path(), &environment, &options).unwrap();
    make(&log);
    let mut most = 0;
    for n in 0..200 {
        fill(&log, n * 30 + 1, n * 30 + 30);
        let names = std::fs::read_dir(folder.path()).unwrap();
        let unsealed = names.filter(|name| {
            let name = name.as_ref().unwrap().file_name();
            name.to_string_lossy().ends_with(".segment")
        });
        most = most.max(unsealed.count());
    }
    // A commit may begin a segment behind the bound, another is being removed, a third prepared.
    assert!(most <= UNSEALED_SEGMENTS + 4, "{most} segments");
    drop(log);
    let log = EventLog::open_folder_with(folder.path(), &environment, &options).unwrap();
    check(&log, 6_000);
    log.verify(&mut |_, _| {}).unwrap();
}

/// A stream that nobody asked for lately costs two reads in each run of the index that holds it, and
/// how many runs there are grows with the logarithm of the log.
#[test]
fn a_cold_stream_takes_two_reads_a_run() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 3_000);
    seal_all(&log);
    drop(log);
    let runs = disk
        .names()
        .iter()
        .filter(|n| n.to_string_lossy().ends_with(".run"))
        .count();
    let segments = disk
        .names()
        .iter()
        .filter(|n| n.to_string_lossy().ends_with(".sealed"))
        .count();
    assert!(
        segments > 200 && runs <= 12,
        "{segments} segments, {runs} runs"
    );
    let log = open(&disk, 2).unwrap();
    let reads_of = |subject: &str| {
        let before = disk.reads();
        let found = read(&log, ReadOptions::stream(subject));
        let numbers = (1..=3_000).filter(|n| event(*n).subject.as_deref() == Some(subject));
        assert!(found.iter().map(|e| e.position.get()).eq(numbers));
        disk.reads() - before
    };
    // The first question also reads which keys each run doesn't hold. A stream of so many small
    // events takes up to three blocks of 32 KiB in the largest run.
    let reads = reads_of(&event(4).subject.unwrap());
    assert!(reads <= 3 * runs as u64 + 4, "{reads} reads, {runs} runs");
    let reads = reads_of(&event(6).subject.unwrap());
    assert!(reads <= 2 * runs as u64 + 4, "{reads} reads, {runs} runs");
    let reads = reads_of("nobody");
    // A filter may be read now for the first time; no page of keys is.
    assert!(reads <= runs as u64 / 2, "{reads} reads, {runs} runs");
}

/// Power is lost at every write and sync of a workload that appends, seals and merges.
#[test]
fn nothing_is_lost_when_sealing_is_cut_off() {
    const COUNT: u64 = 150;
    let work = |disk: &FaultDisk| -> u64 {
        let mut acknowledged = 0;
        let Ok(log) = open(disk, 1) else {
            return 0;
        };
        let shop =
            Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false);
        if !log.append(shop).is_ok_and(|ticket| ticket.wait().is_ok()) {
            return 0;
        }
        for n in (1..=COUNT).step_by(5) {
            let append = Append::new()
                .events("shop", (n..n + 5).map(event))
                .register("last", Some((n + 4).to_le_bytes().to_vec()));
            if !log.append(append).is_ok_and(|ticket| ticket.wait().is_ok()) {
                break;
            }
            acknowledged = n + 4;
            while log.seal().is_ok_and(|more| more) {}
        }
        acknowledged
    };
    let counting = FaultDisk::new();
    assert_eq!(work(&counting), COUNT);
    let operations = counting.operations();
    let merged = counting
        .names()
        .iter()
        .any(|name| name.ends_with("0000000000-0000000003.run"));
    assert!(
        operations > 150 && merged,
        "{operations} operations, {:?}",
        counting.names()
    );
    for at in 1..=operations {
        for seed in 0..3 {
            let disk = FaultDisk::new();
            disk.fail_at(at, Fault::Stop);
            let acknowledged = work(&disk);
            let after = disk.crash(&Seeded::new(at * 1_000 + seed));
            let log = open(&after, 2)
                .unwrap_or_else(|error| panic!("operation {at}, seed {seed}: {error}"));
            let there = match log.head("shop") {
                Ok(head) => head.map_or(0, Position::get),
                Err(_) => 0,
            };
            assert!(
                (acknowledged..=acknowledged + 5).contains(&there),
                "operation {at}, seed {seed}: {acknowledged} acknowledged, {there} there"
            );
            if there > 0 {
                let events = read(&log, ReadOptions::default());
                assert!((1..).zip(&events).all(|(n, e)| e.event == event(n)));
                let last = log.register("last").unwrap();
                assert_eq!(u64::from_le_bytes(last[..].try_into().unwrap()), there);
            }
            log.verify(&mut |_, _| {}).unwrap();
            seal_all(&log);
            log.verify(&mut |_, _| {}).unwrap();
        }
    }
}

/// A write or sync that fails in the background leaves the log as it was; later it is sealed.
#[test]
fn a_failed_seal_is_tried_again() {
    let counting = FaultDisk::new();
    let log = open(&counting, 1).unwrap();
    make(&log);
    fill(&log, 1, 60);
    let from = counting.operations();
    log.seal().unwrap();
    let operations = counting.operations() - from;
    for fault in [Fault::Error, Fault::Full] {
        for at in 1..=operations {
            let disk = FaultDisk::new();
            let log = open(&disk, 1).unwrap();
            make(&log);
            fill(&log, 1, 60);
            disk.fail_at(disk.operations() + at, fault);
            let first = log.seal();
            seal_all(&log);
            check(&log, 60);
            drop(log);
            let log = open(&disk.copy(), 2)
                .unwrap_or_else(|error| panic!("{fault:?} {at} {first:?}: {error}"));
            check(&log, 60);
            log.verify(&mut |_, _| {}).unwrap();
        }
    }
}

/// Each flipped bit of a sealed file is found, at opening or by a verification, and no read gives
/// a wrong event.
#[test]
fn every_flipped_bit_of_a_sealed_file_is_damage() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 24);
    seal_all(&log);
    let sound = log.verify(&mut |_, _| {}).unwrap();
    drop(log);
    let sealed = |name: &std::path::PathBuf| {
        let name = name.to_string_lossy();
        [".sealed", ".run", ".manifest"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    let names: Vec<_> = disk.names().into_iter().filter(sealed).collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let good = disk.read(&name);
        for at in 0..good.len() {
            let copy = disk.copy();
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            copy.write(&name, bad);
            let found = open(&copy, 2).and_then(|log| read_and_verify(&log));
            let of_run = name.to_string_lossy().ends_with(".run");
            if of_run && found.as_ref().is_ok_and(|verified| *verified == sound) {
                // It was made anew.
                continue;
            }
            let error = found.expect_err(&format!("a flipped bit in byte {at} of {name:?}"));
            assert!(
                matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat),
                "byte {at} of {name:?}: {error}"
            );
        }
    }
}

/// While segments are sealed and leave the journal, what is verified and proven is as sound as ever.
#[test]
fn what_is_sealed_meanwhile_is_sound() {
    let disk = FaultDisk::new();
    let options = LogOptions {
        seal_in_background: true,
        ..small_segments()
    };
    let log = open_with(&disk, 1, &options).unwrap();
    make(&log);
    fill(&log, 1, 1);
    let (leaves, root) = log.root().unwrap();
    let first = RootAt { leaves, root };
    std::thread::scope(|scope| {
        let filling = scope.spawn(|| (2..=3_000).for_each(|n| fill(&log, n, n)));
        while !filling.is_finished() {
            log.verify_since(first, &mut |_, _| {}).unwrap();
            let proof = log.prove_by("shop", Position::FIRST, first).unwrap();
            assert_eq!(proof.check().unwrap().root, root);
        }
    });
    assert!(log.sealing().sealed_segments > 0);
}

/// What the log held once is held, and proven by the root it had then, whatever was appended and
/// sealed since; any other root isn't one of its own.
#[test]
fn earlier_roots_are_held() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    let mut earlier = Vec::new();
    let mut n = 1;
    for more in [1, 6, 93, 100] {
        fill(&log, n, n + more - 1);
        n += more;
        let (leaves, root) = log.root().unwrap();
        earlier.push((n - 1, RootAt { leaves, root }));
    }
    for sealed in [0, 10, 1_000] {
        for _ in 0..sealed {
            log.seal().unwrap();
        }
        let sound = log.verify(&mut |_, _| {}).unwrap();
        for (last, root) in &earlier {
            assert_eq!(log.verify_since(*root, &mut |_, _| {}).unwrap(), sound);
            for position in [1, last / 2 + 1, *last].map(|n| Position::new(n).unwrap()) {
                let proof = log.prove_by("shop", position, *root).unwrap();
                assert_eq!(proof.check().unwrap().root, root.root, "{sealed} {last}");
            }
            let later = Position::new(last + 1).unwrap();
            let error = log.prove_by("shop", later, *root).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            let mut other = *root;
            other.root.0[7] ^= 1;
            let mut shorter = *root;
            shorter.leaves -= 1;
            let mut longer = *root;
            longer.leaves += 10_000;
            for wrong in [other, shorter, longer] {
                let found = log.verify_since(wrong, &mut |_, _| {});
                assert_eq!(found.unwrap_err().kind(), ErrorKind::Damaged, "{wrong:?}");
                let proof = log.prove_by("shop", Position::FIRST, wrong);
                assert_eq!(proof.unwrap_err().kind(), ErrorKind::Conflict);
            }
        }
    }
}

/// Every event, sealed or not, is proven by the root that the verification gives, and no altered
/// proof is accepted.
#[test]
fn every_event_is_proven() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 2_500);
    for sealed in [0, 100, 1_000] {
        for _ in 0..sealed {
            log.seal().unwrap();
        }
        let root = log.verify(&mut |_, _| {}).unwrap().root;
        assert_eq!(log.root().unwrap().1, root);
        for n in (1..=2_500).step_by(83).chain([2_499, 2_500]) {
            let proof = log.prove("shop", Position::new(n).unwrap()).unwrap();
            let proven = proof.check().unwrap();
            assert_eq!(
                (proven.root, proven.event.event),
                (root, event(n)),
                "{sealed} {n}"
            );
            assert!(
                proof.path.len() + proof.peaks.len() <= 26,
                "{}",
                proof.path.len()
            );
        }
    }
    let good = log.prove("shop", Position::new(1_234).unwrap()).unwrap();
    let root = good.check().unwrap().root;
    let mut altered = Vec::new();
    for at in 0..good.frame.len() {
        let mut bad = good.clone();
        bad.frame[at] ^= 1;
        altered.push(bad);
    }
    for at in 0..good.path.len() {
        let mut bad = good.clone();
        bad.path[at].0[at % 32] ^= 1;
        altered.push(bad);
    }
    for (leaf, leaves) in [(1, 0), (0, 1), (0, u64::MAX - good.leaves)] {
        let mut bad = good.clone();
        (bad.leaf, bad.leaves) = (good.leaf + leaf, good.leaves + leaves);
        altered.push(bad);
    }
    for bad in altered {
        assert_ne!(
            bad.check().ok().map(|proven| proven.root),
            Some(root),
            "{bad:?}"
        );
    }
    assert_eq!(
        log.prove("shop", Position::new(2_501).unwrap())
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}

/// Each flipped bit of each file of a backup is found by its verification.
#[test]
fn every_flipped_bit_of_a_backup_is_damage() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 20);
    log.seal().unwrap();
    let backup = MemoryBlobs::default();
    let to: (&Arc<dyn Blobs>, _) = (&(Arc::new(backup.clone()) as _), "b");
    let environment = disk.environment(4);
    back_up(&mut log.clone(), to, &environment, &mut |_, _, _| {}).unwrap();
    let verify = |backup: MemoryBlobs| {
        let blobs: Arc<dyn Blobs> = Arc::new(backup);
        verify_backup((&blobs, "b"), &environment, &mut |_, _| {})
    };
    verify(backup.copy()).unwrap();
    let mut names = backup.names();
    names.retain(|name| name.starts_with("b/journal/"));
    for kind in [".segment", ".sealed", ".manifest"] {
        assert!(names.iter().any(|name| name.contains(kind)), "{names:?}");
    }
    for name in names {
        let good = backup.content(&name);
        for at in 0..good.len() {
            let copy = backup.copy();
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            copy.set(&name, bad);
            let error = verify(copy).expect_err(&format!("a flipped bit in byte {at} of {name}"));
            assert!(
                matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat),
                "byte {at} of {name}: {error}"
            );
        }
    }
}

/// A backup of what is sealed and what isn't is sound, opens, and answers as the log does.
#[test]
fn a_backup_is_the_log() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 500);
    let blobs: Arc<dyn Blobs> = Arc::new(MemoryBlobs::default());
    for steps in [0, 7, 100] {
        for _ in 0..steps {
            log.seal().unwrap();
        }
        let sound = log.verify(&mut |_, _| {}).unwrap();
        let to = (&blobs, "backups/shop");
        let done = back_up(
            &mut log.clone(),
            to,
            &disk.environment(4),
            &mut |_, _, _| {},
        );
        assert_eq!(done.unwrap().verified, sound, "{steps}");
        let copy = FaultDisk::new();
        restore_to(&copy, to).unwrap();
        let restored = open(&copy, 5).unwrap();
        check(&restored, 500);
        assert_eq!(restored.verify(&mut |_, _| {}).unwrap(), sound);
        seal_all(&restored);
        check(&restored, 500);
    }
    for name in ["../LOCK", "LOCK", "0000000000-0000000001.run", "x.segment"] {
        assert_eq!(
            log.backup_read(name, 0, &mut [0]).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    assert_eq!(
        log.backup_read("0000000000.segment", 0, &mut [0])
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_missing_sealed_file_is_damage() {
    let disk = FaultDisk::new();
    let log = open(&disk, 1).unwrap();
    make(&log);
    fill(&log, 1, 100);
    seal_all(&log);
    drop(log);
    for name in disk.names() {
        let copy = disk.copy();
        copy.environment(9).files.remove(&name).unwrap();
        if name.to_string_lossy().ends_with(".run") {
            // Runs of the index hold nothing of their own.
            let log = open(&copy, 2).unwrap();
            check(&log, 100);
            log.verify(&mut |_, _| {}).unwrap();
            seal_all(&log);
            check(&log, 100);
            continue;
        }
        let error = open(&copy, 2).expect_err(&format!("{name:?} is missing"));
        assert_eq!(error.kind(), ErrorKind::Damaged, "{name:?}: {error}");
    }
}
