//! Sealed segments that lie in the archive: which are moved there, how, and how they are opened.
//! What is needed to open one stays here, in its stub; the frames are read from the archive.

use std::sync::Arc;
use std::time::Duration;

use foretell_types::{Error, ErrorKind, Instant, Result};

use super::segment::SealedSegment;
use super::store::SegmentStore;
use crate::blobs::Blobs;

/// Where sealed segments are archived.
#[derive(Clone, Debug)]
pub struct Archive {
    pub blobs: Arc<dyn Blobs>,
    /// Which segments move there; none if `None`. Those that are there are read all the same.
    pub rule: Option<ArchiveRule>,
}

/// Which sealed segments move to the archive: the oldest, as long as one of these says so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ArchiveRule {
    /// The container: what the names of their blobs begin with.
    pub container: String,
    /// Those whose newest frame was recorded so long ago.
    pub after: Option<Duration>,
    /// The sealed segments that stay take at most so many bytes.
    pub keep_bytes: Option<u64>,
}

impl ArchiveRule {
    /// The segment that is to be moved, of these that are here, from the oldest on.
    pub(super) fn next(
        &self,
        here: &[&Arc<SealedSegment>],
        now: Instant,
    ) -> Result<Option<Arc<SealedSegment>>> {
        let Some(oldest) = here.first() else {
            return Ok(None);
        };
        let bytes: u64 = here.iter().map(|segment| segment.file.bytes).sum();
        let mut moves = self.keep_bytes.is_some_and(|keep| bytes > keep);
        if let Some(after) = self.after.filter(|_| !moves) {
            let age = i128::from(now.as_nanos()) - i128::from(oldest.newest()?);
            moves = age >= after.as_nanos() as i128;
        }
        Ok(moves.then(|| (*oldest).clone()))
    }

    /// The name of a segment's blob. It tells the log, so that its blobs lie together, and the
    /// file's salt: another data directory, also one that was restored from a backup of this one,
    /// has the same name only for the same bytes.
    fn blob(&self, seed: u64, segment: &SealedSegment) -> String {
        let log = blake3::derive_key("foretell archive 1", &seed.to_le_bytes());
        let log = blake3::Hash::from(log).to_hex();
        let (number, salt) = (segment.number, segment.file.salt());
        let (container, log) = (&self.container, &log[..16]);
        format!("{container}/{log}/{number:010}-{salt:016x}.sealed")
    }
}

/// Copies a segment into the archive, reads all of it back, and leaves its stub here. Gives the
/// segment as it lies there. It is in the archive once a manifest says so: until then its file is
/// the one that counts, and the blob is written again by the next try.
pub(super) fn copy_to_archive(
    store: &SegmentStore,
    archive: &Archive,
    rule: &ArchiveRule,
    (seed, segment): (u64, &SealedSegment),
) -> Result<SealedSegment> {
    let blob = rule.blob(seed, segment);
    let mut content = vec![0; segment.file.bytes as usize];
    let count = segment.file.read_at(&mut content, 0)?;
    if count < content.len() {
        return Err(segment.file.damage(count as u64, "the file is cut short"));
    }
    // Once it is moved nobody could mend it.
    segment.file.verify()?;
    archive.blobs.put(&blob, content)?;
    let copy = SealedSegment::open_blob(store, segment.number, &blob)?;
    copy.file.verify()?;
    if copy.file.bytes != segment.file.bytes || copy.file.salt() != segment.file.salt() {
        return Err(copy
            .file
            .damage(0, "another file was read back than was archived"));
    }
    copy.file
        .write_stub(store, &SealedSegment::stub(segment.number))?;
    Ok(copy)
}

/// Opens a segment that lies in the archive, without asking it. A stub that is missing or damaged
/// is made anew from there.
pub(super) fn open(store: &SegmentStore, number: u64, blob: &str) -> Result<SealedSegment> {
    match SealedSegment::open_stub(store, number, blob) {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            tracing::warn!(%error, "the stub of an archived segment is made anew");
            let segment = SealedSegment::open_blob(store, number, blob)?;
            let stub = SealedSegment::stub(number);
            segment.file.write_stub(store, &stub)?;
            Ok(segment)
        }
        opened => opened,
    }
}

/// What is said of a blob that can't be read.
pub(super) fn unreadable(blobs: Option<&dyn Blobs>, name: &str, error: Option<Error>) -> Error {
    let what = blobs.map_or_else(|| format!("blob {name}"), |blobs| blobs.describe(name));
    let message = match (blobs, error) {
        (None, _) => format!("{what} of the archive is wanted, and no archive is at hand"),
        (_, None) => format!("{what} of the archive is missing"),
        (_, Some(error)) => {
            let message = format!("{what} of the archive can't be read: {error}");
            return Error::new(ErrorKind::Unavailable, message).with_source(error);
        }
    };
    Error::unavailable(message)
}
