//! The loop of one subscription: read, filter, dispatch, retry, checkpoint.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_log::EventLog;
use foretell_storage::Account;
use foretell_types::{Error, Result};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::BatchAttempt;
use crate::checkpoint::{Checkpoint, Pending, register};
use crate::context::{Context, subscription_id};
use crate::invoke::{Attempt, Done};
use crate::pace::Pace;
use crate::page::Page;
use crate::progress::Progress;
use crate::pull::Pull;
use crate::queue::{Popped, Queue};
use crate::replay::{Replay, Replays};
use crate::share::{self, Room};
use crate::stats::Stats;
use crate::subscription::{SubscriptionOptions, Work};

/// How long a stopping subscription waits for the calls in flight; then they are aborted, and
/// their events are delivered again.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// The wall clock is asked again at least this often: it may be set, and machines sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

pub(crate) struct Dispatcher {
    pub(crate) context: Arc<Context>,
    pub(crate) stats: Arc<Stats>,
    wake: Arc<Notify>,
    pub(crate) stop: CancellationToken,
    pub(crate) head: watch::Receiver<u64>,
    pub(crate) queue: Queue,
    pub(crate) attempts: JoinSet<Vec<Done>>,
    /// What the tasks in `attempts` are about, in the order of what they give.
    pub(crate) in_flight: HashMap<tokio::task::Id, Vec<(u64, Pending)>>,
    /// (position, generation) of the outcomes that were journaled before this start.
    pub(crate) journaled: HashSet<(u64, u64)>,
    pub(crate) replays: Replays,
    pub(crate) progress: Progress,
    pub(crate) pace: Pace,
    pub(crate) reading: Option<JoinHandle<Result<Page>>>,
    pub(crate) read_after: Instant,
    /// Who receives; `None` if events are pushed.
    pub(crate) pull: Option<Pull>,
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
        let bytes = log.register(&register::checkpoint(&key));
        let (Some(bytes), Some(id)) = (bytes, subscription_id(&log, &key)) else {
            let message = format!("there is no subscription {key:?}");
            return Err(Error::not_found(message));
        };
        let checkpoint = Checkpoint::from_bytes(&bytes)?;
        let context = Arc::new(Context {
            topic: options.topic.as_str().into(),
            key,
            topic_uuid: log.topic(&options.topic)?.uuid,
            id,
            generation: checkpoint.generation,
            replay_upto: checkpoint.replay_upto,
            log,
            storage,
            options,
        });
        let pace = Pace::new(match context.options.work {
            Work::Push { rate, .. } => rate,
            Work::Pull(_) => None,
        });
        let mut dispatcher = Dispatcher {
            queue: Queue::new(checkpoint.upto, context.options.ordered_by_subject),
            context,
            stats,
            wake,
            stop,
            head,
            attempts: JoinSet::new(),
            in_flight: HashMap::new(),
            journaled: HashSet::new(),
            replays: Replays::default(),
            progress: Progress::new(),
            pace,
            reading: None,
            read_after: Instant::now(),
            pull: None,
        };
        if let Work::Pull(_) = dispatcher.context.options.work {
            dispatcher.queue.forget_ahead();
        }
        dispatcher.load(checkpoint)?;
        Ok(dispatcher)
    }

    pub async fn run(mut self) {
        while !self.stop.is_cancelled() {
            self.step().await;
        }
        self.finish().await;
    }

    /// Does what can be done at once, then waits for something to happen.
    async fn step(&mut self) {
        let now_ms = self.context.now().as_millis().max(0) as u64;
        let paused = self.context.options.paused;
        let next_due = match self.pull {
            Some(_) => self.expire_locks(now_ms),
            None if paused => None,
            None => self.queue.wake(now_ms),
        };
        if !self.progress.failing && !paused {
            self.read_on();
            self.take_replays().await;
            match self.pull {
                Some(_) => self.hand_out().await,
                None => self.dispatch(),
            }
        }
        if let Some(pull) = &mut self.pull {
            pull.answer_in_vain();
        }
        self.publish_stats();
        let idle = self.is_idle();
        if self
            .progress
            .due(idle)
            .is_some_and(|due| due <= Instant::now())
        {
            self.save();
        }
        let deadline = self.deadline(next_due);
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            // What is rare goes first: attempts may end all the time.
            saved = self.progress.saved() => self.saved(saved),
            page = wait_for(&mut self.reading) => {
                self.reading = None;
                self.take_page(page);
            }
            Some(done) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => {
                self.joined(done);
                while let Some(done) = self.attempts.try_join_next_with_id() {
                    self.joined(done);
                }
            }
            Some(request) = Pull::next(&mut self.pull) => self.take_request(request),
            Ok(()) = self.head.changed() => {}
            () = self.wake.notified() => self.replays.look(&self.context.log, &self.context.key),
            () = timer => {}
        }
    }

    /// Begins to journal the progress.
    pub(crate) fn save(&mut self) {
        let (generation, replay_upto) = (self.context.generation, self.context.replay_upto);
        let checkpoint = self.queue.checkpoint();
        let checkpoint = checkpoint.in_generation(generation, replay_upto);
        self.progress.save(&self.context, &checkpoint);
    }

    fn is_idle(&self) -> bool {
        self.attempts.is_empty() && self.queue.ready() == 0 && self.reading.is_none()
    }

    /// When there is something to do again though nothing happens.
    fn deadline(&self, next_due: Option<u64>) -> Option<Instant> {
        let save = self.progress.due(self.is_idle());
        let vain = self.pull.as_ref().and_then(Pull::deadline);
        if self.progress.failing {
            return save.into_iter().chain(vain).min();
        }
        let until = |due_ms: i64| {
            let wait = (due_ms - self.context.now().as_millis()).max(1) as u64;
            Instant::now() + Duration::from_millis(wait).min(LOOK_AGAIN)
        };
        let retry = next_due.map(|due| until(due as i64));
        // What is ready may have to wait for the endpoint.
        let paced = self.pace.next().filter(|_| {
            self.queue.ready() > 0 && self.attempts.len() < self.context.options.concurrency
        });
        let paced = paced.map(|due| until(due.as_millis()));
        let read = (self.reading.is_none() && self.wants_more()).then_some(self.read_after);
        [save, vain, retry, paced, read].into_iter().flatten().min()
    }

    /// The topic or the subscription was deleted: nothing more is done, and nothing journaled.
    pub(crate) fn gone(&mut self, error: &Error) {
        tracing::info!(subscription = %self.context.key, %error, "the subscription ends");
        self.stop.cancel();
    }

    fn dispatch(&mut self) {
        while self.attempts.len() < self.context.options.concurrency {
            let Some((_, pending)) = self.queue.front() else {
                break;
            };
            // To write a dead letter needs no endpoint.
            let calls = pending.given_up.is_none();
            let now = self.context.now();
            if calls && !self.pace.may_call(now) {
                break;
            }
            let Some(room) = share::room(self.attempts.len()) else {
                break;
            };
            let Some(first) = self.queue.pop() else {
                break;
            };
            if calls {
                self.pace.called(now);
            }
            let batch = self.fill(first);
            self.call(batch, room);
        }
    }

    /// Calls the handler with one event, or with several, or writes a dead letter.
    pub(crate) fn call(&mut self, mut batch: Vec<Popped>, room: Room) {
        let now = self.context.now().as_nanos().max(1) as u64;
        for (_, pending, _) in &mut batch {
            if pending.given_up.is_none() {
                pending.last_attempt = now;
                if pending.first_attempt == 0 {
                    pending.first_attempt = now;
                }
            }
        }
        let about = batch
            .iter()
            .map(|(position, pending, _)| (*position, pending.clone()));
        let about: Vec<(u64, Pending)> = about.collect();
        let task = self.spawn(batch, room);
        self.in_flight.insert(task.id(), about);
    }

    fn spawn(&mut self, mut batch: Vec<Popped>, room: Room) -> AbortHandle {
        let context = self.context.clone();
        if batch.len() > 1 {
            let events = batch.into_iter();
            let events = events.filter_map(|(_, pending, event)| Some((pending, event?)));
            let events = events.collect();
            let attempt = BatchAttempt { context, events };
            return self.attempts.spawn(async move {
                let _room = room;
                attempt.run().await
            });
        }
        let (position, pending, event) = batch.pop().unwrap_or_default();
        let was = self.journaled.remove(&(position, pending.generation));
        let attempt = Attempt {
            context,
            position,
            journaled: was || pending.due_ms > 0 || pending.attempts > 0,
            pending,
            event,
        };
        self.attempts.spawn(async move {
            let _room = room;
            vec![attempt.run().await]
        })
    }

    fn saved(&mut self, saved: Result<Vec<Replay>>) {
        match saved {
            Ok(replays) => self.replays.forget(&replays),
            Err(error) if !self.context.is_there() => self.gone(&error),
            Err(error) => {
                tracing::error!(subscription = %self.context.key, %error, "the subscription can't go on yet");
            }
        }
    }

    pub(crate) fn publish_stats(&self) {
        let set = |counter: &std::sync::atomic::AtomicU64, value: u64| {
            counter.store(value, Ordering::Relaxed);
        };
        set(&self.stats.in_flight, self.attempts.len() as u64);
        set(&self.stats.pending, self.queue.len() as u64);
        set(&self.stats.waiting, self.queue.waiting() as u64);
        set(&self.stats.upto, self.queue.upto);
        if let Ok(mut probation) = self.stats.probation.lock() {
            *probation = self.pace.probation();
        }
        set(&self.stats.first, self.queue.first().unwrap_or(0));
    }
}

/// Waits for a task; for ever if there is none. Can be cancelled.
async fn wait_for<T>(task: &mut Option<JoinHandle<Result<T>>>) -> Result<T> {
    match task {
        Some(task) => task
            .await
            .unwrap_or_else(|error| Err(Error::unavailable(error.to_string()))),
        None => std::future::pending().await,
    }
}
