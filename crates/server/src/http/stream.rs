//! Long reads: JSON lines, a stream of Arrow, and server-sent events that follow the head.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use foretell_lake::EventsToArrow;
use foretell_log::{EventRef, ReadOptions};
use foretell_types::{Error, Position, Result};
use futures::stream::{self, Stream, StreamExt};
use http::header;
use tokio::sync::{mpsc, watch};

use crate::Node;
use crate::node::blocking;

/// The media type of Arrow's streaming format.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";
/// Events of one piece of a long answer, and its bytes. A record batch of Arrow is one.
const PIECE_EVENTS: u64 = 512;
const BATCH_EVENTS: u64 = 8_192;
const PIECE_BYTES: usize = 1024 * 1024;
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
    /// Where to go on, if not at the head.
    next: Option<Position>,
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
            let head = *self.head.borrow_and_update();
            self.deletions.mark_unchanged();
            let piece = self.read(head).await?;
            self.left -= piece.events;
            match piece.next {
                Some(next) => self.options.from = Some(next),
                None if self.follow && !self.is_past(head) => {
                    self.options.from = Position::new(head + 1).max(self.options.from)
                }
                None => self.done = true,
            }
            if !piece.bytes.is_empty() {
                return Ok(Some(piece.bytes.into()));
            }
            if !self.done && piece.next.is_none() && self.wait().await {
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
    fn is_past(&self, head: u64) -> bool {
        self.options.until.is_some_and(|until| until.get() <= head)
    }

    async fn read(&mut self, head: u64) -> Result<Piece> {
        let Some(mut form) = self.form.take() else {
            return Err(Error::unavailable("an earlier piece couldn't be made"));
        };
        let wanted = form.events().min(self.left);
        let mut options = ReadOptions {
            limit: Some(wanted),
            ..self.options.clone()
        };
        if !options.backward {
            // Before the first event nothing is read, and yet looked whether the topic is there.
            let end = Position::new(head).unwrap_or(Position::FIRST);
            options.until = Some(options.until.map_or(end, |until| until.min(end)));
            options.limit = Some(if head == 0 { 0 } else { wanted });
        }
        let (log, topic) = (self.node.log.clone(), self.topic.clone());
        let (backward, uuid) = (options.backward, self.uuid);
        let (piece, form) = blocking(move || {
            let mut reader = log.read(&topic, options)?;
            if log.topic(&topic)?.uuid != uuid {
                return Err(Error::not_found(format!("topic {topic:?} was deleted")));
            }
            form.reserve(wanted);
            let (mut events, mut last) = (0, None);
            while let Some(event) = reader.next_event()? {
                form.write(&event)?;
                events += 1;
                last = Some(event.position);
                if form.bytes() >= PIECE_BYTES {
                    break;
                }
            }
            let full = events == wanted || form.bytes() >= PIECE_BYTES;
            let next = last.filter(|_| full).and_then(|last| {
                if backward {
                    last.previous()
                } else {
                    Some(last.next())
                }
            });
            let bytes = form.piece()?;
            let piece = Piece {
                bytes,
                events,
                next,
            };
            Ok((piece, form))
        })
        .await?;
        self.form = Some(form);
        Ok(piece)
    }
}
