//! A webhook, and a client over a real socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Request, State};
use futures::StreamExt;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::DEADLINE;

/// Takes events at its URL.
pub struct Hook {
    pub url: String,
    pub taken: Arc<Taken>,
}

#[derive(Default)]
pub struct Taken {
    pub events: Mutex<Vec<Value>>,
    pub requests: AtomicUsize,
    /// Answered first, this often.
    pub fail: AtomicUsize,
}

impl Hook {
    pub async fn start() -> Hook {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let taken = Arc::new(Taken::default());
        let app = axum::Router::new()
            .route("/hook", axum::routing::post(take))
            .with_state(taken.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Hook { url, taken }
    }

    pub fn ids(&self) -> Vec<String> {
        let events = self.taken.events.lock();
        let ids = events.iter().map(|e| e["id"].as_str().unwrap().to_owned());
        ids.collect()
    }
}

async fn take(State(taken): State<Arc<Taken>>, request: Request) -> http::StatusCode {
    // What it is told about its subscription is no event.
    if request.headers()["aeg-event-type"] != "Notification" {
        return http::StatusCode::OK;
    }
    taken.requests.fetch_add(1, Ordering::SeqCst);
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
    let events = match serde_json::from_slice(&body.unwrap()).unwrap() {
        Value::Array(events) => events,
        event => vec![event],
    };
    let failed = taken
        .fail
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
    if failed.is_ok() {
        return http::StatusCode::INTERNAL_SERVER_ERROR;
    }
    taken.events.lock().extend(events);
    http::StatusCode::OK
}

/// A connection that text is written to and read from.
pub struct Wire {
    stream: TcpStream,
    pub read: String,
}

impl Wire {
    pub async fn open(url: &str) -> Wire {
        let address = url.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let read = String::new();
        Wire { stream, read }
    }

    pub async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until the text has come.
    pub async fn until(&mut self, text: &str) {
        while !self.read.contains(text) {
            assert!(self.more().await, "ended before {text:?}: {}", self.read);
        }
    }

    /// Reads until the other side closes.
    pub async fn end(&mut self) {
        while self.more().await {}
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(DEADLINE, self.stream.read(&mut buffer)).await;
        let count = match read {
            Ok(read) => read.unwrap_or(0),
            Err(_) => panic!("nothing more came after: {}", self.read),
        };
        self.read
            .push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }
}

/// What comes of a body, until the text has come.
pub async fn stream_until(stream: &mut axum::body::BodyDataStream, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let piece = tokio::time::timeout(DEADLINE, stream.next()).await;
        let piece = piece.unwrap_or_else(|_| panic!("{text:?} did not come: {read}"));
        let piece = piece.unwrap_or_else(|| panic!("ended before {text:?}: {read}"));
        read.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    read
}
