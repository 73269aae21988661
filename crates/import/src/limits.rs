//! Every limit of an import, by name. Beyond the limits of `foretell_types`, which hold for each
//! event, these bound the memory that a file can make a reader take, however it was compressed.

/// One CSV record or one JSON line, in bytes.
pub const RECORD_BYTES: usize = 4 * 1024 * 1024;

/// One XML token (a tag with its attributes, a text, a comment), in bytes.
pub const XML_TOKEN_BYTES: usize = 4 * 1024 * 1024;

/// Elements of an XES file that are open at one time.
pub const XML_DEPTH: usize = 64;

/// The attributes of one XES trace or event as JSON, in bytes.
pub const XES_ATTRIBUTES_BYTES: usize = 4 * 1024 * 1024;

/// Columns of a CSV file; attributes of one XES trace or event.
pub const COLUMNS: usize = 4_096;

/// Events of one import as they are held in memory to be ordered, in bytes.
pub const HELD_BYTES: usize = 4 * 1024 * 1024 * 1024;

/// The text that one file decompresses to, in bytes.
pub const INPUT_BYTES: u64 = 256 * 1024 * 1024 * 1024;

/// Skipped rows that are reported one by one; the rest is counted.
pub const BAD_ROWS_REPORTED: usize = 20;

/// Characters of a wrong value that an error shows.
pub const SHOWN_CHARS: usize = 80;

/// Distinct types and subjects that are held once however often they occur.
pub(crate) const SHARED_TEXTS: usize = 65_536;

/// The buffer between the file and its reader, in bytes.
pub(crate) const BUFFER_BYTES: usize = 128 * 1024;
