//! Backup of a log in use, and its way back.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use serde_json::{Value, json};
use support::{Server, json as json_of, run, text};

#[test]
fn a_log_in_use_is_backed_up_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup"));
    let dir = backup.to_str().unwrap();
    text(&data, &["topic", "create", "shop"]);
    let server = Server::start(&data, &[]);
    let publish = |from: u64, until: u64| {
        let lines: Vec<String> = (from..until)
            .map(|n| {
                json!({
                    "specversion": "1.0", "id": n.to_string(), "source": "/t", "type": "changed",
                    "subject": format!("a/{}", n % 7), "data": {"n": n}
                })
                .to_string()
            })
            .collect();
        let file = folder.path().join("events.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        text(&data, &["publish", "shop", file.to_str().unwrap()]);
    };
    publish(0, 500);
    let first = json_of(&data, &["backup", dir]);
    publish(500, 1_000);
    let second = json_of(&data, &["backup", dir]);
    assert!(second["commits"].as_u64() > first["commits"].as_u64());
    let root = json_of(&data, &["verify"])["root"].clone();
    assert_eq!(second["root"], root);
    let events = text(&data, &["read", "shop", "--json"]);
    assert_eq!(events.lines().count(), 1_000);

    // Not over a log that is there, and not under a server.
    assert_eq!(run(&data, &["restore", dir]).status.code(), Some(2));
    drop(server);
    assert_eq!(run(&data, &["restore", dir]).status.code(), Some(1));

    let restored = folder.path().join("restored");
    let done = json_of(&restored, &["restore", dir]);
    assert_eq!(done["root"], root);
    assert_eq!(text(&restored, &["read", "shop", "--json"]), events);
    assert_eq!(json_of(&restored, &["verify"])["root"], root);
    text(&restored, &["topic", "create", "more"]);

    // A damaged backup is not restored.
    let journal = backup.join("journal");
    let segment = journal.join("0000000000.segment");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let other = folder.path().join("other");
    let failed = run(&other, &["restore", dir, "--json"]);
    assert_eq!(failed.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert!(
        told["error"]["message"]
            .as_str()
            .unwrap()
            .contains("0000000000.segment"),
        "{told}"
    );
    assert!(!other.join("journal").exists());
    assert_eq!(
        run(&other, &["restore", folder.path().to_str().unwrap()])
            .status
            .code(),
        Some(3)
    );
}
