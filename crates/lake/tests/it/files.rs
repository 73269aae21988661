//! Datasets out of tables, beside the replay of single keys and beside a plain reference.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use foretell_lake::{Description, Files};
use foretell_state::{Definition, KeyState, Scalar, Stamp};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

const MICROS: i64 = 1_000;

#[derive(Clone, Debug)]
struct Event {
    key: Option<i64>,
    /// Microseconds, as are the others.
    time: i64,
    known: i64,
    amount: Option<i64>,
    weight: f64,
    kind: &'static str,
    flag: Option<bool>,
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, row_group: usize) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group))
        .build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn write_events(path: &Path, events: &[Event], text_keys: bool, row_group: usize) {
    let ints = |value: fn(&Event) -> Option<i64>| -> ArrayRef {
        Arc::new(events.iter().map(value).collect::<Int64Array>())
    };
    let key: ArrayRef = match text_keys {
        false => ints(|event| event.key),
        true => {
            let keys = events
                .iter()
                .map(|event| event.key.map(|key| key.to_string()));
            Arc::new(keys.collect::<StringArray>())
        }
    };
    let weights = events.iter().map(|event| Some(event.weight));
    let kinds = events.iter().map(|event| Some(event.kind));
    let flags = events.iter().map(|event| event.flag);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("entity", key),
        ("ts", ints(|event| Some(event.time))),
        ("known", ints(|event| Some(event.known))),
        ("amount", ints(|event| event.amount)),
        ("weight", Arc::new(weights.collect::<Float64Array>())),
        ("kind", Arc::new(kinds.collect::<StringArray>())),
        ("flag", Arc::new(flags.collect::<BooleanArray>())),
    ];
    write(path, columns, row_group);
}

fn write_labels(path: &Path, labels: &[(Option<i64>, i64)]) {
    let keys: Int64Array = labels.iter().map(|(key, _)| *key).collect();
    let times: Int64Array = labels.iter().map(|(_, time)| Some(*time)).collect();
    let names: StringArray = (0..labels.len())
        .map(|row| Some(format!("row {row}")))
        .collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", Arc::new(names)),
        ("entity", Arc::new(keys)),
        ("ts", Arc::new(times)),
    ];
    write(path, columns, 7);
}

fn read(path: &Path) -> RecordBatch {
    let file = std::fs::File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}

fn files<'a>(
    folder: &Path,
    events: &'a [PathBuf],
    labels: &'a Path,
    definition: &'a Definition,
) -> Files<'a> {
    assert!(folder.exists());
    Files {
        events,
        key: "entity",
        time: "ts",
        known_time: Some("known"),
        labels,
        label_key: "entity",
        label_time: "ts",
        definition,
        partition_by: &[],
        again: None,
    }
}

/// The value in a column, as the replay tells it.
fn value(batch: &RecordBatch, name: &str, row: usize) -> Scalar<'static> {
    let array = batch
        .column_by_name(name)
        .unwrap_or_else(|| panic!("no column {name}"));
    if array.is_null(row) {
        return Scalar::Null;
    }
    if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        return Scalar::Int(i128::from(ints.value(row)));
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return Scalar::float(floats.value(row));
    }
    if let Some(flags) = array.as_boolean_opt() {
        return Scalar::Bool(flags.value(row));
    }
    let text = match array.as_string_opt::<i64>() {
        Some(texts) => texts.value(row),
        None => array.as_string::<i32>().value(row),
    };
    Scalar::Text(text.to_owned().into())
}

fn input(name: &str, event: &Event) -> Scalar<'static> {
    match name {
        "amount" => event
            .amount
            .map_or(Scalar::Null, |amount| Scalar::Int(i128::from(amount))),
        "weight" => Scalar::float(event.weight),
        "kind" => Scalar::text(event.kind),
        "flag" => event.flag.map_or(Scalar::Null, Scalar::Bool),
        // The key that a projection has without KEY: --key takes its place.
        "subject" => Scalar::Null,
        other => panic!("no input {other}"),
    }
}

/// What was known of a key at an instant, in the order of (time, row).
fn visible(events: &[Event], key: Option<i64>, at: i64) -> Vec<(usize, &Event)> {
    let mut seen: Vec<(usize, &Event)> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| key.is_some() && event.key == key)
        .filter(|(_, event)| event.time <= at && event.known <= at)
        .collect();
    seen.sort_by_key(|(row, event)| (event.time, *row));
    seen
}

fn replay(
    definition: &Definition,
    events: &[Event],
    key: Option<i64>,
    at: i64,
) -> Vec<Scalar<'static>> {
    let mut state = KeyState::new(definition);
    for (row, event) in visible(events, key, at) {
        let inputs: Vec<Scalar<'static>> = definition
            .inputs
            .iter()
            .map(|named| match named {
                foretell_state::Input::Time => Scalar::Time(event.time * MICROS),
                named => input(named.column().unwrap().0, event),
            })
            .collect();
        if definition
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.is_true(&inputs))
        {
            continue;
        }
        let stamp = Stamp {
            time: event.time * MICROS,
            topic: 0,
            position: row as u64 + 1,
        };
        state.lift(definition, stamp, &inputs);
    }
    state.outputs(definition, at * MICROS)
}

/// What columns may say; `{}` is a window.
const COLUMNS: [&str; 22] = [
    "count(*) {}",
    "count(amount) {}",
    "count(DISTINCT kind) {}",
    "sum(amount) {}",
    "coalesce(sum(amount) {}, 0)",
    "sum(weight) {}",
    "avg(amount) {}",
    "stddev(weight) {}",
    "min(amount) {}",
    "max(weight) {}",
    "first(kind) {}",
    "last(amount) {}",
    "last(weight) {}",
    "last(flag) {}",
    "nth_last(amount, 2) {}",
    "mode(kind) {}",
    "time_since_last('microseconds') {}",
    "time_since_first('hours') {}",
    "sum(amount * 2 + 1) FILTER (WHERE kind = 'a') {}",
    "count(*) FILTER (WHERE flag) {}",
    "last(amount) FILTER (WHERE kind <> 'b') {}",
    "sum(amount) {} / nullif(count(*) {}, 0)",
];

const WINDOWS: [&str; 6] = [
    "",
    "OVER (RANGE INTERVAL '1 microsecond' PRECEDING)",
    "OVER (RANGE INTERVAL '10 microseconds' PRECEDING)",
    "OVER (RANGE INTERVAL '40 microseconds' PRECEDING)",
    "OVER (ROWS 2 PRECEDING)",
    "OVER (SESSION INTERVAL '7 microseconds')",
];

fn event() -> impl Strategy<Value = Event> {
    let late = prop_oneof![4 => Just(0i64), 1 => 0i64..30, 1 => -5i64..200];
    let amount = prop_oneof![
        6 => (-50i64..50).prop_map(Some),
        1 => Just(None),
        // Sums of these need more than 64 bits on the way.
        1 => prop_oneof![Just(i64::MAX / 2), Just(i64::MIN / 2)].prop_map(Some),
    ];
    (
        prop_oneof![9 => (0i64..4).prop_map(Some), 1 => Just(None)],
        0i64..100,
        late,
        amount,
        -4i32..5,
        prop_oneof![Just("a"), Just("b"), Just("c")],
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(key, time, late, amount, weight, kind, flag)| Event {
            key,
            time,
            known: time + late,
            amount,
            weight: f64::from(weight) / 10.0,
            kind,
            flag,
        })
}

fn label() -> impl Strategy<Value = (Option<i64>, i64)> {
    (
        prop_oneof![9 => (0i64..5).prop_map(Some), 1 => Just(None)],
        -1i64..120,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn columns_are_what_a_replay_of_each_key_gives(
        mut events in proptest::collection::vec(event(), 0..120),
        labels in proptest::collection::vec(label(), 1..60),
        chosen in proptest::collection::vec((0..COLUMNS.len(), 0..WINDOWS.len()), 1..6),
        in_order in any::<bool>(),
        text_keys in any::<bool>(),
        large in any::<bool>(),
        filtered in any::<bool>(),
        row_group in 1usize..50,
    ) {
        if in_order {
            events.sort_by_key(|event| event.time);
        }
        if !large {
            events.iter_mut().for_each(|event| event.amount = event.amount.map(|amount| amount % 50));
        }
        let columns = chosen.iter().enumerate().map(|(index, (column, window))| {
            format!("{} AS c{index}", COLUMNS[*column].replace("{}", WINDOWS[*window]))
        });
        let columns: Vec<String> = columns.collect();
        let filter = if filtered { " WHERE kind <> 'c'" } else { "" };
        let text = format!("CREATE PROJECTION p ON events AS SELECT {}{filter}", columns.join(", "));
        let definition = Definition::parse(&text, "p.sql").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("1.parquet"), folder.path().join("2.parquet"));
        let half = events.len() / 3;
        write_events(&first, &events[..half], text_keys, row_group);
        write_events(&second, &events[half..], text_keys, row_group);
        let (label_path, out) = (folder.path().join("l.parquet"), folder.path().join("out.parquet"));
        write_labels(&label_path, &labels);
        let paths = [first, second];
        let built = files(folder.path(), &paths, &label_path, &definition).build(&out, &|_, _, _| Ok(()));
        let expected: Vec<Vec<Scalar<'static>>> = labels
            .iter()
            .map(|(key, at)| replay(&definition, &events, *key, *at))
            .collect();
        let beyond = |value: &Scalar<'_>| matches!(value, Scalar::Int(int) if i64::try_from(*int).is_err());
        if expected.iter().flatten().any(beyond) {
            prop_assert!(built.unwrap_err().message().contains("no integer of 64 bits"));
            return Ok(());
        }
        built.unwrap();
        let batch = read(&out);
        prop_assert_eq!(batch.num_rows(), labels.len());
        for (row, expected) in expected.iter().enumerate() {
            prop_assert_eq!(value(&batch, "name", row), Scalar::Text(format!("row {row}").into()));
            for (index, expected) in expected.iter().enumerate() {
                let found = value(&batch, &format!("c{index}"), row);
                let same = found == *expected
                    || matches!((&found, expected), (Scalar::Float(a), Scalar::Int(b)) if *a == *b as f64);
                prop_assert!(same, "row {row}, {}: {found:?}, not {expected:?}", columns[index]);
            }
        }
    }

    /// Nothing of the projections' code: sums and counts by going through all events.
    #[test]
    fn counts_and_sums_are_those_of_a_plain_loop(
        mut events in proptest::collection::vec(event(), 0..200),
        labels in proptest::collection::vec(label(), 1..60),
        width in 1i64..60,
    ) {
        events.iter_mut().for_each(|event| event.amount = event.amount.map(|amount| amount % 1_000));
        let over = format!("OVER (RANGE INTERVAL '{width} microseconds' PRECEDING)");
        let text = format!(
            "CREATE PROJECTION p ON events AS SELECT count(*) {over} AS n, sum(amount) {over} AS s, last(amount) AS l, time_since_last('microseconds') AS since"
        );
        let definition = Definition::parse(&text, "p.sql").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("e.parquet")];
        write_events(&paths[0], &events, false, 1_000);
        let (label_path, out) = (folder.path().join("l.parquet"), folder.path().join("out.parquet"));
        write_labels(&label_path, &labels);
        files(folder.path(), &paths, &label_path, &definition).build(&out, &|_, _, _| Ok(())).unwrap();
        let batch = read(&out);
        for (row, (key, at)) in labels.iter().enumerate() {
            let (mut count, mut sum, mut last, mut since) = (0, None, None, None);
            let mut latest = None;
            let mut latest_amount = None;
            for (index, event) in events.iter().enumerate() {
                if key.is_none() || event.key != *key || event.time > *at || event.known > *at {
                    continue;
                }
                if event.time > at - width {
                    count += 1;
                    if let Some(amount) = event.amount {
                        sum = Some(sum.unwrap_or(0) + amount);
                    }
                }
                if latest.is_none_or(|latest| (event.time, index) >= latest) {
                    latest = Some((event.time, index));
                    since = Some(at - event.time);
                }
                if event.amount.is_some()
                    && latest_amount.is_none_or(|latest| (event.time, index) >= latest)
                {
                    latest_amount = Some((event.time, index));
                    last = event.amount;
                }
            }
            let int = |value: Option<i64>| value.map_or(Scalar::Null, |value| Scalar::Int(i128::from(value)));
            prop_assert_eq!(value(&batch, "n", row), int(Some(count)));
            prop_assert_eq!(value(&batch, "s", row), int(sum));
            prop_assert_eq!(value(&batch, "l", row), int(last));
            prop_assert_eq!(value(&batch, "since", row), int(since));
        }
    }
}

fn small(folder: &Path) -> (PathBuf, PathBuf) {
    let event = |key, time, amount| Event {
        key: Some(key),
        time,
        known: time,
        amount: Some(amount),
        weight: 0.0,
        kind: "a",
        flag: None,
    };
    let (events, labels) = (folder.join("events.parquet"), folder.join("labels.parquet"));
    write_events(
        &events,
        &[event(1, 10, 5), event(1, 20, 7), event(2, 15, 1)],
        false,
        2,
    );
    write_labels(&labels, &[(Some(1), 20), (Some(2), 14), (Some(3), 50)]);
    (events, labels)
}

fn definition(select: &str) -> Definition {
    Definition::parse(
        &format!("CREATE PROJECTION p ON events AS SELECT {select}"),
        "p.sql",
    )
    .unwrap()
}

#[test]
fn errors_say_what_was_wrong_and_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let (events, labels) = small(folder.path());
    let events = [events];
    let out = folder.path().join("out.parquet");
    let count = definition("count(*) AS n");
    let check = |change: &dyn Fn(&mut Files<'_>), expected: &str| {
        let mut files = files(folder.path(), &events, &labels, &count);
        change(&mut files);
        let error = files.build(&out, &|_, _, _| Ok(())).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
        assert!(
            std::fs::read_dir(folder.path()).unwrap().count() == 2,
            "nothing is left over"
        );
    };
    check(
        &|files| files.key = "id",
        "there is no column \"id\"; there are: entity, ts, known",
    );
    check(
        &|files| files.time = "kind",
        "column \"kind\" is of type Utf8: expected a timestamp",
    );
    check(&|files| files.key = "weight", "expected integers or text");
    check(
        &|files| files.label_time = "when",
        "the label table has no column \"when\"; it has: name, entity, ts",
    );
    check(
        &|files| files.labels = Path::new("/nowhere.parquet"),
        "there is no file /nowhere.parquet",
    );
    let name = definition("count(*) AS name");
    check(
        &|files| files.definition = Box::leak(Box::new(name.clone())),
        "a column \"name\" already",
    );
    let missing = definition("sum(price) AS p");
    check(
        &|files| files.definition = Box::leak(Box::new(missing.clone())),
        "there is no column \"price\"",
    );
    let broken = files(folder.path(), &events, &labels, &count);
    let error = broken
        .build(&out, &|_, _, _| {
            Err(foretell_types::Error::unavailable("interrupted"))
        })
        .unwrap_err();
    assert_eq!(error.message(), "interrupted");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn times_and_keys_of_other_types_meet() {
    let folder = tempfile::tempdir().unwrap();
    let (events, _) = small(folder.path());
    let labels = folder.path().join("labels.csv");
    std::fs::write(
        &labels,
        "entity,ts\n1,1970-01-01T00:00:00.000020\n2,1970-01-01T00:00:00.000014\n",
    )
    .unwrap();
    let out = folder.path().join("out.parquet");
    let events = [events];
    let counts = definition("count(*) AS n, last(amount) AS last");
    let built = files(folder.path(), &events, &labels, &counts)
        .build(&out, &|_, _, _| Ok(()))
        .unwrap();
    assert_eq!((built.rows, built.columns, built.events), (2, 4, 3));
    let batch = read(&out);
    assert_eq!(value(&batch, "n", 0), Scalar::Int(2));
    assert_eq!(
        (value(&batch, "n", 1), value(&batch, "last", 1)),
        (Scalar::Int(0), Scalar::Null)
    );

    let labels = folder.path().join("zoned.parquet");
    let times = TimestampMillisecondArray::from(vec![1]).with_timezone("+01:00");
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    write(&labels, vec![("entity", keys), ("ts", Arc::new(times))], 10);
    files(folder.path(), &events, &labels, &counts)
        .build(&out, &|_, _, _| Ok(()))
        .unwrap();
    assert_eq!(value(&read(&out), "n", 0), Scalar::Int(2));
}

#[test]
fn a_file_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let (events, _) = small(folder.path());
    let described = Description::of(&events, Some("amount")).unwrap();
    assert_eq!(described.rows, 3);
    let column = |name: &str| {
        described
            .columns
            .iter()
            .find(|column| column.name == name)
            .unwrap()
    };
    assert_eq!(column("amount").distribution.unwrap().max, 7.0);
    assert_eq!(
        (column("flag").nulls, column("kind").distinct),
        (3, Some(1))
    );
    let error = Description::of(&events, Some("kind")).unwrap_err();
    assert!(
        error.message().contains("expected numbers or booleans"),
        "{error}"
    );
}

/// The files of a folder, by the path from it.
fn parts(folder: &Path) -> Vec<(String, RecordBatch)> {
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().parent().unwrap();
            assert_eq!(path.file_name().unwrap(), "part-0.parquet");
            found.push((name.to_str().unwrap().to_owned(), read(&path)));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

#[test]
fn a_partition_has_the_rows_of_its_values_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let event = |key, time| Event {
        key: Some(key),
        time,
        known: time,
        amount: Some(time),
        weight: 0.5,
        kind: "a/b",
        flag: None,
    };
    let events: Vec<Event> = (0..50).map(|time| event(time % 3, time)).collect();
    write_events(&path("events.parquet"), &events, false, 8);
    // A key that has no events, and rows without a key.
    let labels: Vec<(Option<i64>, i64)> = (0..90)
        .map(|row| ((row % 5 < 4).then_some(row % 5), row / 2))
        .collect();
    write_labels(&path("labels.parquet"), &labels);
    let definition = Definition::parse(
        "CREATE PROJECTION p ON shop KEY entity AS SELECT count(*) AS n, last(kind) AS kind, sum(amount) AS spend",
        "p.sql",
    )
    .unwrap();
    let (events, labels) = ([path("events.parquet")], path("labels.parquet"));
    let plain = files(folder.path(), &events, &labels, &definition);
    let never = |_: &str, _: u64, _: u64| Ok(());
    plain.build(&path("whole.parquet"), &never).unwrap();
    let whole = read(&path("whole.parquet"));
    let by = ["kind".to_owned(), "entity".to_owned()];
    let partitioned = Files {
        partition_by: &by,
        ..plain.clone()
    };
    let built = partitioned.build(&path("out"), &never).unwrap();
    assert_eq!(built.rows as usize, whole.num_rows());
    let null = "__HIVE_DEFAULT_PARTITION__";
    let named = |row: usize| {
        let text = |name: &str| {
            value(&whole, name, row)
                .to_key()
                .map(|text| text.into_owned())
        };
        let kind = text("kind").map_or(null.to_owned(), |kind| kind.replace('/', "%2F"));
        format!(
            "kind={kind}/entity={}",
            text("entity").unwrap_or(null.to_owned())
        )
    };
    let found = parts(&path("out"));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let expected: BTreeSet<String> = (0..whole.num_rows()).map(named).collect();
    assert!(names.iter().eq(&expected), "{names:?}");
    for wanted in [
        format!("kind={null}/entity={null}"),
        "kind=a%2Fb/entity=0".to_owned(),
    ] {
        assert!(expected.contains(&wanted), "{expected:?}");
    }
    for (name, part) in &found {
        let rows: Vec<usize> = (0..whole.num_rows())
            .filter(|row| named(*row) == *name)
            .collect();
        assert_eq!(part.num_rows(), rows.len(), "{name}");
        let fields = part.schema();
        let columns: Vec<&str> = fields
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(columns, ["name", "ts", "n", "spend"]);
        for (at, row) in rows.into_iter().enumerate() {
            for column in &columns {
                assert_eq!(
                    value(part, column, at),
                    value(&whole, column, row),
                    "{name}"
                );
            }
        }
    }
    // What is there isn't overwritten, and nothing is left over of what fails.
    let again = partitioned.build(&path("out"), &never).unwrap_err();
    assert!(again.message().contains("is there already"), "{again}");
    for (columns, message) in [
        (vec!["nothing"], "there is no column \"nothing\""),
        (vec!["kind", "kind"], "named twice"),
        (
            vec!["name", "entity", "ts", "n", "kind", "spend"],
            "all its columns",
        ),
    ] {
        let by: Vec<String> = columns.into_iter().map(str::to_owned).collect();
        let wrong = Files {
            partition_by: &by,
            ..plain.clone()
        };
        let error = wrong.build(&path("wrong"), &never).unwrap_err();
        assert!(error.message().contains(message), "{error}");
    }
    let names = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["events.parquet", "labels.parquet", "out", "whole.parquet"]
    );
}
