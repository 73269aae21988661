//! Random receivers, settlements, waits and crashes, against a plain model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::support::crash::FaultJournal;
use crate::support::{Seeded, World, event, still, until};
use foretell_delivery::dead_letter::{self, DeadLetterFilter};
use foretell_delivery::{
    DeadLetterPolicy, PullPolicy, Received, Receiver, Settlement, Subscription,
    SubscriptionOptions, Work,
};
use foretell_log::Random;
use tokio::time::advance;

const LOCK_S: u64 = 60;
const MOST: u32 = 3;
/// Steps lie apart by whole seconds, so that a millisecond more or less doesn't matter.
const STEPS: usize = 400;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    /// Since so many deliveries it may be received.
    Free(u32),
    /// Not before this second.
    Waits(u32, u64),
    Locked(u32, u64),
    Done,
    Dead,
}

struct Model {
    now: u64,
    places: BTreeMap<u64, Place>,
}

impl Model {
    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        for place in self.places.values_mut() {
            *place = match *place {
                Place::Waits(count, until) if until <= self.now => Place::Free(count),
                Place::Locked(count, until) if until <= self.now => freed(count, None),
                other => other,
            };
        }
    }

    fn received(&mut self, received: &[Received]) {
        for one in received {
            let position = one.event.position.get();
            let Some(Place::Free(before)) = self.places.get(&position).copied() else {
                panic!("{position} is {:?}", self.places.get(&position));
            };
            assert_eq!(one.delivery_count, before + 1, "{position}");
            let locked = Place::Locked(before + 1, self.now + LOCK_S);
            self.places.insert(position, locked);
        }
    }

    /// Gives whether the token holds.
    fn settled(&mut self, one: &Received, settlement: Settlement) -> bool {
        let position = one.event.position.get();
        let place = self.places.get_mut(&position).unwrap();
        let Place::Locked(count, _) = *place else {
            return false;
        };
        if count != one.delivery_count {
            return false;
        }
        *place = match settlement {
            Settlement::Acknowledge => Place::Done,
            Settlement::Reject => Place::Dead,
            Settlement::RenewLock => Place::Locked(count, self.now + LOCK_S),
            Settlement::Release(wait) if wait.is_zero() => freed(count, None),
            Settlement::Release(wait) => freed(count, Some(self.now + wait.as_secs())),
        };
        true
    }

    fn positions(&self, wanted: Place) -> Vec<u64> {
        let places = self.places.iter().filter(|(_, place)| **place == wanted);
        places.map(|(position, _)| *position).collect()
    }
}

fn freed(count: u32, until: Option<u64>) -> Place {
    match until {
        _ if count >= MOST => Place::Dead,
        Some(until) => Place::Waits(count, until),
        None => Place::Free(count),
    }
}

fn start(world: &World) -> (Subscription, Receiver) {
    let options = SubscriptionOptions {
        topic: "shop".into(),
        name: "work".into(),
        filter: Arc::new(|event| !event.id.ends_with('7')),
        work: Work::Pull(PullPolicy {
            lock: Duration::from_secs(LOCK_S),
            max_deliveries: MOST,
            ttl: Duration::from_secs(100_000_000),
        }),
        dead_letters: DeadLetterPolicy::into_container("dead-letters"),
        ordered_by_subject: false,
        concurrency: 64,
        paused: false,
    };
    let (log, storage) = (world.log.clone(), world.storage.clone());
    let subscription = Subscription::start(options, log, storage).unwrap();
    let receiver = subscription.receiver().unwrap();
    (subscription, receiver)
}

struct Run {
    random: Seeded,
    world: World,
    fault: FaultJournal,
    running: (Subscription, Receiver),
    model: Model,
    /// Everything that was ever received: old tokens are tried again.
    held: Vec<Received>,
    published: u64,
}

impl Run {
    async fn new(seed: u64) -> Run {
        let (world, fault) = World::new().await.with_faults(u64::MAX);
        Run {
            random: Seeded(AtomicU64::new(seed)),
            running: start(&world),
            world,
            fault,
            model: Model {
                now: 0,
                places: BTreeMap::new(),
            },
            held: Vec::new(),
            published: 0,
        }
    }

    fn below(&self, limit: u64) -> u64 {
        self.random.next() % limit
    }

    async fn step(mut self) -> Run {
        match self.below(20) {
            0..=3 => self.publish().await,
            4..=9 => self.receive().await,
            10..=16 => self.settle().await,
            17 | 18 => {
                let seconds = 1 + self.below(90);
                advance(Duration::from_secs(seconds)).await;
                self.model.pass(seconds);
            }
            _ => return self.restart().await,
        }
        self
    }

    async fn publish(&mut self) {
        let count = 1 + self.below(12);
        let numbers = self.published + 1..=self.published + count;
        self.world
            .append(numbers.clone().map(|n| event(n, None)))
            .await;
        let wanted = numbers.filter(|n| n % 10 != 7);
        self.model
            .places
            .extend(wanted.map(|n| (n, Place::Free(0))));
        self.published += count;
    }

    async fn receive(&mut self) {
        let max = 1 + self.below(8) as usize;
        // What isn't read yet may be missing; what comes must be right.
        let received = self.running.1.receive(max, Duration::ZERO).await.unwrap();
        assert!(received.len() <= max);
        self.model.received(&received);
        self.held.extend(received);
    }

    async fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let settlement = match self.below(8) {
            0..=3 => Settlement::Acknowledge,
            4 => Settlement::Reject,
            5 => Settlement::RenewLock,
            6 => Settlement::Release(Duration::ZERO),
            _ => Settlement::Release(Duration::from_secs(10 + self.below(50))),
        };
        let (mut tokens, mut succeeding) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.below(4) {
            // Mostly one of the last.
            let back = self.below(self.held.len().min(12) as u64) as usize;
            let one = self.held[self.held.len() - 1 - back].clone();
            if !tokens.contains(&one.lock_token) {
                tokens.push(one.lock_token.clone());
                if self.model.settled(&one, settlement) {
                    succeeding.push(one.lock_token);
                }
            }
        }
        let settled = self.running.1.settle(settlement, tokens).await.unwrap();
        assert_eq!(settled.succeeded, succeeding, "{settlement:?}");
    }

    /// Stops in order, or as if power was lost.
    async fn restart(self) -> Run {
        let (subscription, _) = self.running;
        if self.random.next().is_multiple_of(2) {
            subscription.stop().await;
        }
        self.fault.lose_power();
        let (world, fault) = self.world.with_faults(u64::MAX);
        Run {
            running: start(&world),
            world,
            fault,
            ..self
        }
    }

    /// Everything comes to its end: all is done or dead, once.
    async fn end(mut self) {
        while self
            .model
            .places
            .values()
            .any(|p| !matches!(p, Place::Done | Place::Dead))
        {
            let received = self.running.1.receive(100, Duration::ZERO).await.unwrap();
            self.model.received(&received);
            for one in &received {
                assert!(self.model.settled(one, Settlement::Acknowledge));
            }
            let tokens: Vec<_> = received.iter().map(|one| one.lock_token.clone()).collect();
            if tokens.is_empty() {
                advance(Duration::from_secs(1)).await;
                self.model.pass(1);
                continue;
            }
            let done = self
                .running
                .1
                .settle(Settlement::Acknowledge, tokens)
                .await
                .unwrap();
            assert!(done.failed.is_empty(), "{done:?}");
        }
        let dead = self.model.positions(Place::Dead);
        let letters = || {
            let list = dead_letter::list(&self.world.log, &DeadLetterFilter::default()).unwrap();
            let mut all: Vec<u64> = list.iter().map(|letter| letter.position).collect();
            all.sort_unstable();
            all
        };
        until(|| letters().len() >= dead.len()).await;
        assert_eq!(letters(), dead, "each once");
        self.world.until_settled(self.published).await;
        self.running.0.stop().await;
        assert!(self.world.left_over().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn it_does_as_the_model_says() {
    let _still = still();
    for seed in 0..12 {
        let mut run = Run::new(seed * 7_919).await;
        for _ in 0..STEPS {
            run = run.step().await;
        }
        run.end().await;
    }
}
