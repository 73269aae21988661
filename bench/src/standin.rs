//! The least that answers as the server does, to test the client against.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::payload::Target;

const KEY: &str = "secret";

#[derive(Clone)]
pub struct StandIn {
    address: SocketAddr,
    ids: Arc<Mutex<HashSet<String>>>,
}

impl StandIn {
    /// Refuses every so manieth request of a connection as too much; 0 for none.
    pub fn start(refuse_every: usize) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stand_in = StandIn {
            address: listener.local_addr().unwrap(),
            ids: Arc::default(),
        };
        let served = stand_in.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let served = served.clone();
                std::thread::spawn(move || served.serve(stream.unwrap(), refuse_every));
            }
        });
        stand_in
    }

    pub fn target(&self) -> Target {
        Target {
            address: self.address,
            topic: "bench".into(),
            key: KEY.into(),
        }
    }

    /// How many events were taken.
    pub fn events(&self) -> usize {
        self.ids.lock().unwrap().len()
    }

    fn serve(&self, mut stream: TcpStream, refuse_every: usize) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut requests = 0;
        while let Some((head, body)) = read_request(&mut reader) {
            requests += 1;
            let answer = if !head.contains(&format!("aeg-sas-key: {KEY}\r\n")) {
                answer("401 Unauthorized", "not this key")
            } else if refuse_every > 0 && requests % refuse_every == 0 {
                answer("429 Too Many Requests", "")
            } else {
                self.take(&head, &body);
                answer("200 OK", "")
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    }

    fn take(&self, head: &str, body: &[u8]) {
        assert!(head.starts_with("POST /topics/bench/api/events?api-version=2018-01-01 HTTP/1.1"));
        let events: Vec<Value> = serde_json::from_slice(body).unwrap();
        let mut ids = self.ids.lock().unwrap();
        for event in events {
            let id = event["id"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} came twice");
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// `None` when the client has gone.
fn read_request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
