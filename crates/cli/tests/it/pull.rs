//! `kill -9` in the middle of receiving: what was acknowledged never comes again, and nothing is
//! lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::support::Server;
use serde_json::{Value, json};

const EVENTS: usize = 3_000;
const ROUNDS: usize = 4;
const RECEIVERS: usize = 4;
const AT_ONCE: usize = 10;

/// Ids of the events whose acknowledgement was answered.
type Done = Arc<Mutex<BTreeSet<String>>>;

#[test]
fn nothing_acknowledged_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    crate::support::text(&data, &["topic", "create", "shop"]);
    let create = [
        "subscription",
        "create",
        "shop",
        "work",
        "--pull",
        "--lock",
        "60s",
    ];
    let made = crate::support::json(&data, &create);
    let queue = &made["properties"]["deliveryConfiguration"]["queue"];
    assert_eq!(queue["receiveLockDurationInSeconds"], 60, "{made}");
    let key = crate::support::json(&data, &["topic", "keys", "shop"])["key1"].clone();
    let key = format!("SharedAccessKey {}", key.as_str().unwrap());
    let events = folder.path().join("events.jsonl");
    let lines = (0..EVENTS).map(|n| {
        format!("{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/s\",\"type\":\"t\"}}\n")
    });
    std::fs::write(&events, lines.collect::<String>()).unwrap();
    crate::support::text(&data, &["publish", "shop", events.to_str().unwrap()]);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let done = Done::default();
    for round in 1..=ROUNDS {
        let mut server = Server::start(&data, &[]);
        let enough = done.lock().unwrap().len() + 150 + round * 37;
        runtime.block_on(receive(&mut server, &key, &done, enough));
    }
    // An answer that was cut off leaves its events locked, or acknowledged.
    let unknown = ROUNDS * RECEIVERS * AT_ONCE;
    let mut server = Server::start(&data, &[]);
    runtime.block_on(receive(&mut server, &key, &done, EVENTS - unknown));
    let shown = crate::support::json(&data, &["subscription", "show", "shop", "work"]);
    let lag = shown["lag"].as_u64().unwrap() as usize;
    assert!(lag <= unknown, "{shown}");
    assert!(done.lock().unwrap().len() + lag <= EVENTS, "{shown}");
}

/// Receives and acknowledges until so many are done, then kills the server in the middle of it.
async fn receive(server: &mut Server, key: &str, done: &Done, enough: usize) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let tasks: Vec<_> = (0..RECEIVERS)
        .map(|_| {
            let receiver = Receiver {
                client: client.clone(),
                url: format!("{}/topics/shop/eventsubscriptions/work", server.url),
                key: key.to_owned(),
                done: done.clone(),
            };
            tokio::spawn(receiver.run())
        })
        .collect();
    while done.lock().unwrap().len() < enough {
        assert!(!tasks.iter().any(tokio::task::JoinHandle::is_finished));
        tokio::task::yield_now().await;
    }
    server.kill();
    for task in tasks {
        task.await.unwrap();
    }
}

struct Receiver {
    client: reqwest::Client,
    url: String,
    key: String,
    done: Done,
}

impl Receiver {
    async fn run(self) {
        let receive = format!(":receive?maxEvents={AT_ONCE}&maxWaitTime=10");
        while let Some(received) = self.ask(&receive, &Value::Null).await {
            let mut tokens = Vec::new();
            let mut ids = Vec::new();
            for one in received["value"].as_array().unwrap() {
                let id = one["event"]["id"].as_str().unwrap().to_owned();
                assert!(!self.done.lock().unwrap().contains(&id), "{id} came again");
                ids.push(id);
                tokens.push(one["brokerProperties"]["lockToken"].clone());
            }
            if tokens.is_empty() {
                continue;
            }
            let body = json!({ "lockTokens": tokens });
            let Some(settled) = self.ask(":acknowledge", &body).await else {
                return;
            };
            assert_eq!(
                settled["succeededLockTokens"], body["lockTokens"],
                "{settled}"
            );
            self.done.lock().unwrap().extend(ids);
        }
    }

    /// The answer; `None` if the server is gone.
    async fn ask(&self, path: &str, body: &Value) -> Option<Value> {
        let request = self.client.post(format!("{}{path}", self.url));
        let request = request.header("authorization", &self.key);
        let answer = request.body(body.to_string()).send().await.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).ok()
    }
}
