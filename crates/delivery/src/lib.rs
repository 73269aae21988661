//! Delivery: a [`Subscription`] reads a topic in order, hands each event that its filter wants to
//! a [`Handler`], and applies what comes back.
//!
//! Delivery is at least once, its effects are made once: the first completed outcome of an
//! invocation is journaled, then applied; after a crash it is applied again and nothing is called.
//! A subject's events go one after the other; a failing one makes the rest of its subject wait,
//! until it succeeds or is dead-lettered. Progress is a [`Checkpoint`]: a low-water position and a
//! bounded set of exceptions.
//!
//! Or events are pulled: they wait for a [`Receiver`], which holds a lock on each that it received
//! until it acknowledges, releases or rejects it. What it is answered is journaled before.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use std::sync::Arc;
//! use foretell_delivery::{
//!     DeadLetterPolicy, Failure, Handler, Invocation, Outcome, RetryPolicy, Subscription,
//!     SubscriptionOptions, Work, create,
//! };
//! use foretell_log::{Append, Environment, EventLog, MemoryJournal};
//!
//! #[derive(Debug)]
//! struct Print;
//!
//! #[async_trait::async_trait]
//! impl Handler for Print {
//!     async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure> {
//!         println!("{}", invocation.event.event_type);
//!         Ok(Outcome::default())
//!     }
//! }
//!
//! let environment = Environment::real();
//! let log = EventLog::open(Box::new(MemoryJournal::new()), &environment, &mut |_, _| {})?;
//! let shop = Append::new().create_topic("shop".parse()?, environment.random.uuid(), false);
//! log.append(create(shop, "shop", "print", 0, 0, environment.random.uuid()))?.await?;
//! let folder = tempfile::tempdir().unwrap();
//! let options = SubscriptionOptions {
//!     topic: "shop".into(),
//!     name: "print".into(),
//!     filter: Arc::new(|event| event.event_type.starts_with("order.")),
//!     work: Work::Push {
//!         handler: Arc::new(Print),
//!         retry: RetryPolicy::default(),
//!         rate: None,
//!     },
//!     dead_letters: DeadLetterPolicy::into_container("dead-letters"),
//!     ordered_by_subject: true,
//!     concurrency: 8,
//!     paused: false,
//! };
//! let storage = foretell_storage::Account::local(folder.path())?;
//! let subscription = Subscription::start(options, log, storage)?;
//! subscription.stop().await;
//! # Ok::<(), foretell_types::Error>(()) }).unwrap();
//! ```

mod attributes;
mod batch;
mod checkpoint;
mod context;
mod course;
pub mod dead_letter;
mod deletion;
mod dispatch;
mod handler;
mod histogram;
mod identity;
mod invoke;
mod letter_form;
mod outcome;
mod output;
mod pace;
mod page;
mod progress;
mod pull;
mod queue;
mod reach;
mod receiver;
mod replay;
mod resume;
mod retry;
mod settle;
mod share;
mod stats;
mod subscription;
mod tls;
mod validation;
mod webhook;

pub use attributes::HeaderSource;
pub use batch::{Batch, BatchHandler};
pub use checkpoint::{Checkpoint, GivenUp, Pending};
pub use course::{create, forget, progress, rewind};
pub use dead_letter::{DeadLetter, DeadLetterFilter};
pub use deletion::Deletion;
pub use dispatch::STOP_GRACE;
pub use handler::{Failure, FailureKind, Handler, Invocation, Outcome, OutputBlob, OutputEvent};
pub use histogram::{BUCKETS_MS, Histogram, HistogramSnapshot};
pub use letter_form::LetterForm;
pub use pace::Probation;
pub use pull::PullPolicy;
pub use receiver::{Received, Receiver, Refused, Settled, Settlement};
pub use retry::{Decision, RetryPolicy};
pub use stats::StatsSnapshot;
pub use subscription::{DeadLetterPolicy, FilterFn, Subscription, SubscriptionOptions, Work};
pub use validation::{Handshake, Validated, allowed_rate};
pub use webhook::{Webhook, WebhookSchema};
