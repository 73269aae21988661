//! Makes a group durable while something else is done.
//!
//! To begin with the write is one thing, to have the disk keep it another, which only the call that
//! waits for it does. For a large group that call is another thread's: to wake one costs less than
//! what is done meanwhile.

use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use foretell_types::{Error, Result};

use super::segment::Segment;
use crate::bugs::{self, Bug};
use crate::log::LogOptions;

pub(super) struct Syncing {
    /// Groups from so many bytes on are synced by the thread; without, it all happens one after the
    /// other, nothing by chance.
    by_thread: Option<u64>,
    /// Begun with the first large group.
    thread: Option<Syncer>,
}

impl Syncing {
    pub fn new(options: &LogOptions) -> Syncing {
        let by_thread = options.write_in_background;
        Syncing {
            by_thread: by_thread.then_some(options.large_group_bytes),
            thread: None,
        }
    }

    /// Syncs bytes of a segment that were written, and calls `meanwhile` once.
    pub fn sync(
        &mut self,
        segment: &Arc<Segment>,
        bytes: Range<u64>,
        mut meanwhile: impl FnMut(),
    ) -> Result<()> {
        let is_large = |least| bytes.end - bytes.start >= least;
        if self.by_thread.is_some_and(is_large) {
            if self.thread.is_none() {
                self.thread = Syncer::start();
            }
            if let Some(thread) = &self.thread
                && thread.begin(segment, bytes.clone())
            {
                meanwhile();
                return thread.end();
            }
        }
        segment.begin_sync(bytes);
        meanwhile();
        sync(segment)
    }
}

fn sync(segment: &Segment) -> Result<()> {
    if bugs::on(Bug::AckBeforeSync) {
        return Ok(());
    }
    match segment.sync() {
        Err(_) if bugs::on(Bug::FailedSyncTriedAgain) => segment.sync(),
        synced => synced,
    }
}

/// A thread that syncs.
struct Syncer {
    /// `None` once it is to end.
    begun: Option<mpsc::Sender<(Arc<Segment>, Range<u64>)>>,
    synced: mpsc::Receiver<Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// `None` if the system has no thread to give.
    fn start() -> Option<Syncer> {
        let (begun, to_sync) = mpsc::channel::<(Arc<Segment>, Range<u64>)>();
        let (done, synced) = mpsc::channel();
        let run = move || {
            while let Ok((segment, bytes)) = to_sync.recv() {
                segment.begin_sync(bytes);
                if done.send(sync(&segment)).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("foretell-sync".to_owned());
        Some(Syncer {
            begun: Some(begun),
            synced,
            thread: Some(thread.spawn(run).ok()?),
        })
    }

    /// False if the thread is gone: nothing was begun.
    fn begin(&self, segment: &Arc<Segment>, bytes: Range<u64>) -> bool {
        let begun = self.begun.as_ref();
        begun.is_some_and(|begun| begun.send((segment.clone(), bytes)).is_ok())
    }

    fn end(&self) -> Result<()> {
        let gone = |_| Err(Error::unavailable("the thread that syncs has ended"));
        self.synced.recv().unwrap_or_else(gone)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.begun.take();
        if let Some(thread) = self.thread.take() {
            // Should it have panicked, who waited for it has learned that.
            let _ = thread.join();
        }
    }
}
