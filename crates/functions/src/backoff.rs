use std::time::Duration;

use crate::limits::{RESTART_MAX, RESTART_MIN};

/// Waiting times between restarts: none, then doubling up to a limit.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The time to wait after another failure.
    pub(crate) fn next(&mut self) -> Duration {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        match doublings {
            0 => Duration::ZERO,
            n => (RESTART_MIN * 2u32.pow(n - 1)).min(RESTART_MAX),
        }
    }

    /// It worked: the next failure is the first again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_double_up_to_the_limit() {
        let mut backoff = Backoff::default();
        let times: Vec<_> = (0..30).map(|_| backoff.next()).collect();
        assert_eq!(times[..3], [Duration::ZERO, RESTART_MIN, RESTART_MIN * 2]);
        assert_eq!(times[29], RESTART_MAX);
        backoff.reset();
        assert_eq!(backoff.next(), Duration::ZERO);
    }
}
