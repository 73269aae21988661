//! Backup of a log in use, and its way back.

use crate::support::{Server, json as json_of, run, text};
use serde_json::{Value, json};

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
    assert_eq!(json_of(&data, &["backup", dir, "--check"])["root"], root);
    let journal = std::fs::read_dir(backup.join("journal")).unwrap();
    let mut files = journal.map(|entry| entry.unwrap().path());
    let segment = files
        .find(|path| path.to_str().unwrap().contains("0000000000.segment"))
        .unwrap();
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
    assert!(!other.join("journal").exists() && !other.join("journal.part").exists());
    let checked = run(&data, &["backup", dir, "--check"]);
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(
        run(&other, &["restore", folder.path().to_str().unwrap()])
            .status
            .code(),
        Some(3)
    );
}

/// A backup into a data directory, its own or another, or over another log's, is refused, and leaves
/// all as it was.
#[test]
fn nothing_else_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other, backup] = ["one", "other", "backup"].map(|name| folder.path().join(name));
    for data in [&one, &other] {
        text(data, &["topic", "create", "shop"]);
    }
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    text(&other, &["backup", &path(&backup)]);
    let before = json_of(&other, &["verify"]);
    let server = Server::start(&one, &[]);
    for to in [&one, &other, &backup, &one.join("journal")] {
        let refused = run(&one, &["backup", &path(to)]);
        assert_eq!(refused.status.code(), Some(1), "{}", to.display());
    }
    drop(server);
    json_of(&one, &["verify"]);
    assert_eq!(json_of(&other, &["verify"])["root"], before["root"]);
    let checked = json_of(&other, &["backup", &path(&backup), "--check"]);
    assert_eq!(checked["root"], before["root"]);
}

/// Archived segments are part of a backup; it lies in a container, and a second one takes only
/// what is new.
#[test]
fn a_log_is_backed_up_into_a_container() {
    let folder = tempfile::tempdir().unwrap();
    let (data, app) = (folder.path().join("data"), folder.path().join("app"));
    std::fs::create_dir(&app).unwrap();
    let toml =
        "[topics.shop]\n[log]\nsegment_bytes = 65536\narchive = \"archive\"\nkeep_bytes = 0\n";
    std::fs::write(app.join("foretell.toml"), toml).unwrap();
    let server = Server::start(&data, &[app.to_str().unwrap()]);
    let publish = |from: u64, until: u64| {
        let song: String = (0..60).map(|n| format!("{n} green bottles, ")).collect();
        let events: Vec<Value> = (from..until)
            .map(|n| {
                json!({
                    "specversion": "1.0", "id": n.to_string(), "source": "/t", "type": "changed",
                    "subject": format!("a/{}", n % 7), "data": {"n": n, "text": song}
                })
            })
            .collect();
        let file = folder.path().join("events.json");
        std::fs::write(&file, Value::from(events).to_string()).unwrap();
        text(&data, &["publish", "shop", file.to_str().unwrap()]);
    };
    for n in 0..6 {
        publish(n * 100, n * 100 + 100);
    }
    let archive = data.join("storage/archive");
    let began = std::time::Instant::now();
    while !archive.exists() {
        assert!(began.elapsed().as_secs() < 20, "something is archived");
        std::thread::yield_now();
    }
    let to = ["backup", "--container", "backups/shop"];
    let first = json_of(&data, &to);
    assert!(first["files"].as_u64() > Some(2), "{first}");
    publish(600, 700);
    let second = json_of(&data, &to);
    assert!(second["kept"].as_u64() > Some(2), "{second}");
    assert!(second["commits"].as_u64() > first["commits"].as_u64());
    let root = json_of(&data, &["verify"])["root"].clone();
    assert_eq!(second["root"], root);
    let events = text(&data, &["read", "shop", "--json"]);
    assert_eq!(events.lines().count(), 700);
    drop(server);
    // Also without a server; and a folder holds the same.
    let third = json_of(&data, &to);
    assert_eq!(third["root"], root);
    let dir = folder.path().join("backup");
    assert_eq!(
        json_of(&data, &["backup", dir.to_str().unwrap()])["root"],
        root
    );

    // The disk of the log is gone, the storage account is there.
    std::fs::remove_dir_all(data.join("journal")).unwrap();
    let from = ["restore", "--container", "backups/shop"];
    assert_eq!(json_of(&data, &from)["root"], root);
    assert_eq!(text(&data, &["read", "shop", "--json"]), events);
    let storage = data.join("storage");
    let elsewhere = folder.path().join("elsewhere");
    let with_storage = [&from[..], &["--storage", storage.to_str().unwrap()]].concat();
    assert_eq!(json_of(&elsewhere, &with_storage)["root"], root);
    std::fs::remove_dir_all(&archive).unwrap();
    assert_eq!(text(&elsewhere, &["read", "shop", "--json"]), events);
    assert_eq!(json_of(&elsewhere, &["verify"])["root"], root);

    for (arguments, exit) in [
        (&["backup"][..], 2),
        (&["backup", "x", "--container", "backups"], 2),
        (&["backup", "--container", "No/good"], 1),
        (&["backup", "--container", "backups/../x"], 1),
        (&["restore", "x", "--storage", "y"], 2),
    ] {
        assert_eq!(
            run(&data, arguments).status.code(),
            Some(exit),
            "{arguments:?}"
        );
    }
    let new = folder.path().join("new");
    assert_eq!(
        run(&new, &["restore", "--container", "backups"])
            .status
            .code(),
        Some(3)
    );
    assert!(!new.exists());
    let none = [
        "restore",
        "--container",
        "backups/none",
        "--storage",
        storage.to_str().unwrap(),
    ];
    assert_eq!(run(&new, &none).status.code(), Some(3));
}
