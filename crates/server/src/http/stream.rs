//! Long reads: JSON lines, a stream of Arrow, and server-sent events that follow the head.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use foretell_lake::EventsToArrow;
use foretell_log::{EventRef, ReadOptions, Reader};
use foretell_types::{Error, Position, Result};
use futures::stream::{self, Stream, StreamExt};
use http::header;
use tokio::sync::{mpsc, watch};

use crate::Node;
use crate::node::blocking;

/// The media type of Arrow's streaming format.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";
/// Events of one piece of a long answer, and its bytes: so few that it stays in the processor's
/// cache until it is sent. A record batch of Arrow is one.
const PIECE_EVENTS: u64 = 8_192;
const PIECE_BYTES: usize = 512 * 1024;
/// How many pieces are made and wait to be sent, and after how many others get their turn.
const READY_PIECES: usize = 3;
const PIECES_AT_ONCE: u32 = 32;
/// A live answer that has nothing to tell says so this often: what lies between must not think
/// it dead, and a client that is gone is noticed.
const BEAT: Duration = Duration::from_secs(15);

/// How the events are written, and what is written but not sent.
enum Form {
    Lines(Vec<u8>),
    /// `id: POSITION`, `event: TYPE`, `data: EVENT`. Source: WHATWG HTML, "Server-sent events".
    EventStream(Vec<u8>),
    Arrow(Box<EventsToArrow>),
}

impl Form {
    fn write(&mut self, event: &EventRef<'_>) -> Result<()> {
        match self {
            Form::Lines(out) => {
                event.write_json(out)?;
                out.push(b'\n');
            }
            Form::EventStream(out) => {
                let (position, event_type) = (event.position, event.event_type);
                let head = format!("id: {position}\nevent: {event_type}\ndata: ");
                out.extend_from_slice(head.as_bytes());
                event.write_json(out)?;
                out.extend_from_slice(b"\n\n");
            }
            Form::Arrow(out) => {
                event.view(|event, extensions, place| out.push(event, extensions, place))??;
            }
        }
        Ok(())
    }

    /// About how many bytes are written.
    fn bytes(&self) -> usize {
        match self {
            Form::Lines(out) | Form::EventStream(out) => out.len(),
            Form::Arrow(out) => out.bytes(),
        }
    }

    /// Writes the events of one piece, and counts down what is left; gives whether there may be more.
    fn fill(&mut self, reader: &mut Reader, left: &mut u64) -> Result<bool> {
        let mut events = 0;
        while events < PIECE_EVENTS && self.bytes() < PIECE_BYTES {
            // No more than are left: the reader has that limit.
            let Some(event) = reader.next_event()? else {
                return Ok(false);
            };
            self.write(&event)?;
            events += 1;
            *left -= 1;
        }
        Ok(true)
    }

    /// What was written. The next piece gets as much room as this one took, and some more.
    fn piece(&mut self) -> Result<Vec<u8>> {
        match self {
            Form::Lines(out) | Form::EventStream(out) => {
                let room = out.len() + out.len() / 8;
                Ok(std::mem::replace(out, Vec::with_capacity(room)))
            }
            Form::Arrow(out) => out.batch(),
        }
    }

    /// The end of the answer.
    fn end(self) -> Result<Vec<u8>> {
        match self {
            Form::Lines(out) | Form::EventStream(out) => Ok(out),
            Form::Arrow(out) => out.end(),
        }
    }
}

struct State {
    node: Arc<Node>,
    topic: String,
    options: ReadOptions,
    head: watch::Receiver<u64>,
    /// The topic as it was: another of the same name is not followed.
    uuid: uuid::Uuid,
    deletions: watch::Receiver<u64>,
    follow: bool,
    /// Reads up to the head that there was when it was made; none before, and once it is there.
    reader: Option<Reader>,
    read_to: u64,
    /// Until the end is sent, or a piece couldn't be made.
    form: Option<Form>,
    left: u64,
    /// Nothing more is waited for.
    done: bool,
    /// A live answer says at once that it is there, and then every so often.
    beats: bool,
}

/// All events as JSON lines; `follow` goes on with what is appended.
pub fn lines(
    node: Arc<Node>,
    topic: String,
    options: ReadOptions,
    follow: bool,
) -> Result<Response> {
    let body = body(node, topic, options, follow, Form::Lines(Vec::new()))?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// All events as a stream of Arrow; `follow` goes on with what is appended.
pub fn arrow(
    node: Arc<Node>,
    topic: String,
    options: ReadOptions,
    follow: bool,
) -> Result<Response> {
    let form = Form::Arrow(Box::new(EventsToArrow::new()?));
    let body = body(node, topic, options, follow, form)?;
    Ok(([(header::CONTENT_TYPE, ARROW)], body).into_response())
}

/// All events and those to come, as server-sent events.
pub fn events(node: Arc<Node>, topic: String, options: ReadOptions) -> Result<Response> {
    let body = body(node, topic, options, true, Form::EventStream(Vec::new()))?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

fn body(
    node: Arc<Node>,
    topic: String,
    options: ReadOptions,
    follow: bool,
    form: Form,
) -> Result<Body> {
    if follow && options.backward {
        return Err(Error::invalid("following goes forward: leave backward out"));
    }
    options.query.check()?;
    let deletions = node.deletions();
    let head = node.log.watch(&topic)?;
    let uuid = node.log.topic(&topic)?.uuid;
    let left = options.limit.unwrap_or(u64::MAX);
    let state = State {
        node,
        topic,
        options,
        head,
        uuid,
        deletions,
        follow,
        reader: None,
        read_to: 0,
        beats: matches!(form, Form::EventStream(_)),
        form: Some(form),
        left,
        done: false,
    };
    Ok(Body::from_stream(pieces(state)))
}

type Pieces = mpsc::Sender<Result<Bytes>>;

/// The pieces of an answer. They are made while others are sent, once somebody asks for the first.
fn pieces(state: State) -> impl Stream<Item = Result<Bytes>> {
    let begin = async move {
        let (pieces, receiver) = mpsc::channel(READY_PIECES);
        tokio::spawn(async move {
            tokio::select! {
                () = state.send(&pieces) => {}
                // Who asked is gone.
                () = pieces.closed() => {}
            }
        });
        stream::unfold(receiver, |mut receiver| async {
            Some((receiver.recv().await?, receiver))
        })
    };
    stream::once(begin).flatten()
}

/// Waits until there is room. That nobody takes it ends the whole answer, see [`pieces`].
async fn send(pieces: &Pieces, piece: impl Into<Bytes>) {
    let _ = pieces.send(Ok(piece.into())).await;
}

impl State {
    /// Sends the whole answer.
    async fn send(mut self, pieces: &Pieces) {
        if let Err(error) = self.send_all(pieces).await {
            tracing::warn!(%error, "a long read ended early");
            let _ = pieces.send(Err(error)).await;
        }
    }

    async fn send_all(&mut self, pieces: &Pieces) -> Result<()> {
        if self.beats {
            send(pieces, &b": foretell\n\n"[..]).await;
        }
        // With room for one piece at the least.
        while !self.done && self.left > 0 && pieces.reserve().await.is_ok() {
            self.read(pieces).await?;
            if self.reader.is_some() {
                continue;
            }
            if !self.follow || self.is_past() {
                break;
            }
            self.options.from = Position::new(self.read_to + 1).max(self.options.from);
            if self.left > 0 && self.wait().await {
                send(pieces, &b":\n\n"[..]).await;
            }
        }
        let end = self.form.take().map(Form::end).transpose()?;
        if let Some(end) = end.filter(|bytes| !bytes.is_empty()) {
            send(pieces, end).await;
        }
        Ok(())
    }

    /// Waits until there may be more; gives whether it is time for a sign of life.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            changed = self.head.changed() => self.done |= changed.is_err(),
            // Whether it was this topic the next read tells.
            _ = self.deletions.changed() => {}
            () = self.node.stopping() => self.done = true,
            () = tokio::time::sleep(BEAT), if self.beats => return true,
        }
        false
    }

    /// Nothing that may still come is wanted.
    fn is_past(&self) -> bool {
        let read_to = self.read_to;
        self.options
            .until
            .is_some_and(|until| until.get() <= read_to)
    }

    /// Reads on, to the head at most, and sends what it read as long as there is room for it.
    async fn read(&mut self, pieces: &Pieces) -> Result<()> {
        let Some(mut form) = self.form.take() else {
            return Err(Error::unavailable("an earlier piece couldn't be made"));
        };
        self.deletions.mark_unchanged();
        if self.reader.is_none() {
            self.read_to = *self.head.borrow_and_update();
        }
        let (log, topic, pieces) = (self.node.log.clone(), self.topic.clone(), pieces.clone());
        let (reader, options, uuid) = (self.reader.take(), self.to_read(), self.uuid);
        let mut left = self.left;
        (self.form, self.reader, self.left) = blocking(move || {
            let mut reader = match reader {
                Some(reader) => reader,
                None => log.read(&topic, options)?,
            };
            let (mut more, mut made) = (true, 0);
            while more
                && made < PIECES_AT_ONCE
                && let Ok(room) = pieces.try_reserve()
            {
                if log.topic(&topic)?.uuid != uuid {
                    return Err(Error::not_found(format!("topic {topic:?} was deleted")));
                }
                more = form.fill(&mut reader, &mut left)?;
                let piece = form.piece()?;
                if !piece.is_empty() {
                    room.send(Ok(piece.into()));
                }
                made += 1;
            }
            Ok((Some(form), more.then_some(reader), left))
        })
        .await?;
        Ok(())
    }

    /// What is left to be read up to the head.
    fn to_read(&self) -> ReadOptions {
        let mut options = ReadOptions {
            limit: Some(self.left),
            ..self.options.clone()
        };
        if !options.backward {
            // Before the first event nothing is read, and yet looked whether the topic is there.
            let end = Position::new(self.read_to).unwrap_or(Position::FIRST);
            options.until = Some(options.until.map_or(end, |until| until.min(end)));
            options.limit = Some(if self.read_to == 0 { 0 } else { self.left });
        }
        options
    }
}
