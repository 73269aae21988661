//! A journal that fails, at once or for a while.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use foretell_log::{Capabilities, Group, Journal, JournalReader, MemoryJournal, Place, Seq};
use foretell_types::{Error, ErrorKind, Result};

/// Fails every append after so many; or says that the disk is full while `full` is set.
#[derive(Clone)]
pub struct FaultJournal {
    pub inner: MemoryJournal,
    /// Held by who appends.
    left: Arc<Mutex<u64>>,
    pub full: Arc<AtomicBool>,
    /// How often it said so.
    pub refused: Arc<AtomicU64>,
    /// While it is set, appends hang.
    pub held: Arc<AtomicBool>,
}

impl FaultJournal {
    pub fn new(inner: &MemoryJournal, left: u64) -> FaultJournal {
        FaultJournal {
            inner: inner.clone(),
            left: Arc::new(Mutex::new(left)),
            full: Arc::default(),
            refused: Arc::default(),
            held: Arc::default(),
        }
    }

    pub fn has_failed(&self) -> bool {
        *self.left.lock().unwrap() == 0
    }

    /// Nothing is appended any more: also what was on its way is there, or will never be.
    pub fn lose_power(&self) {
        *self.left.lock().unwrap() = 0;
    }
}

impl Journal for FaultJournal {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn last(&self) -> Seq {
        self.inner.last()
    }

    fn append(
        &mut self,
        expected_last: Seq,
        group: &mut Group,
        meanwhile: &mut dyn FnMut(&[u8], Place),
    ) -> Result<()> {
        while self.held.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        if self.full.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::Full, "the disk is full"));
        }
        let mut left = self.left.lock().unwrap();
        let last = *left <= 1;
        *left = left.saturating_sub(1);
        if last {
            return Err(Error::new(ErrorKind::Io, "power lost"));
        }
        self.inner.append(expected_last, group, meanwhile)
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.inner.reader()
    }
}
