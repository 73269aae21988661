//! What a topic takes each second, if it has a quota: a token bucket for events and one for bytes,
//! each as large as a second's quota.

use std::collections::HashMap;

use foretell_protocol::Quota;
use foretell_types::{Error, ErrorKind, Instant, Result};
use parking_lot::Mutex;

use super::TopicEntry;

/// The buckets of the topics that have quotas, by the lower case names of these.
#[derive(Debug, Default)]
pub struct Quotas(Mutex<HashMap<String, Bucket>>);

#[derive(Debug)]
struct Bucket {
    events: f64,
    bytes: f64,
    at: Instant,
}

impl Quotas {
    /// Takes what a request brings, or tells when to come again.
    pub fn take(
        &self,
        topic: &TopicEntry,
        events: usize,
        bytes: usize,
        now: Instant,
    ) -> Result<()> {
        let quota = topic.config.definition.quota;
        if quota.is_none() {
            return Ok(());
        }
        let mut buckets = self.0.lock();
        let key = topic.config.name.to_lowercase();
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| Bucket::full(quota, now));
        bucket
            .take(quota, events as f64, bytes as f64, now)
            .map_err(|wait_s| {
                let seconds = wait_s.ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
                let message = format!(
                    "topic {:?} takes no more than its quota of {}: try again in {seconds} s",
                    topic.config.name,
                    shown(quota)
                );
                Error::new(ErrorKind::OverQuota, message).with_retry_after(seconds)
            })
    }

    pub fn forget(&self, topic: &str) {
        self.0.lock().remove(&topic.to_lowercase());
    }
}

/// What flows in each second, and the most that stays.
fn rates(quota: Quota) -> (f64, f64) {
    let rate = |given: Option<u32>| given.map_or(f64::INFINITY, f64::from);
    (rate(quota.events_per_second), rate(quota.bytes_per_second))
}

impl Bucket {
    fn full(quota: Quota, now: Instant) -> Bucket {
        let (events, bytes) = rates(quota);
        Bucket {
            events,
            bytes,
            at: now,
        }
    }

    /// Takes all or nothing; if nothing, gives the seconds to wait. What is more than a second's
    /// quota is taken from a full bucket, which then takes the longer to fill: it could never go
    /// otherwise.
    fn take(&mut self, quota: Quota, events: f64, bytes: f64, now: Instant) -> Result<(), f64> {
        let (events_rate, bytes_rate) = rates(quota);
        // A clock that is set back brings nothing, and takes nothing.
        let passed = now.as_nanos().saturating_sub(self.at.as_nanos()).max(0) as f64 / 1e9;
        self.at = now;
        let mut wait: f64 = 0.0;
        for (level, rate, cost) in [
            (&mut self.events, events_rate, events),
            (&mut self.bytes, bytes_rate, bytes),
        ] {
            // A quota that is there no more left no debt.
            *level = if rate.is_finite() {
                (*level + passed * rate).min(rate)
            } else {
                rate
            };
            if rate.is_finite() {
                wait = wait.max((cost.min(rate) - *level) / rate);
            }
        }
        if wait > 0.0 {
            return Err(wait);
        }
        self.events -= events;
        self.bytes -= bytes;
        Ok(())
    }
}

fn shown(quota: Quota) -> String {
    let part = |given: Option<u32>, unit: &str| given.map(|n| format!("{n} {unit} per second"));
    let parts = [
        part(quota.events_per_second, "events"),
        part(quota.bytes_per_second, "bytes"),
    ];
    parts
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn what_flows_in_is_what_goes_out() {
        let quota = Quota {
            events_per_second: Some(10),
            bytes_per_second: Some(1_000),
        };
        let mut bucket = Bucket::full(quota, at(0));
        let mut take = |ms, events, bytes| bucket.take(quota, events, bytes, at(ms));
        assert_eq!(take(0, 10.0, 10.0), Ok(()));
        assert_eq!(take(0, 1.0, 10.0), Err(0.1));
        assert_eq!(take(100, 1.0, 10.0), Ok(()));
        // Bytes run out first; nothing of the refused is taken.
        assert_eq!(take(1_100, 1.0, 1_000.0), Ok(()));
        assert_eq!(take(1_100, 1.0, 500.0), Err(0.5));
        assert_eq!(take(1_600, 1.0, 500.0), Ok(()));
        // Time that goes back brings nothing.
        assert!(take(0, 1.0, 500.0).is_err());
        // More than a second's quota goes from a full bucket, and is paid for.
        assert_eq!(take(10_000, 25.0, 0.0), Ok(()));
        assert_eq!(take(10_000, 1.0, 0.0), Err(1.6));
        assert_eq!(take(11_600, 1.0, 0.0), Ok(()));
    }

    #[test]
    fn a_minute_of_asking_brings_a_minute_of_quota() {
        let quota = Quota {
            events_per_second: Some(50),
            bytes_per_second: None,
        };
        let mut bucket = Bucket::full(quota, at(0));
        let taken = (0..60_000).filter(|ms| bucket.take(quota, 7.0, 1e9, at(*ms)).is_ok());
        let events = taken.count() * 7;
        assert!((3_000..=3_057).contains(&events), "{events}");
    }
}
