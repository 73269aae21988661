//! `foretell serve` over HTTP: an append is a request to the stream, with the revision that is
//! expected.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio_util::io::StreamReader;

use super::peer::{Client, FILL_BATCH, Kind, Peer, filled, filling};
use crate::Result;
use crate::client::Connection;
use crate::log::engine::Condition;
use crate::log::event::Event;
use crate::log::lane::Streams;
use crate::payload::Target;
use crate::server::{self, Server};

const TOPIC: &str = "bench";
pub const KIND: Kind = Kind {
    name: "Foretell",
    append_goal: None,
    read_goal: None,
    program: server::binary,
    start: |_| Box::pin(start()),
};

async fn start() -> Result<Box<dyn Peer>> {
    Ok(Box::new(Server::start(TOPIC).await?))
}

#[async_trait]
impl Peer for Server {
    fn id(&self) -> u32 {
        self.process_id()
    }

    async fn fill(&mut self, streams: u32, rounds: u32) -> Result<Streams> {
        let target = self.target();
        let mut connection = Connection::open(target.address).await?;
        let events: Vec<Event> = filling(streams, rounds).collect();
        for batch in events.chunks(FILL_BATCH) {
            let mut body = b"[".to_vec();
            for event in batch {
                if body.len() > 1 {
                    body.push(b',');
                }
                event.write_json(&mut body);
            }
            body.push(b']');
            let mut request = Vec::with_capacity(body.len() + 512);
            head(
                &mut request,
                target,
                "events",
                "cloudevents-batch",
                "",
                body.len(),
            );
            request.extend_from_slice(&body);
            connection.publish(&request).await?;
        }
        Ok(filled(streams, rounds))
    }

    async fn connect(&self) -> Result<Box<dyn Client>> {
        Ok(Box::new(Writer {
            connection: Connection::open(self.target().address).await?,
            target: self.target().clone(),
            request: Vec::new(),
        }))
    }

    async fn read_all(&self) -> Result<u64> {
        let (mut pieces, reading) = read(self, "application/vnd.apache.arrow.stream").await?;
        let (mut decoder, mut events) = (StreamDecoder::new(), 0);
        while let Some(piece) = pieces.frame().await {
            let Ok(piece) = piece?.into_data() else {
                continue;
            };
            let mut piece = Buffer::from(piece);
            while let Some(batch) = decoder.decode(&mut piece)? {
                events = take_apart(&batch, events).ok_or("a record batch isn't as expected")?;
            }
        }
        decoder.finish()?;
        drop(pieces);
        reading.await??;
        Ok(events)
    }

    async fn read_lines(&self) -> Result<Option<u64>> {
        let (pieces, reading) = read(self, "application/x-ndjson").await?;
        let pieces = pieces.into_data_stream();
        let mut lines = StreamReader::new(pieces.map_err(std::io::Error::other));
        let (mut events, mut line) = (0, Vec::new());
        while lines.read_until(b'\n', &mut line).await? > 0 {
            let event: Read<'_> = serde_json::from_slice(&line)?;
            if event.position != events + 1 {
                return Err(format!("position {} follows {events}", event.position).into());
            }
            std::hint::black_box(event);
            events += 1;
            line.clear();
        }
        drop(lines);
        reading.await??;
        Ok(Some(events))
    }
}

type Reading = tokio::task::JoinHandle<std::result::Result<(), hyper::Error>>;

/// All events in a form, and the task of the connection.
async fn read(server: &Server, form: &str) -> Result<(Incoming, Reading)> {
    let target = server.target();
    let stream = TcpStream::connect(target.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("/topics/{}/events", target.topic))
        .header("host", target.address.to_string())
        .header("aeg-sas-key", server.admin_key())
        .header("accept", form)
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if answer.status() != 200 {
        return Err(format!("the server answered {}", answer.status()).into());
    }
    Ok((answer.into_body(), connection))
}

/// Takes what an application takes of each event; gives the last position.
fn take_apart(batch: &RecordBatch, mut last: u64) -> Option<u64> {
    let numbers = |name| batch.column_by_name(name)?.as_primitive_opt::<UInt64Type>();
    let texts = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
    let (positions, revisions) = (numbers("position")?, numbers("revision")?);
    let (ids, subjects) = (texts("id")?, texts("subject")?);
    let (types, data) = (texts("type")?, texts("data")?);
    for row in 0..batch.num_rows() {
        let position = positions.value(row);
        if position != last + 1 || revisions.is_null(row) {
            return None;
        }
        last = position;
        std::hint::black_box((
            revisions.value(row),
            ids.value(row),
            subjects.value(row),
            types.value(row),
            data.value(row),
        ));
    }
    Some(last)
}

/// What an application takes of an event.
#[derive(Deserialize)]
#[expect(dead_code, reason = "taken apart only")]
struct Read<'a> {
    position: u64,
    revision: u64,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

struct Writer {
    connection: Connection,
    target: Target,
    request: Vec<u8>,
}

#[derive(Deserialize)]
struct Appended {
    events: [Place; 1],
}

#[derive(Deserialize)]
struct Place {
    position: u64,
}

#[async_trait]
impl Client for Writer {
    async fn append(&mut self, event: Event, condition: Condition) -> Result<Option<u64>> {
        self.request.clear();
        let subject = event.subject()?.replace('/', "%2F");
        let condition = match condition.events.checked_sub(1) {
            None => "If-None-Match: *\r\n".to_owned(),
            Some(revision) => format!("If-Match: \"{revision}\"\r\n"),
        };
        let json = event.json();
        head(
            &mut self.request,
            &self.target,
            &format!("streams/{subject}"),
            "cloudevents",
            &condition,
            json.len(),
        );
        self.request.extend_from_slice(&json);
        match self.connection.append(&self.request).await? {
            None => Ok(None),
            Some(body) => {
                let Appended { events: [place] } = serde_json::from_slice(body)?;
                Ok(Some(place.position))
            }
        }
    }
}

/// The head of a request that appends.
fn head(out: &mut Vec<u8>, target: &Target, place: &str, form: &str, more: &str, length: usize) {
    let Target {
        address,
        topic,
        key,
    } = target;
    out.extend_from_slice(
        format!(
            "POST /topics/{topic}/{place} HTTP/1.1\r\nHost: {address}\r\naeg-sas-key: {key}\r\nContent-Type: application/{form}+json\r\n{more}Content-Length: {length}\r\n\r\n"
        )
        .as_bytes(),
    );
}
