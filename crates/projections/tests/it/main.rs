//! Projections, against plain restatements of them.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod forget;
mod model;
mod plain;
mod random;
