//! The log, by its public face.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails may panic"
)]

mod ahead;
mod archive;
mod backup;
mod blobs;
mod erasure;
mod following;
mod golden;
mod journal;
mod model;
mod sealing;
mod support;
mod writer;
