//! The real logs, counted as their README counts them.

use std::collections::HashSet;
use std::path::Path;

use crate::support::{data, real_log};
use foretell_import::{Delimiter, Mapping, TraceData, read};
use foretell_types::{KNOWN_TIME, NewEvent};

fn cdnow_mapping() -> Mapping {
    Mapping {
        delimiter: Some(Delimiter::Whitespace),
        subject: vec!["customer_id".into()],
        subject_prefix: Some("customer/".into()),
        type_value: Some("purchase".into()),
        time: Some("date".into()),
        time_format: Some("%Y%m%d".into()),
        ..Mapping::default()
    }
}

fn check_order(events: &[NewEvent]) {
    let times: Vec<_> = events
        .iter()
        .map(|event| event.time.unwrap().instant())
        .collect();
    assert!(times.is_sorted());
    let ids: HashSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn cdnow() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop/CDNOW_master.txt.gz");
    let mut last = (0, 0);
    let import = read(&path, &cdnow_mapping(), &mut |read, total| {
        last = (read, total)
    })
    .unwrap();
    assert_eq!(last, (import.bytes, import.bytes));
    assert_eq!(
        (import.rows, import.skipped, import.duplicates),
        (69_659, 0, 0)
    );
    assert_eq!(import.events.len(), 69_659);
    let id = import.import_id.clone();
    let events: Vec<_> = import.events.collect();
    check_order(&events);
    let subjects: HashSet<_> = events
        .iter()
        .map(|event| event.subject.as_deref())
        .collect();
    assert_eq!(subjects.len(), 23_570);
    let first = &events[0];
    assert_eq!(first.subject.as_deref(), Some("customer/00001"));
    assert_eq!(first.event_type, "purchase");
    assert_eq!(first.source, "/import/CDNOW_master.txt.gz");
    assert_eq!(data(first), r#"{"number_of_cds":1,"dollar_value":11.77}"#);
    assert_eq!(first.time.unwrap().to_string(), "1997-01-01T00:00:00Z");
    assert_eq!(
        first.extension_str(KNOWN_TIME),
        Some("1997-01-01T00:00:00Z")
    );
    // Again: the same in the same order, also when taken up in the middle.
    let mut again = read(&path, &cdnow_mapping(), &mut |_, _| {}).unwrap();
    assert_eq!(again.import_id, id);
    assert_eq!(again.events.nth(40_000).unwrap(), events[40_000]);
    assert!(again.events.eq(events[40_001..].iter().cloned()));
}

#[test]
fn process_logs() {
    for (name, lifecycle, events, cases, types) in [
        ("Helpdesk.xes.gz", false, 21_348, 4_580, 14),
        ("SEPSIS.xes.gz", false, 15_214, 1_050, 16),
        (
            "bpi_challenge_2013_incidents.xes.gz",
            true,
            65_533,
            7_554,
            13,
        ),
        (
            "BPI_Challenge_2013_closed_problems.xes.gz",
            true,
            6_660,
            1_487,
            7,
        ),
    ] {
        let Some(path) = real_log(name) else { continue };
        let choices = [TraceData::First, TraceData::None, TraceData::All];
        // One reading of the largest is enough.
        for &trace_data in &choices[..if events > 50_000 { 1 } else { 3 }] {
            let mapping = Mapping {
                lifecycle,
                trace_data,
                ..Mapping::default()
            };
            let import = read(&path, &mapping, &mut |_, _| {}).unwrap();
            assert_eq!(import.rows, events, "{name}");
            let read: Vec<_> = import.events.collect();
            check_order(&read);
            let subjects: HashSet<_> = read.iter().map(|event| event.subject.clone()).collect();
            assert_eq!(subjects.len(), cases, "{name}");
            let found: HashSet<_> = read.iter().map(|event| &event.event_type).collect();
            assert_eq!(found.len(), types, "{name}: {found:?}");
            let with_case = read
                .iter()
                .filter(|event| data(event).contains("\"case:concept:name\""));
            let expected = match trace_data {
                TraceData::None => 0,
                TraceData::First => cases,
                TraceData::All => read.len(),
            };
            assert_eq!(with_case.count(), expected, "{name}");
        }
    }
}

#[test]
#[ignore = "a measurement: run it with --release -- --ignored --nocapture"]
fn speed() {
    let cdnow =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop/CDNOW_master.txt.gz");
    let incidents = real_log("bpi_challenge_2013_incidents.xes.gz");
    let logs = [
        (Some(cdnow), cdnow_mapping()),
        (incidents, Mapping::default()),
    ];
    for (path, mapping) in logs {
        let Some(path) = path else { continue };
        let start = std::time::Instant::now();
        let import = read(&path, &mapping, &mut |_, _| {}).unwrap();
        let read = start.elapsed();
        let count = import.events.count();
        let rate = count as f64 / read.as_secs_f64();
        println!(
            "{}: {count} events in {read:?}, {rate:.0}/s",
            path.display()
        );
    }
}
