//! Datasets out of logs: beside the same events as Parquet, beside the replay of each key, and
//! beside plain loops.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use foretell_lake::{
    Chain, ColumnCache, Files, LogBuild, LogRow, Manifest, SchemaColumn, Text, Topic, TopicHead,
};
use foretell_state::{Dataset, Definition, KeyState, Scalar, Stamp};
use foretell_types::{Data, Instant, NewEvent, Position, RecordedEvent, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

const MICROS: i64 = 1_000;

/// A topic in memory.
#[derive(Clone)]
struct Memory {
    name: &'static str,
    identity: String,
    events: Vec<RecordedEvent>,
}

impl Topic for Memory {
    fn name(&self) -> &str {
        self.name
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn read(
        &self,
        from: u64,
        until: u64,
        take: &mut dyn FnMut(&LogRow<'_>) -> foretell_types::Result<()>,
    ) -> foretell_types::Result<()> {
        for event in &self.events[from as usize - 1..until as usize] {
            take(&LogRow {
                position: event.position.get(),
                recorded: event.recorded_time.as_nanos(),
                declared: None,
                erased: event.erased,
                event,
            })?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Event {
    keys: Vec<u8>,
    /// Microseconds, as are the others.
    time: i64,
    known: i64,
    amount: Option<i64>,
    half: bool,
    kind: &'static str,
}

impl Event {
    /// As JSON has it: whole, or with a fraction.
    fn amount(&self) -> Scalar<'static> {
        match (self.amount, self.half) {
            (None, _) => Scalar::Null,
            (Some(amount), false) => Scalar::Int(amount.into()),
            (Some(amount), true) => Scalar::float(amount as f64 + 0.5),
        }
    }

    fn recorded(&self, index: usize, text_keys: bool) -> RecordedEvent {
        let key = |key: &u8| match text_keys {
            true => format!("\"c/{key:02}\""),
            false => key.to_string(),
        };
        let keys: Vec<String> = self.keys.iter().map(key).collect();
        let keys = match &keys[..] {
            [one] => one.clone(),
            several => format!("[{}]", several.join(",")),
        };
        let data = format!(
            r#"{{"k":{keys},"x":{},"o":{{"kind":"{}"}}}}"#,
            self.amount().to_json(),
            self.kind
        );
        RecordedEvent {
            event: NewEvent {
                id: index.to_string(),
                source: "/t".into(),
                event_type: self.kind.into(),
                time: Some(Timestamp::from_instant(Instant::from_nanos(
                    self.time * MICROS,
                ))),
                data: Data::json(data),
                ..NewEvent::default()
            },
            position: Position::new(index as u64 + 1).unwrap(),
            revision: None,
            recorded_time: Instant::from_nanos(self.known * MICROS),
            erased: false,
        }
    }
}

fn topic(name: &'static str, events: &[Event], text_keys: bool) -> Memory {
    let recorded = events.iter().enumerate();
    Memory {
        name,
        identity: format!("{name}-0"),
        events: recorded
            .map(|(index, event)| event.recorded(index, text_keys))
            .collect(),
    }
}

const PROJECTION: &str = "CREATE PROJECTION p ON shop KEY data.k AS SELECT
    count(*) AS n, sum(data.x) OVER (RANGE INTERVAL '20 microseconds' PRECEDING) AS s,
    max(data.x) FILTER (WHERE type <> 'b') AS high, last(data.o.kind) AS kind,
    count(DISTINCT data.x) OVER (ROWS 5 PRECEDING) AS d,
    time_since_last('microseconds') FILTER (WHERE data.x > 0) AS since
    WHERE type <> 'z'";

const LABELS: &str = "HORIZON INTERVAL '30 microseconds' LATENESS INTERVAL '5 microseconds'
    AS SELECT count(*) FILTER (WHERE type = 'a') AS later, sum(data.x) AS later_sum,
    coalesce(min(data.x), -1) AS later_low, count(DISTINCT data.o.kind) AS later_kinds";

fn projection(name: &str) -> foretell_types::Result<Definition> {
    assert_eq!(name, "p");
    Definition::parse(PROJECTION, "p.sql")
}

fn dataset(at: &str) -> Dataset {
    let text = format!("CREATE DATASET d ON p AT {at} {LABELS}");
    Dataset::parse(&text, "d.sql", &projection).unwrap_or_else(|error| panic!("{error}"))
}

fn manifest(dataset: &Dataset, heads: &[(&dyn Topic, u64)], as_of: i64) -> Manifest {
    let text = |name: &str, text: &str| Text {
        name: name.into(),
        text: text.into(),
    };
    let head = |(topic, head): &(&dyn Topic, u64)| TopicHead {
        name: topic.name().into(),
        id: topic.identity(),
        head: *head,
        hash: String::new(),
    };
    Manifest::new(
        text(&dataset.name, &dataset.text),
        text(&dataset.features.name, &dataset.features.text),
        heads.iter().map(head).collect(),
        Chain {
            leaves: 0,
            root: String::new(),
        },
        as_of,
        None,
    )
}

struct Made {
    bytes: Vec<u8>,
    batch: RecordBatch,
    manifest: Manifest,
    schema: Vec<SchemaColumn>,
}

/// Builds a dataset as of a time in microseconds, up to a head.
fn build(
    dataset: &Dataset,
    topic: &Memory,
    head: usize,
    as_of: i64,
    cache: &ColumnCache,
    table: Option<&Path>,
) -> foretell_types::Result<Made> {
    let topics: [(&dyn Topic, u64); 1] = [(topic, head as u64)];
    let build = LogBuild {
        dataset,
        topics: &topics,
        cache,
    };
    let columns = build.columns(&|_, _, _| Ok(()))?;
    let manifest = manifest(dataset, &topics, as_of * MICROS);
    let mut bytes = Vec::new();
    let manifest = columns.write(&mut bytes, table, manifest, &|_, _, _| Ok(()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes.clone()));
    let reader = reader.unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    Ok(Made {
        batch: arrow_select::concat::concat_batches(&schema, &batches).unwrap(),
        bytes,
        manifest,
        schema: columns.schema()?,
    })
}

fn cache(folder: &Path, range: u64) -> ColumnCache {
    ColumnCache::new(folder.join("columns")).with_range(NonZeroU64::new(range).unwrap())
}

fn value(batch: &RecordBatch, name: &str, row: usize) -> Scalar<'static> {
    let array = batch
        .column_by_name(name)
        .unwrap_or_else(|| panic!("no column {name}"));
    if array.is_null(row) {
        return Scalar::Null;
    }
    if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        return Scalar::Int(ints.value(row).into());
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return Scalar::float(floats.value(row));
    }
    if let Some(times) = array.as_primitive_opt::<TimestampNanosecondType>() {
        return Scalar::Time(times.value(row));
    }
    if let Some(flags) = array.as_boolean_opt() {
        return Scalar::Bool(flags.value(row));
    }
    let text = match array.as_string_opt::<i64>() {
        Some(texts) => texts.value(row).to_owned(),
        None => array.as_string::<i32>().value(row).to_owned(),
    };
    Scalar::Text(text.into())
}

/// What a key's state was, by replay of those events that are `seen`.
fn replay(
    definition: &Definition,
    topic: &Memory,
    key: &str,
    at: i64,
    seen: &dyn Fn(usize) -> bool,
) -> Vec<Scalar<'static>> {
    let mut rows: Vec<(i64, usize)> = (0..topic.events.len())
        .filter(|index| seen(*index))
        .map(|index| (topic.events[index].event_time().as_nanos(), index))
        .filter(|(time, _)| *time <= at * MICROS)
        .collect();
    rows.sort_unstable();
    let mut state = KeyState::new(definition);
    for (time, index) in rows {
        let mut inputs = Vec::new();
        definition.extractor.read(&topic.events[index], &mut inputs);
        let touches = match definition.keys(&inputs) {
            foretell_state::Keys::One(one) => one == key,
            foretell_state::Keys::Many(many) => many.iter().any(|one| one == key),
            _ => false,
        };
        if touches {
            let stamp = Stamp {
                time,
                topic: 0,
                position: index as u64 + 1,
            };
            state.lift(definition, stamp, &inputs);
        }
    }
    state.outputs(definition, at * MICROS)
}

/// Nothing of the project's own: the labels by going through all events.
fn labels(events: &[Event], key: u8, at: i64, as_of: i64) -> Vec<Scalar<'static>> {
    let complete = at + 30 <= as_of - 5;
    if !complete {
        return vec![
            Scalar::Null,
            Scalar::Null,
            Scalar::Null,
            Scalar::Null,
            Scalar::Bool(false),
        ];
    }
    let later: Vec<&Event> = events
        .iter()
        .filter(|event| event.keys.contains(&key) && event.kind != "z")
        .filter(|event| event.time > at && event.time <= at + 30)
        .collect();
    let amounts: Vec<f64> = later
        .iter()
        .filter_map(|event| Some(event.amount? as f64 + if event.half { 0.5 } else { 0.0 }))
        .collect();
    let mut kinds: Vec<&str> = later.iter().map(|event| event.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let count = later.iter().filter(|event| event.kind == "a").count();
    let sum = (!amounts.is_empty()).then(|| amounts.iter().sum::<f64>());
    let low = amounts.iter().copied().reduce(f64::min);
    vec![
        Scalar::Int(count as i128),
        sum.map_or(Scalar::Null, Scalar::float),
        Scalar::float(low.unwrap_or(-1.0)),
        Scalar::Int(kinds.len() as i128),
        Scalar::Bool(true),
    ]
}

fn same(found: &Scalar<'_>, expected: &Scalar<'_>) -> bool {
    match (found.as_number(), expected.as_number()) {
        (Some(found), Some(expected)) => found.as_f64() == expected.as_f64(),
        // Where no event has a value of an input, its type isn't known: such columns are text.
        _ => found == expected || found.to_key() == expected.to_key(),
    }
}

const FEATURES: [&str; 6] = ["n", "s", "high", "kind", "d", "since"];
const LATER: [&str; 5] = [
    "later",
    "later_sum",
    "later_low",
    "later_kinds",
    "label_complete",
];

fn check_row(
    made: &RecordBatch,
    row: usize,
    columns: &[&str],
    expected: &[Scalar<'static>],
) -> Result<(), TestCaseError> {
    for (name, expected) in columns.iter().zip(expected) {
        let found = value(made, name, row);
        prop_assert!(
            same(&found, expected),
            "row {row}, {name}: {found:?}, not {expected:?}"
        );
    }
    Ok(())
}

fn key_text(key: u8, text_keys: bool) -> String {
    match text_keys {
        true => format!("c/{key:02}"),
        false => key.to_string(),
    }
}

fn event() -> impl Strategy<Value = Event> {
    let late = prop_oneof![3 => Just(0i64), 2 => 0i64..40];
    let amount = prop_oneof![5 => (-9i64..10).prop_map(Some), 1 => Just(None)];
    let keys = prop_oneof![
        6 => (0u8..4).prop_map(|key| vec![key]),
        1 => Just(vec![]),
        1 => proptest::sample::subsequence(vec![0u8, 1, 2, 3], 2..4),
    ];
    (keys, 0i64..100, late, amount, any::<bool>(), 0usize..4).prop_map(
        |(keys, time, late, amount, half, kind)| Event {
            keys,
            time,
            known: time + late,
            amount,
            half,
            kind: ["a", "b", "c", "z"][kind],
        },
    )
}

/// A log: record times never decrease.
fn events() -> impl Strategy<Value = Vec<Event>> {
    (proptest::collection::vec(event(), 0..100), any::<bool>()).prop_map(|(mut events, whole)| {
        let mut recorded = 0;
        for event in &mut events {
            recorded = event.known.max(recorded);
            event.known = recorded;
            event.half &= !whole;
        }
        events
    })
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_of_a_table_are_what_was_known_then(
        events in events(),
        rows in proptest::collection::vec((0u8..5, -1i64..120), 1..40),
        range in 1u64..60,
        text_keys in any::<bool>(),
        as_of in 0i64..160,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let topic = topic("shop", &events, text_keys);
        let table = folder.path().join("rows.parquet");
        let keys: StringArray = rows.iter().map(|(key, _)| Some(key_text(*key, text_keys))).collect();
        let times: Int64Array = rows.iter().map(|(_, time)| Some(*time)).collect();
        write(&table, vec![("who", Arc::new(keys)), ("ts", Arc::new(times))]);
        let dataset = dataset("ROWS KEY who TIME ts");
        let columns = cache(folder.path(), range);
        let made = build(&dataset, &topic, events.len(), as_of, &columns, Some(&table)).unwrap();
        prop_assert_eq!(made.batch.num_rows(), rows.len());
        let incomplete = rows.iter().filter(|(_, at)| at + 30 > as_of - 5).count();
        prop_assert_eq!(made.manifest.counts.incomplete, incomplete as u64);
        for (row, (key, at)) in rows.iter().enumerate() {
            let known = |index: usize| events[index].known <= *at;
            let text = key_text(*key, text_keys);
            check_row(&made.batch, row, &FEATURES, &replay(&dataset.features, &topic, &text, *at, &known))?;
            check_row(&made.batch, row, &LATER, &labels(&events, *key, *at, as_of))?;
        }
        // The same again, from the columns that are there now, and with none.
        let again = build(&dataset, &topic, events.len(), as_of, &columns, Some(&table)).unwrap();
        prop_assert!(again.bytes == made.bytes);
        let other = cache(&folder.path().join("other"), 1_000);
        let anew = build(&dataset, &topic, events.len(), as_of, &other, Some(&table)).unwrap();
        prop_assert!(anew.bytes == made.bytes, "files of other ranges give other bytes");
    }

    #[test]
    fn rows_at_every_interval_are_all_that_is_known(
        events in events(),
        (from, interval, to) in (0i64..60, 1i64..30, 60i64..120),
        range in 1u64..60,
        text_keys in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let topic = topic("shop", &events, text_keys);
        let time = |micros: i64| Timestamp::from_instant(Instant::from_nanos(micros * MICROS));
        let every = format!("EVERY INTERVAL '{interval} microseconds' FROM '{}' TO '{}'", time(from), time(to));
        let dataset = dataset(&every);
        let made = build(&dataset, &topic, events.len(), 130, &cache(folder.path(), range), None).unwrap();
        let mut expected = Vec::new();
        for at in (from..=to).step_by(interval as usize) {
            for key in 0..4u8 {
                let there = |event: &Event| {
                    event.keys.contains(&key) && event.kind != "z" && event.time <= at && event.known <= at
                };
                if events.iter().any(there) {
                    expected.push((key, at));
                }
            }
        }
        prop_assert_eq!(made.batch.num_rows(), expected.len());
        for (row, (key, at)) in expected.into_iter().enumerate() {
            let text = key_text(key, text_keys);
            let first = [Scalar::Text(text.clone().into()), Scalar::Time(at * MICROS)];
            check_row(&made.batch, row, &["key", "time"], &first)?;
            let known = |index: usize| events[index].known <= at;
            check_row(&made.batch, row, &FEATURES, &replay(&dataset.features, &topic, &text, at, &known))?;
            check_row(&made.batch, row, &LATER, &labels(&events, key, at, 130))?;
        }
    }

    #[test]
    fn rows_at_events_know_what_came_before(
        events in events(),
        range in 1u64..60,
        text_keys in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let topic = topic("shop", &events, text_keys);
        let dataset = dataset("EVENTS WHERE data.x > 0");
        let made = build(&dataset, &topic, events.len(), 130, &cache(folder.path(), range), None).unwrap();
        let mut expected = Vec::new();
        for (index, event) in events.iter().enumerate() {
            if event.amount.is_some_and(|x| x as f64 + if event.half { 0.5 } else { 0.0 } > 0.0) && event.kind != "z" {
                let mut keys = event.keys.clone();
                keys.sort_unstable();
                expected.extend(keys.into_iter().map(|key| (key, index)));
            }
        }
        prop_assert_eq!(made.batch.num_rows(), expected.len());
        for (row, (key, index)) in expected.into_iter().enumerate() {
            let (at, text) = (events[index].time, key_text(key, text_keys));
            let position = Scalar::Int(index as i128 + 1);
            check_row(&made.batch, row, &["key", "time", "position"], &[Scalar::Text(text.clone().into()), Scalar::Time(at * MICROS), position])?;
            // The event itself is known, and nothing that came after it.
            let known = |other: usize| other <= index;
            check_row(&made.batch, row, &FEATURES, &replay(&dataset.features, &topic, &text, at, &known))?;
            check_row(&made.batch, row, &LATER, &labels(&events, key, at, 130))?;
        }
    }

    #[test]
    fn built_again_it_has_the_same_bytes(
        events in events(),
        more in events(),
        range in 1u64..40,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset("EVENTS");
        let columns = cache(folder.path(), range);
        let first = build(&dataset, &topic("shop", &events, true), events.len(), 90, &columns, None).unwrap();
        let all: Vec<Event> = events.iter().chain(&more).cloned().collect();
        let longer = topic("shop", &all, true);
        build(&dataset, &longer, all.len(), 90, &columns, None).unwrap();
        let again = build(&dataset, &longer, events.len(), 90, &columns, None).unwrap();
        prop_assert!(again.bytes == first.bytes);
        prop_assert_eq!(again.manifest, first.manifest);
    }

    /// One fold for both: what is extracted of a log, and the same events in a user's table.
    #[test]
    fn a_log_and_a_table_of_its_events_are_one(
        events in events(),
        rows in proptest::collection::vec((0u8..5, -1i64..120), 1..40),
        range in 1u64..60,
    ) {
        let events: Vec<Event> = events.into_iter().filter(|event| event.keys.len() == 1).map(|mut event| {
            event.half = false;
            event
        }).collect();
        let folder = tempfile::tempdir().unwrap();
        let ints = |value: &dyn Fn(&Event) -> Option<i64>| -> ArrayRef {
            Arc::new(events.iter().map(value).collect::<Int64Array>())
        };
        let kinds: ArrayRef = Arc::new(events.iter().map(|event| Some(event.kind)).collect::<StringArray>());
        let path = folder.path().join("events.parquet");
        write(&path, vec![
            ("k", ints(&|event| Some(event.keys[0].into()))),
            ("ts", ints(&|event| Some(event.time))),
            ("known", ints(&|event| Some(event.known))),
            ("x", ints(&|event| event.amount)),
            ("type", kinds.clone()),
            ("data.o.kind", kinds),
        ]);
        let table = folder.path().join("rows.parquet");
        let keys: Int64Array = rows.iter().map(|(key, _)| Some(i64::from(*key))).collect();
        let times: Int64Array = rows.iter().map(|(_, time)| Some(*time)).collect();
        write(&table, vec![("k", Arc::new(keys)), ("ts", Arc::new(times))]);
        let text = "CREATE DATASET d ON p AT ROWS KEY k TIME ts";
        let dataset = Dataset::parse(text, "d.sql", &projection).unwrap();
        let made = build(&dataset, &topic("shop", &events, false), events.len(), 130, &cache(folder.path(), range), Some(&table)).unwrap();
        let out = folder.path().join("out.parquet");
        let files = Files {
            events: &[path],
            key: "k",
            time: "ts",
            known_time: Some("known"),
            labels: &table,
            label_key: "k",
            label_time: "ts",
            definition: &dataset.features,
        partition_by: &[],
        again: None,
        };
        files.build(&out, &|_, _, _| Ok(())).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&out).unwrap()).unwrap();
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let expected = arrow_select::concat::concat_batches(&batches[0].schema(), &batches).unwrap();
        for name in FEATURES {
            // A log without a value of an input doesn't know its type.
            for row in 0..rows.len() {
                prop_assert_eq!(value(&made.batch, name, row), value(&expected, name, row), "{} {}", name, row);
            }
        }
    }
}

fn simple(count: usize) -> Vec<Event> {
    (0..count)
        .map(|index| Event {
            keys: vec![(index % 4) as u8],
            time: index as i64,
            known: index as i64,
            amount: Some(1),
            half: false,
            kind: "a",
        })
        .collect()
}

#[test]
fn columns_are_kept_and_outgrown_ones_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let columns = cache(folder.path(), 10);
    let (dataset, topic) = (dataset("EVENTS"), topic("shop", &simple(36), true));
    let files = || {
        let below = folder
            .path()
            .join("columns")
            .join("shop-0")
            .join(ColumnCache::folder_of(&dataset));
        let entries = std::fs::read_dir(below).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    };
    build(&dataset, &topic, 25, 90, &columns, None).unwrap();
    assert_eq!(files(), ["1-10.parquet", "11-20.parquet", "21-25.parquet"]);
    build(&dataset, &topic, 36, 90, &columns, None).unwrap();
    let all = [
        "1-10.parquet",
        "11-20.parquet",
        "21-30.parquet",
        "31-36.parquet",
    ];
    assert_eq!(files(), all);
    // One that was cut off is made anew.
    let path = folder
        .path()
        .join("columns")
        .join("shop-0")
        .join(ColumnCache::folder_of(&dataset))
        .join(all[1]);
    std::fs::write(&path, b"PAR1").unwrap();
    let made = build(&dataset, &topic, 36, 90, &columns, None).unwrap();
    assert_eq!(made.batch.num_rows(), 36);
    assert!(columns.disk_bytes() > 1_000);
    // Another identity of the topic: nothing that was is read, and it is dropped.
    let mut erased = topic.clone();
    erased.identity = "shop-1".into();
    erased.events[0].event.data = Data::None;
    erased.events[0].erased = true;
    let made = build(&dataset, &erased, 36, 90, &columns, None).unwrap();
    assert_eq!(
        (made.batch.num_rows(), made.manifest.counts.erased),
        (35, 1)
    );
    columns.forget(&["shop-1".to_owned()].into()).unwrap();
    assert!(!folder.path().join("columns/shop-0").exists());
    columns
        .retain(&["shop-1".to_owned()].into(), &Default::default())
        .unwrap();
    assert_eq!(columns.disk_bytes(), 0);
}

#[test]
fn work_on_what_was_erased_meanwhile_ends() {
    let folder = tempfile::tempdir().unwrap();
    let columns = cache(folder.path(), 10);
    let (dataset, topic) = (dataset("EVENTS"), topic("shop", &simple(36), true));
    let topics: [(&dyn Topic, u64); 1] = [(&topic, 36)];
    let build = LogBuild {
        dataset: &dataset,
        topics: &topics,
        cache: &columns,
    };
    let found = build.columns(&|_, _, _| Ok(())).unwrap();
    columns.forget(&["shop-1".to_owned()].into()).unwrap();
    let manifest = manifest(&dataset, &topics, 0);
    let error = found
        .write(Vec::new(), None, manifest, &|_, _, _| Ok(()))
        .unwrap_err();
    assert!(error.message().contains("was erased while"), "{error}");
}

#[test]
fn types_are_those_of_the_values() {
    let folder = tempfile::tempdir().unwrap();
    let (dataset, topic) = (dataset("EVENTS"), topic("shop", &simple(5), true));
    let made = build(&dataset, &topic, 5, 90, &cache(folder.path(), 3), None).unwrap();
    let types: Vec<(&str, &str)> = made
        .schema
        .iter()
        .map(|column| (&*column.name, &*column.type_name))
        .collect();
    assert_eq!(
        types[3..],
        [
            ("n", "Int64"),
            ("s", "Int64"),
            ("high", "Int64"),
            ("kind", "LargeUtf8"),
            ("d", "Int64"),
            ("since", "Int64"),
            ("later", "Int64"),
            ("later_sum", "Int64"),
            ("later_low", "Int64"),
            ("later_kinds", "Int64"),
            ("label_complete", "Boolean"),
        ]
    );
}

#[test]
fn parts_are_told_and_nothing_reaches_over_a_boundary() {
    let folder = tempfile::tempdir().unwrap();
    let time = |micros: i64| Timestamp::from_instant(Instant::from_nanos(micros * MICROS));
    let text = format!(
        "CREATE DATASET d ON p AT EVENTS HORIZON INTERVAL '10 microseconds'
         SPLIT BY TIME '{}' SPLIT BY KEY 50, 50 AS SELECT count(*) AS later",
        time(50)
    );
    let dataset = Dataset::parse(&text, "d.sql", &projection).unwrap();
    let events = simple(100);
    let made = build(
        &dataset,
        &topic("shop", &events, true),
        100,
        100,
        &cache(folder.path(), 30),
        None,
    )
    .unwrap();
    let (mut train, mut test) = (
        std::collections::BTreeSet::new(),
        std::collections::BTreeSet::new(),
    );
    let mut none = 0;
    for row in 0..100 {
        let key = value(&made.batch, "key", row).to_json();
        let at = row as i64;
        match value(&made.batch, "split", row) {
            Scalar::Null => none += 1,
            Scalar::Text(part) if part == "train" => {
                assert!(at + 10 <= 50);
                train.insert(key);
            }
            Scalar::Text(part) => {
                assert!(part == "test" && at >= 50);
                test.insert(key);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        train.is_disjoint(&test) && train.len() + test.len() == 4,
        "{train:?} {test:?}"
    );
    assert!(none >= 10);
}

#[test]
fn wrong_definitions_are_refused_where_they_are_wrong() {
    let check = |text: &str, expected: &str| {
        let error = Dataset::parse(text, "d.sql", &projection).unwrap_err();
        assert!(error.message().contains(expected), "{text}: {error}");
    };
    check(
        "CREATE DATASET d ON p",
        "d.sql:1:22: expected AT, found the end",
    );
    check(
        "CREATE DATASET d ON p AT NOON",
        "d.sql:1:26: expected EVERY, EVENTS or ROWS, found NOON",
    );
    check(
        "CREATE DATASET d ON p AT EVENTS AS SELECT count(*) AS n",
        "expected HORIZON before SELECT",
    );
    check(
        "CREATE DATASET d ON p AT EVENTS HORIZON INTERVAL '1 day' AS SELECT count(*) OVER (ROWS 3 PRECEDING) AS n",
        "its window is the horizon",
    );
    check(
        "CREATE DATASET d ON p AT EVENTS HORIZON INTERVAL '1 month' AS SELECT count(*) AS n",
        "their lengths differ",
    );
    check(
        "CREATE DATASET d ON p AT EVERY INTERVAL '1 day' FROM '2024-02-01' TO '2024-01-01'",
        "the last instant is before the first",
    );
    check(
        "CREATE DATASET d ON p AT EVERY INTERVAL '1 second' FROM '2020-01-01' TO '2024-01-01'",
        "too many",
    );
    check(
        "CREATE DATASET d ON p AT ROWS SPLIT BY KEY 80, 30",
        "100 in all",
    );
    check(
        "CREATE DATASET d ON p AT ROWS SPLIT BY TIME '2024-01-01' SPLIT BY KEY 80, 10, 10",
        "by time there are 2 parts, by key 3",
    );
    check(
        "CREATE DATASET d ON p AT EVENTS WHERE count(*) > 1",
        "can't stand inside",
    );
    let error = Dataset::parse("CREATE DATASET d ON q AT ROWS", "d.sql", &|name| {
        Err(foretell_types::Error::not_found(format!(
            "there is no projection {name:?}"
        )))
    });
    assert_eq!(
        error.unwrap_err().message(),
        "d.sql:1:21: there is no projection \"q\""
    );
}
