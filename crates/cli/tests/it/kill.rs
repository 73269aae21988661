//! `kill -9` in the middle of publishing: every acknowledged event is there, in order, once.
//! Segments are small, so that the server is killed while it seals and merges, too.
//! `FORETELL_KILL_ROUNDS=100` runs the long form.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::Server;
use serde_json::json;

const CONNECTIONS: u64 = 16;

/// What one connection knows: events acknowledged, events sent.
#[derive(Clone, Copy, Default)]
struct Told {
    acknowledged: u64,
    sent: u64,
}

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds: u64 = std::env::var("FORETELL_KILL_ROUNDS").map_or(8, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    crate::support::text(&data, &["topic", "create", "shop"]);
    let key = crate::support::json(&data, &["topic", "keys", "shop"])["key1"]
        .as_str()
        .unwrap()
        .to_owned();
    let app = folder.path().join("app");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(app.join("foretell.toml"), "[log]\nsegment_bytes = 65536\n").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut told = vec![Told::default(); CONNECTIONS as usize];
    for round in 1..=rounds {
        let mut server = Server::start(&data, &[app.to_str().unwrap()]);
        // Other moments in each round, and the same in each run.
        let kill_after = 20 + round * 7919 % 400;
        told = runtime.block_on(publish_until_killed(&mut server, &key, told, kill_after));
        drop(server);
        let last = round == rounds || round % 10 == 0;
        check(&data, &mut told, last);
    }
    let total: u64 = told.iter().map(|told| told.acknowledged).sum();
    let names = std::fs::read_dir(data.join("journal")).unwrap();
    let sealed = names.filter(|name| {
        let name = name.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".sealed")
    });
    let sealed = sealed.count();
    println!("{rounds} rounds, {total} events acknowledged, {sealed} segments sealed");
    assert!(sealed > 0);
    assert!(total > rounds * 20);
}

async fn publish_until_killed(
    server: &mut Server,
    key: &str,
    told: Vec<Told>,
    kill_after: u64,
) -> Vec<Told> {
    let acknowledgements = Arc::new(AtomicU64::new(0));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let url = format!(
        "{}/topics/shop/api/events?api-version=2018-01-01",
        server.url
    );
    let tasks: Vec<_> = told
        .into_iter()
        .enumerate()
        .map(|(connection, mut told)| {
            let (client, url, key) = (client.clone(), url.clone(), key.to_owned());
            let acknowledgements = acknowledgements.clone();
            tokio::spawn(async move {
                loop {
                    let count = 1 + (told.sent + connection as u64) % 20;
                    let events: Vec<_> = (told.sent + 1..=told.sent + count)
                        .map(|n| event(connection as u64, n))
                        .collect();
                    told.sent += count;
                    let sent = client
                        .post(&url)
                        .header("aeg-sas-key", &key)
                        .header("content-type", "application/json")
                        .body(json!(events).to_string())
                        .send()
                        .await;
                    match sent {
                        Ok(answer) => {
                            assert_eq!(answer.status(), 200);
                            told.acknowledged = told.sent;
                            acknowledgements.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => return told,
                    }
                }
            })
        })
        .collect();
    while acknowledgements.load(Ordering::Relaxed) < kill_after {
        tokio::task::yield_now().await;
    }
    server.kill();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}

fn event(connection: u64, n: u64) -> serde_json::Value {
    json!({
        "id": format!("{connection}-{n}"),
        "subject": format!("connection/{connection}"),
        "eventType": "counted",
        "eventTime": "2024-01-01T00:00:00Z",
        "data": { "n": n },
        "dataVersion": "1",
    })
}

/// Reads everything back: each connection's events are 1, 2, 3, … in order, up to at least what
/// was acknowledged and at most what was sent; a batch is there wholly or not at all.
fn check(data: &std::path::Path, told: &mut [Told], verify: bool) {
    let events = crate::support::read(data, &["shop"]);
    let mut seen: HashMap<String, u64> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["position"], index as u64 + 1);
        let subject = event["subject"].as_str().unwrap();
        let last = seen.entry(subject.to_owned()).or_default();
        *last += 1;
        assert_eq!(
            event["data"]["n"], *last,
            "{subject} is in order, each event once"
        );
        assert_eq!(event["revision"], *last - 1);
    }
    for (connection, told) in told.iter_mut().enumerate() {
        let there = seen
            .get(&format!("connection/{connection}"))
            .copied()
            .unwrap_or(0);
        assert!(
            there == told.acknowledged || there == told.sent,
            "connection {connection}: {there} events are there, {} acknowledged, {} sent",
            told.acknowledged,
            told.sent
        );
        // What was sent but not acknowledged may be there: go on from what is.
        *told = Told {
            acknowledged: there,
            sent: there,
        };
    }
    if verify {
        let sound = crate::support::json(data, &["verify"]);
        assert!(sound["events"].as_u64().unwrap() >= events.len() as u64);
    }
}
