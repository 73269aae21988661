//! Delivery, against handlers and endpoints that behave and misbehave.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that fails may panic"
)]

mod batch;
mod course_model;
mod dead_letters;
mod hostile;
mod once;
mod order;
mod pace;
mod pull;
mod pull_model;
mod rate;
mod retry;
mod rewind;
mod scheduled;
mod stop;
mod support;
mod trouble;
mod validation;
mod webhook;
