use std::fmt;
use std::sync::Arc;

use foretell_log::{Append, EventLog};
use foretell_storage::Account;
use foretell_types::{Error, NewEvent, Result};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{Checkpoint, register};
use crate::dispatch::Dispatcher;
use crate::handler::Handler;
use crate::pull::{Pull, PullPolicy};
use crate::receiver::Receiver;
use crate::retry::RetryPolicy;
use crate::stats::{Stats, StatsSnapshot};

/// Tells whether a subscription wants an event.
pub type FilterFn = Arc<dyn Fn(&NewEvent) -> bool + Send + Sync>;

/// What a subscription delivers, and how.
#[derive(Clone)]
pub struct SubscriptionOptions {
    pub topic: String,
    pub name: String,
    pub filter: FilterFn,
    pub work: Work,
    /// The container of its dead letters.
    pub dead_letter_container: String,
    /// A subject's events go one after the other, and one that fails or is locked makes the rest
    /// wait.
    pub ordered_by_subject: bool,
    /// Invocations in flight, at most.
    pub concurrency: usize,
}

/// What a subscription does with its events.
#[derive(Clone, Debug)]
pub enum Work {
    /// They are handed to a handler, which is tried as hard as `retry` says.
    Push {
        handler: Arc<dyn Handler>,
        retry: RetryPolicy,
    },
    /// They wait for receivers, see [`Subscription::receiver`].
    Pull(PullPolicy),
}

impl SubscriptionOptions {
    /// Whether a subscription can be started with these.
    pub fn check(&self) -> Result<()> {
        match &self.work {
            Work::Push { handler, retry } => {
                retry.check()?;
                if let Some(handler) = handler.batches() {
                    handler.batch().check()?;
                }
            }
            Work::Pull(policy) => policy.check()?,
        }
        if self.concurrency == 0 {
            return Err(Error::invalid(
                "concurrency is 0: at least one invocation must go at a time",
            ));
        }
        foretell_storage::check_container(&self.dead_letter_container)
    }
}

impl fmt::Debug for SubscriptionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} -> {:?}", self.topic, self.name, self.work)
    }
}

/// A running subscription.
#[derive(Debug)]
pub struct Subscription {
    receiver: Option<Receiver>,
    stats: Arc<Stats>,
    wake: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Subscription {
    /// Starts delivering from its checkpoint on; see [`create`].
    pub fn start(
        options: SubscriptionOptions,
        log: EventLog,
        storage: Account,
    ) -> Result<Subscription> {
        options.check()?;
        let (receiver, pull) = match options.work {
            Work::Push { .. } => (None, None),
            Work::Pull(_) => Some(Pull::new()).unzip(),
        };
        let stats = Arc::new(Stats::default());
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let mut dispatcher = Dispatcher::new(
            options,
            log,
            storage,
            stats.clone(),
            wake.clone(),
            stop.clone(),
        )?;
        dispatcher.pull = pull;
        let task = tokio::spawn(dispatcher.run());
        Ok(Subscription {
            receiver,
            stats,
            wake,
            stop,
            task,
        })
    }

    /// Where its events are received; `None` if they are pushed.
    pub fn receiver(&self) -> Option<Receiver> {
        self.receiver.clone()
    }

    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    /// Tells the subscription that dead letters were replayed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stops reading, finishes what is in flight, journals the progress. Calls that take longer
    /// than [`crate::STOP_GRACE`] are aborted; their events are delivered again.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a subscription ended badly");
        }
    }
}

fn key(topic: &str, name: &str) -> String {
    format!("{topic}/{name}")
}

/// Adds to a commit the progress of a new subscription, which begins after a number of events.
/// `id` is its own: what it delivers is told apart by it from what an earlier subscription of the
/// same name did.
#[must_use]
pub fn create(append: Append, topic: &str, name: &str, after: u64, id: uuid::Uuid) -> Append {
    let (key, checkpoint) = (key(topic, name), Checkpoint::starting_after(after));
    append
        .register(register::checkpoint(&key), Some(checkpoint.to_bytes()))
        .register(register::id(&key), Some(id.as_bytes().to_vec()))
}

/// Adds to a commit that everything about a subscription's progress is forgotten. It must have
/// been stopped before.
#[must_use]
pub fn forget(mut append: Append, log: &EventLog, topic: &str, name: &str) -> Append {
    for (key, _) in log.registers(&register::all(&key(topic, name))) {
        append = append.register(key, None);
    }
    append
}

/// A subscription's journaled progress.
pub fn progress(log: &EventLog, topic: &str, name: &str) -> Result<Option<Checkpoint>> {
    log.register(&register::checkpoint(&key(topic, name)))
        .map(|bytes| Checkpoint::from_bytes(&bytes))
        .transpose()
}
