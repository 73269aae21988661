//! When a delivery is tried again, and when it is given up. Time is paused and advanced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{Recorder, World, busy, event, settle_down, still, until};
use foretell_delivery::dead_letter::{self, DeadLetterFilter};
use foretell_delivery::{Failure, FailureKind, Outcome, Subscription};
use tokio::time::advance;

const MS: Duration = Duration::from_millis(1);

/// Nothing is called a moment before the wait is over, and something is when it is.
async fn waits(world: &World, handler: &Recorder, wait: Duration) {
    let before = handler.count();
    until(|| world.progress().pending.values().any(|p| p.due_ms > 0)).await;
    advance(wait - 2 * MS).await;
    settle_down().await;
    assert_eq!(handler.count(), before, "too early by {wait:?}");
    advance(2 * MS).await;
    until(|| handler.count() > before).await;
}

async fn failing(
    failure: impl Fn(u32) -> Failure + Send + Sync + 'static,
    max_attempts: u32,
    ttl_minutes: u32,
) -> (World, Arc<Recorder>, Subscription) {
    let world = World::new().await;
    let handler = Recorder::at_once(move |invocation| Err(failure(invocation.attempts)));
    let subscription = world.start_with(&handler, |options| {
        crate::support::retry(options).max_attempts = max_attempts;
        crate::support::retry(options).ttl_minutes = ttl_minutes;
    });
    world.append([event(1, Some("one".into()))]).await;
    until(|| handler.count() == 1).await;
    (world, handler, subscription)
}

async fn only_letter(world: &World) -> dead_letter::DeadLetter {
    let list = || dead_letter::list(&world.log, &DeadLetterFilter::default()).unwrap();
    until(|| !list().is_empty()).await;
    world.until_settled(1).await;
    let mut letters = list();
    assert_eq!(letters.len(), 1);
    letters.remove(0)
}

#[tokio::test(start_paused = true)]
async fn waits_by_the_schedule_until_the_attempts_are_used_up() {
    let _still = still();
    let (world, handler, subscription) = failing(|_| busy(), 5, 1_440).await;
    for seconds in [10, 30, 60, 300] {
        waits(&world, &handler, Duration::from_secs(seconds)).await;
    }
    let letter = only_letter(&world).await;
    assert_eq!(letter.reason, "MaxDeliveryAttemptsExceeded");
    assert_eq!((letter.attempts, letter.last_outcome.as_str()), (5, "Busy"));
    let attempts: Vec<_> = handler.calls.lock().unwrap().iter().map(|c| c.1).collect();
    assert_eq!(attempts, [0, 1, 2, 3, 4]);
    assert_eq!(subscription.stats().dead_lettered, 1);
    subscription.stop().await;
    assert!(world.left_over().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failure_can_ask_for_a_longer_wait_but_not_a_shorter() {
    let _still = still();
    let failure = |attempts| Failure {
        wait: Some(Duration::from_secs([300, 1][attempts as usize % 2])),
        ..busy()
    };
    let (world, handler, subscription) = failing(failure, 30, 1_440).await;
    waits(&world, &handler, Duration::from_secs(300)).await;
    waits(&world, &handler, Duration::from_secs(30)).await;
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_given_up_at_once() {
    let _still = still();
    let failure = |_| Failure {
        permanent: true,
        ..Failure::new(FailureKind::BadRequest, "ü".repeat(5_000))
    };
    let (world, handler, subscription) = failing(failure, 30, 1_440).await;
    let letter = only_letter(&world).await;
    assert_eq!(letter.reason, "UndeliverableDueToClientError");
    assert_eq!((letter.attempts, letter.message.chars().count()), (1, 500));
    assert_eq!(handler.count(), 1);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_time_to_live_is_looked_at_when_an_attempt_is_due() {
    let _still = still();
    let (world, handler, subscription) = failing(|_| busy(), 30, 1).await;
    waits(&world, &handler, Duration::from_secs(10)).await;
    waits(&world, &handler, Duration::from_secs(30)).await;
    // 40 s are over; the next attempt is due at 100 s, the time to live ends at 60 s.
    until(|| world.progress().pending.values().any(|p| p.attempts == 3)).await;
    advance(Duration::from_secs(50)).await;
    settle_down().await;
    assert_eq!(world.progress().pending.len(), 1, "not before it is due");
    advance(Duration::from_secs(10)).await;
    let letter = only_letter(&world).await;
    assert_eq!(letter.reason, "TimeToLiveExceeded");
    assert_eq!((letter.attempts, handler.count()), (3, 3));
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_is_made_however_old_the_event_is() {
    let _still = still();
    let world = World::new().await;
    world.append([event(1, None)]).await;
    advance(Duration::from_secs(3 * 86_400)).await;
    let handler = Recorder::fine();
    let subscription = world.start(&handler);
    world.until_settled(1).await;
    assert_eq!(handler.count(), 1);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_attempts_and_due_times() {
    let _still = still();
    let (world, handler, subscription) = failing(|_| busy(), 30, 1_440).await;
    waits(&world, &handler, Duration::from_secs(10)).await;
    subscription.stop().await;
    let before = world.progress().pending[&1].clone();
    assert_eq!(before.attempts, 2);
    let world = world.reopen();
    let first = Arc::new(AtomicU64::new(0));
    let handler = {
        let first = first.clone();
        Recorder::at_once(move |invocation| {
            first.store(invocation.first_attempt.as_nanos() as u64, Ordering::SeqCst);
            Ok(Outcome::default())
        })
    };
    let subscription = world.start(&handler);
    world
        .append([event(2, Some("one".into())), event(3, None)])
        .await;
    until(|| handler.positions() == [3]).await;
    assert_eq!(world.progress().pending[&1].due_ms, before.due_ms);
    advance(Duration::from_secs(29)).await;
    settle_down().await;
    assert_eq!(handler.positions(), [3]);
    advance(Duration::from_secs(1)).await;
    world.until_settled(3).await;
    assert_eq!(*handler.calls.lock().unwrap(), [(3, 0), (1, 2), (2, 0)]);
    assert!(before.first_attempt > 0);
    subscription.stop().await;
}

#[tokio::test]
async fn options_that_can_not_work_are_refused() {
    let world = World::new().await;
    let changes: [fn(&mut foretell_delivery::SubscriptionOptions); 6] = [
        |options| options.concurrency = 0,
        |options| options.dead_letters.container = "No Container".into(),
        |options| crate::support::retry(options).schedule.clear(),
        |options| crate::support::retry(options).max_attempts = 31,
        |options| crate::support::retry(options).ttl_minutes = 0,
        |options| options.name = "nobody".into(),
    ];
    for change in changes {
        let mut options = crate::support::options(Recorder::fine());
        change(&mut options);
        let started = Subscription::start(options, world.log.clone(), world.storage.clone());
        assert!(started.is_err());
    }
}
