//! States, against plain restatements of them.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod events;
mod moment;
mod reference;
mod rfc7396;
mod sql;
