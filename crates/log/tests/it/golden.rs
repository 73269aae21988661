//! Logs of each format version, kept as they were written: every later foretell must read them.
//! `FORETELL_WRITE_GOLDEN=NAME` writes the fixture of a *new* version; an old one is never edited.

use std::path::{Path, PathBuf};

use crate::blobs;
use crate::support::blobs::MemoryBlobs;
use crate::support::{FaultDisk, open_with, small_segments};
use foretell_log::{Append, Archive, ArchiveRule, Environment, EventLog, LogOptions, ReadOptions};
use foretell_types::{Data, ErrorKind, ExtensionValue, NewEvent};

const SEGMENT: &str = "0000000000.segment";

fn fixture(name: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    golden.join(name)
}

fn is_wanted(name: &str) -> bool {
    std::env::var_os("FORETELL_WRITE_GOLDEN").is_some_and(|wanted| wanted == *name)
}

/// One event of each form that the layout has.
fn events() -> Vec<NewEvent> {
    let event = |id: &str, data| NewEvent {
        id: id.into(),
        source: "/golden".into(),
        event_type: "written".into(),
        data,
        ..NewEvent::default()
    };
    let mut full = event("1", Data::json(r#"{"total":12.50}"#));
    full.subject = Some("customer/ü 7".into());
    full.time = Some("2024-05-01T12:30:00.1200+02:00".parse().unwrap());
    full.datacontenttype = Some("application/json".into());
    full.dataschema = Some("https://example.com/schema".into());
    full.set_extension("tags", ExtensionValue::String("a b".into()));
    full.set_extension("count", ExtensionValue::Integer(-7));
    full.set_extension("flag", ExtensionValue::Boolean(true));
    let mut text = event("2", Data::Text("plain".into()));
    text.datacontenttype = Some("text/plain".into());
    let mut zeros = event("3", Data::Binary([&[1][..], &[0; 700], &[2]].concat()));
    zeros.datacontenttype = Some("application/octet-stream".into());
    vec![full, text, zeros, event("4", Data::None)]
}

fn fill(log: &EventLog) {
    let shop = Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false);
    log.append(shop).unwrap().wait().unwrap();
    for event in events() {
        let append = Append::new()
            .events("shop", [event])
            .register("seen", Some(vec![0; 300]));
        log.append(append).unwrap().wait().unwrap();
    }
    log.append(Append::new().register("gone", None))
        .unwrap()
        .wait()
        .unwrap();
}

fn write() {
    let disk = FaultDisk::new();
    let log = EventLog::open_folder(Path::new("/j"), &disk.environment(7)).unwrap();
    fill(&log);
    drop(log);
    let used = without_zeros(disk.read(&Path::new("/j").join(SEGMENT)));
    std::fs::create_dir_all(fixture("v1")).unwrap();
    std::fs::write(fixture("v1").join(SEGMENT), used).unwrap();
}

fn without_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(used.next_multiple_of(8));
    bytes
}

/// A log of which each group has a segment of its own, all but the last sealed.
fn write_sealed(name: &str, archive: Option<Archive>) {
    let disk = FaultDisk::new();
    let options = LogOptions {
        segment_bytes: 1,
        archive,
        ..small_segments()
    };
    let log = open_with(&disk, 7, &options).unwrap();
    fill(&log);
    while log.seal().unwrap() {}
    drop(log);
    std::fs::create_dir_all(fixture(name)).unwrap();
    for path in disk.names() {
        let bytes = without_zeros(disk.read(&path));
        std::fs::write(fixture(name).join(path.file_name().unwrap()), bytes).unwrap();
    }
}

fn check(log: &EventLog) {
    let read = log.read("shop", ReadOptions::default()).unwrap();
    let read = read.collect().unwrap();
    let found: Vec<NewEvent> = read.into_iter().map(|recorded| recorded.event).collect();
    assert_eq!(found, events());
    assert_eq!(log.register("seen").unwrap(), vec![0; 300]);
    let verified = log.verify(&mut |_, _| {}).unwrap();
    assert_eq!((verified.commits, verified.events), (6, 4));
}

/// Copies a folder, and those in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Opens a copy of a fixture.
fn open(name: &str, archive: Option<Archive>) -> (tempfile::TempDir, EventLog) {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture(name), folder.path());
    let options = LogOptions {
        archive,
        ..small_segments()
    };
    let log = EventLog::open_folder_with(folder.path(), &Environment::real(), &options).unwrap();
    (folder, log)
}

/// Manifest of version 1, without an archive; run of version 2.
#[test]
fn sealed_files_are_read() {
    if is_wanted("sealed") {
        write_sealed("sealed", None);
    }
    let (_folder, log) = open("sealed", None);
    let sealing = log.sealing();
    assert_eq!((sealing.sealed_segments, sealing.archived_segments), (5, 0));
    check(&log);
}

/// What a later foretell writes is refused by name, not taken for damage.
#[test]
fn a_newer_manifest_is_refused() {
    let (folder, log) = open("sealed", None);
    drop(log);
    let manifest = folder.path().join("0000000006.manifest");
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[8] = 3;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&manifest, bytes).unwrap();
    let error = EventLog::open_folder(folder.path(), &Environment::real()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error}");
    assert!(
        error.to_string().contains("use a newer foretell"),
        "{error}"
    );
}

fn keep(blobs: &MemoryBlobs, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for name in blobs.names() {
        let file = folder.join(name.replace('/', "+"));
        std::fs::write(file, blobs.content(&name)).unwrap();
    }
}

fn kept_in(folder: &Path) -> MemoryBlobs {
    let blobs = MemoryBlobs::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().replace('+', "/");
        blobs.set(&name, std::fs::read(entry.path()).unwrap());
    }
    blobs
}

/// A journal in blobs: groups, one of which is emptied, a directory, and files.
#[test]
fn a_journal_in_blobs_is_read() {
    let kept = fixture("blobs");
    if is_wanted("blobs") {
        let options = LogOptions {
            segment_bytes: 1,
            ..small_segments()
        };
        let blobs = MemoryBlobs::default();
        let log = blobs::open_with(&blobs, 7, &options).unwrap();
        fill(&log);
        while log.seal().unwrap() {}
        keep(&blobs, &kept);
    }
    let log = blobs::open_with(&kept_in(&kept), 8, &small_segments()).unwrap();
    assert_eq!(log.sealing().sealed_segments, 5);
    check(&log);
}

/// Manifest of version 2, stubs, and blobs of the archive.
#[test]
fn archived_segments_are_read() {
    let blobs = MemoryBlobs::default();
    let rule = ArchiveRule {
        container: "archive".into(),
        keep_bytes: Some(0),
        after: None,
    };
    let kept = fixture("archive");
    if is_wanted("archived") {
        write_sealed("archived", blobs.archive(rule.clone()));
        keep(&blobs, &kept);
    }
    let blobs = kept_in(&kept);
    let (_folder, log) = open("archived", blobs.archive(rule));
    let sealing = log.sealing();
    assert_eq!((sealing.sealed_segments, sealing.archived_segments), (5, 5));
    assert_eq!(blobs.calls(), 0);
    check(&log);
}

#[test]
fn version_1_is_read() {
    if is_wanted("v1") {
        write();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("v1").join(SEGMENT), folder.path().join(SEGMENT)).unwrap();
    let log = EventLog::open_folder(folder.path(), &Environment::real()).unwrap();
    check(&log);
    let root = log.verify(&mut |_, _| {}).unwrap().root.to_string();
    assert_eq!(root, include_str!("../golden/v1/root.txt").trim());
}

/// Two events of people, one of whom was erased.
fn people() -> [NewEvent; 2] {
    ["ann", "bob"].map(|name| NewEvent {
        id: name.into(),
        source: "/golden".into(),
        event_type: "told".into(),
        subject: Some(name.into()),
        data: Data::json(format!(r#"{{"name":"{name}"}}"#)),
        ..NewEvent::default()
    })
}

fn write_erasable(keys: &Path) {
    let disk = FaultDisk::new();
    let options = LogOptions {
        keys: Some("/keys".into()),
        ..small_segments()
    };
    let log = open_with(&disk, 7, &options).unwrap();
    let append = Append::new()
        .create_erasable_topic("people".parse().unwrap(), uuid::Uuid::from_u128(9))
        .events("people", people());
    log.append(append).unwrap().wait().unwrap();
    let gone = ["bob".to_owned()];
    let erased = log.erase("people", &gone, |_| {
        Ok(Append::new().register("erased", Some(vec![1])))
    });
    assert_eq!(erased.unwrap().keys.len(), 1);
    let root = log.root().unwrap().1;
    drop(log);
    std::fs::create_dir_all(keys).unwrap();
    for path in disk.names() {
        let (name, bytes) = (path.file_name().unwrap(), disk.read(&path));
        let (to, bytes) = match path.starts_with("/keys") {
            true => (keys.join(name), bytes),
            false => (fixture("erasable").join(name), without_zeros(bytes)),
        };
        std::fs::write(to, bytes).unwrap();
    }
    std::fs::write(fixture("erasable").join("root.txt"), format!("{root}\n")).unwrap();
}

/// Erasable events, their topic, and a key store of version 1, one of whose keys was destroyed.
#[test]
fn erasable_events_are_read() {
    let keys = fixture("erasable").join("keys");
    if is_wanted("erasable") {
        write_erasable(&keys);
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("erasable"), folder.path());
    let options = LogOptions {
        keys: Some(folder.path().join("keys")),
        ..small_segments()
    };
    let environment = Environment::real();
    let log = EventLog::open_folder_with(folder.path(), &environment, &options).unwrap();
    let read = log.read("people", ReadOptions::default()).unwrap();
    let found = read.collect().unwrap();
    let [ann, bob] = people();
    assert_eq!((found[0].erased, &found[0].event), (false, &ann));
    let without_data = NewEvent {
        data: Data::None,
        ..bob
    };
    assert_eq!((found[1].erased, &found[1].event), (true, &without_data));
    let root = log.verify(&mut |_, _| {}).unwrap().root.to_string();
    let written = std::fs::read_to_string(fixture("erasable").join("root.txt")).unwrap();
    assert_eq!(root, written.trim());
}
