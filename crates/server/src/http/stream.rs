//! Long reads: JSON lines, and server-sent events that follow the head.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use foretell_log::ReadOptions;
use foretell_types::{Error, Position, Result};
use futures::stream::{self, Stream};
use http::header;
use tokio::sync::watch;

use crate::Node;
use crate::node::blocking;

/// Events of one piece of a long answer, and its bytes.
const PIECE_EVENTS: u64 = 512;
const PIECE_BYTES: usize = 1024 * 1024;
/// Room that is made for each event of a piece, so that it seldom has to grow.
const EVENT_ROOM_BYTES: usize = 512;
/// A live answer that has nothing to tell says so this often: what lies between must not think
/// it dead, and a client that is gone is noticed.
const BEAT: Duration = Duration::from_secs(15);

#[derive(Clone, Copy)]
enum Form {
    Lines,
    /// `id: POSITION`, `event: TYPE`, `data: EVENT`. Source: WHATWG HTML, "Server-sent events".
    EventStream,
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
    form: Form,
    left: u64,
    done: bool,
    /// A live answer says at once that it is there.
    opened: bool,
}

/// All events as JSON lines; `follow` goes on with what is appended.
pub fn lines(
    node: Arc<Node>,
    topic: String,
    options: ReadOptions,
    follow: bool,
) -> Result<Response> {
    let body = body(node, topic, options, follow, Form::Lines)?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// All events and those to come, as server-sent events.
pub fn events(node: Arc<Node>, topic: String, options: ReadOptions) -> Result<Response> {
    let body = body(node, topic, options, true, Form::EventStream)?;
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
        form,
        left,
        done: false,
        opened: false,
    };
    Ok(Body::from_stream(pieces(state)))
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
        if let (Form::EventStream, false) = (self.form, self.opened) {
            self.opened = true;
            return Ok(Some(Bytes::from_static(b": foretell\n\n")));
        }
        while !self.done && self.left > 0 {
            let head = *self.head.borrow_and_update();
            self.deletions.mark_unchanged();
            let (bytes, count, next) = self.read(head).await?;
            self.left -= count;
            match next {
                Some(next) => self.options.from = Some(next),
                None if self.follow && !self.is_past(head) => {
                    self.options.from = Position::new(head + 1).max(self.options.from)
                }
                None => self.done = true,
            }
            if self.done && bytes.is_empty() {
                return Ok(None);
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes.into()));
            }
            if next.is_none() && self.wait().await {
                return Ok(Some(Bytes::from_static(b":\n\n")));
            }
        }
        Ok(None)
    }

    /// Waits until there may be more; gives whether it is time for a sign of life.
    async fn wait(&mut self) -> bool {
        let beats = matches!(self.form, Form::EventStream);
        tokio::select! {
            changed = self.head.changed() => self.done |= changed.is_err(),
            // Whether it was this topic the next read tells.
            _ = self.deletions.changed() => {}
            () = self.node.stopping() => self.done = true,
            () = tokio::time::sleep(BEAT), if beats => return true,
        }
        false
    }

    /// Nothing that may still come is wanted.
    fn is_past(&self, head: u64) -> bool {
        self.options.until.is_some_and(|until| until.get() <= head)
    }

    /// Reads a piece; gives how many events it holds, and where to go on, if not at the head.
    async fn read(&self, head: u64) -> Result<(Vec<u8>, u64, Option<Position>)> {
        let wanted = PIECE_EVENTS.min(self.left);
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
        let (log, topic, form) = (self.node.log.clone(), self.topic.clone(), self.form);
        let (backward, uuid) = (options.backward, self.uuid);
        blocking(move || {
            let mut reader = log.read(&topic, options)?;
            if log.topic(&topic)?.uuid != uuid {
                return Err(Error::not_found(format!("topic {topic:?} was deleted")));
            }
            let mut out = Vec::with_capacity(wanted as usize * EVENT_ROOM_BYTES);
            let (mut count, mut last) = (0, None);
            while let Some(event) = reader.next_event()? {
                if let Form::EventStream = form {
                    let head = format!(
                        "id: {}\nevent: {}\ndata: ",
                        event.position, event.event_type
                    );
                    out.extend_from_slice(head.as_bytes());
                }
                event.write_json(&mut out)?;
                out.extend_from_slice(if let Form::Lines = form {
                    b"\n"
                } else {
                    b"\n\n"
                });
                count += 1;
                last = Some(event.position);
                if out.len() >= PIECE_BYTES {
                    break;
                }
            }
            let full = count == wanted || out.len() >= PIECE_BYTES;
            let next = last.filter(|_| full).and_then(|last| {
                if backward {
                    last.previous()
                } else {
                    Some(last.next())
                }
            });
            Ok((out, count, next))
        })
        .await
    }
}
