use serde::{Deserialize, Serialize};

/// Which of the events up to the instant of the question an aggregate sees.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Window {
    /// All of them.
    All,
    /// Those in (t − so many nanoseconds, t].
    Range(i64),
    /// The last so many.
    Rows(u64),
    /// Those of the session that isn't over yet: each came less than so many nanoseconds after
    /// the one before, and the last less than that before the question.
    Session(i64),
}
