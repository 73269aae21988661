use std::time::Duration;

use foretell_log::Append;
use foretell_types::{Error, ErrorKind, Result};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use std::sync::Arc;

use crate::checkpoint::{Checkpoint, register};
use crate::context::Context;
use crate::replay::Replay;

/// Progress is journaled at most this often while there is work, and at once when there is none
/// or somebody waits for it.
const SAVE_EVERY: Duration = Duration::from_millis(250);
/// After a failure it is tried again after this time.
const SAVE_AGAIN: Duration = Duration::from_secs(1);

/// What changed since the last checkpoint.
#[derive(Default)]
pub(crate) struct Unsaved {
    pub changed: bool,
    /// Something was settled or failed, rather than only left out by the filter.
    pub worked: bool,
    pub wrote_blobs: bool,
    /// Registers to remove with the next checkpoint.
    pub registers: Vec<String>,
    /// Replays that were taken: their registers are removed too.
    pub replays: Vec<Replay>,
    /// Told when it is journaled, or that it could not be.
    pub answers: Vec<Answer>,
}

/// Gives an answer that must not come before what it says is durable.
pub(crate) type Answer = Box<dyn FnOnce(Result<()>) + Send>;

impl Unsaved {
    /// Takes back what could not be saved.
    fn take_back(&mut self, other: Unsaved) {
        self.changed |= other.changed;
        self.worked |= other.worked;
        self.wrote_blobs |= other.wrote_blobs;
        self.registers.extend(other.registers);
        self.replays.extend(other.replays);
        self.answers.extend(other.answers);
    }
}

/// Journals the checkpoint of a subscription, one at a time.
pub(crate) struct Progress {
    pub unsaved: Unsaved,
    saving: Option<(JoinHandle<Result<()>>, Unsaved)>,
    saved_at: Instant,
    /// The last save failed: until one succeeds nothing new is begun.
    pub failing: bool,
}

impl Progress {
    pub fn new() -> Progress {
        Progress {
            unsaved: Unsaved::default(),
            saving: None,
            saved_at: Instant::now(),
            failing: false,
        }
    }

    /// When the next save is due; `None` while one runs or if there is nothing to save.
    pub fn due(&self, idle: bool) -> Option<Instant> {
        if !self.unsaved.changed || self.saving.is_some() {
            return None;
        }
        let at_once = idle && self.unsaved.worked || !self.unsaved.answers.is_empty();
        let wait = match (self.failing, at_once) {
            (true, _) => SAVE_AGAIN,
            (false, true) => Duration::ZERO,
            (false, false) => SAVE_EVERY,
        };
        Some(self.saved_at + wait)
    }

    /// Begins to journal a checkpoint: first the blobs that were written must be durable.
    pub fn save(&mut self, context: &Arc<Context>, checkpoint: &Checkpoint) {
        self.saved_at = Instant::now();
        let unsaved = std::mem::take(&mut self.unsaved);
        let key = register::checkpoint(&context.key);
        let mut append = Append::new().register(key, Some(checkpoint.to_bytes()));
        for register in &unsaved.registers {
            append = append.register(register, None);
        }
        for (position, generation) in &unsaved.replays {
            let key = register::replay(&context.key, *position, *generation);
            append = append.register(key, None);
        }
        let (context, wrote_blobs) = (context.clone(), unsaved.wrote_blobs);
        let task = tokio::spawn(async move {
            if wrote_blobs {
                context.storage.sync().await?;
            }
            if !context.is_there() {
                return Err(Error::not_found("the subscription is gone"));
            }
            context.log.append(append)?.await?;
            Ok(())
        });
        self.saving = Some((task, unsaved));
    }

    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Waits until the save that runs ends; for ever if none does. Gives the replays whose
    /// registers are gone. Can be cancelled.
    pub async fn saved(&mut self) -> Result<Vec<Replay>> {
        let Some((task, _)) = &mut self.saving else {
            return std::future::pending().await;
        };
        let result = task
            .await
            .unwrap_or_else(|error| Err(Error::unavailable(error.to_string())));
        let unsaved = self.saving.take().map(|(_, unsaved)| unsaved);
        self.failing = result.is_err();
        let mut unsaved = unsaved.unwrap_or_default();
        for answer in std::mem::take(&mut unsaved.answers) {
            answer(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(Error::new(error.kind(), error.message())),
            });
        }
        match result {
            Ok(()) => Ok(unsaved.replays),
            Err(error) => {
                self.unsaved.take_back(unsaved);
                Err(error.context("the progress could not be journaled"))
            }
        }
    }
}

/// Whether the same append may succeed later.
pub(crate) fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Busy | ErrorKind::Full)
}
