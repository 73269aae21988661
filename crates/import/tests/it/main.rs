//! Files of events, good and bad.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that fails may panic"
)]

mod csv;
mod gzip;
mod jsonl;
mod real_logs;
mod support;
mod xes;
