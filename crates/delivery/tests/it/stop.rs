//! Stopping and starting again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Recorder, World, event, gated, outputs, settle_down, still, until};
use foretell_delivery::{Outcome, STOP_GRACE};
use tokio::sync::Semaphore;
use tokio::time::advance;

#[tokio::test]
async fn nothing_is_delivered_again_after_a_stop() {
    let mut world = World::new().await;
    let handler = Recorder::at_once(|invocation| Ok(outputs(invocation, "x")));
    for round in 1..=5 {
        let subscription = world.start(&handler);
        let more = (round * 1_000 - 999..=round * 1_000).map(|i| event(i, Some("s".into())));
        world.append(more).await;
        // Stopped at some moment in the middle.
        until(|| handler.count() as u64 > round * 1_000 - 500).await;
        subscription.stop().await;
        assert!(world.left_over().is_empty());
        let in_order = handler.positions();
        assert!(in_order.iter().copied().eq(1..=in_order.len() as u64));
        world = world.reopen();
    }
    let subscription = world.start(&handler);
    world.until_settled(5_000).await;
    subscription.stop().await;
    assert_eq!(handler.count(), 5_000);
    let head = world.log.head("results").unwrap().unwrap();
    assert_eq!(head.get(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_what_is_in_flight() {
    let _still = still();
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let handler = gated(&gate);
    let subscription = world.start(&handler);
    world.publish(30, 10).await;
    until(|| handler.count() == 10).await;
    let stopped = tokio::spawn(subscription.stop());
    settle_down().await;
    assert!(!stopped.is_finished());
    gate.add_permits(100);
    stopped.await.unwrap();
    assert_eq!(handler.count(), 10, "nothing new was begun");
    let left: Vec<u64> = world.progress().pending.keys().copied().collect();
    assert_eq!(left, (11..=30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_ever() {
    let _still = still();
    let world = World::new().await;
    let hang = Arc::new(AtomicBool::new(true));
    let handler = {
        let hang = hang.clone();
        Recorder::new(move |invocation| {
            let hangs = hang.load(Ordering::SeqCst) && invocation.event.position.get() == 2;
            async move {
                match hangs {
                    true => std::future::pending().await,
                    false => Ok(Outcome::default()),
                }
            }
        })
    };
    let subscription = world.start(&handler);
    world.publish(4, 2).await;
    until(|| handler.positions() == [1, 2, 3]).await;
    let stopped = tokio::spawn(subscription.stop());
    advance(STOP_GRACE / 2).await;
    settle_down().await;
    assert!(!stopped.is_finished());
    advance(STOP_GRACE).await;
    stopped.await.unwrap();
    assert_eq!(world.progress().pending.len(), 2);
    hang.store(false, Ordering::SeqCst);
    let subscription = world.start(&handler);
    world.until_settled(4).await;
    subscription.stop().await;
    assert_eq!(handler.positions(), [1, 2, 3, 2, 4]);
}
