//! A publisher over one HTTP/1.1 connection that is kept open.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Error, Result};

/// How long a request that was refused for the moment waits before it is sent again.
const BUSY_WAIT: Duration = Duration::from_millis(5);
const ANSWER_BYTES: usize = 64 * 1024;
const ANSWER_BYTES_MOST: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// The status, and the number of bytes of head and body.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    head: usize,
    body: usize,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            answer: vec![0; ANSWER_BYTES],
        })
    }

    /// Sends a request until it is answered 200; the number of times it was refused as too much
    /// (429, 503) before that. Any other answer is an error.
    pub async fn publish(&mut self, request: &[u8]) -> Result<u64> {
        let (answer, refused) = self.send(request).await?;
        match answer.status {
            200 => Ok(refused),
            _ => Err(self.unexpected(&answer)),
        }
    }

    /// As `publish`; the body of the answer, or `None` if the request's condition doesn't hold.
    #[cfg(feature = "log-server")]
    pub async fn append(&mut self, request: &[u8]) -> Result<Option<&[u8]>> {
        let (answer, _) = self.send(request).await?;
        match answer.status {
            200 => Ok(Some(self.body(&answer))),
            412 => Ok(None),
            _ => Err(self.unexpected(&answer)),
        }
    }

    async fn send(&mut self, request: &[u8]) -> Result<(Answer, u64)> {
        let mut refused = 0;
        loop {
            self.stream.write_all(request).await?;
            let answer = self.read_answer().await?;
            if !matches!(answer.status, 429 | 503) {
                return Ok((answer, refused));
            }
            refused += 1;
            tokio::time::sleep(BUSY_WAIT).await;
        }
    }

    /// The body of the answer to a request of administration.
    pub async fn ask(&mut self, request: &[u8]) -> Result<String> {
        let (answer, _) = self.send(request).await?;
        match answer.status {
            200..=204 => Ok(String::from_utf8(self.body(&answer).to_vec())?),
            _ => Err(self.unexpected(&answer)),
        }
    }

    fn body(&self, answer: &Answer) -> &[u8] {
        &self.answer[answer.head..answer.head + answer.body]
    }

    fn unexpected(&self, answer: &Answer) -> Error {
        let text = String::from_utf8_lossy(self.body(answer));
        format!("the server answered {}: {text}", answer.status).into()
    }

    /// The status of a request that has no body.
    pub async fn get(&mut self, path: &str) -> Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        Ok(self.read_answer().await?.status)
    }

    async fn read_answer(&mut self) -> Result<Answer> {
        let mut filled = 0;
        loop {
            if filled == self.answer.len() && filled < ANSWER_BYTES_MOST {
                self.answer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.answer[filled..]).await?;
            if read == 0 {
                return Err("the server closed the connection, or answers too long".into());
            }
            filled += read;
            if let Some(answer) = parse(&self.answer[..filled])?
                && filled >= answer.head + answer.body
            {
                return Ok(answer);
            }
        }
    }
}

/// `None` until the head is there. Takes answers with a length only (RFC 9112, section 6.3).
fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .ok_or("the answer is not HTTP/1.1")?;
    let mut body = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body = value.trim().parse()?;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("the answer is chunked, which this client does not read".into());
        }
    }
    Ok(Some(Answer {
        status,
        head: end + 4,
        body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let text = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\nDate: x\r\n\r\nhello";
        let answer = parse(text).unwrap().unwrap();
        assert_eq!((answer.status, answer.body), (400, 5));
        assert_eq!(answer.head + answer.body, text.len());
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
