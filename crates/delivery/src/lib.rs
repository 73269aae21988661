//! Delivery: a [`Subscription`] reads a topic in order, hands each event that its filter wants to
//! a [`Handler`], and applies what comes back.
//!
//! Delivery is at least once, its effects are made once: the first completed outcome of an
//! invocation is journaled, then applied; after a crash it is applied again and nothing is called.
//! A subject's events go one after the other; a failing one makes the rest of its subject wait,
//! until it succeeds or is dead-lettered. Progress is a [`Checkpoint`]: a low-water position and a
//! bounded set of exceptions.

mod checkpoint;
pub mod dead_letter;
mod dispatch;
mod handler;
mod identity;
mod invoke;
mod outcome;
mod queue;
mod retry;
mod stats;
mod subscription;
mod webhook;

pub use checkpoint::{Checkpoint, Pending};
pub use dead_letter::{DeadLetter, DeadLetterFilter};
pub use handler::{Failure, FailureKind, Handler, Invocation, Outcome, OutputBlob, OutputEvent};
pub use retry::{Decision, RetryPolicy};
pub use stats::StatsSnapshot;
pub use subscription::{FilterFn, Subscription, SubscriptionOptions, create, forget, progress};
pub use webhook::Webhook;
