//! Delivery: a subscription reads a topic in order and hands each event to a [`Handler`].
mod handler;
pub use handler::{Failure, FailureKind, Handler, Invocation, Outcome, OutputBlob, OutputEvent};
