//! `kill -9` after a pause, after a rewind and in the middle of the replay: what was answered holds,
//! and all is delivered again, in order, and as what it is.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::Server;
use serde_json::{Value, json};

const SUBJECTS: u64 = 7;

/// Events as they came, and whether as a replay.
type Seen = Arc<Mutex<Vec<(Value, bool)>>>;

/// A webhook that takes everything.
fn hook() -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("webhook:http://{}/", listener.local_addr().unwrap());
    let seen = Seen::default();
    let note = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let note = note.clone();
            std::thread::spawn(move || take(stream, &note));
        }
    });
    (url, seen)
}

fn take(stream: std::net::TcpStream, seen: &Seen) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut replayed, mut line) = (0, false, String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            replayed |= lower.trim_end() == "foretell-replayed: true";
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
        let events = events.into_iter().map(|event| (event, replayed));
        seen.lock().unwrap().extend(events);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        reader.get_mut().write_all(answer).ok()?;
    }
}

fn publish(data: &Path, folder: &Path, numbers: std::ops::RangeInclusive<u64>) {
    let events: Vec<Value> = numbers
        .map(|n| {
            json!({"id": n.to_string(), "subject": format!("s/{}", n % SUBJECTS),
                "eventType": "counted", "eventTime": "2024-01-01T00:00:00Z", "dataVersion": "1",
                "data": {"n": n}})
        })
        .collect();
    let file = folder.join("events.json");
    std::fs::write(&file, json!(events).to_string()).unwrap();
    crate::support::text(data, &["publish", "shop", file.to_str().unwrap()]);
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_was_answered_outlives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (url, seen) = hook();
    crate::support::text(&data, &["topic", "create", "shop"]);
    let create = ["subscription", "create", "shop", "hook", "--to", &url];
    crate::support::text(&data, &create);
    let count = || seen.lock().unwrap().len();
    let hook = |verb: &str, more: &[&str]| {
        crate::support::json(
            &data,
            &[&["subscription", verb, "shop", "hook"], more].concat(),
        )
    };
    let mut server = Server::start(&data, &[]);
    publish(&data, folder.path(), 1..=500);
    wait_for("the first", || count() == 500);
    hook("pause", &[]);
    server.kill();
    // Also by commands, while no server runs.
    publish(&data, folder.path(), 501..=1_000);
    hook("rewind", &["--to", "101"]);
    let mut server = Server::start(&data, &[]);
    let shown = hook("show", &[]);
    assert_eq!(
        (&shown["paused"], &shown["lag"]),
        (&json!(true), &json!(900))
    );
    publish(&data, folder.path(), 1_001..=1_200);
    hook("resume", &[]);
    server.kill();
    let before = count();
    for kills in 1..=3 {
        let mut server = Server::start(&data, &[]);
        wait_for("some more", || count() > before + kills * 100);
        server.kill();
    }
    let server = Server::start(&data, &[]);
    wait_for("all of it", || hook("show", &[])["lag"] == 0);
    drop(server);
    let seen = seen.lock().unwrap();
    let mut last: HashMap<u64, u64> = HashMap::new();
    let mut delivered: HashMap<u64, bool> = HashMap::new();
    for (event, replayed) in &seen[500..] {
        let n = event["data"]["n"].as_u64().unwrap();
        assert_eq!(*replayed, n <= 1_000, "{n}");
        if delivered.insert(n, *replayed).is_none() {
            let last = last.insert(n % SUBJECTS, n).unwrap_or(0);
            assert!(last < n, "{n} came first after {last}");
        }
    }
    assert_eq!(delivered.len(), 1_100);
    assert!(delivered.keys().all(|n| *n > 100));
    println!("{} deliveries of 1,600", seen.len());
}
