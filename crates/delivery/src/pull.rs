//! Pull delivery: events wait in the queue until a receiver asks, and are locked for it. A locked
//! event is one that is due again when its lock ends.
//!
//! Every answer waits until the progress with what it says is journaled: all that asked meanwhile
//! share one commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foretell_types::limits::{PULL_DELIVERIES, RECEIVE_BYTES, RECEIVERS_WAITING};
use foretell_types::{Error, ErrorKind, RecordedEvent, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::checkpoint::Pending;
use crate::context::Context;
use crate::dispatch::Dispatcher;
use crate::queue::kept_bytes;
use crate::receiver::{
    LockToken, Receive, Received, Receiver, Refused, Request, Settled, Settlement,
};
use crate::share::Room;
use crate::stats::Stats;
use crate::subscription::Work;

/// How long a receiver holds an event, how often it is delivered, and how long it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PullPolicy {
    /// At least a millisecond.
    pub lock: Duration,
    /// Deliveries before an event is dead-lettered: 1 to [`PULL_DELIVERIES`].
    pub max_deliveries: u32,
    /// Counted from the event's recorded time; looked at when a receiver would get the event.
    pub ttl: Duration,
}

impl PullPolicy {
    pub fn check(&self) -> Result<()> {
        if self.lock < Duration::from_millis(1) || self.ttl.is_zero() {
            return Err(Error::invalid(
                "the time of a lock, or the time to live, is nothing: give it a length",
            ));
        }
        if !(1..=PULL_DELIVERIES as u32).contains(&self.max_deliveries) {
            return Err(Error::invalid(format!(
                "the most deliveries are {}: 1 to {PULL_DELIVERIES} are allowed",
                self.max_deliveries
            )));
        }
        Ok(())
    }
}

/// Who asked, and who waits.
pub(crate) struct Pull {
    requests: mpsc::Receiver<Request>,
    waiting: VecDeque<Receive>,
}

impl Pull {
    pub fn new() -> (Receiver, Pull) {
        let (sender, requests) = mpsc::channel(RECEIVERS_WAITING);
        let pull = Pull {
            requests,
            waiting: VecDeque::new(),
        };
        (Receiver { requests: sender }, pull)
    }

    /// The next request; never any where events are pushed. Can be cancelled.
    pub async fn next(pull: &mut Option<Pull>) -> Option<Request> {
        match pull {
            Some(pull) => pull.requests.recv().await,
            None => std::future::pending().await,
        }
    }

    /// When the first that waits has waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|receive| receive.until).min()
    }

    /// Answers those that have waited long enough, forgets those that went away.
    pub fn answer_in_vain(&mut self) {
        let now = Instant::now();
        for _ in 0..self.waiting.len() {
            let Some(receive) = self.waiting.pop_front() else {
                return;
            };
            if receive.until <= now {
                let _ = receive.answer.send(Ok(Vec::new()));
            } else if !receive.answer.is_closed() {
                self.waiting.push_back(receive);
            }
        }
    }

    fn wait(&mut self, receive: Receive) {
        if self.waiting.len() >= RECEIVERS_WAITING {
            let message = format!(
                "{RECEIVERS_WAITING} receivers wait already: no more are allowed at a time"
            );
            let _ = receive
                .answer
                .send(Err(Error::new(ErrorKind::Busy, message)));
            return;
        }
        self.waiting.push_back(receive);
    }
}

impl Dispatcher {
    fn policy(&self) -> Option<PullPolicy> {
        match &self.context.options.work {
            Work::Pull(policy) => Some(*policy),
            Work::Push { .. } => None,
        }
    }

    /// Frees the events whose locks are over, and those whose wait is; gives the time of what is
    /// due next, in milliseconds.
    pub(crate) fn expire_locks(&mut self, now_ms: u64) -> Option<u64> {
        while let Some((due, position)) = self.queue.first_waiting() {
            if due > now_ms {
                return Some(due);
            }
            let (_, mut pending, event) = self.queue.take(position)?;
            if std::mem::take(&mut pending.lock) != 0 {
                Stats::add(&self.stats.failed);
                pending.last_outcome = "LockExpired".to_owned();
            }
            self.free(position, pending, event, 0);
        }
        None
    }

    /// Puts an event back that nobody holds, until its time comes; or gives it up, if it was
    /// delivered as often as it may be.
    fn free(
        &mut self,
        position: u64,
        mut pending: Pending,
        event: Option<Arc<RecordedEvent>>,
        due_ms: u64,
    ) {
        self.progress.unsaved.changed = true;
        let most = self.policy().map_or(0, |policy| policy.max_deliveries);
        if pending.given_up.is_none() && pending.attempts >= u64::from(most) {
            let (reason, message) = (
                "MaxDeliveryAttemptsExceeded",
                "it was delivered as often as it may be, and never acknowledged",
            );
            return self.give_up(position, pending, event, reason, message);
        }
        pending.due_ms = due_ms;
        self.queue.put_back(position, pending, event);
    }

    pub(crate) fn take_request(&mut self, request: Request) {
        let mut next = Some(request);
        while let Some(request) = next {
            match request {
                Request::Receive(receive) => {
                    if let Some(pull) = &mut self.pull {
                        pull.wait(receive);
                    }
                }
                Request::Settle {
                    settlement,
                    tokens,
                    answer,
                } => self.settle_tokens(settlement, tokens, answer),
            }
            let more = self.pull.as_mut().map(|pull| pull.requests.try_recv());
            next = more.and_then(Result::ok);
        }
    }

    /// Gives those who wait what there is.
    pub(crate) async fn hand_out(&mut self) {
        self.bury();
        while let Some(receive) = self.pull.as_mut().and_then(|p| p.waiting.pop_front()) {
            if receive.answer.is_closed() {
                continue;
            }
            let received = self.lock(receive.max).await;
            if received.is_empty() {
                if let Some(pull) = &mut self.pull {
                    pull.waiting.push_front(receive);
                }
                return;
            }
            let answer = receive.answer;
            let answer = move |saved: Result<()>| {
                let _ = answer.send(saved.map(|()| received));
            };
            self.progress.unsaved.changed = true;
            self.progress.unsaved.answers.push(Box::new(answer));
        }
    }

    /// The front of the queue is for nobody: it is given up, or was before the last stop.
    fn is_front_given_up(&self) -> bool {
        self.queue.front().is_some_and(|(position, pending)| {
            pending.given_up.is_some() || self.journaled.contains(&(position, pending.generation))
        })
    }

    fn bury(&mut self) {
        while self.attempts.len() < self.context.options.concurrency && self.is_front_given_up() {
            let Some((position, pending, event)) = self.queue.pop() else {
                return;
            };
            self.call(vec![(position, pending, event)], Room::Own);
        }
    }

    /// Locks the next events.
    async fn lock(&mut self, max: usize) -> Vec<Received> {
        let (mut received, mut bytes) = (Vec::new(), 0);
        let Some(policy) = self.policy() else {
            return received;
        };
        while received.len() < max && bytes < RECEIVE_BYTES && !self.stop.is_cancelled() {
            self.bury();
            if self.is_front_given_up() {
                break;
            }
            let Some((position, pending, event)) = self.queue.pop() else {
                break;
            };
            let event = match event {
                Some(event) => event,
                None => match self.context.event(position).await {
                    Ok(event) => Arc::new(event),
                    Err(error) => {
                        self.blocked(position, pending, None, &error);
                        continue;
                    }
                },
            };
            let end = Context::lives_from(&event).plus_nanos(nanos(policy.ttl));
            if !pending.replayed && self.context.now() > end {
                let message = "the event's time to live is over";
                self.progress.unsaved.changed = true;
                self.give_up(
                    position,
                    pending,
                    Some(event),
                    "TimeToLiveExceeded",
                    message,
                );
                continue;
            }
            bytes += kept_bytes(&event);
            received.push(self.lock_one(position, pending, event, policy.lock));
        }
        received
    }

    fn lock_one(
        &mut self,
        position: u64,
        mut pending: Pending,
        event: Arc<RecordedEvent>,
        lock: Duration,
    ) -> Received {
        let now = self.context.now();
        pending.attempts += 1;
        pending.lock = self.context.log.environment().random.next().max(1);
        pending.last_attempt = now.as_nanos().max(1) as u64;
        pending.due_ms = now.plus_nanos(nanos(lock)).as_millis().max(1) as u64;
        let token = LockToken {
            position,
            count: pending.attempts,
            secret: pending.lock,
        };
        let delivery_count = pending.attempts as u32;
        // It is settled without it, most likely.
        self.queue.put_back(position, pending, None);
        Received {
            lock_token: token.to_string(),
            delivery_count,
            event,
        }
    }

    fn settle_tokens(
        &mut self,
        settlement: Settlement,
        tokens: Vec<String>,
        answer: oneshot::Sender<Result<Settled>>,
    ) {
        let mut settled = Settled::default();
        for token in tokens {
            match self.settle_token(settlement, &token) {
                Ok(()) => settled.succeeded.push(token),
                Err(refused) => settled.failed.push((token, refused)),
            }
        }
        if settled.succeeded.is_empty() {
            let _ = answer.send(Ok(settled));
            return;
        }
        let answer = move |saved: Result<()>| {
            let _ = answer.send(saved.map(|()| settled));
        };
        self.progress.unsaved.changed = true;
        self.progress.unsaved.answers.push(Box::new(answer));
    }

    fn settle_token(&mut self, settlement: Settlement, token: &str) -> Result<(), Refused> {
        let token: LockToken = token.parse()?;
        let (position, now) = (token.position, self.context.now());
        let holds = |pending: &Pending| {
            pending.lock == token.secret
                && pending.attempts == token.count
                && token.secret != 0
                && pending.due_ms as i64 > now.as_millis()
        };
        if !self.queue.get(position).is_some_and(holds) {
            return Err(Refused::Lost);
        }
        let (_, mut pending, event) = self.queue.take(position).ok_or(Refused::Lost)?;
        // Only a lock that is renewed is still one.
        let secret = std::mem::take(&mut pending.lock);
        match settlement {
            Settlement::RenewLock => {
                let lock = self.policy().map_or(Duration::ZERO, |policy| policy.lock);
                pending.lock = secret;
                pending.due_ms = now.plus_nanos(nanos(lock)).as_millis().max(1) as u64;
                self.queue.put_back(position, pending, event);
            }
            Settlement::Acknowledge => {
                Stats::add(&self.stats.delivered);
                self.queue.settle(position);
            }
            Settlement::Release(wait) => {
                Stats::add(&self.stats.failed);
                pending.last_outcome = "Released".to_owned();
                let due_ms = match wait.is_zero() {
                    true => 0,
                    false => now.plus_nanos(nanos(wait)).as_millis().max(1) as u64,
                };
                self.free(position, pending, event, due_ms);
            }
            Settlement::Reject => {
                Stats::add(&self.stats.failed);
                pending.last_outcome = "Rejected".to_owned();
                let message = "a receiver rejected it";
                self.give_up(position, pending, event, "Rejected", message);
            }
        }
        Ok(())
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
