//! Random definitions over random logs, asked at random moments. What a follower answers, stopped
//! and started again in between, is what a replay gives, what a dataset has in its columns, and
//! what loops over a list find.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::plain::{self, Event, SECOND, TOPICS, same};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use foretell_log::{Append, Environment, EventLog, MemoryJournal, ReadOptions};
use foretell_projections::{Ask, Known, Options, Projections};
use foretell_state::{Definition, KeyState, Keys, Stamp};
use foretell_types::{Data, Instant, NewEvent, RecordedEvent, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use serde_json::Value as Json;

/// What is asked: a key, an instant, and how much is known.
#[derive(Clone, Debug)]
struct Question {
    key: &'static str,
    /// Without one windows end at `as_of`.
    at: Option<i64>,
    as_of: i64,
    /// Of a thousand: the share of each topic that is known, or of record times.
    known: PlainKnown,
}

#[derive(Clone, Debug)]
enum PlainKnown {
    Head,
    Positions([u64; TOPICS.len()]),
    Time(u64),
}

fn question() -> impl Strategy<Value = Question> {
    let known = prop_oneof![
        1 => Just(PlainKnown::Head),
        2 => [0..=1_000u64, 0..=1_000u64].prop_map(PlainKnown::Positions),
        1 => (0..=1_000u64).prop_map(PlainKnown::Time),
    ];
    let key = prop::sample::select(vec!["k0", "k1", "k2", "none"]);
    (key, prop::option::weighted(0.8, 0i64..90), 0i64..90, known).prop_map(
        |(key, at, as_of, known)| Question {
            key,
            at,
            as_of,
            known,
        },
    )
}

/// The columns that are expected; `None` if nothing was known of the key.
fn expected(
    definition: &plain::Definition,
    events: &[Event],
    record_times: &[i64],
    question: &Question,
) -> Option<(Vec<Json>, i64)> {
    let heads = heads(events);
    let at_share = |share: u64, of: u64| share * (of + 1) / 1_001;
    let known = |index: usize, event: &Event| match &question.known {
        PlainKnown::Head => true,
        PlainKnown::Positions(shares) => {
            event.position <= at_share(shares[event.topic], heads[event.topic])
        }
        PlainKnown::Time(share) => record_times[index] <= time_at(record_times, *share),
    };
    let of_key = events.iter().enumerate().filter(|(index, event)| {
        event.keys.contains(&question.key) && definition.passes(event) && known(*index, event)
    });
    let known: Vec<&Event> = of_key.map(|(_, event)| event).collect();
    if known.is_empty() {
        return None;
    }
    let mut seen = known;
    seen.retain(|event| question.at.is_none_or(|at| event.time <= at));
    seen.sort_by_key(|event| (event.time, event.topic, event.position));
    let last = seen.last().map_or(i64::MIN, |event| event.time);
    let at = question.at.unwrap_or(question.as_of).max(last);
    Some((definition.values(&seen, at), at))
}

fn heads(events: &[Event]) -> [u64; TOPICS.len()] {
    let mut heads = [0; TOPICS.len()];
    for event in events {
        heads[event.topic] = event.position;
    }
    heads
}

/// A record time of the log, by its share.
fn time_at(record_times: &[i64], share: u64) -> i64 {
    let index = share as usize * record_times.len() / 1_001;
    record_times.get(index).copied().unwrap_or(0)
}

fn ask(question: &Question, events: &[Event], record_times: &[i64], topics: usize) -> Ask {
    let heads = heads(events);
    Ask {
        at: question.at.map(|at| at * SECOND),
        as_of: Some(question.as_of * SECOND),
        known: match &question.known {
            PlainKnown::Head => Known::Head,
            PlainKnown::Time(share) => Known::Time(time_at(record_times, *share)),
            PlainKnown::Positions(shares) => Known::Positions(
                (0..topics)
                    .map(|topic| shares[topic] * (heads[topic] + 1) / 1_001)
                    .collect(),
            ),
        },
    }
}

fn recorded(event: &Event) -> NewEvent {
    let key = match &event.keys[..] {
        [] => "null".to_owned(),
        [key] => format!("\"{key}\""),
        keys => format!("[\"{}\"]", keys.join("\",\"")),
    };
    let mut data = format!("{{\"k\":{key}");
    let mut field = |name: &str, value: Option<String>| {
        // What isn't there is null, and so is null.
        let value = value.or_else(|| event.position.is_multiple_of(2).then(|| "null".to_owned()));
        if let Some(value) = value {
            data.push_str(&format!(",\"{name}\":{value}"));
        }
    };
    field("a", event.a.map(|value| value.to_string()));
    field("f", event.f.map(|value| format!("{value:?}")));
    field("t", event.t.map(|value| format!("\"{value}\"")));
    field("b", event.b.map(|value| value.to_string()));
    data.push('}');
    NewEvent {
        id: format!("{}/{}", event.topic, event.position),
        source: "/test".into(),
        event_type: event.kind.into(),
        time: Some(Timestamp::from_instant(Instant::from_nanos(
            event.time * SECOND,
        ))),
        data: Data::json(data),
        ..NewEvent::default()
    }
}

async fn append(log: &EventLog, events: &[Event]) {
    // One at a time: the order of two topics is that of the events.
    for event in events {
        let append = Append::new().events(TOPICS[event.topic], vec![recorded(event)]);
        log.append(append).unwrap().await.unwrap();
    }
}

fn read(log: &EventLog, events: &[Event]) -> Vec<RecordedEvent> {
    let mut topics = TOPICS.map(|topic| {
        let read = log.read(topic, ReadOptions::default()).unwrap();
        read.collect().unwrap().into_iter()
    });
    events
        .iter()
        .map(|event| topics[event.topic].next().unwrap())
        .collect()
}

fn to_columns(json: &str) -> Vec<Json> {
    let columns: serde_json::Map<String, Json> = serde_json::from_str(json).unwrap();
    let column = |index: usize| columns[&format!("c{index}")].clone();
    (0..columns.len()).map(column).collect()
}

#[track_caller]
fn compare(
    who: &str,
    sql: &str,
    question: &Question,
    ours: Option<&[Json]>,
    plain: Option<&[Json]>,
) {
    let fits = match (ours, plain) {
        (Some(ours), Some(plain)) => {
            ours.len() == plain.len() && ours.iter().zip(plain).all(|(a, b)| same(a, b))
        }
        (ours, plain) => ours.is_none() && plain.is_none(),
    };
    assert!(
        fits,
        "{who}: {sql}\n{question:?}\n is    {ours:?}\n plain {plain:?}"
    );
}

/// What the follower answers, and which events it gives as the reason.
async fn check_follower(
    projections: &Arc<Projections>,
    drawn: &plain::Definition,
    events: &[Event],
    record_times: &[i64],
    questions: &[Question],
) {
    let (projection, _) = projections.get("p").unwrap();
    let heads = heads(events);
    let patience = Duration::from_secs(60);
    projection
        .reached(&heads[..drawn.topics], patience)
        .await
        .unwrap();
    let (definition, sql) = (projection.definition(), drawn.sql());
    for question in questions {
        let plain = expected(drawn, events, record_times, question);
        let ask = ask(question, events, record_times, drawn.topics);
        let found = projection.state(question.key, &ask, 0).unwrap();
        let ours = found.map(|mut found| {
            let values = found.state.outputs(definition, found.as_of);
            to_columns(&definition.to_json(&values))
        });
        let told = plain.as_ref().map(|(values, _)| &values[..]);
        compare("follower", &sql, question, ours.as_deref(), told);
        let Some((_, at)) = plain else {
            continue;
        };
        for (index, aggregate) in drawn.aggregates.iter().enumerate() {
            let column = Some(&definition.outputs[index]);
            let asks = std::slice::from_ref(&ask);
            let states = projection.states(question.key, asks, 0, column).unwrap();
            let (_, reasons) = states.into_iter().next().unwrap().unwrap();
            let seen = seen(drawn, events, record_times, question);
            let taken = aggregate.taken(&seen, at);
            match aggregate.is_of_all() {
                true => assert_eq!(reasons.len(), taken.len(), "{sql} {question:?}"),
                false => assert_eq!(
                    reasons.is_empty(),
                    is_nothing(aggregate, taken.len()),
                    "{sql}"
                ),
            }
            if let (
                plain::Function::Min
                | plain::Function::Max
                | plain::Function::Last
                | plain::Function::First,
                Some(values),
            ) = (aggregate.function, reasons.values().next())
            {
                // The one that decides has the value.
                let value: Json = serde_json::from_str(&values[0].to_json()).unwrap();
                let column = &ours.as_ref().unwrap()[index];
                assert!(same(&value, column), "{sql} {question:?}: {value} {column}");
            }
        }
    }
}

/// Whether an aggregate has no value although it took so many.
fn is_nothing(aggregate: &plain::Aggregate, taken: usize) -> bool {
    match aggregate.function {
        plain::Function::NthLast(n) => taken < n,
        _ => taken == 0,
    }
}

fn seen<'e>(
    drawn: &plain::Definition,
    events: &'e [Event],
    record_times: &[i64],
    question: &Question,
) -> Vec<&'e Event> {
    let heads = heads(events);
    let mut seen: Vec<&Event> = events
        .iter()
        .enumerate()
        .filter(|(index, event)| match &question.known {
            PlainKnown::Head => true,
            PlainKnown::Positions(shares) => {
                event.position <= shares[event.topic] * (heads[event.topic] + 1) / 1_001
            }
            PlainKnown::Time(share) => record_times[*index] <= time_at(record_times, *share),
        })
        .map(|(_, event)| event)
        .filter(|event| event.keys.contains(&question.key) && drawn.passes(event))
        .filter(|event| question.at.is_none_or(|at| event.time <= at))
        .collect();
    seen.sort_by_key(|event| (event.time, event.topic, event.position));
    seen
}

/// All events of the log, folded anew in their order.
fn check_replay(
    definition: &Definition,
    drawn: &plain::Definition,
    log: &EventLog,
    events: &[Event],
    questions: &[Question],
) {
    let recorded = read(log, events);
    for question in questions {
        let question = Question {
            known: PlainKnown::Head,
            ..question.clone()
        };
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|index| {
            let event = &events[*index];
            (event.time, event.topic, event.position)
        });
        let (mut state, mut known) = (KeyState::new(definition), false);
        for index in order {
            let mut inputs = Vec::new();
            definition.extractor.read(&recorded[index], &mut inputs);
            let touches = match definition.keys(&inputs) {
                Keys::One(key) => key == question.key,
                Keys::Many(keys) => keys.iter().any(|key| key == question.key),
                Keys::None | Keys::TooLarge => false,
            };
            let event = &events[index];
            known |= touches;
            if touches && question.at.is_none_or(|at| event.time <= at) {
                let stamp = Stamp {
                    time: event.time * SECOND,
                    topic: event.topic as u32,
                    position: event.position,
                };
                state.lift(definition, stamp, &inputs);
            }
        }
        let plain = expected(drawn, events, &[], &question);
        let ours = known.then(|| {
            let last = state.last().map_or(i64::MIN, |last| last.time);
            let at = (question.at.unwrap_or(question.as_of) * SECOND).max(last);
            to_columns(&definition.to_json(&state.outputs(definition, at)))
        });
        let told = plain.as_ref().map(|(values, _)| &values[..]);
        compare("replay", &drawn.sql(), &question, ours.as_deref(), told);
    }
}

/// The events of one topic as a table, a row for each key that an event names; instants as labels.
fn check_columns(
    folder: &Path,
    definition: &Definition,
    drawn: &plain::Definition,
    events: &[Event],
    questions: &[Question],
) {
    let rows: Vec<(&Event, &str)> = events
        .iter()
        .flat_map(|event| event.keys.iter().map(move |key| (event, *key)))
        .collect();
    let asked: Vec<(&str, i64)> = questions
        .iter()
        .map(|question| (question.key, question.at.unwrap_or(question.as_of)))
        .collect();
    if rows.is_empty() || asked.is_empty() {
        return;
    }
    let times = |times: Vec<i64>| -> ArrayRef {
        let nanos = times.into_iter().map(|time| time * SECOND);
        Arc::new(TimestampNanosecondArray::from_iter_values(nanos))
    };
    let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let path = folder.join(name);
        let columns = columns.into_iter().map(|(name, array)| (name, array, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    };
    let keys = rows.iter().map(|(_, key)| Some(*key));
    let kinds = rows.iter().map(|(event, _)| Some(event.kind));
    let texts = rows.iter().map(|(event, _)| event.t);
    let table = write(
        "events.parquet",
        vec![
            ("entity", Arc::new(keys.collect::<StringArray>())),
            (
                "ts",
                times(rows.iter().map(|(event, _)| event.time).collect()),
            ),
            ("type", Arc::new(kinds.collect::<StringArray>())),
            (
                "a",
                Arc::new(
                    rows.iter()
                        .map(|(event, _)| event.a)
                        .collect::<Int64Array>(),
                ),
            ),
            (
                "f",
                Arc::new(
                    rows.iter()
                        .map(|(event, _)| event.f)
                        .collect::<Float64Array>(),
                ),
            ),
            ("t", Arc::new(texts.collect::<StringArray>())),
            (
                "b",
                Arc::new(
                    rows.iter()
                        .map(|(event, _)| event.b)
                        .collect::<BooleanArray>(),
                ),
            ),
        ],
    );
    let keys = asked.iter().map(|(key, _)| Some(*key));
    let labels = write(
        "labels.parquet",
        vec![
            ("entity", Arc::new(keys.collect::<StringArray>())),
            ("ts", times(asked.iter().map(|(_, at)| *at).collect())),
        ],
    );
    let out = folder.join("out.parquet");
    let tables = [table];
    let files = foretell_lake::Files {
        events: &tables,
        key: "entity",
        time: "ts",
        known_time: None,
        labels: &labels,
        label_key: "entity",
        label_time: "ts",
        definition,
        partition_by: &[],
        again: None,
    };
    files.build(&out, &|_: &str, _, _| Ok(())).unwrap();
    let file = std::fs::File::open(&out).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut columns = vec![Vec::new(); definition.outputs.len()];
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        for (index, column) in columns.iter_mut().enumerate() {
            let array = batch.column_by_name(&format!("c{index}")).unwrap();
            column.extend((0..batch.num_rows()).map(|row| cell(array, row)));
        }
    }
    for (row, (question, (_, at))) in questions.iter().zip(&asked).enumerate() {
        let question = Question {
            at: Some(*at),
            known: PlainKnown::Head,
            ..question.clone()
        };
        // Rows out are rows in: a key of which nothing is known has the values of no events.
        let seen = seen(drawn, events, &[], &question);
        let plain = drawn.values(&seen, *at);
        let ours: Vec<Json> = columns.iter().map(|column| column[row].clone()).collect();
        compare(
            "columns",
            &drawn.sql(),
            &question,
            Some(&ours),
            Some(&plain),
        );
    }
}

fn cell(array: &ArrayRef, row: usize) -> Json {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};
    if array.is_null(row) {
        return Json::Null;
    }
    if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        return ints.value(row).into();
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return floats.value(row).into();
    }
    if let Some(flags) = array.as_boolean_opt() {
        return flags.value(row).into();
    }
    let text = array.as_string::<i64>().value(row);
    // JSON of any kind is text in a column.
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn run(drawn: &plain::Definition, events: &[Event], questions: &[Question]) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let definition = Definition::parse(&drawn.sql(), "p.sql").unwrap();
    runtime.block_on(async {
        let journal = Box::new(MemoryJournal::new());
        let log = EventLog::open(journal, &Environment::real(), &mut |_, _| {}).unwrap();
        for (index, topic) in TOPICS.iter().enumerate() {
            let id = uuid::Uuid::from_u128(index as u128 + 1);
            let create = Append::new().create_topic(topic.parse().unwrap(), id, false);
            log.append(create).unwrap().await.unwrap();
        }
        let derived = folder.path().join("derived");
        // Small, so that there are blocks and snapshots.
        let options = Options {
            snapshot_events: 6,
            block_bytes: 48,
        };
        let open = || {
            let runtime = tokio::runtime::Handle::current();
            Projections::with(derived.clone(), log.clone(), runtime, options)
        };
        // Stopped and opened anew after each third, so that what comes late meets what is stored.
        for part in 0..3 {
            let (from, until) = (events.len() * part / 3, events.len() * (part + 1) / 3);
            let projections = open();
            projections.define(definition.clone()).await.unwrap();
            append(&log, &events[from..until]).await;
            let events = &events[..until];
            let record_times: Vec<i64> = read(&log, events)
                .iter()
                .map(|event| event.known_time().as_nanos())
                .collect();
            check_follower(&projections, drawn, events, &record_times, questions).await;
            projections.stop().await;
        }
        check_replay(&definition, drawn, &log, events, questions);
        // A table has one key a row, and its own names.
        let of_table = drawn.sql().replace("KEY data.k ", "");
        let of_table = Definition::parse(&of_table, "p.sql").unwrap();
        if drawn.topics == 1 {
            check_columns(folder.path(), &of_table, drawn, events, questions);
        }
    });
}

fn case() -> impl Strategy<Value = (plain::Definition, Vec<Event>, Vec<Question>)> {
    (1..=TOPICS.len()).prop_flat_map(|topics| {
        (
            plain::draw::definition(topics),
            plain::draw::events(topics),
            prop::collection::vec(question(), 8),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_state_is_the_same_however_it_is_found((definition, events, questions) in case()) {
        run(&definition, &events, &questions);
    }
}

/// The reference is one: a kernel that forgets an edge of its window would be told.
#[test]
fn the_reference_tells_edges() {
    let event = |position, time| Event {
        topic: 0,
        position,
        time,
        keys: vec!["k0"],
        kind: "placed",
        a: Some(1),
        f: None,
        t: None,
        b: None,
    };
    let (old, new) = (event(1, 10), event(2, 20));
    let sum = plain::Aggregate {
        function: plain::Function::Sum,
        argument: Some(plain::Expr::Field("a")),
        filter: None,
        window: plain::Window::Range(10),
    };
    let definition = plain::Definition {
        topics: 1,
        filter: None,
        aggregates: vec![sum],
        listed: false,
    };
    let value = |at| definition.values(&[&old, &new], at);
    assert_eq!(
        (value(19), value(20), value(30)),
        (vec![2.into()], vec![1.into()], vec![Json::Null])
    );
}
