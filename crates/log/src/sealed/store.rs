use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use foretell_types::{Error, ErrorKind, Result};

use super::cache::PieceCache;
use super::gather::Gathered;
use super::manifest::Manifest;
use super::run::Run;
use super::segment::SealedSegment;
use super::{Sealed, build};
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
    /// The number of the oldest, and the bytes that it takes.
    fn oldest(&self) -> Result<Option<(u64, u64)>>;
    fn walk(&self, number: u64, visit: &mut GroupVisitor<'_>) -> Result<()>;
    /// Names of the segments that aren't sealed, and how many bytes of each are durable.
    fn unsealed(&self) -> Result<Vec<(String, u64)>>;
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
    ) -> SegmentStore {
        SegmentStore {
            folder: folder.to_owned(),
            environment: environment.clone(),
            cache,
            stop: Arc::default(),
            segments,
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

    /// Opens the sealed segments that a manifest names.
    pub(crate) fn segments(&self, manifest: &Manifest) -> Result<Vec<Arc<SealedSegment>>> {
        let numbers = manifest.segments.iter();
        numbers
            .map(|number| SealedSegment::open(self, *number).map(Arc::new))
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
            self.tidy(Some(manifest))?;
        }
        Ok(Sealed::new(segments, runs))
    }

    /// Removes files that no manifest names: a crash left them. Only while nothing is being made.
    pub(crate) fn tidy(&self, manifest: Option<&Manifest>) -> Result<()> {
        let named: Vec<String> = manifest.map_or(Vec::new(), |manifest| {
            let segments = manifest.segments.iter().map(|n| SealedSegment::name(*n));
            segments
                .chain(manifest.runs.iter().map(|of| Run::name(*of)))
                .collect()
        });
        let folder = &self.folder;
        let there = self.files().list(folder);
        let there = there
            .map_err(|error| Error::io(format_args!("can't list {}", folder.display()), error))?;
        let of_ours = |name: &String| {
            let extension = Path::new(name).extension();
            extension.is_some_and(|extension| extension == "sealed" || extension == "run")
        };
        self.remove(
            there
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
