//! A journal of format version 1, kept as it was written: every later foretell must read it.
//! `FORETELL_WRITE_GOLDEN=1` writes the fixture of a *new* version; an old one is never edited.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::path::{Path, PathBuf};

use foretell_log::{Append, Environment, EventLog, ReadOptions};
use foretell_types::{Data, ExtensionValue, NewEvent};
use support::FaultDisk;

const SEGMENT: &str = "0000000000.segment";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(SEGMENT)
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

fn write() {
    let disk = FaultDisk::new();
    let log = EventLog::open_folder(Path::new("/j"), &disk.environment(7)).unwrap();
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
    drop(log);
    let mut bytes = disk.read(&Path::new("/j").join(SEGMENT));
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(used.next_multiple_of(8));
    std::fs::create_dir_all(fixture().parent().unwrap()).unwrap();
    std::fs::write(fixture(), bytes).unwrap();
}

#[test]
fn version_1_is_read() {
    if std::env::var_os("FORETELL_WRITE_GOLDEN").is_some() {
        write();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(), folder.path().join(SEGMENT)).unwrap();
    let log = EventLog::open_folder(folder.path(), &Environment::real()).unwrap();
    let read = log
        .read("shop", ReadOptions::default())
        .unwrap()
        .collect()
        .unwrap();
    let found: Vec<NewEvent> = read.into_iter().map(|recorded| recorded.event).collect();
    assert_eq!(found, events());
    assert_eq!(log.register("seen").unwrap(), vec![0; 300]);
    let verified = log.verify(&mut |_, _| {}).unwrap();
    assert_eq!((verified.commits, verified.events), (6, 4));
    let root = verified.root.to_string();
    assert_eq!(root, include_str!("golden/v1/root.txt").trim());
}
