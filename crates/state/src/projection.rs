use foretell_types::{RecordedEvent, Result};
use serde_json::value::RawValue;

/// A fold of events into a state.
///
/// **The answer is that of folding in (event time, position) order, in whatever order the events
/// come.** A late event therefore costs no second pass, and reading by position needs no sort. A
/// projection that can't be told in such terms keeps the events and sorts them in [`state`].
///
/// It is pure: no clock, network or randomness. No event is given twice.
///
/// [`state`]: Projection::state
pub trait Projection {
    /// Takes one event in. Fails only on data that could not have been appended.
    fn fold(&mut self, event: &RecordedEvent) -> Result<()>;

    /// The state of all events so far, as JSON text with sorted keys.
    fn state(&self) -> Result<Box<RawValue>>;
}
