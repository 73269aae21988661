//! An endpoint that keeps account while servers and subscribers fail: what it accepted and refused,
//! whether each subject came in order, what came again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::events::Numbers;
use super::sink::Endpoint;

/// How an endpoint treats what it gets, by the number of an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Temper {
    /// Every so manieth event is refused for good (400); 0 for none.
    pub refuses: u64,
    /// Every so manieth event fails the first time (500); 0 for none.
    pub stumbles: u64,
}

/// Events number `0 .. count`; the subject of one is the rest of its number by `subjects`.
#[derive(Debug)]
pub struct Ledger {
    numbers: Numbers,
    temper: Temper,
    count: u64,
    subjects: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Of a subject: the number that comes next for the first time.
    next: HashMap<u64, u64>,
    settled: u64,
    refused: BTreeSet<u64>,
    stumbled: BTreeSet<u64>,
    again: u64,
    /// The first one, in words, and how many there were.
    violations: (Option<String>, u64),
}

impl Ledger {
    pub fn new(count: u64, subjects: u64, temper: Temper) -> Ledger {
        Ledger {
            numbers: Numbers::new(),
            temper,
            count,
            subjects,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events were accepted or refused for good.
    pub fn settled(&self) -> u64 {
        self.inner().settled
    }

    pub fn is_complete(&self) -> bool {
        self.settled() == self.count
    }

    /// Deliveries of what had been settled.
    pub fn again(&self) -> u64 {
        self.inner().again
    }

    pub fn refused(&self) -> BTreeSet<u64> {
        self.inner().refused.clone()
    }

    /// What must not have happened.
    pub fn violations(&self) -> (Option<String>, u64) {
        self.inner().violations.clone()
    }
}

fn is_every(number: u64, every: u64) -> bool {
    every > 0 && number % every == every - 1
}

impl Inner {
    /// Whether the event is accepted, along with those before it in the request.
    fn check(&mut self, number: u64, next: u64) -> bool {
        if number > next {
            self.violations.1 += 1;
            let text = || format!("{number} came before {next}, of the same subject");
            self.violations.0.get_or_insert_with(text);
        }
        number == next
    }
}

impl Endpoint for Ledger {
    fn take(&self, body: &[u8]) -> (u16, Duration) {
        let mut inner = self.inner();
        let numbers: Vec<u64> = self.numbers.of(body).collect();
        if let Some(number) = numbers.iter().find(|number| **number >= self.count) {
            inner.violations.1 += 1;
            let text = format!("{number} was never published");
            inner.violations.0.get_or_insert(text);
            return (400, Duration::ZERO);
        }
        let stumbles = |number: &&u64| is_every(**number, self.temper.stumbles);
        let stumbled: Vec<u64> = numbers.iter().filter(stumbles).copied().collect();
        let refused = numbers
            .iter()
            .any(|number| is_every(*number, self.temper.refuses));
        // All of a request are accepted, or none.
        let mut fails = false;
        for number in stumbled {
            fails |= inner.stumbled.insert(number);
        }
        // Those of a request follow each other within their subjects.
        let mut reached: HashMap<u64, u64> = HashMap::new();
        for number in numbers {
            let subject = number % self.subjects;
            let settled = inner.next.get(&subject).copied().unwrap_or(subject);
            let next = reached.get(&subject).copied().unwrap_or(settled);
            if inner.check(number, next) {
                reached.insert(subject, number + self.subjects);
                if !fails {
                    inner.settled += 1;
                    inner.next.insert(subject, number + self.subjects);
                    if refused {
                        inner.refused.insert(number);
                    }
                }
            } else if number < settled {
                inner.again += 1;
            }
        }
        let status = match (fails, refused) {
            (true, _) => 500,
            (false, true) => 400,
            (false, false) => 200,
        };
        (status, Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(ledger: &Ledger, numbers: &[u64]) -> u16 {
        let ids = numbers
            .iter()
            .map(|number| format!(r#"{{"id":"n-{number:012}"}}"#));
        let body = format!("[{}]", ids.collect::<Vec<_>>().join(","));
        ledger.take(body.as_bytes()).0
    }

    #[test]
    fn what_comes_in_order_is_settled_once() {
        let ledger = Ledger::new(9, 3, Temper::default());
        for numbers in [&[1][..], &[0, 3, 6], &[4, 7], &[4, 7], &[2], &[2, 5]] {
            assert_eq!(delivered(&ledger, numbers), 200);
        }
        assert_eq!((ledger.settled(), ledger.again()), (8, 3));
        assert!(!ledger.is_complete());
        delivered(&ledger, &[8]);
        assert!(ledger.is_complete());
        assert_eq!(ledger.violations(), (None, 0));
    }

    #[test]
    fn a_gap_and_what_was_never_published_are_violations() {
        let ledger = Ledger::new(9, 3, Temper::default());
        delivered(&ledger, &[3]);
        assert_eq!(ledger.settled(), 0);
        let (text, count) = ledger.violations();
        assert_eq!(count, 1);
        assert_eq!(text.unwrap(), "3 came before 0, of the same subject");
        delivered(&ledger, &[0, 6]);
        delivered(&ledger, &[9]);
        assert_eq!((ledger.violations().1, ledger.settled()), (3, 1));
    }

    #[test]
    fn what_fails_or_is_refused_holds_up_its_subject_until_it_is_settled() {
        let temper = Temper {
            refuses: 4,
            stumbles: 5,
        };
        let ledger = Ledger::new(12, 1, temper);
        for number in 0..3 {
            assert_eq!(delivered(&ledger, &[number]), 200);
        }
        assert_eq!(delivered(&ledger, &[3]), 400);
        assert_eq!(delivered(&ledger, &[4]), 500);
        assert_eq!(ledger.settled(), 4);
        assert_eq!(delivered(&ledger, &[4]), 200);
        assert_eq!(ledger.refused(), BTreeSet::from([3]));
        assert_eq!(ledger.violations().1, 0);
        delivered(&ledger, &[6]);
        assert_eq!(ledger.violations().1, 1);
    }
}
