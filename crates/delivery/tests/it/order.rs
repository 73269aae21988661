//! Every event once, each subject in order, others not held up.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Recorder, World, busy, event, still, until};
use foretell_delivery::Outcome;
use foretell_types::limits::SUBSCRIPTION_EXCEPTIONS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_goes_in_order_and_one_at_a_time() {
    const EVENTS: u64 = 10_000;
    let world = World::new().await;
    let busy_subjects: Arc<Mutex<HashSet<String>>> = Arc::default();
    let (going, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let most = most.clone();
        Recorder::new(move |invocation| {
            let (busy, going, most) = (busy_subjects.clone(), going.clone(), most.clone());
            async move {
                let subject = invocation.event.subject.clone().unwrap();
                assert!(
                    busy.lock().unwrap().insert(subject.clone()),
                    "twice at a time"
                );
                most.fetch_max(going.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..invocation.event.position.get() * 7 % 13 {
                    tokio::task::yield_now().await;
                }
                going.fetch_sub(1, Ordering::SeqCst);
                busy.lock().unwrap().remove(&subject);
                Ok(Outcome::default())
            }
        })
    };
    let subscription = world.start(&handler);
    world.publish(EVENTS, 200).await;
    world.until_settled(EVENTS).await;
    let stats = subscription.stats();
    subscription.stop().await;
    let mut last: HashMap<u64, u64> = HashMap::new();
    for position in handler.positions() {
        let before = last.insert(position % 200, position).unwrap_or(0);
        assert!(before < position, "{position} came after {before}");
    }
    assert_eq!(handler.count() as u64, EVENTS);
    assert_eq!(
        (stats.delivered, stats.failed, stats.lag(EVENTS)),
        (EVENTS, 0, 0)
    );
    let most = most.load(Ordering::SeqCst);
    assert!((2..=64).contains(&most), "{most} at a time");
}

#[tokio::test]
async fn only_what_the_filter_wants() {
    let world = World::new().await;
    world.publish(40_000, 10).await;
    let handler = Recorder::fine();
    let subscription = world.start_with(&handler, |options| {
        options.filter = Arc::new(|event| event.id.ends_with("777"));
    });
    world.until_settled(40_000).await;
    assert_eq!(handler.count(), 40);
    assert_eq!(subscription.stats().filtered, 39_960);
    world
        .append([event(777_777, None), event(50_000, None)])
        .await;
    until(|| handler.count() == 41).await;
    subscription.stop().await;
    assert_eq!(world.progress().upto, 40_002);
}

#[tokio::test]
async fn events_without_a_subject_and_unordered_ones_wait_for_nobody() {
    for ordered in [true, false] {
        let world = World::new().await;
        let subject = (!ordered).then(|| "same".to_owned());
        world
            .append((1..=8).map(|i| event(i, subject.clone())))
            .await;
        let handler = Recorder::new(|_| std::future::pending());
        let subscription = world.start_with(&handler, |options| {
            options.ordered_by_subject = ordered;
            options.concurrency = 8;
        });
        until(|| handler.count() == 8).await;
        drop(subscription);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_subject_waits_and_the_others_go_on() {
    let _still = still();
    let world = World::new().await;
    let healed = Arc::new(AtomicBool::new(false));
    let handler = {
        let healed = healed.clone();
        Recorder::at_once(move |invocation| {
            let bad = invocation.event.subject.as_deref() == Some("s0");
            match bad && !healed.load(Ordering::SeqCst) {
                true => Err(busy()),
                false => Ok(Outcome::default()),
            }
        })
    };
    let subscription = world.start(&handler);
    world.publish(30, 3).await;
    until(|| world.progress().pending.len() == 10).await;
    assert_eq!(
        handler.positions().iter().filter(|p| *p % 3 == 0).count(),
        1
    );
    assert_eq!(handler.count(), 21);
    healed.store(true, Ordering::SeqCst);
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    world.until_settled(30).await;
    let bad: Vec<_> = handler
        .positions()
        .into_iter()
        .filter(|p| p % 3 == 0)
        .collect();
    assert_eq!(bad, [3, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn reading_ahead_is_bounded() {
    const EVENTS: u64 = 50_000;
    let _still = still();
    let world = World::new().await;
    let healed = Arc::new(AtomicBool::new(false));
    let handler = {
        let healed = healed.clone();
        Recorder::at_once(move |_| match healed.load(Ordering::SeqCst) {
            true => Ok(Outcome::default()),
            false => Err(busy()),
        })
    };
    world.publish(EVENTS, 1).await;
    let subscription = world.start(&handler);
    until(|| world.progress().pending.len() == SUBSCRIPTION_EXCEPTIONS).await;
    assert_eq!(handler.count(), 1);
    assert_eq!(subscription.stats().upto, SUBSCRIPTION_EXCEPTIONS as u64);
    healed.store(true, Ordering::SeqCst);
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    until(|| subscription.stats().delivered == EVENTS).await;
    subscription.stop().await;
    assert_eq!(handler.count() as u64, EVENTS + 1);
    assert!(handler.positions()[1..].is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt() {
    let _still = still();
    let world = World::new().await;
    let handler = Recorder::at_once(|invocation| {
        assert!(invocation.attempts > 0, "I don't like you");
        Ok(Outcome::default())
    });
    let subscription = world.start(&handler);
    world.publish(3, 1).await;
    for position in 1..=3 {
        // One look at one checkpoint: the next may be journaled between two looks.
        until(|| {
            let pending = world.progress().pending;
            pending
                .get(&position)
                .is_some_and(|p| p.due_ms > 0 && p.last_outcome == "Aborted")
        })
        .await;
        assert_eq!(subscription.stats().failed, position);
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        until(|| subscription.stats().delivered == position).await;
    }
    world.until_settled(3).await;
    subscription.stop().await;
    assert_eq!(handler.positions(), [1, 1, 2, 2, 3, 3]);
}
