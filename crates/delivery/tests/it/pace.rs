//! When an endpoint is called, and when it is left alone. Time is paused and advanced.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Recorder, World, event, settle_down, still, until};
use foretell_delivery::dead_letter::{self, DeadLetterFilter};
use foretell_delivery::{Failure, FailureKind, Outcome, Work};
use tokio::time::advance;

/// Fails in one way until it is told otherwise.
fn sick(kind: FailureKind) -> (Arc<Recorder>, Arc<AtomicBool>) {
    let healed = Arc::new(AtomicBool::new(false));
    let tell = healed.clone();
    let handler = Recorder::at_once(move |_| match tell.load(Ordering::SeqCst) {
        true => Ok(Outcome::default()),
        false => Err(Failure::new(kind, "sick")),
    });
    (handler, healed)
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_keeps_failing_is_left_alone() {
    let _still = still();
    let world = World::new().await;
    let (handler, healed) = sick(FailureKind::SocketError);
    world.publish(100, 100).await;
    let subscription = world.start_with(&handler, |options| options.concurrency = 10);
    until(|| subscription.stats().probation.is_some()).await;
    let probation = subscription.stats().probation.unwrap();
    assert_eq!(probation.outcome, FailureKind::SocketError);
    settle_down().await;
    let called = handler.count();
    assert!((10..20).contains(&called), "{called}");
    // Retries are due after 10 s, and wait with the rest; nothing turns meanwhile.
    advance(Duration::from_secs(29)).await;
    let asked = world.asked.load(Ordering::Relaxed);
    settle_down().await;
    let turns = world.asked.load(Ordering::Relaxed) - asked;
    assert!(turns < 40, "{turns}");
    assert_eq!(handler.count(), called);
    // One call tries it.
    advance(Duration::from_secs(2)).await;
    until(|| handler.count() == called + 1).await;
    settle_down().await;
    assert_eq!(handler.count(), called + 1);
    healed.store(true, Ordering::SeqCst);
    advance(Duration::from_secs(31)).await;
    until(|| subscription.stats().probation.is_none()).await;
    for _ in 0..3 {
        advance(Duration::from_secs(60)).await;
        settle_down().await;
    }
    world.until_settled(100).await;
    assert_eq!(subscription.stats().dead_lettered, 0);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_event_may_be_to_blame_for_is_no_probation() {
    let _still = still();
    let world = World::new().await;
    let (handler, _) = sick(FailureKind::Aborted);
    world.publish(50, 50).await;
    let subscription = world.start(&handler);
    until(|| handler.count() == 50).await;
    settle_down().await;
    assert_eq!(subscription.stats().probation, None);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_expires_in_a_probation_says_so() {
    let _still = still();
    let world = World::new().await;
    let (handler, _) = sick(FailureKind::ResolutionError);
    world.publish(10, 10).await;
    let subscription = world.start_with(&handler, |options| {
        crate::support::retry(options).ttl_minutes = 2;
        crate::support::retry(options).schedule = vec![Duration::from_secs(60)];
    });
    until(|| subscription.stats().probation.is_some()).await;
    until(|| {
        world
            .progress()
            .pending
            .values()
            .filter(|p| p.due_ms > 0)
            .count()
            == 10
    })
    .await;
    // Due after 1 minute, expired after 2, called again after 5.
    advance(Duration::from_secs(299)).await;
    settle_down().await;
    let letters = || dead_letter::list(&world.log, &DeadLetterFilter::default()).unwrap();
    assert!(letters().is_empty());
    advance(Duration::from_secs(2)).await;
    world.until_settled(10).await;
    assert_eq!(handler.count(), 10);
    for letter in letters() {
        assert_eq!(letter.reason, "TimeToLiveExceeded");
        assert_eq!(letter.last_outcome, "Probation");
    }
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_does_not_wait_for_the_endpoint() {
    let _still = still();
    let world = World::new().await;
    let (handler, _) = sick(FailureKind::NotFound);
    world.publish(30, 30).await;
    let subscription = world.start_with(&handler, |options| {
        crate::support::retry(options).max_attempts = 1;
        options.concurrency = 10;
    });
    until(|| subscription.stats().probation.is_some()).await;
    until(|| subscription.stats().dead_lettered >= 10).await;
    settle_down().await;
    assert_eq!(subscription.stats().dead_lettered, handler.count() as u64);
    assert!(handler.count() < 20, "{}", handler.count());
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_gets_no_more_calls_a_minute_than_it_allows() {
    let _still = still();
    let world = World::new().await;
    let times: Arc<Mutex<Vec<tokio::time::Instant>>> = Arc::default();
    let note = times.clone();
    let handler = Recorder::at_once(move |_| {
        note.lock().unwrap().push(tokio::time::Instant::now());
        Ok(Outcome::default())
    });
    world.publish(9, 9).await;
    let subscription = world.start_with(&handler, |options| {
        if let Work::Push { rate, .. } = &mut options.work {
            *rate = NonZeroU32::new(30);
        }
    });
    until(|| handler.count() == 1).await;
    for count in 2..=9 {
        advance(Duration::from_millis(1_980)).await;
        let asked = world.asked.load(Ordering::Relaxed);
        settle_down().await;
        assert_eq!(handler.count(), count - 1, "too early");
        assert!(world.asked.load(Ordering::Relaxed) < asked + 20, "it rests");
        advance(Duration::from_millis(25)).await;
        until(|| handler.count() == count).await;
    }
    world.append([event(10, None)]).await;
    advance(Duration::from_secs(60)).await;
    world.until_settled(10).await;
    subscription.stop().await;
}
