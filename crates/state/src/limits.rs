//! Every limit of projections, by name.

/// The text of a projection, in bytes.
pub const PROJECTION_BYTES: usize = 256 * 1024;

/// Columns of a projection.
pub const COLUMNS: usize = 1_000;

/// Topics of a projection.
pub const TOPICS: usize = 64;

/// Words, signs and values in one expression.
pub const EXPRESSION_TOKENS: usize = 1_000;

/// Values that `collect` and `nth_last` keep.
pub const COLLECTED_VALUES: usize = 10_000;

/// The key of a state, in bytes. An event whose key is longer touches none.
pub const KEY_BYTES: usize = 4_096;

/// Keys that one event touches.
pub const KEYS_PER_EVENT: usize = 10_000;
