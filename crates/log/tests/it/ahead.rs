//! Long scans, which a thread reads ahead for.

use crate::support::{FaultDisk, open_with};
use foretell_log::{Append, EventLog, LogOptions, ReadOptions, Reader};
use foretell_types::{Data, ErrorKind, NewEvent, Position, Query};

const EVENTS: u64 = 30_000;

fn event(n: u64) -> NewEvent {
    NewEvent {
        id: n.to_string(),
        source: "/till".into(),
        event_type: if n.is_multiple_of(2) { "even" } else { "odd" }.into(),
        subject: Some(format!("customer/{}", n % 700)),
        // Now and then one that is larger than what is read at once.
        data: Data::json("7".repeat(if n.is_multiple_of(9_000) { 300_000 } else { 40 })),
        ..NewEvent::default()
    }
}

/// Events of a topic among those of another, in several segments of which none is sealed.
fn filled(disk: &FaultDisk) -> EventLog {
    let options = LogOptions {
        segment_bytes: 1024 * 1024,
        seal_in_background: false,
        ..LogOptions::default()
    };
    let log = open_with(disk, 1, &options).unwrap();
    for (n, name) in [(1, "shop"), (2, "other")] {
        let topic =
            Append::new().create_topic(name.parse().unwrap(), uuid::Uuid::from_u128(n), false);
        log.append_and_wait(topic).unwrap();
    }
    for first in (1..=EVENTS).step_by(100) {
        let mut append = Append::new().events("shop", (first..first + 100).map(event));
        if first % 300 == 1 {
            append = append.events("other", [event(first)]);
        }
        log.append_and_wait(append).unwrap();
    }
    log
}

/// Reads at most so many events, which must be these; gives how many there were.
fn expect(reader: &mut Reader, most: usize, mut numbers: impl Iterator<Item = u64>) -> usize {
    for read in 0..most {
        let Some(found) = reader.next_recorded().unwrap() else {
            assert_eq!(numbers.next(), None);
            return read;
        };
        let n = numbers.next().unwrap();
        assert_eq!((found.position.get(), &found.event), (n, &event(n)));
    }
    most
}

fn was_read_ahead(disk: &FaultDisk) -> bool {
    let processors = std::thread::available_parallelism().unwrap().get();
    disk.reads_ahead() > 2 || processors == 1
}

fn sealed(disk: &FaultDisk) -> EventLog {
    let log = filled(disk);
    while log.seal().unwrap() {}
    log
}

#[test]
fn what_is_read_ahead_is_what_is_there() {
    let disk = FaultDisk::new();
    check_reads(&filled(&disk), &disk);
}

#[test]
fn what_is_sealed_is_read_ahead_too() {
    let disk = FaultDisk::new();
    check_reads(&sealed(&disk), &disk);
}

fn check_reads(log: &EventLog, disk: &FaultDisk) {
    let read = |options| log.read("shop", options).unwrap();
    expect(&mut read(ReadOptions::default()), usize::MAX, 1..=EVENTS);
    assert!(was_read_ahead(disk));
    let part = ReadOptions {
        from: Position::new(5_000),
        until: Position::new(25_500),
        limit: Some(20_000),
        ..ReadOptions::default()
    };
    expect(&mut read(part), usize::MAX, 5_000..25_000);
    let odd = ReadOptions {
        query: Query::types(["odd"]),
        ..ReadOptions::default()
    };
    expect(&mut read(odd), usize::MAX, (1..=EVENTS).step_by(2));
    let back = ReadOptions {
        backward: true,
        ..ReadOptions::default()
    };
    expect(&mut read(back), usize::MAX, (1..=EVENTS).rev());
    // Two at once: with two processors, one of them reads by itself.
    let (mut one, mut other) = (read(ReadOptions::default()), read(ReadOptions::default()));
    let (mut of_one, mut of_other) = (1..=EVENTS, 1..=EVENTS);
    while expect(&mut one, 500, &mut of_one) + expect(&mut other, 500, &mut of_other) > 0 {}
}

#[test]
fn what_is_sealed_while_it_is_read_ahead_is_still_read() {
    let disk = FaultDisk::new();
    let log = filled(&disk);
    let mut reader = log.read("shop", ReadOptions::default()).unwrap();
    let mut numbers = 1..=EVENTS;
    expect(&mut reader, 8_000, &mut numbers);
    assert!(was_read_ahead(&disk));
    while log.seal().unwrap() {}
    expect(&mut reader, usize::MAX, &mut numbers);
}

#[test]
fn damage_ahead_is_told_where_it_is() {
    let disk = FaultDisk::new();
    let log = filled(&disk);
    let damaged = 16_000;
    let subject = event(damaged).subject.unwrap();
    let needle = [damaged.to_string().as_bytes(), b"/till"].concat();
    let names = disk.names().into_iter();
    let mut found = names.filter_map(|name| {
        let mut bytes = disk.read(&name);
        let at = bytes.windows(subject.len() + 200).position(|window| {
            let has = |text: &[u8]| window.windows(text.len()).any(|part| part == text);
            window.starts_with(&needle[..5]) && has(b"/till") && has(subject.as_bytes())
        })?;
        bytes[at] ^= 1;
        disk.write(&name, bytes);
        Some(())
    });
    found.next().unwrap();
    drop(found);
    let mut reader = log.read("shop", ReadOptions::default()).unwrap();
    let mut numbers = 1..;
    expect(&mut reader, damaged as usize - 1, &mut numbers);
    assert!(was_read_ahead(&disk));
    let error = reader.next_recorded().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("position 16000"), "{error}");
}

#[test]
fn damage_ahead_in_what_is_sealed_is_told_where_it_is() {
    let disk = FaultDisk::new();
    drop(sealed(&disk));
    let mut names = disk.names();
    names.retain(|name| name.extension().is_some_and(|kind| kind == "sealed"));
    assert!(names.len() > 2, "{names:?}");
    let name = &names[names.len() / 2];
    let mut bytes = disk.read(name);
    // In the blocks of the topic with most of the events.
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    disk.write(name, bytes);
    let log = open_with(&disk, 2, &LogOptions::default()).unwrap();
    let mut reader = log.read("shop", ReadOptions::default()).unwrap();
    let mut read = 0;
    let error = loop {
        match reader.next_recorded() {
            Ok(found) => {
                read += 1;
                assert_eq!(found.unwrap().event, event(read));
            }
            Err(error) => break error,
        }
    };
    assert!(read > 8_000, "{read}");
    assert!(was_read_ahead(&disk));
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let first = format!("positions {} to ", read + 1);
    assert!(error.to_string().contains(&first), "{error}");
}
