//! When the endpoint of a subscription may be called: not while it is under probation, and not
//! more often than it allows.
//!
//! An endpoint that fails several times in a row, for reasons that lie with it rather than with an
//! event, is left alone for a while: what is due waits. Then one call tries it; if that succeeds
//! all goes on, if it fails the same way it is left alone again.

use std::num::NonZeroU32;
use std::time::Duration;

use foretell_types::Instant;
use foretell_types::limits::PROBATION_FAILURES;

use crate::handler::FailureKind;

/// A call that comes late by less than this is made up for: timers aren't exact.
const LATE_NANOS: i64 = 10_000_000;
const MINUTE_NANOS: i64 = 60_000_000_000;

/// An endpoint that isn't called for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probation {
    /// What the last call came to.
    pub outcome: FailureKind,
    /// When it is called again.
    pub until: Instant,
}

/// How long an endpoint that failed so is left alone; `None` where the failure may be the event's.
/// Source: "Azure Event Grid delivery and retry".
fn probation(outcome: FailureKind) -> Option<Duration> {
    let seconds = match outcome {
        FailureKind::Busy | FailureKind::TimedOut => 10,
        FailureKind::SocketError => 30,
        FailureKind::NotFound
        | FailureKind::ResolutionError
        | FailureKind::Disabled
        | FailureKind::Full
        | FailureKind::Unauthorized
        | FailureKind::Forbidden => 300,
        FailureKind::InvalidAzureFunctionDestination => 600,
        FailureKind::BadRequest
        | FailureKind::PayloadTooLarge
        | FailureKind::Probation
        | FailureKind::Canceled
        | FailureKind::Aborted => return None,
    };
    Some(Duration::from_secs(seconds))
}

/// What a call said about its endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// Nothing was called.
    Nothing,
    Fine,
    Failed(FailureKind),
}

#[derive(Default)]
pub(crate) struct Pace {
    /// Time between two calls, in nanoseconds; 0 if none is asked for.
    interval: i64,
    /// When the next call may go, in nanoseconds since the epoch.
    next_call: i64,
    /// Calls in a row that failed for the endpoint's sake.
    failures: usize,
    probation: Option<Probation>,
    /// The call that tries an endpoint after its probation is under way.
    trying: bool,
    /// The last probation, in nanoseconds since the epoch.
    last: (i64, i64),
}

impl Pace {
    /// At most so many calls a minute.
    pub fn new(rate: Option<NonZeroU32>) -> Pace {
        Pace {
            interval: rate.map_or(0, |rate| MINUTE_NANOS / i64::from(rate.get())),
            ..Pace::default()
        }
    }

    pub fn probation(&self) -> Option<Probation> {
        self.probation
    }

    pub fn may_call(&self, now: Instant) -> bool {
        let waits = |probation: Probation| now < probation.until || self.trying;
        now.as_nanos() >= self.next_call && !self.probation.is_some_and(waits)
    }

    /// When a call may go that may not now; `None` if that depends on one that is under way.
    pub fn next(&self) -> Option<Instant> {
        if self.trying {
            return None;
        }
        let until = self.probation;
        let until = until.map_or(0, |probation| probation.until.as_nanos());
        let next = self.next_call.max(until);
        (next > 0).then(|| Instant::from_nanos(next))
    }

    /// A call begins.
    pub fn called(&mut self, now: Instant) {
        if self.interval > 0 {
            self.next_call = self.next_call.max(now.as_nanos() - LATE_NANOS) + self.interval;
        }
        self.trying = self.probation.is_some();
    }

    /// A call ended. True if the endpoint is under probation from now on.
    pub fn ended(&mut self, said: Said, now: Instant) -> bool {
        let (outcome, wait) = match said {
            Said::Nothing => {
                self.trying = false;
                return false;
            }
            Said::Failed(outcome) if probation(outcome).is_some() => {
                (outcome, probation(outcome).unwrap_or_default())
            }
            Said::Fine | Said::Failed(_) => {
                (self.failures, self.probation, self.trying) = (0, None, false);
                return false;
            }
        };
        // Calls that were under way before don't make it longer.
        if self.probation.is_some() && !self.trying {
            return false;
        }
        self.failures += 1;
        let failed_again = std::mem::take(&mut self.trying);
        if !failed_again && self.failures < PROBATION_FAILURES {
            return false;
        }
        let until = now.plus_nanos(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX));
        self.last = (now.as_nanos(), until.as_nanos());
        self.probation = Some(Probation { outcome, until });
        true
    }

    /// Whether what was due then had to wait for the end of a probation.
    pub fn held(&self, due_ms: u64) -> bool {
        let due = Instant::from_nanos((due_ms as i64).saturating_mul(1_000_000)).as_nanos();
        (self.last.0..self.last.1).contains(&due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Instant {
        Instant::from_nanos(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
    }

    #[test]
    fn an_endpoint_that_keeps_failing_is_left_alone_and_tried_by_one_call() {
        let mut pace = Pace::new(NonZeroU32::new(u32::MAX));
        let busy = Said::Failed(FailureKind::Busy);
        for _ in 1..PROBATION_FAILURES {
            assert!(!pace.ended(busy, at(0)) && pace.may_call(at(0)));
        }
        // One that may lie with the event begins the count anew.
        pace.ended(Said::Failed(FailureKind::Aborted), at(0));
        for _ in 1..PROBATION_FAILURES {
            assert!(!pace.ended(busy, at(0)));
        }
        assert!(pace.ended(busy, at(0)));
        assert!(!pace.ended(busy, at(9)), "that was under way before");
        assert!(!pace.may_call(at(9)) && pace.may_call(at(10)));
        assert_eq!(pace.next(), Some(at(10)));
        assert!(pace.held(at(3).as_millis() as u64) && !pace.held(at(10).as_millis() as u64));
        pace.called(at(10));
        assert!(!pace.may_call(at(11)), "one tries it");
        assert_eq!(pace.next(), None);
        assert!(pace.ended(Said::Failed(FailureKind::SocketError), at(11)));
        assert!(!pace.may_call(at(40)) && pace.may_call(at(41)));
        pace.called(at(41));
        pace.ended(Said::Nothing, at(41));
        assert!(pace.may_call(at(41)), "nothing was called");
        pace.called(at(41));
        pace.ended(Said::Fine, at(42));
        assert_eq!((pace.probation(), pace.failures), (None, 0));
        assert!(pace.may_call(at(42)));
    }

    #[test]
    fn no_more_calls_a_minute_than_allowed() {
        for (rate, step) in [(1, 7), (60, 1), (120, 1), (6_000, 3), (1_000_000, 1)] {
            let mut pace = Pace::new(NonZeroU32::new(rate));
            let (mut now, mut calls) = (at(0).as_nanos(), Vec::new());
            while now < at(150).as_nanos() {
                while pace.may_call(Instant::from_nanos(now)) {
                    pace.called(Instant::from_nanos(now));
                    calls.push(now);
                }
                // A timer that always comes a little late.
                let next = pace.next().map_or(now, Instant::as_nanos);
                now = next.max(now) + step * 1_000_000;
            }
            let first = calls.iter().filter(|call| **call < at(60).as_nanos());
            let late = (LATE_NANOS / (MINUTE_NANOS / i64::from(rate))) as usize + 1;
            let count = first.count();
            assert!(count <= rate as usize + late, "{rate}: {count}");
            assert!(count * 10 >= rate as usize * 9, "{rate}: {count}");
        }
    }
}
