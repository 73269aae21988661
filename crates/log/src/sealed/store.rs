use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use foretell_types::{Error, ErrorKind, Result};

use super::cache::PieceCache;
use super::gather::Gathered;
use super::manifest::Manifest;
use super::run::Run;
use super::segment::SealedSegment;
use super::{Archive, Sealed, archive, build};
use crate::environment::Environment;
use crate::files::Files;
use crate::journal::{GroupVisitor, Place};

/// What a journal lends for sealing its segments: the folder that sealed files lie in, and its
/// segments that are full.
pub struct SegmentStore {
    pub(crate) folder: PathBuf,
    pub(crate) environment: Environment,
    pub(crate) cache: Arc<PieceCache>,
    /// Merging is to end: the log is being closed.
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) segments: Arc<dyn FullSegments>,
    pub(crate) archive: Option<Archive>,
}

impl std::fmt::Debug for SegmentStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentStore({})", self.folder.display())
    }
}

/// The segments of a journal that are no longer written to.
pub(crate) trait FullSegments: Send + Sync {
    /// The number of the segment that a place lies in.
    fn number(&self, place: Place) -> u64;
    /// Bytes that were appended since opening.
    fn written(&self) -> u64;
    /// Whether the next segment is to be prepared; said once of each.
    fn wants_another(&self) -> bool;
    /// Does some of what makes it the cheaper to begin the next segment; false if nothing is left
    /// to do.
    fn prepare(&self) -> Result<bool>;
    /// The number of the oldest, and the bytes that it takes.
    fn oldest(&self) -> Result<Option<(u64, u64)>>;
    fn walk(&self, number: u64, visit: &mut GroupVisitor<'_>) -> Result<()>;
    /// Names of the segments that aren't sealed, and how many bytes of each are durable.
    fn unsealed(&self) -> Result<Vec<(String, u64)>>;
    /// Ends of segments that recovery cut off, now or at an earlier opening, and keeps.
    fn cut_ends(&self) -> Result<Vec<PathBuf>>;
    /// Removes the segments up to a number: they are sealed. Readers find their frames elsewhere
    /// from then on.
    fn remove(&self, through: u64) -> Result<()>;
}

impl SegmentStore {
    pub(crate) fn new(
        folder: &Path,
        environment: &Environment,
        cache: Arc<PieceCache>,
        segments: Arc<dyn FullSegments>,
        archive: Option<Archive>,
    ) -> SegmentStore {
        SegmentStore {
            folder: folder.to_owned(),
            environment: environment.clone(),
            cache,
            stop: Arc::default(),
            segments,
            archive,
        }
    }

    pub(crate) fn files(&self) -> &dyn Files {
        &*self.environment.files
    }

    /// A path for a file that is about to be made; what a crash left there is removed.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let at = |error| Error::io(format_args!("can't make {}", path.display()), error);
        let names = self.files().list(&self.folder).map_err(at)?;
        if names.iter().any(|there| there == name) {
            self.files().remove(&path).map_err(at)?;
        }
        Ok(path)
    }

    /// The names in the folder.
    fn list(&self) -> Result<Vec<String>> {
        let folder = &self.folder;
        let at = |error| Error::io(format_args!("can't list {}", folder.display()), error);
        self.files().list(folder).map_err(at)
    }

    /// Opens the sealed segments that a manifest names. One that should lie in the archive but is
    /// here, as in a backup, or after a crash before its file was removed, is read here, and the
    /// manifest says so.
    pub(crate) fn segments(&self, manifest: &mut Manifest) -> Result<Vec<Arc<SealedSegment>>> {
        let there = self.list()?;
        let gone = |number: &u64| there.binary_search(&SealedSegment::name(*number)).is_err();
        manifest.archived.retain(|number, _| gone(number));
        let numbers = manifest.segments.iter();
        numbers
            .map(|number| {
                let opened = match manifest.archived.get(number) {
                    Some(blob) => archive::open(self, *number, blob),
                    None => SealedSegment::open(self, *number),
                };
                opened.map(Arc::new)
            })
            .collect()
    }

    /// Opens what a manifest names. Runs that are missing or damaged are made anew from the
    /// segments, and the manifest says so.
    pub(crate) fn open(&self, manifest: &mut Manifest) -> Result<Sealed> {
        let segments = self.segments(manifest)?;
        let mut runs = Vec::with_capacity(manifest.runs.len());
        let mut made = false;
        for of in &manifest.runs {
            match Run::open(self, *of) {
                Ok(run) => runs.push(Arc::new(run)),
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    tracing::warn!(%error, "a run of the index is made anew");
                    made = true;
                    for number in of.0..=of.1 {
                        let Ok(at) = manifest.segments.binary_search(&number) else {
                            continue;
                        };
                        let gathered = Gathered::again(&segments[at])?;
                        let run = build::of_segment(self, manifest.seed, (number, &gathered))?;
                        runs.push(Arc::new(run));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if made {
            manifest.number += 1;
            manifest.runs = runs.iter().map(|run| run.meta.segments).collect();
            manifest.store(self)?;
            manifest.remove_older(self);
            self.tidy(Some(manifest))?;
        }
        Ok(Sealed::new(manifest, segments, runs))
    }

    /// Removes files that no manifest names: a crash left them. Only while nothing is being made.
    pub(crate) fn tidy(&self, manifest: Option<&Manifest>) -> Result<()> {
        let named: Vec<String> = manifest.map_or(Vec::new(), |manifest| {
            let segments = manifest.segments.iter().map(|n| SealedSegment::name(*n));
            let archived = manifest.archived.keys().map(|n| SealedSegment::stub(*n));
            segments
                .chain(archived)
                .chain(manifest.runs.iter().map(|of| Run::name(*of)))
                .collect()
        });
        let of_ours = |name: &String| {
            let extension = Path::new(name).extension().and_then(|end| end.to_str());
            matches!(extension, Some("sealed" | "archived" | "run"))
        };
        self.remove(
            self.list()?
                .into_iter()
                .filter(|name| of_ours(name) && !named.contains(name)),
        )
    }

    /// Removes files that nothing in force names any more.
    pub(crate) fn remove(&self, names: impl Iterator<Item = String>) -> Result<()> {
        let folder = &self.folder;
        let at = |error| Error::io(format_args!("can't tidy {}", folder.display()), error);
        let mut removed = false;
        for name in names {
            self.files().remove(&folder.join(name)).map_err(at)?;
            removed = true;
        }
        if removed {
            self.files().sync_dir(folder).map_err(at)?;
        }
        Ok(())
    }
}
