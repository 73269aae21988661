//! Tasks spread over the cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use foretell_types::{Error, Result};

/// Runs `task` for each number below `count` on some threads; their results in that order. After
/// a failure no further task begins, and the first failure by number is given.
pub(crate) fn spread<T: Send>(
    threads: usize,
    count: usize,
    task: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = threads.clamp(1, count.max(1));
    if threads == 1 {
        return (0..count).map(task).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T>)>> = Mutex::new(Vec::with_capacity(count));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = task(index);
            if result.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            if let Ok(mut done) = done.lock() {
                done.push((index, result));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done
        .into_inner()
        .map_err(|_| Error::unavailable("a thread of the build has failed"))?;
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// How many threads a build takes: one for each core.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_a_failure_ends_the_work() {
        let doubled = spread(4, 100, |index| Ok(index * 2)).unwrap();
        assert_eq!(doubled, (0..100).map(|index| index * 2).collect::<Vec<_>>());
        let begun = AtomicUsize::new(0);
        let failed = spread(2, 1_000_000, |index| {
            begun.fetch_add(1, Ordering::Relaxed);
            match index {
                3 => Err(Error::invalid("three")),
                _ => Ok(()),
            }
        });
        assert_eq!(failed.unwrap_err().message(), "three");
        assert!(begun.into_inner() < 1_000_000);
        assert!(spread(4, 0, |_| Ok(())).unwrap().is_empty());
    }
}
