//! Projections kept up to date. Each follows its topics, like a subscription, and keeps in an
//! embedded key-value store what a question needs: the state of each key, the history of what its
//! aggregates read, and snapshots of keys with many events. All of it is derived from the log, and
//! can be dropped.
//!
//! The definition of a projection and its fold are those of `foretell_state`.

mod ask;
mod entry;
mod event;
mod folded;
mod folders;
mod known;
mod manager;
mod options;
mod projection;
mod shard;
mod store;
mod turn;

pub use ask::Ask;
pub use event::LogEvent;
pub use known::Known;
pub use manager::Projections;
pub use options::Options;
pub use projection::{Found, Projection, Reasons, Status};
