use std::time::Duration;

use foretell_types::limits::{DELIVERY_ATTEMPTS, EVENT_TTL_MINUTES};
use foretell_types::{Error, Instant, Result};

use crate::handler::Failure;

/// When a failed delivery is tried again, and when it is given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// The wait after the first, second, … failed attempt; the last one goes on.
    pub schedule: Vec<Duration>,
    /// 1 to [`DELIVERY_ATTEMPTS`].
    pub max_attempts: u32,
    /// 1 to [`EVENT_TTL_MINUTES`]; counted from the event's recorded time.
    pub ttl_minutes: u32,
    /// A wait is longer by up to so much of it, at random: what failed together need not come back
    /// together. 0 to 100.
    pub jitter_percent: u32,
}

impl Default for RetryPolicy {
    /// Event Grid's: 10 s, 30 s, 1, 5, 10, 30 min, 1, 3, 6 h, then 12 h, a little longer at random; 30
    /// attempts, 24 h.
    fn default() -> RetryPolicy {
        let schedule = [10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 43_200];
        RetryPolicy {
            schedule: schedule.map(Duration::from_secs).to_vec(),
            max_attempts: DELIVERY_ATTEMPTS as u32,
            ttl_minutes: EVENT_TTL_MINUTES as u32,
            jitter_percent: 10,
        }
    }
}

/// What happens after a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Try again at this time.
    RetryAt(Instant),
    /// Give up; the word is Event Grid's `deadLetterReason`.
    GiveUp(&'static str),
}

impl RetryPolicy {
    pub fn check(&self) -> Result<()> {
        if self.schedule.is_empty() {
            return Err(Error::invalid(
                "retry_schedule is empty: at least one wait is needed",
            ));
        }
        let attempts = 1..=DELIVERY_ATTEMPTS as u32;
        if !attempts.contains(&self.max_attempts) {
            return Err(Error::invalid(format!(
                "max_delivery_attempts is {}: 1 to {DELIVERY_ATTEMPTS} are allowed",
                self.max_attempts
            )));
        }
        if !(1..=EVENT_TTL_MINUTES as u32).contains(&self.ttl_minutes) {
            return Err(Error::invalid(format!(
                "event_ttl_minutes is {}: 1 to {EVENT_TTL_MINUTES} are allowed",
                self.ttl_minutes
            )));
        }
        if self.jitter_percent > 100 {
            return Err(Error::invalid(format!(
                "the jitter is {} percent: 0 to 100 are allowed",
                self.jitter_percent
            )));
        }
        Ok(())
    }

    /// What to do after `attempts` failed attempts, the last with this failure. `random` decides how
    /// much longer than it must the next one waits.
    pub fn decide(&self, attempts: u32, failure: &Failure, now: Instant, random: u64) -> Decision {
        if failure.permanent {
            return Decision::GiveUp("UndeliverableDueToClientError");
        }
        if attempts >= self.max_attempts {
            return Decision::GiveUp("MaxDeliveryAttemptsExceeded");
        }
        let step = (attempts.max(1) as usize - 1).min(self.schedule.len().saturating_sub(1));
        let wait = self
            .schedule
            .get(step)
            .copied()
            .unwrap_or(Duration::from_secs(10));
        let wait = wait.max(failure.wait.unwrap_or(Duration::ZERO));
        let wait = wait + self.jitter(wait, random);
        Decision::RetryAt(now.plus_nanos(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)))
    }

    fn jitter(&self, wait: Duration, random: u64) -> Duration {
        let most = wait * self.jitter_percent / 100;
        // The upper half of the number as a fraction.
        let nanos = (most.as_nanos() * u128::from(random >> 32)) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whether an event recorded then is past its time to live; asked before an attempt that
    /// isn't the first.
    pub fn is_expired(&self, recorded: Instant, now: Instant) -> bool {
        now > recorded.plus_nanos(i64::from(self.ttl_minutes) * 60_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::FailureKind;

    #[test]
    fn waits_by_the_schedule_then_gives_up() {
        let policy = RetryPolicy {
            max_attempts: 12,
            ..RetryPolicy::default()
        };
        let failure = Failure::new(FailureKind::Busy, "busy");
        let now = Instant {
            seconds: 0,
            nanos: 0,
        };
        let waits: Vec<_> = (1..=12)
            .map(|n| policy.decide(n, &failure, now, 0))
            .collect();
        let at = |seconds| Decision::RetryAt(Instant { seconds, nanos: 0 });
        assert_eq!(waits[..3], [at(10), at(30), at(60)]);
        assert_eq!(
            waits[9..],
            [
                at(43_200),
                at(43_200),
                Decision::GiveUp("MaxDeliveryAttemptsExceeded")
            ]
        );
        let slow = Failure {
            wait: Some(Duration::from_secs(120)),
            ..failure.clone()
        };
        assert_eq!(policy.decide(1, &slow, now, 0), at(120));
        let wrong = Failure {
            permanent: true,
            ..failure
        };
        assert!(matches!(
            policy.decide(1, &wrong, now, 0),
            Decision::GiveUp(_)
        ));
    }

    #[test]
    fn a_wait_is_a_little_longer_at_random() {
        let policy = RetryPolicy::default();
        let failure = Failure::new(FailureKind::Busy, "busy");
        let wait = |random| match policy.decide(1, &failure, Instant::from_nanos(0), random) {
            Decision::RetryAt(at) => at.as_nanos(),
            Decision::GiveUp(why) => panic!("{why}"),
        };
        let second = 1_000_000_000;
        assert_eq!(wait(0), 10 * second);
        assert_eq!(wait(1 << 63), 10 * second + second / 2);
        assert!((10 * second + second - 9..11 * second).contains(&wait(u64::MAX)));
    }
}
