//! One invocation: call, journal the outcome, apply it. The first completed outcome counts; if one
//! is journaled already, it is applied again and nothing is called.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foretell_log::{Append, EventLog};
use foretell_storage::Account;
use foretell_types::limits::CAUSATION_DEPTH;
use foretell_types::{ErrorKind, ExtensionValue, RecordedEvent};

use crate::checkpoint::register;
use crate::handler::{Failure, FailureKind, Handler, Invocation, Outcome, OutputEvent};
use crate::{identity, outcome};

/// How deep an event lies in a chain of events returned on events.
const DEPTH: &str = "causationdepth";
/// The event that an event was returned on: `TOPIC/POSITION`.
const CAUSE: &str = "causationid";

pub(crate) struct Call {
    pub invocation: Invocation,
    pub generation: u64,
    pub handler: Arc<dyn Handler>,
    pub log: EventLog,
    pub storage: Account,
    pub journaled: Option<Bytes>,
}

/// A completed invocation: whether blobs were written (they must be synced before the checkpoint
/// moves) and the register of its outcome (to be removed then).
pub(crate) struct Completed {
    pub wrote_blobs: bool,
    pub register: Option<String>,
}

impl Call {
    pub async fn run(self) -> Result<Completed, Failure> {
        let position = self.invocation.event.position.get();
        let key = register::outcome(&self.invocation.subscription, self.generation, position);
        if let Some(value) = &self.journaled {
            let blobs = outcome::decode(value).map_err(|error| failure(&error))?;
            self.apply(&blobs).await?;
            return Ok(Completed {
                wrote_blobs: !blobs.is_empty(),
                register: Some(key),
            });
        }
        let done = self.handler.handle(self.invocation.clone()).await?;
        if done.blobs.is_empty() && done.events.is_empty() {
            return Ok(Completed {
                wrote_blobs: false,
                register: None,
            });
        }
        let Outcome { events, blobs } = done;
        let mut append = Append::new();
        for (index, event) in events.into_iter().enumerate() {
            let OutputEvent { topic, event } = self.caused(event, index)?;
            append = append.events(&topic, [event]);
        }
        // Also with no blobs: the register says that the call was made.
        append = append.register(key.clone(), Some(outcome::encode(&blobs)));
        self.journal(append).await?;
        self.apply(&blobs).await?;
        Ok(Completed {
            wrote_blobs: !blobs.is_empty(),
            register: Some(key),
        })
    }

    /// Gives an output event its identity and its cause.
    fn caused(&self, mut output: OutputEvent, index: usize) -> Result<OutputEvent, Failure> {
        let depth = depth(&self.invocation.event) + 1;
        if depth > CAUSATION_DEPTH as i32 {
            let message = format!(
                "a chain of events that functions return on events is longer than {CAUSATION_DEPTH}"
            );
            return Err(Failure {
                permanent: true,
                ..Failure::new(FailureKind::Aborted, message)
            });
        }
        let event = &mut output.event;
        event.id = identity::output(self.invocation.id, index).to_string();
        let cause = format!(
            "{}/{}",
            self.invocation.topic, self.invocation.event.position
        );
        event.set_extension(CAUSE, ExtensionValue::String(cause));
        event.set_extension(DEPTH, ExtensionValue::Integer(depth));
        Ok(output)
    }

    /// Appends, and waits out a log that is busy or a disk that is full: the handler was called,
    /// its outcome must not be lost.
    async fn journal(&self, append: Append) -> Result<(), Failure> {
        let mut wait = Duration::from_millis(10);
        loop {
            let appended = match self.log.append(append.clone()) {
                Ok(ticket) => ticket.await,
                Err(error) => Err(error),
            };
            match appended {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Full) => {
                    tracing::warn!(%error, "an outcome waits to be journaled");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
                Err(error) => return Err(failure(&error)),
            }
        }
    }

    async fn apply(&self, blobs: &[crate::OutputBlob]) -> Result<(), Failure> {
        for blob in blobs {
            self.storage
                .put(&blob.container, &blob.name, blob.content.clone())
                .await
                .map_err(|error| failure(&error))?;
        }
        Ok(())
    }
}

fn depth(event: &RecordedEvent) -> i32 {
    match event.extension(DEPTH) {
        Some(ExtensionValue::Integer(depth)) => (*depth).max(0),
        _ => 0,
    }
}

/// An error of the log or of storage as a failed attempt.
fn failure(error: &foretell_types::Error) -> Failure {
    let (kind, permanent) = match error.kind() {
        ErrorKind::Invalid => (FailureKind::BadRequest, true),
        ErrorKind::TooLarge => (FailureKind::PayloadTooLarge, true),
        ErrorKind::NotFound => (FailureKind::NotFound, false),
        ErrorKind::Full => (FailureKind::Full, false),
        ErrorKind::Busy => (FailureKind::Busy, false),
        _ => (FailureKind::Aborted, false),
    };
    Failure {
        permanent,
        ..Failure::new(kind, format!("the outcome could not be applied: {error}"))
    }
}
