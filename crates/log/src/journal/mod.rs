//! The one seam of the log: an ordered, durable sequence of commits.

mod blob;
pub(crate) mod disk;
mod group;
mod held;
pub(crate) mod memory;

use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Result};

use crate::sealed::{Piece, SegmentStore};

pub use blob::BlobJournal;
pub use disk::DiskJournal;
pub use group::{Group, GroupMeta};
pub use memory::MemoryJournal;

/// Reads headers from any bytes; for fuzzing.
pub(crate) fn disk_decoders(bytes: &[u8]) {
    let _ = group::decode_header(bytes, 1);
    let _ = group::check_body(bytes, bytes.len() / 2, 1);
    disk::decode_segment_header(bytes);
    blob::decoders(bytes);
}

/// Place of a commit in the journal: the first commit is 1, 0 is "none yet".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seq(pub u64);

/// Where bytes of a group lie in its journal. Adding to it walks along the group's body.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Place(pub u64);

/// Where the segment's number begins in a [`Place`] of a journal that has segments; below it lies
/// the offset within the segment.
const SEGMENT_SHIFT: u32 = 40;

/// Whether what is to follow a commit follows the last one: if not, someone else appended.
fn check_follows(expected: Seq, last: Seq) -> Result<()> {
    if expected == last {
        return Ok(());
    }
    let (last, expected) = (last.0, expected.0);
    let message = format!("the journal ends at {last} where {expected} was expected");
    Err(Error::new(ErrorKind::Fenced, message))
}

impl Place {
    #[must_use]
    pub fn plus(self, bytes: usize) -> Place {
        Place(self.0 + bytes as u64)
    }
}

/// What a provider can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// The largest body of one group, in bytes.
    pub largest_group: usize,
}

/// The writing side of a journal. It has one user, the writer of the log.
///
/// Rules for providers:
/// - `append` returns only after the group is durable; all of it is, or none.
/// - It fails with [`ErrorKind::Fenced`] if the journal's last commit isn't `expected_last`,
///   that is, if someone else appended.
/// - With [`ErrorKind::Full`] nothing was written and the journal goes on. After any other error
///   the outcome is unknown: the writer must stop, and only opening anew tells. Groups bear epoch
///   and nonce, so that an own group is told from another's.
/// - A provider that can't keep a rule fails; it never weakens it.
///
/// [`ErrorKind::Fenced`]: foretell_types::ErrorKind::Fenced
/// [`ErrorKind::Full`]: foretell_types::ErrorKind::Full
pub trait Journal: Send {
    fn capabilities(&self) -> Capabilities;

    /// The last commit.
    fn last(&self) -> Seq;

    /// Appends a group of commits. `meanwhile` is called once with the body and the place of its
    /// first byte, unless nothing is written: it is given the time that the disk takes, and must show
    /// nobody anything of the group.
    fn append(
        &mut self,
        expected_last: Seq,
        group: &mut Group,
        meanwhile: &mut dyn FnMut(&[u8], Place),
    ) -> Result<()>;

    fn reader(&self) -> Arc<dyn JournalReader>;

    /// What the log needs to seal full segments; `None` if the journal has none.
    fn segment_store(&self) -> Option<Arc<SegmentStore>> {
        None
    }
}

/// Called for each group: its header, the place of its body, its body.
pub type GroupVisitor<'a> = dyn FnMut(&GroupMeta, Place, &[u8]) -> Result<()> + 'a;

/// The reading side of a journal, shared by all readers.
pub trait JournalReader: Send + Sync {
    /// Walks all groups that aren't sealed in order, every byte checked; damage is an error that names file and
    /// offset. `progress` is told the bytes walked and the bytes there are.
    fn walk(&self, visit: &mut GroupVisitor<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<()>;

    /// Reads bytes of a durable group into the buffer; fewer only at the end of what lies
    /// together. [`ErrorKind::NotFound`]: the segment that held them was sealed.
    ///
    /// [`ErrorKind::NotFound`]: foretell_types::ErrorKind::NotFound
    fn read(&self, place: Place, buffer: &mut [u8]) -> Result<usize>;

    /// A page of the journal that holds a place, if it is kept in memory, and where in it; for who
    /// picks single frames. A frame may go on behind the page.
    fn page(&self, place: Place) -> Result<Option<(Arc<Piece>, usize)>> {
        let _ = place;
        Ok(None)
    }

    /// A place in words for error messages.
    fn describe(&self, place: Place) -> String;

    /// Bytes that the journal takes, and how many files or objects.
    fn size(&self) -> (u64, usize);
}
