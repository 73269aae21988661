//! Proves the log durable and right by simulation: everything happens from a seed, and the same
//! seed gives the same history, byte for byte. What it does: docs/reliability.md.

pub mod archive;
#[cfg(feature = "seeded-bugs")]
pub mod bugs;
mod check;
pub mod clients;
pub mod crash;
pub mod disk;
mod failure;
pub mod model;
pub mod random;
pub mod request;
pub mod runner;
pub mod workload;

pub use failure::Failure;

/// Prints to the standard output; a reader that is gone is no reason to stop.
pub fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
