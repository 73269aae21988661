//! Datasets over HTTP: against the states that projections answer, built again, erased from.

use crate::support::{Answer, World, event};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, RecordBatch};
use axum::body::Body;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

/// A small generator: the same history in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

const PROJECTION: &str = "CREATE PROJECTION customer ON shop KEY data.k AS SELECT
    count(*) AS n, sum(data.x) OVER (RANGE INTERVAL '3 hours' PRECEDING) AS recent,
    last(data.x) FILTER (WHERE type <> 'odd') AS last, min(data.x) AS low,
    time_since_last('minutes') AS since";
const COLUMNS: [&str; 5] = ["n", "recent", "last", "low", "since"];

async fn define(world: &World, kind: &str, name: &str, text: &str) -> Answer {
    let path = format!("/{kind}/{name}");
    world.call("PUT", &path, &[], text.to_owned()).await
}

async fn build(world: &World, name: &str, query: &str, parts: &[(&str, &str, &[u8])]) -> Answer {
    let path = format!("/datasets/{name}/build{query}");
    if parts.is_empty() {
        return world.call("POST", &path, &[], Body::empty()).await;
    }
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let head = format!(
            "--b\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    world.call("POST", &path, &headers, body).await
}

/// The rows of a Parquet file, and the manifest in its footer.
fn table(bytes: &[u8]) -> (RecordBatch, String) {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let notes = reader
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap();
    let note = notes.iter().find(|note| note.key == "foretell").unwrap();
    let (manifest, schema) = (note.value.clone().unwrap(), reader.schema().clone());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let batch = arrow_select::concat::concat_batches(&schema, &batches).unwrap();
    (batch, manifest)
}

fn value(batch: &RecordBatch, name: &str, row: usize) -> Value {
    let array = batch.column_by_name(name).unwrap();
    if array.is_null(row) {
        return Value::Null;
    }
    if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        return ints.value(row).into();
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return floats.value(row).into();
    }
    if let Some(times) = array.as_primitive_opt::<TimestampNanosecondType>() {
        return times.value(row).into();
    }
    if let Some(flags) = array.as_boolean_opt() {
        return flags.value(row).into();
    }
    let text = array.as_string_opt::<i64>().map(|texts| texts.value(row));
    text.unwrap_or_else(|| array.as_string::<i32>().value(row))
        .into()
}

fn time(minute: u64) -> String {
    let (day, hour) = (minute / 1_440 + 1, minute / 60 % 24);
    format!("2024-01-{day:02}T{hour:02}:{:02}:00Z", minute % 60)
}

/// A history that became known in its own order, some of it late.
async fn import(world: &World, from: u64, count: u64) {
    let mut dice = Dice(7 + from);
    let rows = (from..from + count).map(|number| {
        let known = number * 3;
        let late = [0, 0, dice.below(300)][dice.below(3) as usize];
        let x = match dice.below(5) {
            0 => Value::Null,
            1 => json!(dice.below(50) as f64 / 4.0),
            _ => json!(dice.below(50)),
        };
        json!({
            "specversion": "1.0", "id": number.to_string(), "source": "/s",
            "type": if dice.below(4) == 0 { "odd" } else { "even" },
            "time": time(known.saturating_sub(late)), "knowntime": time(known),
            "data": {"k": format!("c/{}", dice.below(5)), "x": x},
        })
    });
    let rows: Vec<Value> = rows.collect();
    let path = format!("/topics/shop/imports/{}?first_row={from}", "ab".repeat(32));
    world.post(&path, rows.into()).await.is(200);
}

/// A projection and 400 events.
async fn world() -> World {
    let world = World::new().await;
    import(&world, 0, 400).await;
    define(&world, "projections", "customer", PROJECTION)
        .await
        .is(201);
    world
}

/// Whether each row is what the projection answers for its key at its (time, known time).
async fn check_states(world: &World, batch: &RecordBatch, known_at: impl Fn(usize) -> Value) {
    let at = |row: usize| {
        let nanos = value(batch, "time", row).as_i64().unwrap();
        let instant = foretell_types::Instant::from_nanos(nanos);
        foretell_types::Timestamp::from_instant(instant).to_string()
    };
    let question = |row: usize| json!({ "key": value(batch, "key", row), "at": at(row), "known_at": known_at(row) });
    let questions: Vec<Value> = (0..batch.num_rows()).map(question).collect();
    let body = json!({"projection": "customer", "questions": questions});
    let answers = world.post("/state:batch", body).await.is(200).json();
    for (row, answer) in answers.as_array().unwrap().iter().enumerate() {
        for name in COLUMNS {
            let (ours, online) = (value(batch, name, row), &answer["state"][name]);
            let same = ours == *online || (ours.is_number() && ours.as_f64() == online.as_f64());
            assert!(
                same,
                "row {row}, {name}: {ours}, online {online}: {}",
                questions[row]
            );
        }
    }
}

#[tokio::test]
async fn rows_are_what_was_answered_online() {
    let world = world().await;
    let text = "CREATE DATASET at_events ON customer AT EVENTS WHERE data.x > 20";
    define(&world, "datasets", "at_events", text).await.is(201);
    let (batch, manifest) = table(&build(&world, "at_events", "", &[]).await.is(200).body);
    assert!(batch.num_rows() > 100);
    let position = |row: usize| value(&batch, "position", row).to_string().into();
    check_states(&world, &batch, position).await;
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["counts"]["rows"], batch.num_rows());
    assert_eq!(manifest["topics"][0]["head"], 400);
    let (leaves, root) = world.node.log.root().unwrap();
    assert_eq!(
        manifest["log"],
        json!({"leaves": leaves, "root": root.to_string()})
    );

    let text = "CREATE DATASET weekly ON customer AT EVERY INTERVAL '90 minutes' FROM '2024-01-01' TO '2024-01-01T21:00:00Z'
        HORIZON INTERVAL '2 hours' AS SELECT count(*) AS later";
    define(&world, "datasets", "weekly", text).await.is(201);
    let shown = world.get("/datasets/weekly").await.is(200).json();
    assert_eq!(shown["columns"][2], json!({"name": "n", "type": "Int64"}));
    assert_eq!(
        shown["columns"][8],
        json!({"name": "label_complete", "type": "Boolean"})
    );
    let (batch, _) = table(&build(&world, "weekly", "", &[]).await.is(200).body);
    let at = |row: usize| {
        let nanos = value(&batch, "time", row).as_i64().unwrap();
        let instant = foretell_types::Instant::from_nanos(nanos);
        foretell_types::Timestamp::from_instant(instant)
            .to_string()
            .into()
    };
    check_states(&world, &batch, at).await;
    // The last event is of 19:57: what is later than 17:57 isn't over.
    let open = (0..batch.num_rows()).filter(|row| value(&batch, "label_complete", *row) == false);
    let open: Vec<usize> = open.collect();
    assert!(
        !open.is_empty()
            && open
                .iter()
                .all(|row| value(&batch, "later", *row).is_null())
    );
    assert!(
        open.iter()
            .all(|row| at(*row).as_str().unwrap() >= "2024-01-01T18:00")
    );
    let (batch, _) = table(
        &build(&world, "weekly", "?as_of=2024-02-01", &[])
            .await
            .is(200)
            .body,
    );
    assert!((0..batch.num_rows()).all(|row| value(&batch, "later", row).is_number()));
}

#[tokio::test]
async fn a_dataset_is_built_again_from_its_manifest() {
    let world = world().await;
    let text = "CREATE DATASET d ON customer AT ROWS KEY who TIME day SPLIT BY KEY 50, 50";
    define(&world, "datasets", "d", text).await.is(201);
    let labels = (
        "labels",
        "rows.csv",
        b"who,day,won\nc/1,2024-01-01T05:00:00,7\nc/9,2024-01-02T00:00:00,8\n".as_slice(),
    );
    build(&world, "d", "", &[]).await.is(400);
    let first = build(&world, "d", "", &[labels]).await.is(200);
    let (batch, manifest) = table(&first.body);
    assert_eq!(
        (value(&batch, "won", 0), value(&batch, "n", 1)),
        (json!(7), json!(0))
    );
    // What is appended and defined afterwards changes nothing.
    import(&world, 400, 50).await;
    define(
        &world,
        "projections",
        "customer",
        &PROJECTION.replace("count(*)", "2 * count(*)"),
    )
    .await
    .is(200);
    define(
        &world,
        "datasets",
        "d",
        "CREATE DATASET d ON customer AT EVENTS",
    )
    .await
    .is(200);
    let manifest = ("manifest", "m.json", manifest.as_bytes());
    let again = build(&world, "d", "", &[manifest, labels]).await.is(200);
    assert_eq!(again.body, first.body);
    world.delete("/datasets/d").await.is(200);
    let again = build(&world, "d", "", &[labels, manifest]).await.is(200);
    assert_eq!(again.body, first.body);
    // Of another table, or another log, it isn't.
    let other = (
        "labels",
        "rows.csv",
        b"who,day,won\nc/1,2024-01-01T05:00:00,6\n".as_slice(),
    );
    let told = build(&world, "d", "", &[manifest, other])
        .await
        .is(400)
        .message();
    assert!(told.contains("the label table is another one"), "{told}");
    world.delete("/topics/shop").await.is(200);
    world.put("/topics/shop", json!({})).await.is(201);
    import(&world, 0, 400).await;
    let told = build(&world, "d", "", &[manifest, labels])
        .await
        .is(400)
        .message();
    assert!(
        told.contains("was made of another topic \"shop\""),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_first_byte() {
    let world = world().await;
    build(&world, "d", "", &[]).await.is(404);
    let check = async |text: &str, query: &str, parts: &[(&str, &str, &[u8])], expected: &str| {
        let defined = define(&world, "datasets", "d", text).await;
        let told = match defined.status {
            200 | 201 => build(&world, "d", query, parts).await.is(400).message(),
            _ => defined.is(400).message(),
        };
        assert!(told.contains(expected), "{text}: {told}");
    };
    let rows = "CREATE DATASET d ON customer AT ROWS";
    check(
        "CREATE DATASET d ON nobody AT EVENTS",
        "",
        &[],
        "d.sql:1:21: there is no projection \"nobody\"; there are: customer",
    )
    .await;
    check(
        "CREATE DATASET e ON customer AT EVENTS",
        "",
        &[],
        "the text defines dataset e",
    )
    .await;
    check(rows, "", &[], "give it with --labels FILE").await;
    check(
        rows,
        "",
        &[("labels", "l.csv", b"a,b\n1,2\n")],
        "no column \"key\"; it has: a, b",
    )
    .await;
    check(
        rows,
        "",
        &[("labels", "l.csv", b"key,time\n1,soon\n")],
        "l.csv: column \"time\" is of type Utf8",
    )
    .await;
    check(
        rows,
        "",
        &[("labels", "l.parquet", b"nonsense")],
        "l.parquet can't be read as Parquet",
    )
    .await;
    check(
        rows,
        "",
        &[("odd", "x", b"")],
        "there are labels and manifest",
    )
    .await;
    check(
        rows,
        "",
        &[("manifest", "x", b"{}")],
        "no manifest of a dataset",
    )
    .await;
    let events = "CREATE DATASET d ON customer AT EVENTS";
    check(
        events,
        "?at_head=401",
        &[],
        "has no position 401 yet: its head is 400",
    )
    .await;
    check(
        events,
        "?at_head=shop:3",
        &[],
        "neither a position nor topic=position",
    )
    .await;
    check(
        events,
        "",
        &[("labels", "l.csv", b"key,time\n")],
        "has its own instants",
    )
    .await;
    let count = table(
        &build(&world, "d", "?at_head=shop=120", &[])
            .await
            .is(200)
            .body,
    )
    .0
    .num_rows();
    assert_eq!(count, 120);
    assert_eq!(
        world.get("/datasets/d/builds").await.is(200).json(),
        json!([])
    );
    world.delete("/projections/customer").await.is(200);
    let listed = world.get("/datasets").await.is(200).json();
    assert!(
        listed[0]["trouble"]
            .as_str()
            .unwrap()
            .contains("there is no projection"),
        "{listed}"
    );
    let status = world
        .send("POST", "/datasets/d/build", &[], Body::empty())
        .await
        .status;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn columns_go_with_what_was_erased() {
    let world = World::empty().await;
    let erasable = json!({"properties": {"erasable": true}});
    world.put("/topics/shop", erasable).await.is(201);
    let events: Vec<Value> = (0..6u8)
        .map(|n| {
            event(
                &n.to_string(),
                &format!("p/{}", n % 2),
                json!({"name": format!("Name {n}")}),
            )
        })
        .collect();
    world.publish(events.into()).await.is(200);
    define(
        &world,
        "projections",
        "p",
        "CREATE PROJECTION p ON shop AS SELECT last(data.name) AS name, count(*) AS n",
    )
    .await
    .is(201);
    define(&world, "datasets", "d", "CREATE DATASET d ON p AT EVENTS")
        .await
        .is(201);
    let first = build(&world, "d", "", &[]).await.is(200);
    let (batch, manifest) = table(&first.body);
    assert_eq!(value(&batch, "name", 5), json!("Name 5"));
    let columns = world.folder.path().join("data/derived/columns");
    let folders = || {
        let entries = std::fs::read_dir(&columns).unwrap().flatten();
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    let before = folders();
    assert!(before.len() == 1 && before[0].ends_with("-0"), "{before:?}");
    world
        .post("/topics/shop/erasures", json!({"subjects": ["p/1"]}))
        .await
        .is(200);
    assert!(folders().is_empty());
    let (batch, later) = table(&build(&world, "d", "", &[]).await.is(200).body);
    assert_eq!(
        (value(&batch, "name", 5), value(&batch, "n", 5)),
        (Value::Null, json!(3))
    );
    assert_eq!(value(&batch, "name", 4), json!("Name 4"));
    let later: Value = serde_json::from_str(&later).unwrap();
    assert_eq!(later["counts"]["erased"], 3);
    let told = build(&world, "d", "", &[("manifest", "m", manifest.as_bytes())]).await;
    assert!(
        told.is(400)
            .message()
            .contains("3 of the dataset's events were erased since")
    );
    // What nobody reads any more is dropped at the next start.
    world.delete("/datasets/d").await.is(200);
    let world = world.reopen(foretell_server::Application::none()).await;
    let left = std::fs::read_dir(world.folder.path().join("data/derived/columns"))
        .unwrap()
        .flatten();
    assert!(
        left.flat_map(|topic| std::fs::read_dir(topic.path()).unwrap())
            .count()
            == 0
    );
}

#[tokio::test]
async fn files_of_the_application_define_datasets() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app");
    let write = |name: &str, text: &str| {
        let path = app.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("foretell.toml", "[topics.shop]\n");
    write("projections/customer.sql", PROJECTION);
    write("datasets/d.sql", "CREATE DATASET d ON customer AT EVENTS");
    let data = folder.path().join("data");
    let open = async || {
        crate::support::open(&data, foretell_server::Application::read(&app).unwrap()).await
    };
    let world_of = |node| World {
        folder: tempfile::tempdir().unwrap(),
        node,
    };
    let world = world_of(open().await.unwrap());
    assert_eq!(world.get("/datasets").await.is(200).json()[0]["name"], "d");
    world.delete("/datasets/d").await.is(409);
    define(
        &world,
        "datasets",
        "d",
        "CREATE DATASET d ON customer AT ROWS",
    )
    .await
    .is(409);
    world.node.close().await;
    write("datasets/d.sql", "CREATE DATASET d ON customer AT NEVER");
    let World { node, .. } = world;
    crate::support::wait_for("the node is let go", || {
        std::sync::Arc::strong_count(&node) == 1
    })
    .await;
    drop(node);
    let error = open().await.unwrap_err();
    assert!(
        error
            .message()
            .contains("datasets/d.sql:1:33: expected EVERY"),
        "{error}"
    );
    std::fs::remove_file(app.join("datasets/d.sql")).unwrap();
    let world = world_of(open().await.unwrap());
    assert_eq!(world.get("/datasets").await.is(200).json(), json!([]));
}
