//! The store API: reads.

use crate::support::{Answer, World, cloud, event};
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use axum::body::Body;
use base64::Engine;
use foretell_types::Timestamp;
use serde_json::{Value, json};

const ARROW: &str = "application/vnd.apache.arrow.stream";

/// The events of an answer in Arrow, as the JSON that they would be, but for the times: these as
/// nanoseconds.
async fn arrow(world: &World, query: &str) -> Vec<Value> {
    let path = format!("/topics/shop/events{query}");
    let answer = world
        .call("GET", &path, &[("accept", ARROW)], Body::empty())
        .await
        .is(200);
    assert_eq!(answer.header("content-type"), Some(ARROW));
    let end = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert!(answer.body.ends_with(&end), "the stream is cut short");
    let reader = arrow_ipc::reader::StreamReader::try_new(&answer.body[..], None).unwrap();
    let batches = reader.map(Result::unwrap);
    batches
        .flat_map(|batch| {
            let rows = 0..batch.num_rows();
            rows.map(|row| as_json(&batch, row)).collect::<Vec<_>>()
        })
        .collect()
}

fn as_json(batch: &RecordBatch, row: usize) -> Value {
    let mut all = json!({ "specversion": "1.0" });
    let schema = batch.schema();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let name = field.name().as_str();
        if column.is_null(row) {
            if name == "revision" {
                all[name] = Value::Null;
            }
            continue;
        }
        let text = || column.as_string::<i32>().value(row);
        all[name] = match name {
            "position" | "revision" => json!(column.as_primitive::<UInt64Type>().value(row)),
            "time" | "recordedtime" => {
                json!(column.as_primitive::<TimestampNanosecondType>().value(row))
            }
            "extensions" => {
                let more: Value = serde_json::from_str(text()).unwrap();
                for (name, value) in more.as_object().unwrap() {
                    all[name] = value.clone();
                }
                continue;
            }
            "data" => serde_json::from_str(text()).unwrap(),
            "data_binary" => {
                let bytes = column.as_binary::<i32>().value(row);
                all["data_base64"] = json!(base64::prelude::BASE64_STANDARD.encode(bytes));
                continue;
            }
            "erased" => {
                assert!(!column.as_boolean().value(row));
                continue;
            }
            _ => json!(text()),
        };
    }
    all
}

/// The events as JSON lines, the times as nanoseconds.
async fn lines(world: &World, query: &str) -> Vec<Value> {
    let path = format!("/topics/shop/events{query}");
    let accept = [("accept", "application/x-ndjson")];
    let answer = world.call("GET", &path, &accept, Body::empty()).await;
    let text = answer.is(200).text();
    let mut events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for event in &mut events {
        for name in ["time", "recordedtime"] {
            if let Some(time) = event[name].as_str().map(str::to_owned) {
                let time: Timestamp = time.parse().unwrap();
                event[name] = json!(time.instant().as_nanos());
            }
        }
    }
    events
}

#[tokio::test]
async fn arrow_tells_what_json_tells() {
    let world = World::new().await;
    assert_eq!(arrow(&world, "").await, Vec::<Value>::new());
    let source = "/some/source";
    let plain = |id: &str| json!({ "specversion": "1.0", "id": id, "source": source, "type": "t" });
    let mut events = vec![plain("bare")];
    for (id, more) in [
        (
            "json",
            json!({ "data": { "a": [1, 1.50, null] }, "subject": "ü/1" }),
        ),
        (
            "number",
            json!({ "data": 12345678901234567890u64, "subject": "ü/1" }),
        ),
        (
            "text",
            json!({ "data": "a \"b\"\n", "datacontenttype": "text/plain" }),
        ),
        (
            "binary",
            json!({ "data_base64": "AAECAwD/", "datacontenttype": "a/b" }),
        ),
        (
            "all",
            json!({
                "subject": "s",
                "time": "2024-05-01T12:30:00.123456789+02:00",
                "dataschema": "urn:x",
                "flag": true,
                "count": -7,
                "tags": "a b",
                "other": "\"q\"",
            }),
        ),
    ] {
        let mut event = plain(id);
        for (name, value) in more.as_object().unwrap() {
            event[name] = value.clone();
        }
        events.push(event);
    }
    // More than one batch.
    events.extend((0..4_000).map(|n| cloud(&format!("n{n}"), &format!("s/{}", n % 7))));
    for part in events.chunks(2_000) {
        let sent = world.post("/topics/shop/events", json!(part)).await;
        sent.is(200);
    }
    for n in 4_000..9_000 {
        let mut event = cloud(&format!("n{n}"), "s/1");
        if n % 1_000 == 7 {
            event["dataschema"] = json!("urn:x");
            event["flag"] = json!(true);
        }
        events.push(event);
    }
    for part in events[4_006..].chunks(2_500) {
        let sent = world.post("/topics/shop/events", json!(part)).await;
        sent.is(200);
    }
    let all = lines(&world, "").await;
    assert_eq!(all.len(), events.len());
    assert_eq!(arrow(&world, "").await, all);
    for query in [
        "?backward=true&limit=3",
        "?subject=s/3",
        "?limit=0",
        "?limit=8192",
    ] {
        assert_eq!(
            arrow(&world, query).await,
            lines(&world, query).await,
            "{query}"
        );
    }
}

/// Each of these events is a piece of the answer, and more than are made at once.
#[tokio::test]
async fn a_long_answer_is_whole() {
    let world = World::new().await;
    let events: Vec<Value> = (0..80)
        .map(|n| {
            let mut event = cloud(&n.to_string(), "s");
            event["data"] = json!(format!("{n}").repeat(300_000));
            event
        })
        .collect();
    for part in events.chunks(10) {
        let sent = world.post("/topics/shop/events", json!(part)).await;
        sent.is(200);
    }
    for read in [lines(&world, "").await, arrow(&world, "").await] {
        assert_eq!(read.len(), events.len());
        for (n, (read, event)) in read.iter().zip(&events).enumerate() {
            assert_eq!(read["position"], json!(n + 1));
            assert!(read["data"] == event["data"], "event {n}");
        }
    }
    assert_eq!(lines(&world, "?limit=50").await.len(), 50);
}

#[tokio::test]
async fn a_time_that_arrow_has_no_number_for_is_an_error() {
    let world = World::new().await;
    let mut far = cloud("1", "s");
    far["time"] = json!("9999-12-31T23:59:59Z");
    world
        .post("/topics/shop/events", json!([far]))
        .await
        .is(200);
    let key = format!("Bearer {}", world.admin());
    let headers = [("accept", ARROW), ("authorization", &*key)];
    let path = "/topics/shop/events";
    let answer = world.raw("GET", path, &headers, Body::empty()).await;
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
    let error = body.unwrap_err().to_string();
    assert!(
        error.contains("position 1") && error.contains("2262"),
        "{error}"
    );
    let lines = lines(&world, "").await;
    assert_eq!(lines.len(), 1);
}

#[tokio::test]
async fn reads() {
    let world = World::new().await;
    let events: Vec<Value> = (1..=10)
        .map(|i| {
            let mut e = cloud(&i.to_string(), &format!("s/{}", i % 3));
            e["time"] = json!(format!("2024-01-{i:02}T00:00:00Z"));
            e["tags"] = json!(format!("t{} all", i % 2));
            e["type"] = json!(if i > 5 { "late" } else { "early" });
            e
        })
        .collect();
    world
        .post("/topics/shop/events", json!(events))
        .await
        .is(200);
    let max = u64::MAX;
    for (query, expected) in [
        ("".to_owned(), (1..=10).collect::<Vec<u64>>()),
        ("?from=9".into(), vec![9, 10]),
        ("?after=9".into(), vec![10]),
        (format!("?after={max}"), vec![]),
        (format!("?from={max}"), vec![]),
        (format!("?until={max}&limit={max}"), (1..=10).collect()),
        ("?from=5&until=4".into(), vec![]),
        ("?until=2".into(), vec![1, 2]),
        ("?limit=0".into(), vec![]),
        ("?limit=2&after=0".into(), vec![1, 2]),
        ("?type=late&limit=1".into(), vec![6]),
        ("?type=late&type=early".into(), (1..=10).collect()),
        ("?subject=s/0".into(), vec![3, 6, 9]),
        ("?subject=s/0&subject=s/1&until=4".into(), vec![1, 3, 4]),
        ("?subject_prefix=s/&limit=1".into(), vec![1]),
        ("?tag=t0&tag=all&limit=2".into(), vec![2, 4]),
        ("?at=2024-01-03".into(), vec![1, 2, 3]),
        ("?backward=true&limit=3".into(), vec![10, 9, 8]),
        ("?backward=true&from=2&until=4".into(), vec![4, 3, 2]),
        ("?backward&subject=s/0".into(), vec![9, 6, 3]),
        ("?backward=true&from=5&until=4".into(), vec![]),
    ] {
        let answer = world
            .get(&format!("/topics/shop/events{query}"))
            .await
            .is(200);
        let all = arrow(&world, &query).await;
        let positions = |all: Vec<Value>| -> Vec<u64> {
            all.iter()
                .map(|e| e["position"].as_u64().unwrap())
                .collect()
        };
        let page: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        let last = expected.last().map(u64::to_string);
        assert_eq!(positions(page), expected, "{query}");
        assert_eq!(
            answer.header("foretell-last-position").map(str::to_owned),
            last,
            "{query}"
        );
        let lines = [("accept", "application/x-ndjson")];
        let path = format!("/topics/shop/events{query}");
        let text = world
            .call("GET", &path, &lines, Body::empty())
            .await
            .is(200)
            .text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(positions(lines.collect()), expected, "{query}");
        assert_eq!(positions(all), expected, "{query}");
    }
    let page = world.get("/topics/shop/events?limit=9").await;
    assert_eq!(page.header("foretell-more"), Some("true"));
    let page = world.get("/topics/shop/events?limit=10").await;
    assert_eq!(page.header("foretell-more"), Some("false"));
    let page = world.get("/topics/shop/streams/s/0?backward=true").await;
    assert_eq!(page.header("etag"), Some("\"2\""));
    for query in [
        "?form=1",
        "?from=0",
        "?from=x",
        "?from=1&after=1",
        "?limit=-1",
        "?until=0",
        "?at=5x",
        "?backward=maybe",
        "?follow=true",
        "?after=18446744073709551616",
        "?subject=%FF",
    ] {
        let answer = world.get(&format!("/topics/shop/events{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {answer}");
    }
    let answer = world.get("/topics/shop/events?form=1").await;
    assert!(answer.message().contains("\"form\""), "{answer}");
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_large() {
    let world = World::new().await;
    let data = "x".repeat(1_000_000);
    for id in 0..18 {
        world
            .publish(json!([event(&id.to_string(), "s", json!(data))]))
            .await
            .is(200);
    }
    let (mut after, mut pages) = (0, 0);
    loop {
        let page = world
            .get(&format!("/topics/shop/events?after={after}"))
            .await
            .is(200);
        after = page
            .header("foretell-last-position")
            .unwrap()
            .parse()
            .unwrap();
        pages += 1;
        if page.header("foretell-more") == Some("false") {
            break;
        }
    }
    assert_eq!((after, pages), (18, 2));
    let lines = [("accept", "application/x-ndjson")];
    let path = "/topics/shop/events";
    let text = world.call("GET", path, &lines, Body::empty()).await.text();
    assert_eq!(text.lines().count(), 18);
}

#[tokio::test]
async fn system_topics_are_read_only() {
    let world = World::new().await;
    let events = world
        .get("/topics/foretell.config/events")
        .await
        .is(200)
        .json();
    assert_eq!(events[0]["subject"], "topics/shop");
    world
        .get("/topics/Foretell.Deadletters/events")
        .await
        .is(200);
    let state = world
        .get("/topics/foretell.config/state/topics/shop")
        .await
        .is(200)
        .json();
    assert_eq!(state["state"]["name"], "shop");
    for path in ["/api/events", "/events", "/streams/s"] {
        let path = format!("/topics/foretell.config{path}");
        world.post(&path, json!([cloud("1", "s")])).await.is(403);
    }
    world
        .put("/topics/foretell.config", json!({}))
        .await
        .is(403);
    world.put("/topics/foretell.mine", json!({})).await.is(403);
    world.delete("/topics/foretell.config").await.is(403);
    world.get("/topics/foretell.nothing/events").await.is(404);
    let list = |answer: Answer| answer.json().as_array().unwrap().len();
    assert_eq!(list(world.get("/topics").await), 1);
    assert_eq!(list(world.get("/topics?system=true").await), 5);
}
