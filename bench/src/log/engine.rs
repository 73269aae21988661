//! The seam: what an engine must do to be measured.

use std::path::Path;
use std::pin::Pin;

use super::event::Event;
use crate::Result;

/// What an append expects: nothing came to the stream since its writer last looked. Each engine
/// takes the form of it that it has: a revision, or a query with a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    pub stream: u32,
    /// How many events the stream has.
    pub events: u64,
    /// All of the stream's events lie at or before this position; 0 if there are none.
    pub after: u64,
}

/// An append that is under way: the position of its last event, once that is durable.
pub type Pending = Pin<Box<dyn Future<Output = Result<u64>> + Send>>;

/// A store that appends durably and under a condition. Nothing is answered before its sync.
pub trait Engine: Sync {
    /// Appends the events as one unit and blocks until it is durable; the last one's position.
    fn append(&self, events: &[Event], condition: Condition) -> Result<u64>;

    /// Hands the append over and comes back at once.
    fn begin(&self, events: &[Event], condition: Condition) -> Result<Pending>;

    /// Reads all events; how many there were.
    fn scan(&self) -> Result<u64> {
        Err("isn't read here".into())
    }

    /// Reads the events of one stream; how many there were.
    fn read_stream(&self, _stream: u32) -> Result<u64> {
        Err("isn't read here".into())
    }
}

/// An engine by name, and how it is opened in a folder.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub open: fn(&Path) -> Result<Box<dyn Engine>>,
}
