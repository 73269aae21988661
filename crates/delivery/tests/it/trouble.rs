//! What goes wrong around a subscription.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{
    Recorder, WORK, World, event, gated, options, outputs, settle_down, still, until,
};
use foretell_delivery::{Subscription, create, forget};
use foretell_log::{Append, Journal};
use tokio::sync::Semaphore;
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn progress_that_can_not_be_journaled_is_not_lost() {
    let _still = still();
    let (world, fault) = World::new().await.with_faults(u64::MAX);
    let handler = Recorder::at_once(|invocation| Ok(outputs(invocation, "x")));
    world.publish(3, 1).await;
    let subscription = world.start(&handler);
    world.until_settled(3).await;
    world.append([event(4, None)]).await;
    // The disk is full as soon as the outcome of the fourth is there: its checkpoint fails.
    until(|| {
        world
            .log
            .head("results")
            .unwrap()
            .is_some_and(|head| head.get() == 4)
    })
    .await;
    fault.full.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        advance(Duration::from_secs(1)).await;
        settle_down().await;
    }
    fault.full.store(false, Ordering::SeqCst);
    advance(Duration::from_secs(10)).await;
    world.until_settled(4).await;
    assert!(world.left_over().is_empty());
    subscription.stop().await;
    assert_eq!(handler.positions(), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_begun_while_progress_can_not_be_journaled() {
    let _still = still();
    let world = World::new().await;
    world.publish(3_000, 1).await;
    let (world, fault) = world.with_faults(u64::MAX);
    fault.full.store(true, Ordering::SeqCst);
    let gate = Arc::new(Semaphore::new(5));
    let handler = gated(&gate);
    let subscription = world.start(&handler);
    until(|| handler.count() == 6).await;
    // The sixth call hangs. The save that is now due fails, and again: so the first was noticed.
    while fault.refused.load(Ordering::SeqCst) < 2 {
        advance(Duration::from_millis(300)).await;
        settle_down().await;
    }
    gate.add_permits(10_000);
    until(|| subscription.stats().delivered == 6).await;
    settle_down().await;
    assert_eq!(handler.count(), 6, "only what was in flight ends");
    fault.full.store(false, Ordering::SeqCst);
    advance(Duration::from_secs(1)).await;
    until(|| handler.count() == 3_000).await;
    subscription.stop().await;
    assert_eq!(world.progress().upto, 3_000);
}

#[tokio::test]
async fn a_subscription_ends_with_its_topic() {
    let world = World::new().await;
    let handler = Recorder::fine();
    let subscription = world.start(&handler);
    world.publish(10, 2).await;
    world.until_settled(10).await;
    let gone = forget(
        Append::new().delete_topic("shop"),
        &world.log,
        "shop",
        "work",
    );
    world.log.append(gone).unwrap().await.unwrap();
    // A new topic of the same name, with a new subscription of the same name.
    let uuid = world.environment.random.uuid();
    let anew = Append::new().create_topic("shop".parse().unwrap(), uuid, false);
    world.log.append(anew).unwrap().await.unwrap();
    world.publish(20, 2).await;
    subscription.wake();
    subscription.stop().await;
    assert_eq!(world.log.registers("subscription/"), []);
    assert_eq!(handler.count(), 10);
    let anew = create(Append::new(), "shop", "work", 0, 0, WORK);
    world.log.append(anew).unwrap().await.unwrap();
    let subscription = world.start(&handler);
    world.until_settled(20).await;
    subscription.stop().await;
    assert_eq!(handler.count(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_pending_event_that_can_not_be_read_holds_up_nobody() {
    let _still = still();
    let world = World::new().await;
    world.publish(3, 3).await;
    // A checkpoint that names a position beyond the head.
    let mut checkpoint = world.progress();
    checkpoint
        .pending
        .insert(9, foretell_delivery::Pending::default());
    let key = "subscription/shop/work/checkpoint";
    let append = Append::new().register(key, Some(checkpoint.to_bytes()));
    world.log.append(append).unwrap().await.unwrap();
    let handler = Recorder::fine();
    let subscription = world.start(&handler);
    until(|| handler.count() == 3).await;
    until(|| {
        world
            .progress()
            .pending
            .get(&9)
            .is_some_and(|p| p.due_ms > 0)
    })
    .await;
    assert_eq!(subscription.stats().pending, 1);
    subscription.stop().await;
    assert_eq!(world.progress().pending.len(), 1, "never skipped");
}

#[tokio::test]
async fn a_subscription_that_is_not_there_does_not_start() {
    let world = World::new().await;
    let mut none = options(Recorder::fine());
    none.topic = "nowhere".into();
    let started = Subscription::start(none, world.log.clone(), world.storage.clone());
    assert_eq!(
        started.unwrap_err().kind(),
        foretell_types::ErrorKind::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_subscription_does_not_spin() {
    let _still = still();
    let world = World::new().await;
    let handler = Recorder::fine();
    let subscription = world.start(&handler);
    world.publish(5, 5).await;
    world.until_settled(5).await;
    settle_down().await;
    // Nothing to save, nothing due: the loop stands still, however long it takes.
    let before = (world.journal.last(), world.asked.load(Ordering::Relaxed));
    for _ in 0..100 {
        advance(Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
    }
    let after = (world.journal.last(), world.asked.load(Ordering::Relaxed));
    assert_eq!(after, before);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_save_does_not_make_it_spin() {
    let _still = still();
    let (world, fault) = World::new().await.with_faults(u64::MAX);
    let gate = Arc::new(Semaphore::new(1));
    let handler = gated(&gate);
    world.publish(9, 3).await;
    fault.held.store(true, Ordering::SeqCst);
    let subscription = world.start(&handler);
    until(|| handler.count() == 4).await;
    advance(Duration::from_millis(300)).await;
    settle_down().await;
    // The save hangs, and there is more to save.
    gate.add_permits(1);
    until(|| handler.count() == 5).await;
    advance(Duration::from_secs(5)).await;
    settle_down().await;
    let before = world.asked.load(Ordering::Relaxed);
    settle_down().await;
    // A loop that spins asks thousands of times; the log's writer may ask once.
    assert!(world.asked.load(Ordering::Relaxed) < before + 10);
    fault.held.store(false, Ordering::SeqCst);
    gate.add_permits(100);
    world.until_settled(9).await;
    subscription.stop().await;
}
