//! The work in the background: seals full segments of the journal, the oldest first, merges runs of
//! the index, and moves sealed segments to the archive. A crash at any point leaves the manifest before or the one after; files that
//! none names are removed at opening.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_types::limits::{
    ARCHIVE_LOOK_MS, IDENTITY_WINDOW, MERGE_LULL_BYTES, MERGE_LULL_EVENTS, MERGE_LULL_MS, RUN_KEYS,
    UNMERGED_RUNS,
};
use foretell_types::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};

use super::archive::copy_to_archive;
use super::gather::Gathered;
use super::manifest::Manifest;
use super::run::Run;
use super::segment::SealedSegment;
use super::store::SegmentStore;
use super::{Sealed, build};
use crate::bugs::{self, Bug};
use crate::files::check_space;
use crate::journal::Seq;
use crate::log::Shared;

/// So many neighbouring runs of one level are merged into one of the next.
const FAN: usize = 4;
/// Where merging has fallen behind, so many are merged at once, into one of the level after that:
/// half the work.
const WIDE: usize = FAN * FAN;
/// So many runs are merged even while segments fill one after the other.
const PRESSING: usize = UNMERGED_RUNS / 4 * 3;

/// Seals on one thread, merges on another and archives on a third, if there are any; all put into
/// force what they have made, one at a time.
pub(crate) struct Sealer {
    store: Arc<SegmentStore>,
    shared: Arc<Shared>,
    state: Mutex<Force>,
    /// One segment is sealed at a time, one merge is done, and one segment is archived. What the
    /// last segment was gathered in is kept for the next one: pages that the system gives anew cost
    /// a tenth of sealing. Given back in a lull.
    sealing: Mutex<Vec<u8>>,
    merging: Mutex<()>,
    archiving: Mutex<()>,
}

struct Force {
    manifest: Manifest,
    /// Why nothing more is sealed: a manifest that may be in force or not.
    stopped: Option<Error>,
}

impl Sealer {
    pub fn new(store: Arc<SegmentStore>, shared: Arc<Shared>, manifest: Manifest) -> Sealer {
        Sealer {
            store,
            shared,
            state: Mutex::new(Force {
                manifest,
                stopped: None,
            }),
            sealing: Mutex::default(),
            merging: Mutex::new(()),
            archiving: Mutex::new(()),
        }
    }

    /// Does one piece of work; false if there is none.
    pub fn step(&self) -> Result<bool> {
        Ok(self.seal()? || self.merge()? || self.archive()? || self.store.segments.prepare()?)
    }

    /// The manifest in force.
    fn manifest(&self) -> Result<Manifest> {
        let state = self.state.lock();
        let stopped = state.stopped.clone();
        stopped.map_or_else(|| Ok(state.manifest.clone()), Err)
    }

    /// Whether so many runs are there, and some can be merged.
    fn wait_to_be_merged(&self, count: usize) -> bool {
        let runs = &self.shared.index.read().sealed.runs;
        runs.len() >= count && mergeable(runs).is_some()
    }

    /// Seals the oldest full segment; false if there is none.
    pub fn seal(&self) -> Result<bool> {
        let mut memory = self.sealing.lock();
        let Manifest {
            mut catalog,
            mut range,
            seed,
            ..
        } = self.manifest()?;
        let Some((number, bytes)) = self.store.segments.oldest()? else {
            return Ok(false);
        };
        check_space(self.store.files(), &self.store.folder, bytes)?;
        let mut arena = std::mem::take(&mut *memory);
        // Grown by doubling it would take twice as much.
        arena.reserve_exact(bytes as usize);
        let mut gathered = Gathered {
            first: Seq(catalog.last.0 + 1),
            arena,
            ..Gathered::default()
        };
        let before = range.clone();
        self.store.segments.walk(number, &mut |meta, _, body| {
            if meta.first.0 != catalog.last.0 + 1 || meta.root != range.root() {
                let what = format!("commit {} does not follow what is sealed", meta.first.0);
                return Err(Error::new(ErrorKind::Damaged, what));
            }
            gathered.push(body, &mut catalog, &mut range)?;
            catalog.last = meta.last();
            catalog.epoch = catalog.epoch.max(meta.epoch);
            Ok(())
        })?;
        gathered.last = catalog.last;
        let mut made = None;
        if !gathered.sources.is_empty() {
            let what = (number, &gathered);
            let segment = SealedSegment::write(&self.store, what, (&before, &range))?;
            let run = build::of_segment(&self.store, seed, what)?;
            made = Some((Arc::new(segment), Arc::new(run)));
        }
        *memory = gathered.arena;
        memory.clear();
        if bugs::on(Bug::SegmentRemovedBeforeManifest) {
            self.store.segments.remove(number)?;
        }
        let change = |manifest: &mut Manifest| {
            manifest.next_segment = number + 1;
            manifest.catalog = catalog;
            manifest.range = range;
            if let Some((_, run)) = &made {
                manifest.segments.push(number);
                manifest.runs.push(run.meta.segments);
            }
        };
        self.put_in_force(change, Some(number), |now| {
            let (segment, run) = made.clone().unzip();
            (
                now.segments.iter().cloned().chain(segment).collect(),
                now.runs.iter().cloned().chain(run).collect(),
            )
        })?;
        self.store.segments.remove(number)?;
        Ok(true)
    }

    /// Gives back what was kept for the next segment, unless one is being sealed.
    fn give_memory_back(&self) {
        if let Some(mut memory) = self.sealing.try_lock() {
            *memory = Vec::new();
        }
    }

    /// Makes a changed manifest durable, then shows what it says.
    fn put_in_force(
        &self,
        change: impl FnOnce(&mut Manifest),
        through: Option<u64>,
        sealed: impl FnOnce(&Sealed) -> (Vec<Arc<SealedSegment>>, Vec<Arc<Run>>),
    ) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(stopped) = &state.stopped {
            return Err(stopped.clone());
        }
        let mut next = state.manifest.clone();
        next.number += 1;
        change(&mut next);
        next.store(&self.store).inspect_err(|error| {
            if !bugs::on(Bug::ManifestNotTakenBack)
                && let Err(also) = next.take_back(&self.store)
            {
                let message = format!(
                    "nothing is sealed until the log is opened anew, since {error}, then {also}"
                );
                state.stopped = Some(Error::new(ErrorKind::Unavailable, message));
            }
        })?;
        let now = self.shared.index.read().sealed.clone();
        let (segments, runs) = sealed(&now);
        let sealed = Arc::new(Sealed::new(&next, segments, runs));
        state.manifest = next;
        let mut index = self.shared.index.write();
        index.sealed = sealed;
        if let Some(through) = through {
            let through = through + u64::from(bugs::on(Bug::RecentIndexDroppedEarly));
            index.recent.retain(|recent| recent.segment > through);
        }
        drop(index);
        // Only now: a backup asks for the manifest that the index names.
        state.manifest.remove_older(&self.store);
        Ok(())
    }

    /// Merges the oldest runs that are to be merged; false if there are none.
    pub fn merge(&self) -> Result<bool> {
        let _one = self.merging.lock();
        let runs = self.shared.index.read().sealed.runs.clone();
        let Some((range, level)) = mergeable(&runs) else {
            return Ok(false);
        };
        let old = &runs[range.clone()];
        let Manifest { catalog, seed, .. } = self.manifest()?;
        let oldest = |topic: u32| {
            let head = catalog.topics.get(topic as usize).map_or(0, |t| t.head);
            (head + 1).saturating_sub(IDENTITY_WINDOW as u64)
        };
        let merged = Arc::new(build::merge(&self.store, seed, old, level, &oldest)?);
        // Sealing may have added runs at the end meanwhile, which are left as they are.
        let change = |manifest: &mut Manifest| {
            let merged = [merged.meta.segments];
            manifest.runs.splice(range.clone(), merged);
        };
        self.put_in_force(change, None, |now| {
            let mut runs = now.runs.clone();
            runs.splice(range.clone(), [merged.clone()]);
            (now.segments.clone(), runs)
        })?;
        self.store
            .remove(old.iter().map(|run| Run::name(run.meta.segments)))?;
        Ok(true)
    }

    /// Moves the oldest segment that is to be archived; false if there is none.
    pub fn archive(&self) -> Result<bool> {
        let Some(archive) = &self.store.archive else {
            return Ok(false);
        };
        let Some(rule) = &archive.rule else {
            return Ok(false);
        };
        let _one = self.archiving.lock();
        let seed = self.manifest()?.seed;
        let sealed = self.shared.index.read().sealed.clone();
        let segments = sealed.segments.iter();
        let here: Vec<_> = segments.filter(|s| s.file.blob().is_none()).collect();
        let now = self.shared.environment.clock.now();
        let Some(segment) = rule.next(&here, now)? else {
            return Ok(false);
        };
        let copy = Arc::new(copy_to_archive(
            &self.store,
            archive,
            rule,
            (seed, &segment),
        )?);
        let number = segment.number;
        if bugs::on(Bug::ArchivedFileRemovedFirst) {
            let file = std::iter::once(SealedSegment::name(number));
            self.store.remove(file)?;
        }
        let change = |manifest: &mut Manifest| {
            let blob = copy.file.blob().unwrap_or_default().to_owned();
            manifest.archived.insert(number, blob);
        };
        self.put_in_force(change, None, |now| {
            let mut segments = now.segments.clone();
            for segment in segments.iter_mut().filter(|s| s.number == number) {
                *segment = copy.clone();
            }
            (segments, now.runs.clone())
        })?;
        self.store
            .remove(std::iter::once(SealedSegment::name(number)))?;
        Ok(true)
    }
}

/// The oldest neighbouring runs that are to be merged, and the level of what comes of it.
fn mergeable(runs: &[Arc<Run>]) -> Option<(std::ops::Range<usize>, u32)> {
    let fits = |count: usize| {
        let mut windows = runs.windows(count).enumerate();
        let found = windows.find(|(_, window)| {
            let level = window[0].meta.level;
            window.iter().all(|run| run.meta.level == level)
                && window.iter().map(|run| run.keys).sum::<usize>() <= RUN_KEYS
        });
        found.map(|(at, window)| (at..at + count, window[0].meta.level))
    };
    let wide = fits(WIDE).map(|(range, level)| (range, level + 2));
    wide.or_else(|| fits(FAN).map(|(range, level)| (range, level + 1)))
}

/// Tells a thread in the background that there may be work, or that it is to end; and tells who
/// must not get too far ahead of it how far it is.
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
    /// A thread works, and its last piece of work succeeded.
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

    /// Waits while the work is behind, as long as it gets on.
    pub fn catch_up(&self, is_behind: impl Fn() -> bool) {
        let mut state = self.state.lock();
        while state.gets_on && !state.stop && is_behind() {
            self.progress.wait(&mut state);
        }
    }

    /// Whether a thread works, and its last piece of work succeeded.
    pub fn gets_on(&self) -> bool {
        self.state.lock().gets_on
    }

    /// Waits for work, or until it is time to look for some; false if the thread is to end.
    fn wait(&self, look_every: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        while !state.work && !state.stop {
            match look_every {
                None => self.changed.wait(&mut state),
                Some(time) if self.changed.wait_for(&mut state, time).timed_out() => break,
                Some(_) => {}
            }
        }
        state.work = false;
        !state.stop
    }

    /// Waits, so long at a time, until there is a lull, or the work can't wait; false if the thread
    /// is to end.
    fn await_lull(
        &self,
        time: Duration,
        is_lull: impl Fn() -> bool,
        is_pressing: impl Fn() -> bool,
    ) -> bool {
        let mut state = self.state.lock();
        while !state.stop && !is_pressing() {
            if self.changed.wait_for(&mut state, time).timed_out() && is_lull() {
                break;
            }
        }
        !state.stop
    }

    /// Takes in how a piece of work went; false if the thread is to end.
    fn went(&self, well: bool) -> bool {
        let mut state = self.state.lock();
        state.gets_on = well;
        self.progress.notify_all();
        !state.stop
    }

    /// Does one piece of work after the other, as long as there are any, whenever there may be
    /// some; until it is to end. `failure`: what is said where one fails.
    fn serve(&self, look_every: Option<Duration>, failure: &str, step: impl Fn() -> Result<bool>) {
        self.went(true);
        while self.wait(look_every) {
            loop {
                let done = step();
                let goes_on = self.went(done.is_ok());
                match done {
                    Ok(true) if goes_on => {}
                    Ok(_) => break,
                    Err(error) => {
                        // A merge that is given up at closing is no failure.
                        if goes_on {
                            tracing::error!(%error, "{failure}; the log goes on");
                        }
                        break;
                    }
                }
            }
        }
        self.went(false);
    }
}

/// Prepares the next segment whenever there is one to prepare.
pub(crate) fn prepare(sealer: &Sealer, shared: &Shared) {
    let failure = "a segment can't be prepared";
    shared
        .preparing
        .serve(None, failure, || sealer.store.segments.prepare());
}

/// Seals whenever there is something to seal.
pub(crate) fn seal(sealer: &Sealer, shared: &Shared) {
    // Only a courtesy: sealing is right at any priority.
    let _ = rustix::process::nice(10);
    shared.wake.serve(None, "a segment can't be sealed", || {
        let done = sealer.seal()?;
        if done {
            shared.archiving.work();
            shared.merging.work();
            let is_behind = || sealer.wait_to_be_merged(UNMERGED_RUNS);
            shared.merging.catch_up(is_behind);
        }
        Ok(done)
    });
}

/// Merges in a lull, behind everything else that runs: what is appended in a burst, or read from
/// one end to the other, needs the processors for itself, and the more runs wait the less work each
/// is.
pub(crate) fn merge(sealer: &Sealer, shared: &Shared) {
    let _ = rustix::process::nice(15);
    let lull = Duration::from_millis(MERGE_LULL_MS as u64);
    let failure = "runs of the index can't be merged";
    let done = || {
        let scanned = shared.scanned.load(Ordering::Relaxed);
        (sealer.store.segments.written(), scanned)
    };
    let before = Cell::new(done());
    shared.merging.serve(None, failure, || {
        let is_pressing = || sealer.wait_to_be_merged(PRESSING);
        let is_lull = || {
            let now = done();
            is_little(before.replace(now), now)
        };
        if !shared.merging.await_lull(lull, is_lull, is_pressing) {
            return Ok(false);
        }
        if !is_pressing() {
            sealer.give_memory_back();
        }
        sealer.merge()
    });
}

/// Whether little was done from one count of bytes written and events scanned to the next.
fn is_little(before: (u64, u64), now: (u64, u64)) -> bool {
    now.0 - before.0 <= MERGE_LULL_BYTES as u64 && now.1 - before.1 <= MERGE_LULL_EVENTS as u64
}

/// Archives whenever there is something to archive: segments also grow old while none is sealed.
/// What failed is tried again then.
pub(crate) fn archive(sealer: &Sealer, shared: &Shared) {
    let _ = rustix::process::nice(15);
    let look_every = Duration::from_millis(ARCHIVE_LOOK_MS as u64);
    let failure = "a segment can't be archived";
    shared
        .archiving
        .serve(Some(look_every), failure, || sealer.archive());
}

#[cfg(test)]
mod tests {
    use foretell_types::NewEvent;

    use super::*;
    use crate::{Append, Environment, EventLog, LogOptions, ReadOptions};

    #[test]
    fn a_burst_of_appends_is_no_lull_and_a_long_scan_neither() {
        let (bytes, events) = (MERGE_LULL_BYTES as u64, MERGE_LULL_EVENTS as u64);
        assert!(is_little((7, 9), (7 + bytes, 9 + events)));
        assert!(!is_little((7, 9), (8 + bytes, 9)));
        assert!(!is_little((7, 9), (7, 10 + events)));
    }

    /// Each event once, in the journal and sealed, read ahead or not; but not those that are picked,
    /// nor more than are wanted.
    #[test]
    fn what_is_read_from_one_end_to_the_other_is_counted() {
        const EVENTS: u64 = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let options = LogOptions {
            segment_bytes: 512 * 1024,
            seal_in_background: false,
            ..LogOptions::default()
        };
        let environment = Environment::real();
        let log = EventLog::open_folder_with(folder.path(), &environment, &options).unwrap();
        let topic =
            Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(1), false);
        log.append_and_wait(topic).unwrap();
        let event = |n: u64| NewEvent {
            id: n.to_string(),
            source: "/till".into(),
            event_type: "sold".into(),
            subject: Some(format!("customer/{}", n % 100)),
            ..NewEvent::default()
        };
        for first in (0..EVENTS).step_by(1_000) {
            let append = Append::new().events("shop", (first..first + 1_000).map(event));
            log.append_and_wait(append).unwrap();
        }
        let read = |options| log.read("shop", options).unwrap().collect().unwrap().len() as u64;
        for _ in 0..2 {
            let before = log.scanned();
            assert_eq!(read(ReadOptions::default()), EVENTS);
            assert_eq!(log.scanned() - before, EVENTS);
            assert_eq!(read(ReadOptions::stream("customer/7")), EVENTS / 100);
            assert_eq!(log.scanned() - before, EVENTS);
            let few = ReadOptions {
                limit: Some(3),
                ..ReadOptions::default()
            };
            assert_eq!(read(few), 3);
            assert_eq!(log.scanned() - before, EVENTS + 3);
            while log.seal().unwrap() {}
        }
    }
}
