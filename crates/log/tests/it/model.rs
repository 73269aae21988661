//! Random appends and reads against a plain reference model.

use crate::support::blobs::MemoryBlobs;
use crate::support::{FaultDisk, open_with, small_segments};
use foretell_log::{Append, ArchiveRule, EventLog, LogOptions, MemoryJournal, ReadOptions};
use foretell_types::{
    AppendCondition, Data, ErrorKind, ExpectedRevision, ExtensionValue, NewEvent, Position, Query,
    QueryItem, Revision,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Step {
    events: Vec<(u8, u8, u8, u8)>,
    expect: Option<(u8, Option<u64>)>,
    condition: Option<(Query, Option<u64>)>,
    reopen: bool,
    /// Pieces of the work in the background that are done after it.
    seal: u8,
}

fn subject(n: u8) -> Option<String> {
    (n > 0).then(|| format!("s/{n}"))
}

fn event((id, s, t, tag): (u8, u8, u8, u8)) -> NewEvent {
    let mut event = NewEvent {
        id: id.to_string(),
        source: "/model".into(),
        event_type: format!("t{t}"),
        subject: subject(s),
        time: format!("2024-01-01T00:00:{:02}.5Z", id % 60).parse().ok(),
        data: Data::json(format!("{{\"v\":{}}}", id % 2)),
        ..NewEvent::default()
    };
    if tag > 0 {
        event.set_extension("tags", ExtensionValue::String(format!("a{tag} all")));
    }
    event
}

fn query() -> impl Strategy<Value = Query> {
    let item = (
        prop::collection::vec(0u8..3, 0..2),
        prop::collection::vec(1u8..4, 0..2),
        0u8..3,
        prop::option::of(1u8..3),
    )
        .prop_map(|(types, subjects, tag, prefix)| QueryItem {
            types: types.into_iter().map(|t| format!("t{t}")).collect(),
            subjects: subjects.into_iter().filter_map(subject).collect(),
            subject_prefix: prefix.map(|n| format!("s/{n}")),
            tags: if tag > 0 {
                vec![format!("a{tag}")]
            } else {
                vec![]
            },
        });
    prop::collection::vec(item, 0..3).prop_map(|items| Query { items })
}

fn step() -> impl Strategy<Value = Step> {
    (
        prop::collection::vec((0u8..60, 0u8..4, 0u8..3, 0u8..3), 1..4),
        prop::option::weighted(0.3, (1u8..4, prop::option::of(0u64..4))),
        prop::option::weighted(0.3, (query(), prop::option::of(1u64..30))),
        prop::bool::weighted(0.1),
        0u8..3,
    )
        .prop_map(|(events, expect, condition, reopen, seal)| Step {
            events,
            expect,
            condition,
            reopen,
            seal,
        })
}

/// The log as plainly as it can be said.
#[derive(Default)]
struct Model(Vec<NewEvent>);

#[derive(PartialEq, Debug)]
enum Answer {
    Positions(Vec<u64>),
    Refused(ErrorKind),
}

impl Model {
    fn append(&mut self, step: &Step) -> Answer {
        let events: Vec<NewEvent> = step.events.iter().map(|e| event(*e)).collect();
        let mut all = self.0.clone();
        let mut positions = Vec::new();
        let mut known = 0;
        for event in &events {
            match all.iter().position(|e| e.id == event.id) {
                Some(at) if all[at] != *event => return Answer::Refused(ErrorKind::Conflict),
                Some(at) => {
                    known += usize::from(at < self.0.len());
                    positions.push(at as u64 + 1);
                }
                None => {
                    all.push(event.clone());
                    positions.push(all.len() as u64);
                }
            }
        }
        if known == events.len() {
            return Answer::Positions(positions);
        }
        let conditional = step.expect.is_some() || step.condition.is_some();
        if conditional && known > 0 {
            return Answer::Refused(ErrorKind::Conflict);
        }
        if let Some((s, expected)) = step.expect {
            let last =
                (self.0.iter().filter(|e| e.subject == subject(s)).count() as u64).checked_sub(1);
            if last != expected {
                return Answer::Refused(ErrorKind::ConditionFailed);
            }
        }
        if let Some((query, after)) = &step.condition
            && self
                .0
                .iter()
                .skip(after.unwrap_or(0) as usize)
                .any(|e| query.matches(e))
        {
            return Answer::Refused(ErrorKind::ConditionFailed);
        }
        self.0 = all;
        Answer::Positions(positions)
    }
}

fn ask(log: &EventLog, step: &Step) -> Answer {
    let mut append = Append::new().events("shop", step.events.iter().map(|e| event(*e)));
    if let Some((s, expected)) = step.expect {
        let expected = expected.map_or(ExpectedRevision::None, |r| {
            ExpectedRevision::Exact(Revision::new(r))
        });
        append = append.expect("shop", &subject(s).unwrap(), expected);
    }
    if let Some((query, after)) = &step.condition {
        let after = after.and_then(Position::new);
        append = append.condition(
            "shop",
            AppendCondition {
                fail_if_events_match: query.clone(),
                after,
            },
        );
    }
    match log.append(append).unwrap().wait() {
        Ok(done) => Answer::Positions(done.events.iter().map(|e| e.position.get()).collect()),
        Err(error) => Answer::Refused(error.kind()),
    }
}

/// Sealed segments beyond so many bytes are archived.
fn open(disk: &FaultDisk, blobs: &MemoryBlobs, keep_bytes: u64) -> EventLog {
    let rule = ArchiveRule {
        container: "archive".into(),
        keep_bytes: Some(keep_bytes),
        ..ArchiveRule::default()
    };
    let options = LogOptions {
        archive: blobs.archive(rule),
        ..small_segments()
    };
    open_with(disk, 5, &options).unwrap()
}

fn check_read(
    log: &EventLog,
    model: &Model,
    query: &Query,
    from: u64,
    until: u64,
    backward: bool,
    limit: u64,
) {
    let (first, last) = if backward {
        (until, from)
    } else {
        (from, until)
    };
    let options = ReadOptions {
        from: Position::new(first),
        until: Position::new(last),
        backward,
        limit: Some(limit),
        query: query.clone(),
        ..ReadOptions::default()
    };
    let read = log.read("shop", options).unwrap().collect().unwrap();
    let mut expected: Vec<(u64, &NewEvent)> = (1..)
        .zip(&model.0)
        .filter(|(p, e)| (from..=until).contains(p) && query.matches(e))
        .collect();
    if backward {
        expected.reverse();
    }
    expected.truncate(limit as usize);
    assert_eq!(
        read.iter()
            .map(|e| (e.position.get(), &e.event))
            .collect::<Vec<_>>(),
        expected
    );
    for recorded in &read {
        let before = model.0[..recorded.position.get() as usize - 1]
            .iter()
            .filter(|e| e.subject == recorded.event.subject)
            .count();
        let revision = recorded
            .event
            .subject
            .as_ref()
            .map(|_| Revision::new(before as u64));
        assert_eq!(recorded.revision, revision);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn equals_the_model(
        steps in prop::collection::vec(step(), 1..40),
        reads in prop::collection::vec((query(), 1u64..40, 0u64..60, any::<bool>(), 1u64..50), 4),
        keep in 0u64..6_000,
    ) {
        let (disk, blobs) = (FaultDisk::new(), MemoryBlobs::default());
        let mut log = open(&disk, &blobs, keep);
        log.append(Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::nil(), false)).unwrap().wait().unwrap();
        let mut model = Model::default();
        for step in &steps {
            prop_assert_eq!(ask(&log, step), model.append(step));
            for _ in 0..step.seal {
                log.seal().unwrap();
            }
            if step.reopen {
                drop(log);
                log = open(&disk, &blobs, keep);
            }
        }
        prop_assert_eq!(log.head("shop").unwrap().map_or(0, Position::get), model.0.len() as u64);
        for (query, from, more, backward, limit) in &reads {
            check_read(&log, &model, query, *from, from + more, *backward, *limit);
            check_read(&log, &model, &Query::all(), *from, from + more, *backward, *limit);
        }
        prop_assert_eq!(log.verify(&mut |_, _| {}).unwrap().events, model.0.len() as u64);
    }
}

/// Many writers at once: each commit is whole, in order, and every condition holds against
/// what was staged in the same group.
#[test]
fn concurrent_conditional_appends_make_one_history() {
    let environment = foretell_log::Environment::real();
    let log = EventLog::open(Box::new(MemoryJournal::new()), &environment, &mut |_, _| {}).unwrap();
    log.append(Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::nil(), false))
        .unwrap()
        .wait()
        .unwrap();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let log = log.clone();
            scope.spawn(move || {
                for n in 0..200 {
                    loop {
                        let last = log.revision("shop", "counter").unwrap();
                        let expected = last.map_or(ExpectedRevision::None, ExpectedRevision::Exact);
                        let event = NewEvent {
                            id: format!("{writer}-{n}"),
                            source: "/w".into(),
                            event_type: "counted".into(),
                            subject: Some("counter".into()),
                            data: Data::json(Revision::after(last).to_string()),
                            ..NewEvent::default()
                        };
                        let append = Append::new()
                            .events("shop", [event])
                            .expect("shop", "counter", expected);
                        match log.append(append).unwrap().wait() {
                            Ok(_) => break,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::ConditionFailed),
                        }
                    }
                }
            });
        }
    });
    let events = log
        .read("shop", ReadOptions::stream("counter"))
        .unwrap()
        .collect()
        .unwrap();
    assert_eq!(events.len(), 1600);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.event.data, Data::json(n.to_string()));
    }
}

#[tokio::test]
async fn a_commit_spans_topics_and_registers() {
    let environment = foretell_log::Environment::real();
    let log = EventLog::open(Box::new(MemoryJournal::new()), &environment, &mut |_, _| {}).unwrap();
    let both = Append::new()
        .create_topic("one".parse().unwrap(), uuid::Uuid::from_u128(1), false)
        .create_topic("two".parse().unwrap(), uuid::Uuid::from_u128(2), true)
        .events("one", [event((1, 1, 1, 0))])
        .events("two", [event((1, 2, 1, 0))])
        .register("checkpoint", Some(vec![1]));
    log.append(both).unwrap().await.unwrap();
    assert_eq!(
        log.topics()
            .iter()
            .map(|t| t.name.as_str())
            .collect::<Vec<_>>(),
        ["one", "two"]
    );
    let watching = log.watch("one").unwrap();
    assert_eq!(*watching.borrow(), 1);
    // A known id with other content: refused by one topic, taken by the other.
    let other = NewEvent {
        data: Data::json("2"),
        ..event((1, 1, 1, 0))
    };
    let refused = log
        .append(
            Append::new()
                .events("two", [other.clone()])
                .events("one", [other.clone()]),
        )
        .unwrap()
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(
        log.head("two").unwrap().unwrap().get(),
        1,
        "nothing is half done"
    );
    log.append(Append::new().events("two", [other]))
        .unwrap()
        .await
        .unwrap();
    log.append(
        Append::new()
            .delete_topic("one")
            .register("checkpoint", None),
    )
    .unwrap()
    .await
    .unwrap();
    assert_eq!(log.register("checkpoint"), None);
    assert_eq!(
        log.read("one", ReadOptions::default()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    log.append(Append::new().create_topic("one".parse().unwrap(), uuid::Uuid::from_u128(3), false))
        .unwrap()
        .await
        .unwrap();
    assert_eq!(log.topic("one").unwrap().uuid, uuid::Uuid::from_u128(3));
    assert_eq!(log.topic("one").unwrap().head, None);
}
