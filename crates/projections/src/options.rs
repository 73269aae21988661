use foretell_types::limits::{HISTORY_BLOCK_BYTES_LEAST, SNAPSHOT_EVENTS};

/// How histories are kept. Answers don't depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Events of one key after which a snapshot of its state is taken.
    pub snapshot_events: u64,
    /// A block of a key's history is at least so large, and grows with the history.
    pub block_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            snapshot_events: SNAPSHOT_EVENTS as u64,
            block_bytes: HISTORY_BLOCK_BYTES_LEAST,
        }
    }
}
