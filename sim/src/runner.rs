//! Runs many seeds on all processors, and says how it goes.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::failure::Failure;

/// A seed whose run failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub number: u64,
    pub step: u64,
    pub failure: Failure,
}

/// Runs numbers from a first on, until one fails. `one` gives something to be summed up by `sum`.
pub fn many<T: Send>(
    what: &str,
    numbers: std::ops::Range<u64>,
    one: impl Fn(u64) -> Result<T, (Failure, u64)> + Sync,
    sum: impl Fn(T) + Sync,
) -> Result<(), Found> {
    let started = Instant::now();
    let (next, done) = (AtomicU64::new(numbers.start), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let found = Mutex::new(None::<Found>);
    let total = numbers.end - numbers.start;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return;
            }
            match guarded(|| one(number)) {
                Ok(counted) => sum(counted),
                Err((failure, step)) => {
                    stop.store(true, Ordering::Relaxed);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    // The first of those that were under way, whoever came first.
                    if found.as_ref().is_none_or(|other| number < other.number) {
                        *found = Some(Found {
                            number,
                            step,
                            failure,
                        });
                    }
                }
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of((total / 20).max(1)) || done == total {
                let rate = done as f64 / started.elapsed().as_secs_f64();
                crate::print(&format!("{what}: {done} of {total}, {rate:.0}/s\n"));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    found
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

/// Makes a failure of a panic: the log must not, whatever the disk does.
pub fn guarded<T>(one: impl FnOnce() -> Result<T, (Failure, u64)>) -> Result<T, (Failure, u64)> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(one)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err((Failure::new("no panic", text.unwrap_or_default()), 0))
    })
}
