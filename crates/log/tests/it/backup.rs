//! Backups: whole, checked, and brought up to date by what is new, whatever fails on the way.

use std::path::Path;
use std::sync::Arc;

use crate::support::blobs::{MemoryBlobs, Outage};
use crate::support::shop::{check, event, fill, make, read, seal_all};
use crate::support::{FaultDisk, open_with, small_segments};
use foretell_log::{
    BackedUp, BackupFile, BackupSource, Blobs, EventLog, ReadOptions, back_up, description_of,
    restore, verify_backup,
};
use foretell_types::{ErrorKind, Result};

const FOLDER: &str = "backups/shop";

fn shop(count: u64) -> (FaultDisk, EventLog) {
    let disk = FaultDisk::new();
    let log = open_with(&disk, 1, &small_segments()).unwrap();
    make(&log);
    fill(&log, 1, count);
    seal_all(&log);
    (disk, log)
}

fn backed_up(log: &EventLog, blobs: &MemoryBlobs) -> Result<BackedUp> {
    backed_up_from(&mut log.clone(), log, blobs)
}

fn backed_up_from(
    source: &mut dyn BackupSource,
    log: &EventLog,
    blobs: &MemoryBlobs,
) -> Result<BackedUp> {
    let to: Arc<dyn Blobs> = Arc::new(blobs.clone());
    let environment = log.environment();
    back_up(source, (&to, FOLDER), environment, &mut |_, _, _| {})
}

fn restored(blobs: &MemoryBlobs) -> Result<EventLog> {
    let disk = FaultDisk::new();
    let from = (blobs as &dyn Blobs, FOLDER);
    restore(from, Path::new("/j"), &disk.environment(3), &mut |_, _| {})?;
    open_with(&disk, 4, &small_segments())
}

#[test]
fn a_second_backup_takes_what_is_new() {
    let (_disk, log) = shop(200);
    let blobs = MemoryBlobs::default();
    let first = backed_up(&log, &blobs).unwrap();
    assert_eq!(first.kept, 0);
    assert!(first.files > 8, "{first:?}");
    let description = String::from_utf8(blobs.content(&description_of(FOLDER))).unwrap();
    assert!(
        description.contains(&first.verified.root.to_string()),
        "{description}"
    );

    let again = backed_up(&log, &blobs).unwrap();
    // The manifest too is the one that is there.
    assert_eq!((again.kept, again.files), (first.files - 1, 1));
    fill(&log, 201, 260);
    seal_all(&log);
    let second = backed_up(&log, &blobs).unwrap();
    assert!(
        second.files < 8 && second.kept >= again.kept - 1,
        "{second:?}"
    );
    assert_eq!(second.verified, log.verify(&mut |_, _| {}).unwrap());
    // Nothing is left of what is no longer part of the log.
    let names = blobs.names();
    assert_eq!(
        names.len() as u64,
        second.files + second.kept + 1,
        "{names:?}"
    );
    check(&restored(&blobs).unwrap(), 260);
}

/// A log of 200 events of which, once the first file has been read that isn't sealed, all are.
struct SealsMeanwhile {
    log: EventLog,
    sealed: bool,
}

impl BackupSource for SealsMeanwhile {
    fn backup_files(&mut self) -> Result<Vec<BackupFile>> {
        self.log.backup_files()
    }

    fn backup_read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let read = self.log.backup_read(name, offset, buffer);
        if name.ends_with(".segment") && !self.sealed {
            self.sealed = true;
            fill(&self.log, 201, 260);
            seal_all(&self.log);
        }
        read
    }
}

/// What was copied before the files had to be asked for again isn't taken for an earlier backup's.
#[test]
fn what_is_sealed_while_it_is_copied_is_told_once() {
    let (_disk, log) = shop(200);
    let blobs = MemoryBlobs::default();
    let mut source = SealsMeanwhile {
        log: log.clone(),
        sealed: false,
    };
    let first = backed_up_from(&mut source, &log, &blobs).unwrap();
    assert!(source.sealed);
    assert_eq!(first.kept, 0, "{first:?}");
    assert_eq!(first.verified, log.verify(&mut |_, _| {}).unwrap());
    check(&restored(&blobs).unwrap(), 260);
    let again = backed_up(&log, &blobs).unwrap();
    assert_eq!(again.files, 1, "{again:?}");
}

/// Whatever call fails: the next backup is whole, and says so only then.
#[test]
fn a_backup_that_was_broken_off_is_made_again() {
    let counting = MemoryBlobs::default();
    let prepare = |blobs: &MemoryBlobs| {
        let (disk, log) = shop(60);
        backed_up(&log, blobs).unwrap();
        fill(&log, 61, 90);
        seal_all(&log);
        (disk, log)
    };
    let (_disk, log) = prepare(&counting);
    let from = counting.calls();
    backed_up(&log, &counting).unwrap();
    let calls = counting.calls() - from;
    for at in 1..=calls {
        for outage in [Outage::From, Outage::Answer] {
            let blobs = MemoryBlobs::default();
            let (_disk, log) = prepare(&blobs);
            blobs.fail(Some(outage(blobs.calls() + at)));
            backed_up(&log, &blobs).unwrap_err();
            blobs.fail(None);
            let done = backed_up(&log, &blobs).unwrap();
            assert_eq!(done.verified, log.verify(&mut |_, _| {}).unwrap());
            let events = read(&restored(&blobs).unwrap(), ReadOptions::default());
            assert!((1..=90).zip(&events).all(|(n, e)| e.event == event(n)));
            assert_eq!(events.len(), 90);
        }
    }
}

/// A flipped bit anywhere in a backup is found by its verification, which changes nothing.
#[test]
fn damage_of_a_backup_is_found() {
    let (_disk, log) = shop(30);
    let blobs = MemoryBlobs::default();
    backed_up(&log, &blobs).unwrap();
    let journal = format!("{FOLDER}/journal");
    let names = blobs.names().into_iter();
    for name in names.filter(|name| name.starts_with(&journal)) {
        let good = blobs.content(&name);
        for at in (0..good.len()).step_by(7) {
            let copy = blobs.copy();
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            copy.set(&name, bad.clone());
            let kept: Arc<dyn Blobs> = Arc::new(copy.clone());
            let environment = log.environment();
            let error = verify_backup(&kept, &journal, environment, &mut |_, _| {})
                .expect_err(&format!("byte {at} of {name}"));
            let kind = error.kind();
            assert!(
                matches!(
                    kind,
                    ErrorKind::Damaged | ErrorKind::NewerFormat | ErrorKind::Io
                ),
                "byte {at} of {name}: {error}"
            );
            assert_eq!(copy.content(&name), bad);
            assert_eq!(copy.names(), blobs.names());
        }
    }
}
