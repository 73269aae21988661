//! The loop of one subscription: read, filter, dispatch, retry, checkpoint.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use foretell_log::{Append, EventLog, ReadOptions};
use foretell_storage::Account;
use foretell_types::limits::SUBSCRIPTION_EXCEPTIONS;
use foretell_types::{Error, Instant, Position, RecordedEvent, Result};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{Checkpoint, Pending, register};
use crate::dead_letter::{self, DEAD_LETTERS, DeadLetter};
use crate::handler::{Failure, Invocation};
use crate::identity;
use crate::invoke::{Call, Completed};
use crate::queue::Queue;
use crate::retry::Decision;
use crate::stats::Stats;
use crate::subscription::SubscriptionOptions;

const READ_AT_ONCE: u64 = 1_024;
/// Progress is journaled at most this often while there is work, and at once when there is none.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(250);

pub(crate) struct Dispatcher {
    options: SubscriptionOptions,
    /// `TOPIC/SUBSCRIPTION`.
    key: Arc<str>,
    topic: Arc<str>,
    topic_uuid: uuid::Uuid,
    log: EventLog,
    storage: Account,
    stats: Arc<Stats>,
    wake: Arc<Notify>,
    stop: CancellationToken,
    head: watch::Receiver<u64>,
    queue: Queue,
    calls: JoinSet<Settled>,
    /// Outcomes that were journaled before this start, by their register.
    journaled: HashMap<String, Bytes>,
    unsaved: Unsaved,
    saving: Option<JoinHandle<Result<()>>>,
    saved_at: tokio::time::Instant,
}

/// What changed since the last checkpoint.
#[derive(Default)]
struct Unsaved {
    changed: bool,
    wrote_blobs: bool,
    /// Registers to remove with the next checkpoint.
    registers: Vec<String>,
}

struct Settled {
    position: u64,
    pending: Pending,
    event: Arc<RecordedEvent>,
    result: Result<Completed, Failure>,
}

impl Dispatcher {
    pub fn new(
        options: SubscriptionOptions,
        log: EventLog,
        storage: Account,
        stats: Arc<Stats>,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) -> Result<Dispatcher> {
        let key: Arc<str> = format!("{}/{}", options.topic, options.name).into();
        let head = log.watch(&options.topic)?;
        let checkpoint = match log.register(&register::checkpoint(&key)) {
            Some(bytes) => Checkpoint::from_bytes(&bytes)?,
            None => {
                return Err(Error::not_found(format!(
                    "there is no subscription {key:?}"
                )));
            }
        };
        let topic_uuid = log.topic(&options.topic)?.uuid;
        let journaled = log
            .registers(&register::outcomes(&key))
            .into_iter()
            .collect();
        let mut dispatcher = Dispatcher {
            topic: options.topic.as_str().into(),
            key,
            topic_uuid,
            log,
            storage,
            stats,
            wake,
            stop,
            head,
            queue: Queue::new(checkpoint.upto),
            calls: JoinSet::new(),
            journaled,
            unsaved: Unsaved::default(),
            saving: None,
            saved_at: tokio::time::Instant::now(),
            options,
        };
        for (position, pending) in checkpoint.pending {
            let event = Arc::new(dispatcher.event(position)?);
            dispatcher
                .queue
                .push(event, pending, dispatcher.options.ordered_by_subject);
        }
        dispatcher.take_replays()?;
        Ok(dispatcher)
    }

    pub async fn run(mut self) {
        loop {
            let step = self.step().await;
            if let Err(error) = step {
                tracing::error!(subscription = %self.key, %error, "the subscription can't go on yet");
                let stopped = self.stop.clone();
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
            if self.stop.is_cancelled() {
                break;
            }
        }
        self.finish().await;
    }

    /// Does what can be done at once, then waits for something to happen.
    async fn step(&mut self) -> Result<()> {
        let next_due = self.queue.wake(self.now().as_millis().max(0) as u64);
        self.read_ahead().await?;
        self.dispatch()?;
        self.publish_stats();
        self.save_if_due();
        let idle_deadline = match (self.unsaved.changed, next_due) {
            (true, _) => Some(self.saved_at + CHECKPOINT_EVERY),
            (false, Some(due)) => {
                let wait = (due as i64 - self.now().as_millis()).max(1) as u64;
                Some(tokio::time::Instant::now() + Duration::from_millis(wait))
            }
            (false, None) => None,
        };
        let timer = async {
            match idle_deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let behind = *self.head.borrow_and_update() > self.queue.upto;
        if behind && self.wants_more() {
            return Ok(());
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            Some(settled) = self.calls.join_next(), if !self.calls.is_empty() => {
                self.joined(settled).await?;
                while let Some(settled) = self.calls.try_join_next() {
                    self.joined(settled).await?;
                }
            }
            changed = self.head.changed(), if self.wants_more() => {
                if changed.is_err() {
                    self.stop.cancel();
                }
            }
            () = self.wake.notified() => self.take_replays()?,
            saved = async { match &mut self.saving { Some(task) => task.await, None => std::future::pending().await } } => {
                self.saving = None;
                match saved {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        self.unsaved.changed = true;
                        return Err(error.context("the progress could not be journaled"));
                    }
                    Err(error) => return Err(Error::unavailable(error.to_string())),
                }
            }
            () = timer => {}
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        self.log.environment().clock.now()
    }

    /// Whether to read on: not enough can go, and the bounded set of exceptions has room.
    fn wants_more(&self) -> bool {
        self.queue.ready() < self.options.concurrency && self.queue.len() < SUBSCRIPTION_EXCEPTIONS
    }

    async fn read_ahead(&mut self) -> Result<()> {
        while self.wants_more() && *self.head.borrow() > self.queue.upto {
            let room = (SUBSCRIPTION_EXCEPTIONS - self.queue.len()) as u64;
            let options = ReadOptions {
                limit: Some(READ_AT_ONCE.min(room)),
                ..ReadOptions::after(Position::new(self.queue.upto))
            };
            let (log, topic) = (self.log.clone(), self.topic.clone());
            let events = tokio::task::spawn_blocking(move || log.read(&topic, options)?.collect())
                .await
                .map_err(|error| Error::unavailable(error.to_string()))??;
            for event in events {
                self.queue.upto = event.position.get();
                self.unsaved.changed = true;
                if (self.options.filter)(&event.event) {
                    let pending = Pending::default();
                    self.queue
                        .push(Arc::new(event), pending, self.options.ordered_by_subject);
                } else {
                    Stats::add(&self.stats.filtered);
                }
            }
        }
        Ok(())
    }

    fn dispatch(&mut self) -> Result<()> {
        while self.calls.len() < self.options.concurrency {
            let Some((position, mut pending, kept)) = self.queue.pop() else {
                break;
            };
            let event = match kept {
                Some(event) => event,
                None => Arc::new(self.event(position)?),
            };
            let now = self.now();
            pending.last_attempt = now.as_nanos() as u64;
            if pending.first_attempt == 0 {
                pending.first_attempt = pending.last_attempt;
            }
            let outcome = register::outcome(&self.key, pending.generation, position);
            let call = Call {
                invocation: self.invocation(&event, &pending),
                generation: pending.generation,
                handler: self.options.handler.clone(),
                log: self.log.clone(),
                storage: self.storage.clone(),
                journaled: self
                    .journaled
                    .remove(&outcome)
                    .or_else(|| self.log.register(&outcome)),
            };
            let expired = pending.attempts > 0
                && pending.generation == 0
                && call.journaled.is_none()
                && self.options.retry.is_expired(event.recorded_time, now);
            self.calls.spawn(async move {
                let result = if expired {
                    let mut failure = Failure::new(crate::FailureKind::TimedOut, EXPIRED);
                    failure.permanent = true;
                    Err(failure)
                } else {
                    call.run().await
                };
                Settled {
                    position,
                    pending,
                    event,
                    result,
                }
            });
        }
        Ok(())
    }

    fn invocation(&self, event: &Arc<RecordedEvent>, pending: &Pending) -> Invocation {
        let position = event.position.get();
        Invocation {
            subscription: self.key.clone(),
            topic: self.topic.clone(),
            event: event.clone(),
            id: identity::invocation(
                self.topic_uuid,
                &self.options.name,
                pending.generation,
                position,
            ),
            attempts: pending.attempts as u32,
            first_attempt: Instant::from_nanos(pending.first_attempt as i64),
            replayed: pending.generation > 0,
        }
    }

    async fn joined(&mut self, settled: Result<Settled, tokio::task::JoinError>) -> Result<()> {
        let settled =
            settled.map_err(|error| Error::unavailable(format!("a handler panicked: {error}")))?;
        self.unsaved.changed = true;
        match settled.result {
            Ok(completed) => {
                Stats::add(&self.stats.delivered);
                self.unsaved.wrote_blobs |= completed.wrote_blobs;
                self.unsaved.registers.extend(completed.register);
                self.queue.settle(settled.position);
            }
            Err(ref failure) => self.failed(&settled, failure).await?,
        }
        Ok(())
    }

    async fn failed(&mut self, settled: &Settled, failure: &Failure) -> Result<()> {
        Stats::add(&self.stats.failed);
        let (position, now) = (settled.position, self.now());
        let mut pending = settled.pending.clone();
        let expired = failure.message == EXPIRED;
        if !expired {
            pending.attempts += 1;
            pending.last_outcome = format!("{:?}", failure.kind);
        }
        let decision = match expired {
            true => Decision::GiveUp("TimeToLiveExceeded"),
            false => self
                .options
                .retry
                .decide(pending.attempts as u32, failure, now),
        };
        match decision {
            Decision::RetryAt(due) => {
                tracing::warn!(
                    subscription = %self.key, position, attempts = pending.attempts,
                    "delivery failed, will be tried again: {failure}"
                );
                pending.due_ms = due.as_millis().max(1) as u64;
                self.queue.retry(position, pending);
            }
            Decision::GiveUp(reason) => {
                tracing::error!(
                    subscription = %self.key, position, attempts = pending.attempts, reason,
                    "delivery given up: {failure}"
                );
                if let Err(error) = self.bury(settled, &pending, reason, failure).await {
                    // Not lost: it stays pending and is given up again later.
                    pending.due_ms = (now.as_millis() + 5_000) as u64;
                    self.queue.retry(position, pending);
                    return Err(error.context("a dead letter could not be written"));
                }
                Stats::add(&self.stats.dead_lettered);
                self.queue.settle(position);
            }
        }
        Ok(())
    }

    /// Writes a dead letter: the blob, durable, then the event that records it.
    async fn bury(
        &self,
        settled: &Settled,
        pending: &Pending,
        reason: &str,
        failure: &Failure,
    ) -> Result<()> {
        let (event, now) = (&settled.event, self.now());
        let invocation = self.invocation(event, pending);
        let container = &self.options.dead_letter_container;
        let name = dead_letter::blob_name(&self.options.name, now, invocation.id);
        let letter = DeadLetter {
            topic: self.options.topic.clone(),
            subscription: self.options.name.clone(),
            position: settled.position,
            generation: pending.generation,
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            subject: event.subject.clone(),
            reason: reason.to_owned(),
            attempts: pending.attempts,
            last_outcome: pending.last_outcome.clone(),
            message: failure.message.chars().take(4_000).collect(),
            blob: format!("{container}/{name}"),
            time: foretell_types::Timestamp::from_instant(now).to_string(),
        };
        let content = dead_letter::blob_content(event, &letter, pending);
        self.storage.put(container, &name, content.into()).await?;
        self.storage.sync().await?;
        let added = dead_letter::added(&letter, invocation.id);
        self.log
            .append(Append::new().events(DEAD_LETTERS, [added]))?
            .await?;
        Ok(())
    }

    /// Takes dead letters that were replayed into the queue.
    fn take_replays(&mut self) -> Result<()> {
        let prefix = register::replays(&self.key);
        for (key, value) in self.log.registers(&prefix) {
            let parsed = key[prefix.len()..].parse::<u64>().ok().zip(
                std::str::from_utf8(&value)
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok()),
            );
            let Some((position, generation)) = parsed else {
                continue;
            };
            if self.unsaved.registers.contains(&key) || self.queue.contains(position) {
                continue;
            }
            let event = Arc::new(self.event(position)?);
            let pending = Pending {
                generation,
                ..Pending::default()
            };
            self.queue
                .push(event, pending, self.options.ordered_by_subject);
            self.unsaved.registers.push(key);
            self.unsaved.changed = true;
        }
        Ok(())
    }

    fn event(&self, position: u64) -> Result<RecordedEvent> {
        let at = Position::new(position);
        let options = ReadOptions {
            from: at,
            until: at,
            ..ReadOptions::default()
        };
        self.log
            .read(&self.topic, options)?
            .next_recorded()?
            .ok_or_else(|| {
                Error::not_found(format!(
                    "position {position} of topic {:?} is not there",
                    self.topic
                ))
            })
    }

    fn publish_stats(&self) {
        self.stats
            .in_flight
            .store(self.calls.len() as u64, Ordering::Relaxed);
        self.stats
            .pending
            .store(self.queue.len() as u64, Ordering::Relaxed);
        self.stats.upto.store(self.queue.upto, Ordering::Relaxed);
    }

    fn save_if_due(&mut self) {
        let idle = self.calls.is_empty() && self.queue.ready() == 0;
        let due = idle || self.saved_at.elapsed() >= CHECKPOINT_EVERY;
        if self.unsaved.changed && due && self.saving.is_none() {
            self.saving = Some(tokio::spawn(self.save()));
        }
    }

    /// Journals the progress as it is now: first what was written must be durable.
    fn save(&mut self) -> impl Future<Output = Result<()>> + Send + 'static {
        self.saved_at = tokio::time::Instant::now();
        let unsaved = std::mem::take(&mut self.unsaved);
        let checkpoint = self.queue.checkpoint().to_bytes();
        let mut append = Append::new().register(register::checkpoint(&self.key), Some(checkpoint));
        for register in unsaved.registers {
            append = append.register(register, None);
        }
        let (log, storage) = (self.log.clone(), self.storage.clone());
        async move {
            if unsaved.wrote_blobs {
                storage.sync().await?;
            }
            log.append(append)?.await?;
            Ok(())
        }
    }

    /// Finishes what is in flight and journals the progress.
    async fn finish(mut self) {
        while let Some(settled) = self.calls.join_next().await {
            if let Err(error) = self.joined(settled).await {
                tracing::error!(subscription = %self.key, %error, "while stopping");
            }
        }
        if let Some(saving) = self.saving.take() {
            let _ = saving.await;
        }
        self.publish_stats();
        if self.unsaved.changed
            && let Err(error) = self.save().await
        {
            tracing::error!(subscription = %self.key, %error, "the progress could not be journaled");
        }
    }
}

const EXPIRED: &str = "the event's time to live is over";
