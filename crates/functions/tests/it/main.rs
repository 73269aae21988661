//! Function apps, run as they are.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod basics;
mod cost;
mod demo;
mod support;
mod trouble;
