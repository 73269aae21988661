//! Sealed segments in the storage account.

use crate::support::{World, application, cloud, wait_for};
use foretell_server::Application;
use serde_json::{Value, json};

const TOML: &str = r#"
[topics.shop]

[log]
segment_bytes = 65536
archive = "archive"
keep_bytes = 0
"#;

async fn publish(world: &World, from: u64, until: u64) {
    let text: String = (0..60).map(|n| format!("{n} green bottles, ")).collect();
    let events = (from..until).map(|n| {
        let mut event = cloud(&n.to_string(), &format!("customer/{}", n % 5));
        event["data"] = json!({ "n": n, "text": format!("{n}: {text}") });
        if n % 10 == 0 {
            event.as_object_mut().unwrap().remove("subject");
        }
        event
    });
    let events = Value::from_iter(events).to_string();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let path = "/topics/shop/api/events";
    world.call("POST", path, &headers, events).await.is(200);
}

async fn metric(world: &World, name: &str) -> u64 {
    let text = world.get("/metrics").await.is(200).text();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(of, _)| *of == name).unwrap();
    value.parse().unwrap()
}

/// Publishes some events and waits until all that is sealed is archived.
async fn archived(world: &World) {
    for n in 0..6 {
        publish(world, n * 100, n * 100 + 100).await;
    }
    let log = world.node.log.clone();
    wait_for("all that is sealed is archived", || {
        let sealing = log.sealing();
        sealing.unsealed_segments <= 1 && sealing.archived_segments == sealing.sealed_segments
    })
    .await;
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .map(|e| e["data"]["n"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn archived_events_are_read_from_the_storage_account() {
    let world = World::with(TOML).await;
    archived(&world).await;
    assert!(metric(&world, "foretell_log_archived_segments").await >= 5);
    assert!(metric(&world, "foretell_log_archived_bytes").await > 10_000);
    assert_eq!(metric(&world, "foretell_log_archiving").await, 1);
    let all: Vec<u64> = (0..600).collect();
    assert_eq!(numbers(&world.read("").await), all);
    let data = world.folder.path().join("data");
    let journal = || std::fs::read_dir(data.join("journal")).unwrap().flatten();
    let of = |end: &str| {
        let names = journal().map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(end)).count() as u64
    };
    assert_eq!(of(".sealed"), 0);
    let count = metric(&world, "foretell_log_archived_segments").await;
    assert_eq!(of(".archived"), count);
    let blobs = world.node.storage.list("archive", "").await.unwrap();
    assert_eq!(blobs.len() as u64, count);
    let verified = world.post("/verify", Value::Null).await.is(200).text();
    let last: Value = serde_json::from_str(verified.lines().last().unwrap()).unwrap();
    assert!(last["root"].is_string(), "{last}");
    // A backup holds what is archived.
    let files = world.get("/backup").await.is(200).json();
    let files = files["files"].as_array().unwrap();
    let sealed = files.iter().map(|file| file["name"].as_str().unwrap());
    let sealed: Vec<&str> = sealed.filter(|name| name.ends_with(".sealed")).collect();
    assert_eq!(sealed.len() as u64, count);
    let path = format!("/backup/{}?bytes=8", sealed[0]);
    assert_eq!(world.get(&path).await.is(200).body, b"FTsegmnt");

    // Who opens the directory without the application reads all the same.
    let world = world.reopen(Application::none()).await;
    assert_eq!(numbers(&world.read("").await), all);
    assert_eq!(metric(&world, "foretell_log_archiving").await, 0);
}

#[tokio::test]
async fn what_is_archived_is_missed_alone() {
    let world = World::with(TOML).await;
    archived(&world).await;
    let toml = application(world.folder.path(), TOML).unwrap();
    let storage = world.folder.path().join("data/storage");
    std::fs::rename(storage.join("archive"), storage.join("away")).unwrap();
    // A server starts without it too: its configuration is in the oldest segments.
    let world = world.reopen(toml).await;
    let answer = world.get("/topics/shop/events?from=1").await.is(503);
    let message = answer.message();
    assert!(message.contains("container archive"), "{message}");
    assert!(message.contains(".sealed"), "{message}");
    let last = metric(&world, "foretell_topic_events{topic=\"shop\"}").await;
    assert_eq!(world.read(&format!("?from={last}")).await.len(), 1);
    publish(&world, 600, 610).await;
    world.get("/topics/shop/state/customer/1").await.is(200);
    std::fs::rename(storage.join("away"), storage.join("archive")).unwrap();
    assert_eq!(numbers(&world.read("").await).len(), 610);
}

#[test]
fn settings_that_are_wrong_are_refused() {
    for (settings, told) in [
        (
            "archive = \"archive\"",
            "neither archive_after nor keep_bytes",
        ),
        ("keep_bytes = 1", "archive is missing"),
        ("archive_after = \"30d\"", "archive is missing"),
        ("archive = \"A\"\nkeep_bytes = 1", "archive: "),
        (
            "archive = \"archive\"\narchive_after = \"soon\"",
            "archive_after: \"soon\"",
        ),
        ("archive = \"archive\"\nkeep_bytes = -1", "keep_bytes"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = application(folder.path(), &format!("[log]\n{settings}\n")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("foretell.toml") && text.contains(told),
            "{text}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let both = "[log]\narchive = \"archive\"\narchive_after = \"30d\"\nkeep_bytes = 1000\n";
    application(folder.path(), both).unwrap();
}
