//! A log in memory, a storage account in a temporary folder, a handler that records its calls.

pub mod crash;
pub mod http;
mod recorder;
mod time;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foretell_delivery::{
    Checkpoint, DeadLetterPolicy, Handler, RetryPolicy, Subscription, SubscriptionOptions, Work,
    create, progress,
};
use foretell_log::{Append, Environment, EventLog, Journal, MemoryJournal, Random};
use foretell_storage::Account;
use foretell_types::NewEvent;

pub use recorder::{Recorder, busy, event, gated, outputs};
use time::RuntimeClock;
pub use time::{settle_down, still, until};

/// The id of the subscription that the tests make.
pub const WORK: uuid::Uuid = uuid::Uuid::from_u128(1);

/// Numbers from a seed (SplitMix64).
pub struct Seeded(pub AtomicU64);

impl Random for Seeded {
    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub struct World {
    pub environment: Environment,
    pub journal: MemoryJournal,
    pub log: EventLog,
    pub storage: Account,
    pub folder: Arc<tempfile::TempDir>,
    /// How often the clock was asked: a loop asks it each time around.
    pub asked: Arc<AtomicU64>,
}

impl World {
    /// A log with the topics `shop` and `results`, and the subscription `shop/work`.
    pub async fn new() -> World {
        let mut environment = Environment::real();
        environment.random = Arc::new(Seeded(AtomicU64::new(7)));
        let asked = Arc::new(AtomicU64::new(0));
        environment.clock = Arc::new(RuntimeClock {
            asked: asked.clone(),
            runtime: tokio::runtime::Handle::current(),
            start: tokio::time::Instant::now(),
        });
        let journal = MemoryJournal::new();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let log = open(journal.clone(), &environment);
        let uuid = || environment.random.uuid();
        let made = Append::new()
            .create_topic("shop".parse().unwrap(), uuid(), false)
            .create_topic("results".parse().unwrap(), uuid(), false);
        log.append(create(made, "shop", "work", 0, 0, WORK))
            .unwrap()
            .await
            .unwrap();
        World {
            storage: Account::local(folder.path()).unwrap(),
            environment,
            journal,
            log,
            folder,
            asked,
        }
    }

    /// The same over a journal that can fail.
    pub fn with_faults(self, left: u64) -> (World, crash::FaultJournal) {
        let World { log, .. } = self;
        drop(log);
        let fault = crash::FaultJournal::new(&self.journal, left);
        let log = open(fault.clone(), &self.environment);
        (World { log, ..self }, fault)
    }

    /// The journal as it is now and the storage, opened anew: what still runs on the old log
    /// writes into the old journal.
    pub fn reopen(self) -> World {
        let journal = self.journal.copy();
        World {
            log: open(journal.clone(), &self.environment),
            journal,
            ..self
        }
    }

    /// Publishes events 1 to `count`, event `i` about subject `i % subjects`.
    pub async fn publish(&self, count: u64, subjects: u64) {
        let events = (1..=count).map(|i| event(i, Some(format!("s{}", i % subjects))));
        self.append(events).await;
    }

    pub async fn append(&self, events: impl IntoIterator<Item = NewEvent>) {
        let events: Vec<_> = events.into_iter().collect();
        for chunk in events.chunks(10_000) {
            let append = Append::new().events("shop", chunk.to_vec());
            self.log.append(append).unwrap().await.unwrap();
        }
    }

    pub fn start(&self, handler: &Arc<Recorder>) -> Subscription {
        self.start_with(handler, |_| {})
    }

    pub fn start_with(
        &self,
        handler: &Arc<Recorder>,
        change: impl FnOnce(&mut SubscriptionOptions),
    ) -> Subscription {
        let mut options = options(handler.clone());
        change(&mut options);
        Subscription::start(options, self.log.clone(), self.storage.clone()).unwrap()
    }

    pub fn progress(&self) -> Checkpoint {
        progress(&self.log, "shop", "work").unwrap().unwrap()
    }

    /// Registers of the subscription besides its checkpoint.
    pub fn left_over(&self) -> Vec<String> {
        let all = self.log.registers("subscription/shop/work/");
        all.into_iter()
            .map(|(key, _)| key)
            .filter(|key| !key.ends_with("/checkpoint") && !key.ends_with("/id"))
            .collect()
    }

    pub async fn until_settled(&self, upto: u64) {
        until(|| {
            let progress = self.progress();
            progress.upto == upto && progress.pending.is_empty()
        })
        .await;
    }
}

pub fn open(journal: impl Journal + 'static, environment: &Environment) -> EventLog {
    EventLog::open(Box::new(journal), environment, &mut |_, _| {}).unwrap()
}

/// How hard a handler is tried.
pub fn retry(options: &mut SubscriptionOptions) -> &mut RetryPolicy {
    match &mut options.work {
        Work::Push { retry, .. } => retry,
        Work::Pull(_) => panic!("nothing is tried"),
    }
}

pub fn options(handler: Arc<dyn Handler>) -> SubscriptionOptions {
    SubscriptionOptions {
        topic: "shop".into(),
        name: "work".into(),
        filter: Arc::new(|_| true),
        work: Work::Push {
            handler,
            retry: RetryPolicy {
                jitter_percent: 0,
                ..RetryPolicy::default()
            },
            rate: None,
        },
        dead_letters: DeadLetterPolicy::into_container("dead-letters"),
        ordered_by_subject: true,
        concurrency: 64,
        paused: false,
    }
}
