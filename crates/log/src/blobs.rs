use foretell_types::Result;

/// Whole files under names, kept elsewhere: sealed segments that are archived, backups.
///
/// Rules for providers:
/// - Names are texts with slashes, `CONTAINER/FOLDER/FILE`; what a provider can't hold it refuses.
/// - A blob is never seen in part: a reader sees the old one or the new one, whole.
/// - Calls block until they are done, and may come from any thread, also from one that drives
///   tasks: a provider needs nothing of the thread that calls it.
pub trait Blobs: Send + Sync + std::fmt::Debug {
    /// Writes a blob, in place of one of the same name. It is durable when this returns.
    fn put(&self, name: &str, content: Vec<u8>) -> Result<()>;

    /// Reads up to the buffer's length from an offset within the blob on; fewer bytes only at its
    /// end. `None`: there is no such blob.
    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<Option<usize>>;

    /// A blob's length; `None` if there is no such blob.
    fn bytes(&self, name: &str) -> Result<Option<u64>>;

    /// Names and lengths of the blobs below `FOLDER/`, in order of their names, which are whole.
    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>>;

    /// Removes a blob; one that isn't there is no error.
    fn remove(&self, name: &str) -> Result<()>;

    /// A blob in words, for error messages.
    fn describe(&self, name: &str) -> String;
}
