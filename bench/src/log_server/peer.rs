//! The seam: what a server must do to be measured.

use std::path::PathBuf;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;

use crate::Result;
use crate::log::engine::Condition;
use crate::log::event::Event;
use crate::log::lane::Streams;
use crate::results::Goal;

/// A server by name.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// By which it is left out, and its name in the results.
    pub name: &'static str,
    pub append_goal: Option<Goal>,
    pub read_goal: Option<Goal>,
    /// Finds its program, or says how to install it.
    pub program: fn() -> Result<PathBuf>,
    /// Starts the program on a new, empty store.
    pub start: fn(PathBuf) -> Starting,
}

pub type Starting = LocalBoxFuture<'static, Result<Box<dyn Peer>>>;

/// A running server, which appends durably and under a condition. Stopped, and its data removed,
/// when dropped.
#[async_trait]
pub trait Peer: Send + Sync {
    /// Its process.
    fn id(&self) -> u32;

    /// Appends so many events to each stream, one after another to all; then no condition of a
    /// lane fails.
    async fn fill(&mut self, streams: u32, rounds: u32) -> Result<Streams>;

    /// A writer's way to the server.
    async fn connect(&self) -> Result<Box<dyn Client>>;

    /// Reads all events in the order of their positions, and takes each apart; how many there were.
    async fn read_all(&self) -> Result<u64>;

    /// The same as JSON lines, if there is that form beside a faster one.
    async fn read_lines(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

#[async_trait]
pub trait Client: Send {
    /// Appends an event; its position once it is durable, or `None` if the condition doesn't hold.
    async fn append(&mut self, event: Event, condition: Condition) -> Result<Option<u64>>;
}

/// Events of an append that only fills.
pub const FILL_BATCH: usize = 1_000;

/// The events that fill streams, in order. No lane has their ids.
pub fn filling(streams: u32, rounds: u32) -> impl Iterator<Item = Event> {
    let all = 0..u64::from(streams) * u64::from(rounds);
    all.map(move |number| Event {
        number,
        stream: (number % u64::from(streams)) as u32,
    })
}

/// What the lanes find after that.
pub fn filled(streams: u32, rounds: u32) -> Streams {
    Streams {
        count: streams,
        filled: rounds,
        after: u64::from(streams) * u64::from(rounds),
    }
}

/// A program in one of the folders of `PATH`, or in one of these.
pub fn find_program(name: &str, also_in: &[PathBuf], install: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(also_in.iter().cloned())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| format!("{name} isn't installed: {install}").into())
}
