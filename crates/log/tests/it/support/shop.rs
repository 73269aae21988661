//! A topic of numbered events, of which every query is known.

use foretell_log::{Append, EventLog, ReadOptions, Verified};
use foretell_types::{
    Data, ExtensionValue, NewEvent, Position, Query, QueryItem, RecordedEvent, Result,
};

pub fn event(n: u64) -> NewEvent {
    let mut event = NewEvent {
        id: n.to_string(),
        source: "/test".into(),
        event_type: format!("type{}", n % 2),
        subject: (!n.is_multiple_of(5)).then(|| format!("s{}/{}", n % 3, n % 7)),
        time: format!(
            "2024-01-01T{:02}:{:02}:{:02}Z",
            n / 3600 % 24,
            n / 60 % 60,
            n % 60
        )
        .parse()
        .ok(),
        data: Data::json(format!(
            r#"{{"n":{n},"text":"{}"}}"#,
            "x".repeat(n as usize % 90)
        )),
        ..NewEvent::default()
    };
    event.set_extension(
        "tags",
        ExtensionValue::String(format!("all n{} m{}", n % 11, n / 100)),
    );
    event
}

pub fn make(log: &EventLog) {
    let shop = Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false);
    log.append(shop).unwrap().wait().unwrap();
}

/// Appends the events from one number to another, a few in each commit.
pub fn fill(log: &EventLog, from: u64, until: u64) {
    let numbers: Vec<u64> = (from..=until).collect();
    for some in numbers.chunks(3) {
        let append = Append::new()
            .events("shop", some.iter().map(|n| event(*n)))
            .register("last", Some(until.to_le_bytes().to_vec()));
        log.append(append).unwrap().wait().unwrap();
    }
}

pub fn seal_all(log: &EventLog) -> u64 {
    let mut steps = 0;
    while log.seal().unwrap() {
        steps += 1;
    }
    steps
}

pub fn read(log: &EventLog, options: ReadOptions) -> Vec<RecordedEvent> {
    log.read("shop", options).unwrap().collect().unwrap()
}

pub fn item(types: &[&str], subjects: &[&str], prefix: Option<&str>, tags: &[&str]) -> QueryItem {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    QueryItem {
        types: owned(types),
        subjects: owned(subjects),
        subject_prefix: prefix.map(str::to_owned),
        tags: owned(tags),
    }
}

pub fn queries() -> Vec<Query> {
    let of = |items: Vec<QueryItem>| Query { items };
    vec![
        Query::all(),
        of(vec![item(&[], &["s1/4"], None, &[])]),
        of(vec![item(&["type1"], &["s1/4", "s2/6", "none"], None, &[])]),
        of(vec![item(&["type0"], &[], None, &[])]),
        of(vec![item(&[], &[], Some("s2/"), &["n3"])]),
        of(vec![item(&[], &[], Some("s1/4"), &[])]),
        of(vec![item(&[], &[], None, &["m7"])]),
        of(vec![
            item(&["type1"], &[], None, &["n5", "m12"]),
            item(&[], &["s0/3"], None, &[]),
        ]),
        of(vec![item(&["none"], &[], None, &[])]),
        of(vec![item(&[], &["s1/4"], None, &["n7"])]),
    ]
}

/// What verifying finds; whether or not all can be read, no event is a wrong one.
pub fn read_and_verify(log: &EventLog) -> Result<Verified> {
    if let Ok(events) = log.read("shop", ReadOptions::default())?.collect() {
        assert!((1..).zip(&events).all(|(n, e)| e.event == event(n)));
    }
    log.verify(&mut |_, _| {})
}

/// Every query, both directions, several bounds: as filtered from all events by hand.
pub fn check(log: &EventLog, count: u64) {
    let all: Vec<NewEvent> = (1..=count).map(event).collect();
    for query in queries() {
        for (first, last) in [
            (1, count),
            (count / 3, count / 3 + 40),
            (count - 5, count + 9),
        ] {
            let mut expected: Vec<u64> = (first.max(1)..=last.min(count))
                .filter(|n| query.matches(&all[*n as usize - 1]))
                .collect();
            for backward in [false, true] {
                let (from, until) = if backward {
                    (last, first)
                } else {
                    (first, last)
                };
                let found = read(
                    log,
                    ReadOptions {
                        from: Position::new(from),
                        until: Position::new(until),
                        backward,
                        query: query.clone(),
                        ..ReadOptions::default()
                    },
                );
                let positions: Vec<u64> = found.iter().map(|e| e.position.get()).collect();
                assert_eq!(positions, expected, "{query:?} {first} {last} {backward}");
                for recorded in &found {
                    assert_eq!(recorded.event, all[recorded.position.get() as usize - 1]);
                }
                expected.reverse();
            }
        }
    }
    for (from, until) in [(100, 160), (700, 701), (0, 5), (count + 5, count + 9)] {
        let bound = |n: u64| event(n).time.map(|time| time.instant());
        for backward in [false, true] {
            let found = read(
                log,
                ReadOptions {
                    time_from: bound(from),
                    time_until: bound(until),
                    backward,
                    ..ReadOptions::default()
                },
            );
            let mut expected: Vec<u64> = (from.max(1)..=until.min(count)).collect();
            if backward {
                expected.reverse();
            }
            let positions: Vec<u64> = found.iter().map(|e| e.position.get()).collect();
            assert_eq!(positions, expected, "{from} {until} {backward}");
        }
    }
}
