//! A small HTTP server that answers as it is told, byte by byte.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came: its head, in lower case but for the values, and its body.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

pub enum Answer {
    /// These bytes, then the connection ends.
    Bytes(&'static [u8]),
    /// These bytes, then more without end.
    Endless(&'static [u8]),
    /// The first one to the first request, and so on; the last one goes on.
    InTurn(Vec<String>),
    Never,
}

pub struct Server {
    pub url: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

pub async fn serve(answer: Answer) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?code=secret", listener.local_addr().unwrap());
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let seen = requests.clone();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, answer.clone(), seen.clone()));
        }
    });
    Server { url, requests }
}

async fn talk(mut stream: TcpStream, answer: Arc<Answer>, seen: Arc<Mutex<Vec<Request>>>) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(request);
        seen.len() - 1
    };
    match &*answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(bytes).await;
        }
        Answer::InTurn(answers) => {
            let answer = &answers[before.min(answers.len() - 1)];
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        Answer::Endless(bytes) => {
            let _ = stream.write_all(bytes).await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
        Answer::Never => std::future::pending().await,
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next()?.to_owned();
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
                .collect();
            let request = Request {
                line,
                headers,
                body: body.to_owned(),
            };
            let length = request.header("content-length").unwrap_or("0");
            let length: usize = length.parse().ok()?;
            if request.body.len() >= length {
                return Some(request);
            }
        }
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}
