use foretell_types::{Error, Result};

/// Whole files under names, kept elsewhere: sealed segments that are archived, backups, the journal
/// of who has no disk.
///
/// Rules for providers:
/// - Names are texts with slashes, `CONTAINER/FOLDER/FILE`; what a provider can't hold it refuses.
/// - A blob is never seen in part: a reader sees the old one or the new one, whole.
/// - Calls block until they are done, and may come from any thread, also from one that drives
///   tasks: a provider needs nothing of the thread that calls it.
pub trait Blobs: Send + Sync + std::fmt::Debug {
    /// Writes a blob, in place of one of the same name. It is durable when this returns.
    fn put(&self, name: &str, content: Vec<u8>) -> Result<()>;

    /// Writes a blob unless there is one of that name: `false`, and nothing was written. Of several
    /// who do so at once, one does. It is durable when this returns. After an error it may be there
    /// or not, now or later; after [`ErrorKind::Damaged`] it is there and may not be durable. A
    /// provider that can't keep the condition fails, as by default.
    ///
    /// [`ErrorKind::Damaged`]: foretell_types::ErrorKind::Damaged
    fn put_new(&self, name: &str, content: Vec<u8>) -> Result<bool> {
        let _ = content;
        let blob = self.describe(name);
        Err(Error::invalid(format!(
            "{blob}: a blob can't be written here on the condition that it is new"
        )))
    }

    /// The largest blob that can be written, in bytes.
    fn largest(&self) -> usize {
        usize::MAX
    }

    /// Reads up to the buffer's length from an offset within the blob on; fewer bytes only at its
    /// end. `None`: there is no such blob.
    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<Option<usize>>;

    /// A blob's length; `None` if there is no such blob.
    fn bytes(&self, name: &str) -> Result<Option<u64>>;

    /// Names and lengths of the blobs below `FOLDER/`, in order of their names, which are whole. All
    /// that were there before, by whomever, and weren't removed meanwhile, are in it.
    fn list(&self, folder: &str) -> Result<Vec<(String, u64)>>;

    /// Removes a blob; one that isn't there is no error.
    fn remove(&self, name: &str) -> Result<()>;

    /// A blob in words, for error messages.
    fn describe(&self, name: &str) -> String;
}
