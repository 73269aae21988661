//! One invocation: call, journal the outcome, apply it. The first completed outcome counts; if one
//! is journaled already, it is applied again and nothing is called.

use std::sync::Arc;
use std::time::Duration;

use foretell_log::Append;
use foretell_types::{Error, ErrorKind, RecordedEvent, is_system_topic};

use crate::checkpoint::{GivenUp, Pending, register};
use crate::context::Context;
use crate::dead_letter;
use crate::handler::{Failure, FailureKind, Invocation, Outcome, OutputBlob, OutputEvent};
use crate::outcome::{self, Journaled};
use crate::output::{caused, check};
use crate::progress::is_passing;
use crate::subscription::Work;

/// One attempt to settle a position.
pub(crate) struct Attempt {
    pub context: Arc<Context>,
    pub position: u64,
    pub pending: Pending,
    /// Read if it isn't given.
    pub event: Option<Arc<RecordedEvent>>,
    /// An outcome may be journaled already.
    pub journaled: bool,
}

/// What an attempt came to, and the event if it could be read.
pub(crate) struct Done {
    pub event: Option<Arc<RecordedEvent>>,
    pub end: End,
}

pub(crate) enum End {
    /// The outcome was applied. Blobs that were written must be synced before the checkpoint
    /// moves; the register of the outcome is to be removed then.
    Completed {
        wrote_blobs: bool,
        register: Option<String>,
    },
    /// The call failed.
    Failed(Failure),
    /// The call completed, and what it returned could not be applied.
    NotApplied(Failure),
    /// Its time to live is over.
    Expired,
    /// Its dead letter was written; the register says so.
    Buried { register: String },
    /// Nothing could be tried: the event can't be read, or its dead letter not be written.
    Blocked(Error),
}

impl Attempt {
    pub async fn run(mut self) -> Done {
        let event = match self.event.take() {
            Some(event) => event,
            None => match self.context.event(self.position).await {
                Ok(event) => Arc::new(event),
                Err(error) => {
                    let end = End::Blocked(error);
                    return Done { event: None, end };
                }
            },
        };
        let end = match self.settle(&event).await {
            Ok(end) => end,
            Err(failure) => End::NotApplied(failure),
        };
        Done {
            event: Some(event),
            end,
        }
    }

    fn register(&self) -> String {
        register::outcome(&self.context.key, self.pending.generation, self.position)
    }

    async fn settle(&self, event: &Arc<RecordedEvent>) -> Result<End, Failure> {
        let (context, pending) = (&self.context, &self.pending);
        let invocation = context.invocation(event, pending);
        match self.journaled(&invocation) {
            Ok(Some(Journaled::Completed(blobs))) if pending.given_up.is_none() => {
                return self.apply(&blobs).await;
            }
            Ok(Some(Journaled::GivenUp)) => {
                let register = self.register();
                return Ok(End::Buried { register });
            }
            Ok(_) => {}
            Err(error) => return Ok(End::Blocked(error)),
        }
        if let Some(given_up) = &pending.given_up {
            return Ok(match self.bury(&invocation, given_up).await {
                Ok(()) => End::Buried {
                    register: self.register(),
                },
                Err(error) => End::Blocked(error.context("a dead letter could not be written")),
            });
        }
        let Work::Push { handler, retry, .. } = &context.options.work else {
            return Ok(End::Blocked(Error::unavailable("it waits for a receiver")));
        };
        if pending.attempts > 0
            && !pending.replayed
            && retry.is_expired(Context::lives_from(event), context.now())
        {
            return Ok(End::Expired);
        }
        let outcome = match handler.handle(invocation.clone()).await {
            Ok(outcome) => outcome,
            Err(failure) => return Ok(End::Failed(failure)),
        };
        self.complete(&invocation, outcome).await
    }

    fn journaled(&self, invocation: &Invocation) -> Result<Option<Journaled>, Error> {
        if !self.journaled {
            return Ok(None);
        }
        match self.context.log.register(&self.register()) {
            Some(value) => outcome::decode(&value, invocation.id),
            None => Ok(None),
        }
    }

    /// Journals an outcome, then applies it.
    async fn complete(&self, invocation: &Invocation, outcome: Outcome) -> Result<End, Failure> {
        if outcome.blobs.is_empty() && outcome.events.is_empty() {
            return Ok(End::Completed {
                wrote_blobs: false,
                register: None,
            });
        }
        check(&outcome).map_err(|error| failure(&error))?;
        let Outcome { events, blobs } = outcome;
        let mut append = Append::new();
        for (index, event) in events.into_iter().enumerate() {
            let OutputEvent { topic, event } = caused(invocation, event, index)?;
            if is_system_topic(&topic) {
                let message =
                    format!("topic {topic:?} is the product's own: no handler writes to it");
                return Err(Failure {
                    permanent: true,
                    ..Failure::new(FailureKind::Forbidden, message)
                });
            }
            append = append.events(&topic, [event]);
        }
        // Also with no blobs: the register says that the call was made.
        let value = outcome::encode(invocation.id, &blobs);
        append = append.register(self.register(), Some(value));
        self.journal(append).await?;
        self.apply(&blobs).await
    }

    /// Appends, and waits out a log that is busy or a disk that is full: the handler was called,
    /// its outcome must not be lost.
    async fn journal(&self, append: Append) -> Result<(), Failure> {
        let mut wait = Duration::from_millis(10);
        loop {
            let appended = match self.context.log.append(append.clone()) {
                Ok(ticket) => ticket.await,
                Err(error) => Err(error),
            };
            match appended {
                Ok(_) => return Ok(()),
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "an outcome waits to be journaled");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
                Err(error) => return Err(failure(&error)),
            }
        }
    }

    async fn apply(&self, blobs: &[OutputBlob]) -> Result<End, Failure> {
        for blob in blobs {
            self.context
                .storage
                .put(&blob.container, &blob.name, blob.content.clone())
                .await
                .map_err(|error| failure(&error))?;
        }
        Ok(End::Completed {
            wrote_blobs: !blobs.is_empty(),
            register: Some(self.register()),
        })
    }

    /// Writes a dead letter: the blob, durable, then the event that records it.
    async fn bury(&self, invocation: &Invocation, given_up: &GivenUp) -> Result<(), Error> {
        let (context, event) = (&self.context, &invocation.event);
        let letter = dead_letter::letter(context, event, &self.pending, given_up);
        let form = &context.options.dead_letters.form;
        let content = form.blob_content(event, &letter, &self.pending);
        let (container, name) = letter.blob.split_once('/').unwrap_or(("", &letter.blob));
        context.storage.put(container, name, content.into()).await?;
        context.storage.sync().await?;
        let value = outcome::encode_given_up(invocation.id);
        let append = Append::new().register(self.register(), Some(value));
        dead_letter::record(&context.log, append, &letter, invocation.id).await
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
