//! An endpoint that counts: what came, what came twice, and when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::events::Numbers;
use super::sink::Endpoint;
use crate::Result;

const POLL: Duration = Duration::from_millis(2);
/// An endpoint that gets nothing for so long is waited for no more.
const STALLED: Duration = Duration::from_secs(60);

/// Expects the numbers from `first` on, so many.
#[derive(Debug)]
pub struct Tally {
    numbers: Numbers,
    first: u64,
    count: u64,
    wait: Duration,
    came: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    seen: Vec<u64>,
    twice: u64,
    last: Option<Instant>,
    /// When each came, if that is asked for.
    times: Option<Vec<Option<Instant>>>,
}

impl Tally {
    pub fn new(first: u64, count: u64) -> Tally {
        Tally {
            numbers: Numbers::new(),
            first,
            count,
            wait: Duration::ZERO,
            came: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                seen: vec![0; count.div_ceil(64) as usize],
                twice: 0,
                last: None,
                times: None,
            }),
        }
    }

    /// One that keeps when each came.
    pub fn timed(first: u64, count: u64) -> Tally {
        let tally = Tally::new(first, count);
        tally.inner().times = Some(vec![None; count as usize]);
        tally
    }

    /// One that answers late.
    pub fn slow(first: u64, count: u64, wait: Duration) -> Tally {
        Tally {
            wait,
            ..Tally::new(first, count)
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    pub fn is_complete(&self) -> bool {
        self.came() == self.count
    }

    pub fn twice(&self) -> u64 {
        self.inner().twice
    }

    /// When the last number came that had not come before.
    pub fn last(&self) -> Option<Instant> {
        self.inner().last
    }

    /// When each came; empty unless that was asked for.
    pub fn times(&self) -> Vec<Option<Instant>> {
        self.inner().times.clone().unwrap_or_default()
    }

    /// Waits until everything came, to each of them.
    pub async fn all_complete(tallies: &[std::sync::Arc<Tally>]) -> Result<()> {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let came: u64 = tallies.iter().map(|tally| tally.came()).sum();
            if tallies.iter().all(|tally| tally.is_complete()) {
                return Ok(());
            }
            if came > before {
                (before, since) = (came, Instant::now());
            }
            if since.elapsed() > STALLED {
                let of: u64 = tallies.iter().map(|tally| tally.count).sum();
                return Err(
                    format!("{came} of {of} events came, then none for {STALLED:?}").into(),
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Endpoint for Tally {
    fn take(&self, body: &[u8]) -> (u16, Duration) {
        let now = Instant::now();
        let mut inner = self.inner();
        let mut new = 0;
        for number in self.numbers.of(body) {
            // What else is in the topic isn't expected.
            let Some(index) = number.checked_sub(self.first).filter(|at| *at < self.count) else {
                continue;
            };
            let (word, bit) = (index as usize / 64, 1 << (index % 64));
            if inner.seen[word] & bit != 0 {
                inner.twice += 1;
                continue;
            }
            inner.seen[word] |= bit;
            inner.last = Some(now);
            if let Some(times) = &mut inner.times {
                times[index as usize] = Some(now);
            }
            new += 1;
        }
        self.came.fetch_add(new, Ordering::Relaxed);
        (200, self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_number_once() {
        let tally = Tally::timed(10, 70);
        let body = |number: u64| format!(r#"[{{"id":"n-{number:012}"}}]"#);
        for number in (9..79).chain([10, 10]).chain(80..90) {
            tally.take(body(number).as_bytes());
        }
        assert_eq!((tally.came(), tally.twice()), (69, 2));
        assert!(!tally.is_complete());
        let times = tally.times();
        assert!(times[..69].iter().all(Option::is_some) && times[69].is_none());
        let both = format!("{},{}", body(79), body(79));
        assert_eq!(tally.take(both.as_bytes()).0, 200);
        assert!(tally.is_complete() && tally.twice() == 3);
        assert_eq!(tally.last(), tally.times()[69]);
        let slow = Tally::slow(0, 1, Duration::from_secs(1));
        assert_eq!(slow.take(b"[]"), (200, Duration::from_secs(1)));
        assert_eq!(slow.came(), 0);
    }
}
