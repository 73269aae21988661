//! The disk keeps what was synced, and only that for certain.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::path::Path;

use foretell_log::Files;
use sim::disk::{Disk, Fault, Loss, Plan, Struck};
use sim::random::Seeded;

fn disk() -> Disk {
    let disk = Disk::new(Seeded::new(1));
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn content(disk: &Disk) -> Vec<u8> {
    let file = disk.open(Path::new("/d/a")).unwrap();
    let mut bytes = vec![9; 4_096];
    let count = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn what_was_synced_is_there() {
    let disk = disk();
    let file = disk.create(Path::new("/d/a")).unwrap();
    file.write_all_at(&[1; 1_024], 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(&[2; 1_024], 512).unwrap();
    assert_eq!(content(&disk.crash(Loss::All)), [1; 1_024]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let after = content(&disk.crash(Loss::Some));
        assert_eq!(after[..512], [1; 512]);
        seen.insert((after[512], after.len()));
    }
    assert!(
        seen.contains(&(1, 1_024)) && seen.contains(&(2, 1_536)),
        "{seen:?}"
    );
}

#[test]
fn a_name_that_was_not_synced_may_be_lost() {
    let disk = disk();
    disk.create(Path::new("/d/a")).unwrap();
    let there = |loss| disk.crash(loss).open(Path::new("/d/a")).is_ok();
    assert!(!there(Loss::All));
    let kept = (0..100).filter(|_| there(Loss::Some)).count();
    assert!((1..100).contains(&kept), "{kept}");
}

#[test]
fn pages_of_a_failed_sync_are_remembered_and_not_written() {
    let disk = disk();
    let file = disk.create(Path::new("/d/a")).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(&[3; 4_096], 0).unwrap();
    disk.plan(Some(Plan {
        fault: Fault::Error,
        after: 0,
        least: Struck::Writing,
    }));
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(content(&disk), [3; 4_096], "as the system remembers it");
    let after = content(&disk.crash(Loss::All));
    assert!(after.contains(&0), "some of it isn't on the platter");
}
