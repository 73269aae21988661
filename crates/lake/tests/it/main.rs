//! Columns and files of events.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails may panic"
)]

mod files;
mod log;
