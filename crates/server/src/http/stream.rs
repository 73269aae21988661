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
const PIECE_EVENTS: u64 = 512;
const BATCH_EVENTS: u64 = 8_192;
const PIECE_BYTES: usize = 256 * 1024;
/// Room that is made for each event of a piece, so that it seldom has to grow.
const EVENT_ROOM_BYTES: usize = 512;
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
    /// The most events of one piece.
    fn events(&self) -> u64 {
        match self {
            Form::Lines(_) | Form::EventStream(_) => PIECE_EVENTS,
            Form::Arrow(_) => BATCH_EVENTS,
        }
    }

    fn reserve(&mut self, events: u64) {
        if let Form::Lines(out) | Form::EventStream(out) = self {
            out.reserve(events as usize * EVENT_ROOM_BYTES);
        }
    }

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

    fn piece(&mut self) -> Result<Vec<u8>> {
        match self {
            Form::Lines(out) | Form::EventStream(out) => Ok(std::mem::take(out)),
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
    done: bool,
    /// A live answer says at once that it is there, and then every so often.
    beats: bool,
    opened: bool,
}

/// What was read at once.
struct Piece {
    bytes: Vec<u8>,
    events: u64,
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
        opened: false,
    };
    Ok(Body::from_stream(made_ahead(pieces(state))))
}

/// The next piece is made while one is sent, once somebody asks for the first.
fn made_ahead(
    pieces: impl Stream<Item = Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes>> {
    let begin = async move {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut pieces = std::pin::pin!(pieces);
            loop {
                let next = tokio::select! {
                    next = pieces.next() => next,
                    // Who asked is gone.
                    () = sender.closed() => None,
                };
                let Some(piece) = next else { break };
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        });
        stream::unfold(receiver, |mut receiver| async {
            Some((receiver.recv().await?, receiver))
        })
    };
    stream::once(begin).flatten()
}

fn pieces(state: State) -> impl Stream<Item = Result<Bytes>> {
    stream::unfold(state, |mut state| async move {
        let piece = state.next_piece().await;
        match piece {
            Ok(Some(bytes)) => Some((Ok(bytes), state)),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a long read ended early");
                state.done = true;
                Some((Err(error), state))
            }
        }
    })
}

impl State {
    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        if self.beats && !self.opened {
            self.opened = true;
            return Ok(Some(Bytes::from_static(b": foretell\n\n")));
        }
        while !self.done && self.left > 0 {
            let piece = self.read().await?;
            self.left -= piece.events;
            let at_head = self.reader.is_none();
            if at_head && self.follow && !self.is_past() {
                self.options.from = Position::new(self.read_to + 1).max(self.options.from);
            } else {
                self.done = at_head;
            }
            if !piece.bytes.is_empty() {
                return Ok(Some(piece.bytes.into()));
            }
            if !self.done && at_head && self.wait().await {
                return Ok(Some(Bytes::from_static(b":\n\n")));
            }
        }
        let end = self.form.take().map(Form::end).transpose()?;
        Ok(end.filter(|bytes| !bytes.is_empty()).map(Bytes::from))
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

    async fn read(&mut self) -> Result<Piece> {
        let Some(mut form) = self.form.take() else {
            return Err(Error::unavailable("an earlier piece couldn't be made"));
        };
        self.deletions.mark_unchanged();
        if self.reader.is_none() {
            self.read_to = *self.head.borrow_and_update();
        }
        let (log, topic) = (self.node.log.clone(), self.topic.clone());
        let (reader, options, uuid) = (self.reader.take(), self.to_read(), self.uuid);
        let wanted = form.events().min(self.left);
        let (piece, reader, form) = blocking(move || {
            let mut reader = match reader {
                Some(reader) => reader,
                None => log.read(&topic, options)?,
            };
            if log.topic(&topic)?.uuid != uuid {
                return Err(Error::not_found(format!("topic {topic:?} was deleted")));
            }
            form.reserve(wanted);
            let (mut events, mut more) = (0, true);
            while more && events < wanted && form.bytes() < PIECE_BYTES {
                match reader.next_event()? {
                    Some(event) => {
                        form.write(&event)?;
                        events += 1;
                    }
                    None => more = false,
                }
            }
            let bytes = form.piece()?;
            Ok((Piece { bytes, events }, more.then_some(reader), form))
        })
        .await?;
        (self.reader, self.form) = (reader, Some(form));
        Ok(piece)
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
