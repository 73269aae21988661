//! The work in the background: seals full segments of the journal, the oldest first, and merges
//! runs of the index. A crash at any point leaves the manifest before or the one after; files that
//! none names are removed at opening.

use std::sync::Arc;

use foretell_types::limits::{DISK_LOW_WATER_BYTES, IDENTITY_WINDOW, RUN_KEYS};
use foretell_types::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};

use super::gather::Gathered;
use super::manifest::{InForce, Manifest};
use super::run::{PAGE_ENTRIES, Run};
use super::segment::SealedSegment;
use super::store::SegmentStore;
use super::{Sealed, build};
use crate::bugs::{self, Bug};
use crate::journal::Seq;
use crate::log::Shared;

/// So many neighbouring runs of one level are merged into one of the next.
const FAN: usize = 4;

pub(crate) struct Sealer {
    store: Arc<SegmentStore>,
    shared: Arc<Shared>,
    /// The one in force.
    manifest: Manifest,
    /// Why nothing more is sealed: a manifest that may be in force or not.
    stopped: Option<Error>,
}

impl Sealer {
    pub fn new(store: Arc<SegmentStore>, shared: Arc<Shared>, manifest: Manifest) -> Sealer {
        Sealer {
            store,
            shared,
            manifest,
            stopped: None,
        }
    }

    /// Does one piece of work; false if there is none.
    pub fn step(&mut self) -> Result<bool> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        if let Some((number, bytes)) = self.store.segments.oldest()? {
            self.check_space(bytes)?;
            self.seal(number, bytes)?;
            return Ok(true);
        }
        let sealed = self.shared.index.read().sealed.clone();
        match mergeable(&sealed.runs) {
            Some(range) => self.merge(&sealed, range).map(|()| true),
            None => Ok(false),
        }
    }

    fn check_space(&self, wanted: u64) -> Result<()> {
        let folder = &self.store.folder;
        let free = self.store.files().free_bytes(folder).map_err(|error| {
            let doing = format_args!("can't tell the free space of {}", folder.display());
            Error::io(doing, error)
        })?;
        if free >= wanted.saturating_add(DISK_LOW_WATER_BYTES as u64) {
            return Ok(());
        }
        let message = format!("{free} bytes are free, which is too little to seal a segment");
        Err(Error::new(ErrorKind::Full, message))
    }

    fn seal(&mut self, number: u64, bytes: u64) -> Result<()> {
        let mut next = self.manifest.clone();
        let mut gathered = Gathered {
            first: Seq(next.catalog.last.0 + 1),
            // Grown by doubling it would take twice as much.
            arena: Vec::with_capacity(bytes as usize),
            ..Gathered::default()
        };
        let before = next.range.clone();
        self.store.segments.walk(number, &mut |meta, _, body| {
            if meta.first.0 != next.catalog.last.0 + 1 || meta.root != next.range.root() {
                let what = format!("commit {} does not follow what is sealed", meta.first.0);
                return Err(Error::new(ErrorKind::Damaged, what));
            }
            gathered.push(body, &mut next.catalog, &mut next.range)?;
            next.catalog.last = meta.last();
            next.catalog.epoch = next.catalog.epoch.max(meta.epoch);
            Ok(())
        })?;
        gathered.last = next.catalog.last;
        let mut sealed = (Vec::new(), Vec::new());
        if !gathered.sources.is_empty() {
            let what = (number, &gathered);
            let segment = SealedSegment::write(&self.store, what, (&before, &next.range))?;
            let run = build::of_segment(&self.store, next.seed, what)?;
            next.segments.push(number);
            next.runs.push(run.meta.segments);
            sealed = (vec![Arc::new(segment)], vec![Arc::new(run)]);
        }
        drop(gathered);
        next.number += 1;
        next.next_segment = number + 1;
        if bugs::on(Bug::SegmentRemovedBeforeManifest) {
            self.store.segments.remove(number)?;
        }
        self.store_manifest(&next)?;
        *self.shared.in_force.lock() = InForce::of(&next);
        self.manifest = next;
        let now = self.shared.index.read().sealed.clone();
        let segments = now.segments.iter().cloned().chain(sealed.0).collect();
        let runs = now.runs.iter().cloned().chain(sealed.1).collect();
        self.put_in_force(Sealed::new(segments, runs), Some(number));
        self.store.segments.remove(number)
    }

    fn store_manifest(&mut self, next: &Manifest) -> Result<()> {
        next.store(&self.store).inspect_err(|error| {
            if !bugs::on(Bug::ManifestNotTakenBack)
                && let Err(also) = next.take_back(&self.store)
            {
                let message = format!(
                    "nothing is sealed until the log is opened anew, since {error}, then {also}"
                );
                self.stopped = Some(Error::new(ErrorKind::Unavailable, message));
            }
        })
    }

    fn put_in_force(&self, sealed: Sealed, through: Option<u64>) {
        let sealed = Arc::new(sealed);
        let mut index = self.shared.index.write();
        index.sealed = sealed;
        if let Some(through) = through {
            let through = through + u64::from(bugs::on(Bug::RecentIndexDroppedEarly));
            index.recent.retain(|recent| recent.segment > through);
        }
    }

    fn merge(&mut self, sealed: &Sealed, range: std::ops::Range<usize>) -> Result<()> {
        let old = &sealed.runs[range.clone()];
        let topics = &self.manifest.catalog.topics;
        let oldest = |topic: u32| {
            let head = topics.get(topic as usize).map_or(0, |topic| topic.head);
            (head + 1).saturating_sub(IDENTITY_WINDOW as u64)
        };
        let merged = build::merge(&self.store, self.manifest.seed, old, &oldest)?;
        let mut next = self.manifest.clone();
        next.number += 1;
        next.runs.splice(range.clone(), [merged.meta.segments]);
        self.store_manifest(&next)?;
        *self.shared.in_force.lock() = InForce::of(&next);
        self.manifest = next;
        let mut runs = sealed.runs.clone();
        runs.splice(range, [Arc::new(merged)]);
        self.put_in_force(Sealed::new(sealed.segments.clone(), runs), None);
        self.store.tidy(Some(&self.manifest))
    }
}

/// The oldest neighbouring runs that are to be merged.
fn mergeable(runs: &[Arc<Run>]) -> Option<std::ops::Range<usize>> {
    let mut windows = runs.windows(FAN).enumerate();
    let found = windows.find(|(_, window)| {
        let level = window[0].meta.level;
        let pages = window.iter().map(|run| run.meta.pages.len());
        window.iter().all(|run| run.meta.level == level)
            && pages.sum::<usize>() * PAGE_ENTRIES <= RUN_KEYS
    });
    found.map(|(at, _)| at..at + FAN)
}

/// Tells the thread that seals that there may be work, or that it is to end; and tells the writer
/// when sealing has fallen behind.
#[derive(Default)]
pub(crate) struct Wake {
    state: Mutex<State>,
    changed: Condvar,
    progress: Condvar,
}

#[derive(Default)]
struct State {
    work: bool,
    stop: bool,
    /// A thread seals, and its last piece of work succeeded.
    gets_on: bool,
}

impl Wake {
    pub fn work(&self) {
        self.state.lock().work = true;
        self.changed.notify_one();
    }

    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_one();
        self.progress.notify_all();
    }

    /// Waits while sealing is behind, as long as it gets on.
    pub fn catch_up(&self, is_behind: impl Fn() -> bool) {
        let mut state = self.state.lock();
        while state.gets_on && !state.stop && is_behind() {
            self.progress.wait(&mut state);
        }
    }

    /// Whether a thread seals, and its last piece of work succeeded.
    pub fn gets_on(&self) -> bool {
        self.state.lock().gets_on
    }

    /// Waits for work; false if the thread is to end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.work && !state.stop {
            self.changed.wait(&mut state);
        }
        state.work = false;
        !state.stop
    }

    /// Takes in how a piece of work went; false if the thread is to end.
    fn went(&self, well: bool) -> bool {
        let mut state = self.state.lock();
        state.gets_on = well;
        self.progress.notify_all();
        !state.stop
    }
}

/// Works whenever there is something to do, behind everything else that runs.
pub(crate) fn run(sealer: &Mutex<Sealer>, wake: &Wake) {
    // Only a courtesy: sealing is right at any priority.
    let _ = rustix::process::nice(10);
    wake.went(true);
    while wake.wait() {
        loop {
            // Another step may be asked for in between, so the lock is taken for each.
            let done = sealer.lock().step();
            let goes_on = wake.went(done.is_ok());
            match done {
                Ok(true) if goes_on => {}
                Ok(_) => break,
                Err(error) => {
                    // A merge that is given up at closing is no failure.
                    if goes_on {
                        tracing::error!(%error, "a segment can't be sealed; the log goes on");
                    }
                    break;
                }
            }
        }
    }
    wake.went(false);
}
