//! The commands, as users and scripts run them.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod backup;
mod commands;
mod course;
mod datasets;
mod documents;
mod kill;
mod projections;
mod pull;
mod quota;
mod support;
mod tls;
mod up;
