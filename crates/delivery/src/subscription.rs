use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use foretell_log::EventLog;
use foretell_storage::Account;
use foretell_types::limits::DEAD_LETTER_DELAY_MOST_S;
use foretell_types::{Error, NewEvent, Result};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatcher;
use crate::handler::Handler;
use crate::letter_form::LetterForm;
use crate::pull::{Pull, PullPolicy};
use crate::receiver::Receiver;
use crate::retry::RetryPolicy;
use crate::stats::{Stats, StatsSnapshot};
use crate::webhook::WebhookSchema;

/// Tells whether a subscription wants an event.
pub type FilterFn = Arc<dyn Fn(&NewEvent) -> bool + Send + Sync>;

/// What a subscription delivers, and how.
#[derive(Clone)]
pub struct SubscriptionOptions {
    pub topic: String,
    pub name: String,
    pub filter: FilterFn,
    pub work: Work,
    pub dead_letters: DeadLetterPolicy,
    /// A subject's events go one after the other, and one that fails or is locked makes the rest
    /// wait.
    pub ordered_by_subject: bool,
    /// Invocations in flight, at most.
    pub concurrency: usize,
    /// Nothing is delivered; what receivers hold they can settle.
    pub paused: bool,
}

/// Where the events go that a subscription gives up, how, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterPolicy {
    pub container: String,
    pub form: LetterForm,
    /// How long one is held before it is written. Its subject waits.
    pub delay: Duration,
}

impl DeadLetterPolicy {
    /// At once, in the Event Grid schema.
    pub fn into_container(name: impl Into<String>) -> DeadLetterPolicy {
        DeadLetterPolicy {
            container: name.into(),
            form: LetterForm::Pushed(WebhookSchema::EventGrid),
            delay: Duration::ZERO,
        }
    }

    fn check(&self) -> Result<()> {
        if self.delay > Duration::from_secs(DEAD_LETTER_DELAY_MOST_S as u64) {
            return Err(Error::invalid(format!(
                "the delay of dead letters is {} seconds: at most {DEAD_LETTER_DELAY_MOST_S} are allowed",
                self.delay.as_secs()
            )));
        }
        foretell_storage::check_container_of(&self.container)
    }
}

/// What a subscription does with its events.
#[derive(Clone, Debug)]
pub enum Work {
    /// They are handed to a handler, which is tried as hard as `retry` says.
    Push {
        handler: Arc<dyn Handler>,
        retry: RetryPolicy,
        /// Calls a minute, at most.
        rate: Option<NonZeroU32>,
    },
    /// They wait for receivers, see [`Subscription::receiver`].
    Pull(PullPolicy),
}

impl SubscriptionOptions {
    /// Whether a subscription can be started with these.
    pub fn check(&self) -> Result<()> {
        match &self.work {
            Work::Push { handler, retry, .. } => {
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
        self.dead_letters.check()
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
        // Who asks before it runs must not be told that nothing was ever read.
        dispatcher.publish_stats();
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
