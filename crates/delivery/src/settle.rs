//! What becomes of a position after an attempt, and of all of them when the subscription stops.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use foretell_types::{Error, Instant as WallTime, RecordedEvent};
use tokio::task::{Id, JoinError};
use tokio::time::{Instant, timeout_at};

use crate::checkpoint::{GivenUp, Pending};
use crate::dispatch::{Dispatcher, STOP_GRACE};
use crate::handler::{Failure, FailureKind};
use crate::invoke::{Done, End};
use crate::pace::Said;
use crate::retry::Decision;
use crate::stats::Stats;
use crate::subscription::Work;

/// A position for which nothing could be tried waits so long.
const BLOCKED: Duration = Duration::from_secs(5);
/// Characters of a failure's message that are kept.
const MESSAGE_CHARS: usize = 500;

/// When an attempt ended, and what decides how much longer than it must the next one waits.
#[derive(Clone, Copy)]
struct Ended {
    now: WallTime,
    random: u64,
}

impl Dispatcher {
    /// A task ended, with the ends of all that it was about; one that panicked failed for each.
    pub(crate) fn joined(&mut self, joined: Result<(Id, Vec<Done>), JoinError>) {
        let (id, mut done, panic) = match joined {
            Ok((id, done)) => (id, done.into_iter(), None),
            Err(error) => (error.id(), Vec::new().into_iter(), Some(panicked(error))),
        };
        // The same time for all: what failed together is tried again together.
        let at = Ended {
            now: self.context.now(),
            random: self.context.log.environment().random.next(),
        };
        let mut said = Said::Nothing;
        for (position, pending) in self.in_flight.remove(&id).unwrap_or_default() {
            let failure = || panic.clone().unwrap_or_else(cancelled);
            let done = done.next().unwrap_or_else(|| Done {
                event: None,
                end: End::Failed(failure()),
            });
            // All of a batch say the same.
            said = match &done.end {
                End::Completed { .. } | End::NotApplied(_) => Said::Fine,
                End::Failed(_) if pending.given_up.is_some() => Said::Nothing,
                End::Failed(failure) => Said::Failed(failure.kind),
                End::Expired | End::Buried { .. } | End::Blocked(_) => Said::Nothing,
            };
            self.ended(position, pending, done, at);
        }
        if self.pace.ended(said, at.now) {
            let probation = self.pace.probation();
            tracing::warn!(subscription = %self.context.key, ?probation, "the endpoint keeps failing: it is left alone for a while");
        }
    }

    /// Every way through here settles the position or puts it back.
    fn ended(&mut self, position: u64, mut pending: Pending, done: Done, at: Ended) {
        let unsaved = &mut self.progress.unsaved;
        unsaved.changed = true;
        unsaved.worked = true;
        match done.end {
            End::Completed {
                wrote_blobs,
                register,
            } => {
                Stats::add(&self.stats.delivered);
                if let Some(event) = &done.event {
                    let took = at
                        .now
                        .as_nanos()
                        .saturating_sub(event.recorded_time.as_nanos());
                    self.stats.latency.observe_nanos(took);
                }
                unsaved.wrote_blobs |= wrote_blobs;
                unsaved.registers.extend(register);
                self.queue.settle(position);
            }
            End::Buried { register } => {
                Stats::add(&self.stats.dead_lettered);
                unsaved.registers.push(register);
                self.queue.settle(position);
            }
            End::Failed(failure) | End::NotApplied(failure) => {
                self.failed(position, pending, done.event, &failure, at);
            }
            End::Expired => {
                if self.pace.held(pending.due_ms) {
                    pending.last_outcome = format!("{:?}", FailureKind::Probation);
                }
                let message = "the event's time to live is over";
                self.give_up(position, pending, done.event, "TimeToLiveExceeded", message);
            }
            End::Blocked(error) => self.blocked(position, pending, done.event, &error),
        }
    }

    fn failed(
        &mut self,
        position: u64,
        mut pending: Pending,
        event: Option<Arc<RecordedEvent>>,
        failure: &Failure,
        at: Ended,
    ) {
        let context = self.context.clone();
        let Work::Push { retry, .. } = &context.options.work else {
            let error = Error::unavailable(failure.to_string());
            return self.blocked(position, pending, event, &error);
        };
        if pending.given_up.is_some() {
            // It was the dead letter that panicked, not the handler.
            let error = Error::unavailable(failure.to_string());
            return self.blocked(position, pending, event, &error);
        }
        self.stats.add_failure(failure.kind);
        pending.attempts += 1;
        pending.last_outcome = format!("{:?}", failure.kind);
        match retry.decide(pending.attempts as u32, failure, at.now, at.random) {
            Decision::RetryAt(due) => {
                tracing::warn!(
                    subscription = %self.context.key, position, attempts = pending.attempts,
                    "delivery failed, will be tried again: {failure}"
                );
                pending.due_ms = due.as_millis().max(1) as u64;
                self.queue.put_back(position, pending, event);
            }
            Decision::GiveUp(reason) => {
                self.give_up(position, pending, event, reason, &failure.message);
            }
        }
    }

    /// The next attempt writes the dead letter, and calls nothing.
    pub(crate) fn give_up(
        &mut self,
        position: u64,
        mut pending: Pending,
        event: Option<Arc<RecordedEvent>>,
        reason: &str,
        message: &str,
    ) {
        tracing::error!(
            subscription = %self.context.key, position, attempts = pending.attempts, reason,
            "delivery given up: {message}"
        );
        let delay = self.context.options.dead_letters.delay;
        pending.due_ms = match delay.is_zero() {
            true => 0,
            false => self.due_after(delay),
        };
        pending.given_up = Some(GivenUp {
            reason: reason.to_owned(),
            message: message.chars().take(MESSAGE_CHARS).collect(),
        });
        self.queue.put_back(position, pending, event);
    }

    /// A time to come, in milliseconds since the epoch.
    fn due_after(&self, wait: Duration) -> u64 {
        let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
        self.context.now().plus_nanos(nanos).as_millis().max(1) as u64
    }

    pub(crate) fn blocked(
        &mut self,
        position: u64,
        mut pending: Pending,
        event: Option<Arc<RecordedEvent>>,
        error: &Error,
    ) {
        if !self.context.is_there() {
            self.queue.put_back(position, pending, event);
            return self.gone(error);
        }
        tracing::error!(
            subscription = %self.context.key, position, %error,
            "an event can't be settled, will be tried again"
        );
        pending.due_ms = self.due_after(BLOCKED);
        self.queue.put_back(position, pending, event);
    }

    /// Finishes what is in flight and journals the progress.
    pub(crate) async fn finish(mut self) {
        if !self.context.is_there() {
            return;
        }
        let deadline = Instant::now() + STOP_GRACE;
        while let Ok(Some(done)) = timeout_at(deadline, self.attempts.join_next_with_id()).await {
            self.joined(done);
        }
        let aborted = self.attempts.len();
        if aborted > 0 {
            tracing::warn!(
                subscription = %self.context.key, aborted,
                "calls did not end in time: their events will be delivered again"
            );
            // What they handed to the log before is in it when this progress is.
            self.attempts.shutdown().await;
            self.progress.unsaved.changed = true;
        }
        self.publish_stats();
        self.save_all(deadline + STOP_GRACE).await;
    }

    async fn save_all(&mut self, deadline: Instant) {
        while self.progress.unsaved.changed || self.progress.is_saving() {
            if !self.progress.is_saving() {
                self.save();
            }
            match timeout_at(deadline, self.progress.saved()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) if crate::progress::is_passing(&error) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(Err(error)) => {
                    tracing::error!(subscription = %self.context.key, %error, "while stopping");
                    return;
                }
                Err(_) => return,
            }
            if Instant::now() >= deadline {
                return;
            }
        }
    }
}

/// A task that panicked is a failed attempt.
fn panicked(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => {
            let message = format!("the handler panicked: {}", panic_text(&*panic));
            Failure::new(FailureKind::Aborted, message)
        }
        Err(_) => cancelled(),
    }
}

fn cancelled() -> Failure {
    Failure::new(FailureKind::Aborted, "the call was cancelled")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
