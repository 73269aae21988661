//! The node, by its face: HTTP as its clients speak it.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod administration;
mod application;
mod archive;
mod course;
mod datasets;
mod delivery;
mod erasure;
mod explain;
mod follow;
mod function_apps;
mod gzip;
mod import;
mod keys;
mod namespaces;
mod node;
mod openapi;
mod projections;
mod publish;
mod pull;
mod quota;
mod read;
mod stacks;
mod state;
mod storage_accounts;
mod store;
mod support;
mod telemetry;
mod tls;
mod tokens;
mod update;
mod validation;
mod watch;
