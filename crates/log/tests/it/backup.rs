//! Backups: whole, checked, and brought up to date by what is new, whatever fails on the way.

use std::sync::Arc;

use crate::support::blobs::{MemoryBlobs, Outage};
use crate::support::shop::{check, event, fill, make, read, seal_all};
use crate::support::{FaultDisk, open_with, restore_to, small_segments};
use foretell_log::{
    BackedUp, BackupFile, BackupSource, Blobs, EventLog, ReadOptions, back_up, verify_backup,
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
    let from: Arc<dyn Blobs> = Arc::new(blobs.clone());
    restore_to(&disk, (&from, FOLDER))?;
    open_with(&disk, 4, &small_segments())
}

#[test]
fn a_second_backup_takes_what_is_new() {
    let (_disk, log) = shop(200);
    let blobs = MemoryBlobs::default();
    let first = backed_up(&log, &blobs).unwrap();
    assert_eq!(first.kept, 0);
    assert!(first.files > 8, "{first:?}");
    let description = String::from_utf8(blobs.content("backups/shop/backup.json")).unwrap();
    assert!(
        description.contains(&first.verified.root.to_string()),
        "{description}"
    );

    let again = backed_up(&log, &blobs).unwrap();
    // Also what isn't sealed is what is there.
    assert_eq!((again.kept, again.files), (first.files, 0));
    fill(&log, 201, 260);
    seal_all(&log);
    let second = backed_up(&log, &blobs).unwrap();
    assert!(
        second.files < 8 && second.kept >= again.kept - 2,
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
    assert_eq!(again.files, 0, "{again:?}");
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
            let error = verify_backup((&kept, FOLDER), environment, &mut |_, _| {})
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

/// Flips a bit of the first blob of a kind; gives its name.
fn flip(blobs: &MemoryBlobs, kind: &str) -> String {
    let name = blobs.names().into_iter().find(|name| name.contains(kind));
    let name = name.unwrap();
    let mut content = blobs.content(&name);
    let middle = content.len() / 2;
    content[middle] ^= 1;
    blobs.set(&name, content);
    name
}

/// What the next backup would keep is copied anew if it isn't what it was.
#[test]
fn a_damaged_backup_is_mended_by_the_next() {
    let (_disk, log) = shop(200);
    let blobs = MemoryBlobs::default();
    let first = backed_up(&log, &blobs).unwrap();
    let name = flip(&blobs, ".sealed");
    let error = restored(&blobs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.message().contains(&name), "{error}");
    let missing = blobs.names().into_iter().rfind(|n| n.contains(".sealed"));
    blobs.remove(&missing.unwrap()).unwrap();
    let again = backed_up(&log, &blobs).unwrap();
    assert_eq!((again.files, again.kept), (2, first.files - 2));
    check(&restored(&blobs).unwrap(), 200);
}

/// A source of which a byte is wrong.
struct Damaged<'a>(EventLog, &'a str);

impl BackupSource for Damaged<'_> {
    fn backup_files(&mut self) -> Result<Vec<BackupFile>> {
        self.0.backup_files()
    }

    fn backup_read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let count = self.0.backup_read(name, offset, buffer)?;
        if name.ends_with(self.1) {
            buffer[count / 2] ^= 1;
        }
        Ok(count)
    }
}

/// Damage of the log doesn't reach the backup that is there.
#[test]
fn a_damaged_log_leaves_the_backup_as_it_was() {
    for kind in [".segment", ".sealed"] {
        let (_disk, log) = shop(200);
        let blobs = MemoryBlobs::default();
        backed_up(&log, &blobs).unwrap();
        let root = log.verify(&mut |_, _| {}).unwrap().root;
        fill(&log, 201, 260);
        let mut source = Damaged(log.clone(), kind);
        let error = backed_up_from(&mut source, &log, &blobs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.message().contains("stays as it was"), "{error}");
        let restored = restored(&blobs).unwrap();
        check(&restored, 200);
        assert_eq!(restored.verify(&mut |_, _| {}).unwrap().root, root);
        backed_up(&log, &blobs).unwrap();
    }
}

/// Neither a backup of another log nor anything else is written over.
#[test]
fn what_is_no_backup_of_this_log_is_left_alone() {
    let (_disk, log) = shop(200);
    let (_other_disk, other) = shop(100);
    fill(&other, 300, 340);
    let blobs = MemoryBlobs::default();
    backed_up(&other, &blobs).unwrap();
    let before = blobs.names();
    let error = backed_up(&log, &blobs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(before.iter().all(|name| blobs.names().contains(name)));
    assert_eq!(
        restored(&blobs).unwrap().root().unwrap(),
        other.root().unwrap()
    );
    for foreign in ["journal/0000000000.segment", "journal/LOCK", "notes.txt"] {
        let blobs = MemoryBlobs::default();
        blobs.set(&format!("{FOLDER}/{foreign}"), vec![1]);
        let error = backed_up(&log, &blobs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains(foreign), "{error}");
        assert_eq!(blobs.names().len(), 1);
    }
}

/// A backup of version 1, which named no files, is read, and brought up to date.
#[test]
fn a_backup_of_version_1_is_read() {
    let (_disk, log) = shop(200);
    let blobs = MemoryBlobs::default();
    let done = backed_up(&log, &blobs).unwrap();
    let old = MemoryBlobs::default();
    for name in blobs.names() {
        let plain = match name.split_once('-') {
            Some((plain, _)) => plain,
            None => continue,
        };
        old.set(plain, blobs.content(&name));
    }
    let text = format!(
        r#"{{"version": 1, "time": "2026-11-24T00:00:00Z", "events": 200, "commits": {}, "root": "{}"}}"#,
        done.verified.commits, done.verified.root
    );
    old.set("backups/shop/backup.json", text.into_bytes());
    check(&restored(&old).unwrap(), 200);
    fill(&log, 201, 260);
    backed_up(&log, &old).unwrap();
    check(&restored(&old).unwrap(), 260);
    assert!(!old.names().iter().any(|name| name.ends_with(".sealed")));
}

#[test]
fn a_description_is_checked() {
    let (_disk, log) = shop(30);
    let blobs = MemoryBlobs::default();
    backed_up(&log, &blobs).unwrap();
    let name = "backups/shop/backup.json";
    let good = String::from_utf8(blobs.content(name)).unwrap();
    for (from, to, kind) in [
        ("\"version\": 2", "\"version\": 3", ErrorKind::NewerFormat),
        ("\"version\": 2", "\"version\": 0", ErrorKind::Damaged),
        ("\"root\": \"", "\"root\": \"0", ErrorKind::Damaged),
        (".segment", ".other", ErrorKind::Damaged),
        ("\"events\": 30", "\"events\": 31", ErrorKind::Damaged),
        ("{", "[", ErrorKind::Damaged),
    ] {
        let blobs = blobs.copy();
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        blobs.set(name, bad.into_bytes());
        let error = restored(&blobs).expect_err(to);
        assert_eq!(error.kind(), kind, "{to}: {error}");
    }
}

/// A source during whose copying another backup is made in the same place.
struct Overtaken<'a>(EventLog, &'a MemoryBlobs, bool);

impl BackupSource for Overtaken<'_> {
    fn backup_files(&mut self) -> Result<Vec<BackupFile>> {
        let files = self.0.backup_files();
        if !self.2 {
            self.2 = true;
            fill(&self.0, 201, 260);
            backed_up(&self.0, self.1)?;
        }
        files
    }

    fn backup_read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.0.backup_read(name, offset, buffer)
    }
}

/// Of two backups in one place, the one that began before the other was done leaves it.
#[test]
fn an_overtaken_backup_gives_way() {
    for earlier in [false, true] {
        let (_disk, log) = shop(200);
        let blobs = MemoryBlobs::default();
        if earlier {
            backed_up(&log, &blobs).unwrap();
        }
        let mut source = Overtaken(log.clone(), &blobs, false);
        let error = backed_up_from(&mut source, &log, &blobs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        check(&restored(&blobs).unwrap(), 260);
        assert_eq!(backed_up(&log, &blobs).unwrap().files, 0);
    }
}

/// What a backup that failed has copied is removed.
#[test]
fn a_failed_backup_leaves_nothing() {
    let (_disk, log) = shop(200);
    let blobs = MemoryBlobs::default();
    backed_up_from(&mut Damaged(log.clone(), ".sealed"), &log, &blobs).unwrap_err();
    assert_eq!(blobs.names(), [""; 0]);
}
