//! Endpoints of webhooks: a thread that answers HTTP/1.1 and costs little.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::Result;

const BUFFER_BYTES: usize = 8 * 1024;
const BACKLOG: u32 = 4_096;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What stands behind one path of a sink.
pub trait Endpoint: Send + Sync {
    /// Takes the body of a delivery; tells the status, and how long it waits to answer.
    fn take(&self, body: &[u8]) -> (u16, Duration);
}

/// Closes all its connections when it is dropped: what it was about to answer is not answered.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    sample: Arc<OnceLock<Vec<u8>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Served {
    endpoints: Arc<[Arc<dyn Endpoint>]>,
    sample: Arc<OnceLock<Vec<u8>>>,
}

/// What of the head of a request matters here.
#[derive(Debug, PartialEq)]
struct Head {
    path: String,
    bytes: usize,
    body: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Delivery,
    /// Event Grid's question of validation.
    Question,
    /// That of CloudEvents.
    Options,
    /// Anything else, such as the news that a subscription was deleted.
    Other,
}

impl Sink {
    /// Serves the endpoints at [`path`] 0, 1, …; at port 0 on a free port.
    pub fn start(address: SocketAddr, endpoints: Vec<Arc<dyn Endpoint>>) -> Result<Sink> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            let socket = TcpSocket::new_v4()?;
            // A restarted one takes the port of the one before.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)?
        };
        let address = listener.local_addr()?;
        let served = Served {
            endpoints: endpoints.into(),
            sample: Arc::default(),
        };
        let sample = served.sample.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("sink".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = served.accept(listener) => {}
                }
            });
        })?;
        Ok(Sink {
            address,
            sample,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, index: usize) -> String {
        format!("http://{}{}", self.address, path(index))
    }

    /// The first delivery, as it was sent.
    pub fn sample(&self) -> Option<&[u8]> {
        self.sample.get().map(Vec::as_slice)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// All have the same length.
pub fn path(index: usize) -> String {
    format!("/hook/{index:04}")
}

impl Served {
    async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let served = self.clone();
                    // Who sends what isn't HTTP, or breaks off, is left.
                    tokio::spawn(async move { served.serve(stream).await });
                }
                Err(error) => {
                    eprintln!("sink: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        loop {
            let head = loop {
                if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
                    break parse(&buffer[..end])?;
                }
                fill(&mut stream, &mut buffer, 0).await?;
            };
            let whole = head.bytes + head.body;
            while buffer.len() < whole {
                let missing = whole - buffer.len();
                fill(&mut stream, &mut buffer, missing).await?;
            }
            let request = &buffer[..whole];
            if head.kind == Kind::Delivery {
                let _ = self.sample.get_or_init(|| request.to_vec());
            }
            self.answer(&mut stream, &head, &request[head.bytes..])
                .await?;
            buffer.drain(..whole);
        }
    }

    async fn answer(&self, stream: &mut TcpStream, head: &Head, body: &[u8]) -> Option<()> {
        let written = match head.kind {
            Kind::Delivery => {
                let index: usize = head.path.rsplit('/').next()?.parse().ok()?;
                let (status, wait) = self.endpoints.get(index)?.take(body);
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                match status {
                    200 => stream.write_all(OK).await,
                    status => stream.write_all(empty(status).as_bytes()).await,
                }
            }
            Kind::Question => {
                let events: Value = serde_json::from_slice(body).ok()?;
                let code = &events[0]["data"]["validationCode"];
                let said = json!({ "validationResponse": code }).to_string();
                let length = said.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{said}"
                );
                stream.write_all(answer.as_bytes()).await
            }
            Kind::Options => {
                const YES: &[u8] =
                    b"HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(YES).await
            }
            Kind::Other => stream.write_all(OK).await,
        };
        written.ok()
    }
}

fn empty(status: u16) -> String {
    format!("HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n\r\n")
}

/// Reads on; `None` at the end.
async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>, missing: usize) -> Option<()> {
    buffer.reserve(missing.max(BUFFER_BYTES / 2));
    (stream.read_buf(buffer).await.ok()? > 0).then_some(())
}

/// Of a head without its empty line. Takes bodies with a length only.
fn parse(head: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let (mut body, mut kind) = (0, Kind::Other);
    if method == "OPTIONS" {
        kind = Kind::Options;
    }
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body = value.parse().ok()?;
        } else if name.eq_ignore_ascii_case("aeg-event-type") {
            kind = match value {
                "Notification" => Kind::Delivery,
                "SubscriptionValidation" => Kind::Question,
                _ => Kind::Other,
            };
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
    }
    Some(Head {
        path: path.to_owned(),
        bytes: head.len() + 4,
        body,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::Mutex;

    use super::*;

    /// Refuses what is empty.
    #[derive(Default)]
    struct Kept(Mutex<Vec<Vec<u8>>>);

    impl Endpoint for Kept {
        fn take(&self, body: &[u8]) -> (u16, Duration) {
            self.0.lock().unwrap().push(body.to_vec());
            (if body.is_empty() { 400 } else { 200 }, Duration::ZERO)
        }
    }

    fn asked(stream: &mut TcpStream, request: &str, until: &str) -> String {
        stream.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(until.as_bytes()) {
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn answers_each_kind_and_can_be_restarted_on_its_port() {
        let kept = [Arc::new(Kept::default()), Arc::new(Kept::default())];
        let endpoints = || -> Vec<Arc<dyn Endpoint>> { vec![kept[0].clone(), kept[1].clone()] };
        let sink = Sink::start(([127, 0, 0, 1], 0).into(), endpoints()).unwrap();
        let address = sink.address();
        let mut stream = TcpStream::connect(address).unwrap();
        let question = r#"[{"data":{"validationCode":"a b"}}]"#;
        let request = format!(
            "POST /hook/0000 HTTP/1.1\r\naeg-event-type: SubscriptionValidation\r\nContent-Length: {}\r\n\r\n{question}",
            question.len()
        );
        let answer = asked(&mut stream, &request, "}");
        assert!(
            answer.ends_with(r#"{"validationResponse":"a b"}"#),
            "{answer}"
        );
        let answer = asked(
            &mut stream,
            "OPTIONS /hook/0000 HTTP/1.1\r\nHost: x\r\n\r\n",
            "\r\n\r\n",
        );
        assert!(answer.contains("WebHook-Allowed-Origin: *"), "{answer}");
        assert_eq!(sink.sample(), None);
        let delivery = "POST /hook/0001 HTTP/1.1\r\nAeg-Event-Type: Notification\r\ncontent-length: 3\r\n\r\nabc";
        let twice = format!("{delivery}{delivery}");
        let answer = asked(&mut stream, &twice, "\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let empty = "POST /hook/0001 HTTP/1.1\r\naeg-event-type: Notification\r\n\r\n";
        asked(&mut stream, empty, "\r\n\r\n");
        let answer = asked(&mut stream, "", "\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let bodies = kept[1].0.lock().unwrap().clone();
        assert_eq!(bodies, [b"abc".to_vec(), b"abc".to_vec(), vec![]]);
        assert!(kept[0].0.lock().unwrap().is_empty());
        assert_eq!(sink.sample(), Some(delivery.as_bytes()));
        drop(sink);
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        let sink = Sink::start(address, endpoints()).unwrap();
        assert_eq!(sink.address(), address);
        let mut stream = TcpStream::connect(address).unwrap();
        asked(&mut stream, delivery, "\r\n\r\n");
    }
}
