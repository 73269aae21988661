use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use foretell_types::{Instant, NewEvent, RecordedEvent};

use crate::batch::BatchHandler;

/// The one seam of delivery: a handler takes an event and returns events and blobs.
///
/// Rules for implementations:
/// - `handle` has no effect of its own on the log or on storage: only the dispatcher applies what
///   is returned, after it has journaled it. (A webhook's effect lies outside, and is at least
///   once.)
/// - It may be called again for the same invocation if no outcome was journaled.
/// - It is called concurrently, never twice at a time for one subject of one subscription.
/// - It keeps its own time limit and is cancelled by being dropped.
/// - If it panics, the attempt has failed.
#[async_trait]
pub trait Handler: Send + Sync + fmt::Debug {
    async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure>;

    /// The same as one that takes several events in a call, if it does.
    fn batches(&self) -> Option<&dyn BatchHandler> {
        None
    }
}

/// One call of a handler for one event.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// `TOPIC/SUBSCRIPTION`.
    pub subscription: Arc<str>,
    pub topic: Arc<str>,
    pub event: Arc<RecordedEvent>,
    /// Unique for (subscription, generation, position); the same at every attempt. `{rand-guid}`
    /// in a binding is this.
    pub id: uuid::Uuid,
    /// Attempts before this one.
    pub attempts: u32,
    /// When the first attempt began; `{DateTime}` in a binding is this.
    pub first_attempt: Instant,
    /// The event is delivered again on purpose (rewind, replay of a dead letter).
    pub replayed: bool,
}

/// All that a completed invocation returned.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    pub events: Vec<OutputEvent>,
    pub blobs: Vec<OutputBlob>,
}

/// An event that a handler returned, for a topic of the same server. The dispatcher gives it its
/// id, in place of any that it has, and its causation: `causationid` is `TOPIC/POSITION` of the
/// event that it was returned on, `causationdepth` its place in such a chain, from 1.
#[derive(Clone, PartialEq, Debug)]
pub struct OutputEvent {
    pub topic: String,
    pub event: NewEvent,
}

/// A blob that a handler returned: `content` replaces the blob `name` in `container`.
#[derive(Clone, PartialEq, Debug)]
pub struct OutputBlob {
    pub container: String,
    pub name: String,
    pub content: Bytes,
}

/// Why a handler did not complete; the names are those of Event Grid's `lastDeliveryOutcome`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    NotFound,
    Disabled,
    Full,
    Unauthorized,
    BadRequest,
    TimedOut,
    Busy,
    PayloadTooLarge,
    Probation,
    Canceled,
    Aborted,
    SocketError,
    ResolutionError,
    Forbidden,
    InvalidAzureFunctionDestination,
}

impl FailureKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [FailureKind; 15] = [
        FailureKind::NotFound,
        FailureKind::Disabled,
        FailureKind::Full,
        FailureKind::Unauthorized,
        FailureKind::BadRequest,
        FailureKind::TimedOut,
        FailureKind::Busy,
        FailureKind::PayloadTooLarge,
        FailureKind::Probation,
        FailureKind::Canceled,
        FailureKind::Aborted,
        FailureKind::SocketError,
        FailureKind::ResolutionError,
        FailureKind::Forbidden,
        FailureKind::InvalidAzureFunctionDestination,
    ];
}

/// A failed attempt: what failed, in words for the logs, and how the dispatcher may go on.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    /// Another attempt can't help: the event is dead-lettered at once.
    pub permanent: bool,
    /// The least time to wait before the next attempt.
    pub wait: Option<Duration>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            message: message.into(),
            permanent: false,
            wait: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}
