//! A stack: what a program made, kept as events.

mod event;
mod journal;
mod order;
mod resource;
mod state;
mod store;

pub use event::{Changes, Operation, StackEvent, UpdateKind};
pub use journal::Journal;
pub use order::{dependents, ordered};
pub use resource::ResourceState;
pub use state::StackState;
pub use store::{History, MemoryStore, StackName, StackStore};
