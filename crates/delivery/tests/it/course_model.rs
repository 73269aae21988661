//! Random rewinds, pauses, schedules, failures, restarts and crashes: what is called, when, in
//! which order and as what, against a plain restatement of the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::crash::FaultJournal;
use crate::support::{Recorder, Seeded, World, event, settle_down, still, until};
use foretell_delivery::{Failure, FailureKind, Invocation, Outcome, Subscription, rewind};
use foretell_log::{Append, Random};
use foretell_types::{ExtensionValue, Instant, NOT_BEFORE, Position, Timestamp};
use tokio::time::advance;

const STEPS: usize = 60;
const SUBJECTS: u64 = 3;
const ATTEMPTS: u32 = 3;

/// What the calls are held against.
#[derive(Default)]
struct Rules {
    paused: bool,
    /// Nothing fails any more.
    healed: bool,
    /// Positions that are replays.
    replays: BTreeSet<u64>,
    subjects: BTreeMap<u64, Option<String>>,
    not_before: BTreeMap<u64, Instant>,
    /// What is yet to be completed or given up since the last rewind.
    open: BTreeSet<u64>,
    /// After a crash or a call that was cut off, what was completed may be called again.
    again: BTreeSet<u64>,
    calls: usize,
}

impl Rules {
    fn call(&mut self, invocation: &Invocation, now: Instant, random: u64) -> Result<(), Failure> {
        self.calls += 1;
        let position = invocation.event.position.get();
        assert!(!self.paused, "{position} is called while paused");
        let replayed = self.replays.contains(&position);
        assert_eq!(invocation.replayed, replayed, "{position}");
        let not_before = self.not_before.get(&position);
        assert!(not_before.is_none_or(|time| now >= *time), "{position}");
        assert!(
            self.open.contains(&position) || self.again.contains(&position),
            "{position} is called again"
        );
        let subject = &self.subjects[&position];
        let earlier = self.open.range(..position);
        let earlier: Vec<_> = earlier
            .filter(|other| subject.is_some() && self.subjects[other] == *subject)
            .collect();
        assert!(earlier.is_empty(), "{position} before {earlier:?}");
        let gives_up = random.is_multiple_of(19);
        if !self.healed && (gives_up || random.is_multiple_of(3)) {
            if gives_up || invocation.attempts + 1 >= ATTEMPTS {
                self.open.remove(&position);
            }
            return Err(Failure {
                permanent: gives_up,
                ..Failure::new(FailureKind::Busy, "busy")
            });
        }
        self.open.remove(&position);
        Ok(())
    }
}

struct Run {
    world: Option<World>,
    fault: FaultJournal,
    random: Seeded,
    rules: Arc<Mutex<Rules>>,
    handler: Arc<Recorder>,
    subscription: Option<Subscription>,
    published: u64,
}

impl Run {
    async fn new(seed: u64) -> Run {
        let (world, fault) = World::new().await.with_faults(u64::MAX);
        let rules = Arc::<Mutex<Rules>>::default();
        let (held, clock) = (rules.clone(), world.environment.clock.clone());
        let dice = Seeded(AtomicU64::new(seed + 1));
        let handler = Recorder::at_once(move |invocation| {
            let (now, random) = (clock.now(), dice.next());
            let called = held.lock().unwrap().call(invocation, now, random);
            called.map(|()| Outcome::default())
        });
        let mut run = Run {
            world: Some(world),
            fault,
            random: Seeded(AtomicU64::new(seed)),
            rules,
            handler,
            subscription: None,
            published: 0,
        };
        run.start();
        run
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.next() % bound
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    fn start(&mut self) {
        let paused = self.rules.lock().unwrap().paused;
        let subscription = self.world().start_with(&self.handler, |options| {
            options.paused = paused;
            options.concurrency = 4;
            crate::support::retry(options).max_attempts = ATTEMPTS;
        });
        self.subscription = Some(subscription);
    }

    async fn stop(&mut self) {
        self.subscription.take().unwrap().stop().await;
    }

    async fn publish(&mut self) {
        let now = self.world().environment.clock.now();
        let mut events = Vec::new();
        for _ in 0..=self.below(6) {
            self.published += 1;
            let subject = self.below(SUBJECTS + 1);
            let subject = (subject < SUBJECTS).then(|| format!("s{subject}"));
            let mut event = event(self.published, subject.clone());
            let mut rules = self.rules.lock().unwrap();
            if self.below(4) == 0 {
                let wait = self.below(40_000) as i64 * 1_000_000;
                let time = now.plus_nanos(wait);
                let text = Timestamp::from_instant(time).to_string();
                event.set_extension(NOT_BEFORE, ExtensionValue::String(text));
                rules.not_before.insert(self.published, time);
            }
            rules.subjects.insert(self.published, subject);
            rules.open.insert(self.published);
            events.push(event);
        }
        self.world().append(events).await;
    }

    async fn go_back(&mut self) {
        self.stop().await;
        let upto = self.world().progress().upto;
        let (after, head) = (self.below(upto + 1), self.published);
        let append = rewind(
            Append::new(),
            &self.world().log,
            "shop",
            "work",
            after,
            head,
        );
        let appended = self.world().log.append(append.unwrap()).unwrap().await;
        appended.unwrap();
        {
            let mut rules = self.rules.lock().unwrap();
            rules.replays.extend(after + 1..=head);
            rules.open.extend(after + 1..=head);
        }
        self.start();
    }

    /// The journal takes nothing more; what was completed since it last did is called again.
    async fn crash(&mut self) {
        let saved = self.world().progress();
        self.fault.lose_power();
        settle_down().await;
        self.stop().await;
        let (world, fault) = self.world.take().unwrap().reopen().with_faults(u64::MAX);
        (self.world, self.fault) = (Some(world), fault);
        {
            let mut rules = self.rules.lock().unwrap();
            let since = saved.pending.keys().copied();
            let since = since.chain(saved.upto + 1..=self.published);
            let since: Vec<u64> = since
                .filter(|position| !rules.open.contains(position))
                .collect();
            rules.again.extend(since);
        }
        self.start();
    }

    async fn step(&mut self) {
        match self.below(12) {
            0..4 => self.publish().await,
            4..7 => {
                let seconds = self.below(30);
                advance(Duration::from_secs(seconds)).await;
            }
            7 => self.go_back().await,
            8 => {
                self.stop().await;
                {
                    let mut rules = self.rules.lock().unwrap();
                    rules.paused = !rules.paused;
                }
                self.start();
            }
            9 => {
                self.stop().await;
                self.start();
            }
            10 => self.crash().await,
            _ => settle_down().await,
        }
        if self.below(2) == 0 {
            advance(Duration::from_millis(300)).await;
            settle_down().await;
        }
    }

    /// Nothing is lost: all is completed or given up in the end, and journaled so.
    async fn end(mut self) -> usize {
        self.stop().await;
        {
            let mut rules = self.rules.lock().unwrap();
            (rules.paused, rules.healed) = (false, true);
        }
        self.start();
        for _ in 0..20 {
            advance(Duration::from_secs(40)).await;
            settle_down().await;
        }
        let (world, published) = (self.world(), self.published);
        until(|| {
            let progress = world.progress();
            progress.upto == published && progress.pending.is_empty()
        })
        .await;
        self.stop().await;
        assert!(self.world().left_over().is_empty());
        let head = self.world().log.head("shop").unwrap();
        assert_eq!(Position::as_count(head), self.published);
        let rules = self.rules.lock().unwrap();
        assert_eq!(rules.open, BTreeSet::new(), "never completed nor given up");
        rules.calls
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_all_is_delivered_by_the_rules() {
    let _still = still();
    let mut calls = 0;
    for seed in 0..12 {
        let mut run = Run::new(seed * 6_151).await;
        for _ in 0..STEPS {
            run.step().await;
        }
        calls += run.end().await;
    }
    assert!(calls > 1_000, "{calls}");
}
