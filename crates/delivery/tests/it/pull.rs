//! Receivers: locks, counts, releases, dead letters, restarts. Time is paused and advanced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{World, event, settle_down, still, until};
use foretell_delivery::dead_letter::{self, DeadLetter, DeadLetterFilter};
use foretell_delivery::{
    DeadLetterPolicy, PullPolicy, Received, Receiver, Refused, Settled, Settlement, Subscription,
    SubscriptionOptions, Work,
};
use foretell_types::NewEvent;
use tokio::time::advance;

const LOCK: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);
/// A receiver that waits so long waits for an event, not for the end.
const LONG: Duration = Duration::from_secs(100_000_000);

fn options() -> SubscriptionOptions {
    SubscriptionOptions {
        topic: "shop".into(),
        name: "work".into(),
        filter: Arc::new(|_| true),
        work: Work::Pull(PullPolicy {
            lock: LOCK,
            max_deliveries: 10,
            ttl: Duration::from_secs(7 * 86_400),
        }),
        dead_letters: DeadLetterPolicy::into_container("dead-letters"),
        ordered_by_subject: false,
        concurrency: 64,
        paused: false,
    }
}

fn start_with(
    world: &World,
    change: impl FnOnce(&mut SubscriptionOptions),
) -> (Subscription, Receiver) {
    let mut options = options();
    change(&mut options);
    let (log, storage) = (world.log.clone(), world.storage.clone());
    let subscription = Subscription::start(options, log, storage).unwrap();
    let receiver = subscription.receiver().unwrap();
    (subscription, receiver)
}

fn start(world: &World) -> (Subscription, Receiver) {
    start_with(world, |_| {})
}

async fn receive(receiver: &Receiver, max: usize) -> Vec<Received> {
    receiver.receive(max, LONG).await.unwrap()
}

/// What comes without waiting.
async fn at_once(receiver: &Receiver, max: usize) -> Vec<Received> {
    receiver.receive(max, Duration::ZERO).await.unwrap()
}

fn places(received: &[Received]) -> Vec<(u64, u32)> {
    let place = |r: &Received| (r.event.position.get(), r.delivery_count);
    received.iter().map(place).collect()
}

fn tokens(received: &[Received]) -> Vec<String> {
    received.iter().map(|r| r.lock_token.clone()).collect()
}

async fn settle(receiver: &Receiver, settlement: Settlement, received: &[Received]) -> Settled {
    receiver.settle(settlement, tokens(received)).await.unwrap()
}

#[track_caller]
fn all_done(settled: &Settled, count: usize) {
    assert_eq!(
        (settled.succeeded.len(), settled.failed.len()),
        (count, 0),
        "{settled:?}"
    );
}

#[track_caller]
fn all_lost(settled: &Settled) {
    assert!(settled.succeeded.is_empty(), "{settled:?}");
    assert!(
        settled.failed.iter().all(|(_, why)| *why == Refused::Lost),
        "{settled:?}"
    );
}

async fn letters(world: &World, count: usize) -> Vec<DeadLetter> {
    let list = || dead_letter::list(&world.log, &DeadLetterFilter::default()).unwrap();
    until(|| list().len() >= count).await;
    list()
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_does_not_come_again() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start(&world);
    world.publish(5, 2).await;
    let first = receive(&receiver, 3).await;
    assert_eq!(places(&first), [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(first[0].event.id, "1");
    let second = receive(&receiver, 100).await;
    assert_eq!(places(&second), [(4, 1), (5, 1)]);
    all_done(&settle(&receiver, Settlement::Acknowledge, &first).await, 3);
    assert_eq!(
        world.progress().pending.keys().copied().collect::<Vec<_>>(),
        [4, 5]
    );
    all_lost(&settle(&receiver, Settlement::Acknowledge, &first).await);
    let mut mixed = tokens(&second[..1]);
    mixed.extend([
        "x".to_owned(),
        mixed[0].clone(),
        "4-1-0000000000000000".to_owned(),
    ]);
    let settled = receiver
        .settle(Settlement::Acknowledge, mixed.clone())
        .await
        .unwrap();
    assert_eq!(settled.succeeded, mixed[..1]);
    let why: Vec<_> = settled.failed.iter().map(|(_, why)| *why).collect();
    assert_eq!(why, [Refused::Bad, Refused::Lost, Refused::Lost]);
    advance(LOCK).await;
    let again = receive(&receiver, 100).await;
    assert_eq!(places(&again), [(5, 2)]);
    all_done(&settle(&receiver, Settlement::Acknowledge, &again).await, 1);
    assert_eq!(
        (world.progress().upto, world.progress().pending.len()),
        (5, 0)
    );
    assert_eq!(subscription.stats().delivered, 5);
    subscription.stop().await;
    assert!(world.left_over().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_waits_for_an_event_or_for_the_end_of_its_wait() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start(&world);
    let waiting = tokio::spawn({
        let receiver = receiver.clone();
        async move { receiver.receive(10, Duration::from_secs(10)).await.unwrap() }
    });
    settle_down().await;
    advance(Duration::from_secs(10) - 2 * MS).await;
    settle_down().await;
    assert!(!waiting.is_finished());
    advance(3 * MS).await;
    assert!(waiting.await.unwrap().is_empty());

    let gone = tokio::spawn({
        let receiver = receiver.clone();
        async move { receive(&receiver, 10).await }
    });
    settle_down().await;
    gone.abort();
    let waiting = tokio::spawn({
        let receiver = receiver.clone();
        async move { receive(&receiver, 10).await }
    });
    settle_down().await;
    world.publish(1, 1).await;
    assert_eq!(
        places(&waiting.await.unwrap()),
        [(1, 1)],
        "not for the one that is gone"
    );

    let waiting = tokio::spawn({
        let receiver = receiver.clone();
        async move { receiver.receive(10, LONG).await }
    });
    settle_down().await;
    subscription.stop().await;
    assert!(waiting.await.unwrap().is_err());
    assert!(receiver.receive(1, LONG).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lock_ends_and_can_be_renewed() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start(&world);
    world.publish(1, 1).await;
    let first = receive(&receiver, 1).await;
    advance(LOCK - 2 * MS).await;
    assert!(at_once(&receiver, 1).await.is_empty());
    all_done(&settle(&receiver, Settlement::RenewLock, &first).await, 1);
    advance(LOCK - 2 * MS).await;
    assert!(at_once(&receiver, 1).await.is_empty());
    advance(2 * MS).await;
    all_lost(&settle(&receiver, Settlement::RenewLock, &first).await);
    let second = receive(&receiver, 1).await;
    assert_eq!(places(&second), [(1, 2)]);
    for settlement in [
        Settlement::Acknowledge,
        Settlement::Reject,
        Settlement::RenewLock,
        Settlement::Release(Duration::ZERO),
    ] {
        all_lost(&settle(&receiver, settlement, &first).await);
    }
    all_done(
        &settle(&receiver, Settlement::Acknowledge, &second).await,
        1,
    );
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_released_comes_again_after_its_wait() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start(&world);
    world.publish(2, 1).await;
    let first = receive(&receiver, 2).await;
    let release = |seconds| Settlement::Release(Duration::from_secs(seconds));
    all_done(&settle(&receiver, release(0), &first[..1]).await, 1);
    all_done(&settle(&receiver, release(600), &first[1..]).await, 1);
    let again = receive(&receiver, 2).await;
    assert_eq!(places(&again), [(1, 2)]);
    all_done(&settle(&receiver, Settlement::Acknowledge, &again).await, 1);
    advance(Duration::from_secs(600) - 2 * MS).await;
    assert_eq!(places(&at_once(&receiver, 2).await), []);
    advance(2 * MS).await;
    assert_eq!(places(&receive(&receiver, 2).await), [(2, 2)]);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_too_often_or_too_old_or_rejected_is_dead_lettered() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start_with(&world, |options| {
        options.work = Work::Pull(PullPolicy {
            lock: LOCK,
            max_deliveries: 2,
            ttl: 10 * LOCK,
        });
    });
    world.publish(4, 4).await;
    let first = receive(&receiver, 3).await;
    all_done(&settle(&receiver, Settlement::Reject, &first[..1]).await, 1);
    let rejected = letters(&world, 1).await.remove(0);
    assert_eq!(
        (rejected.position, rejected.reason.as_str()),
        (1, "Rejected")
    );
    assert_eq!(
        (rejected.attempts, rejected.last_outcome.as_str()),
        (1, "Rejected")
    );
    all_lost(&settle(&receiver, Settlement::Acknowledge, &first[..1]).await);

    advance(LOCK).await;
    until(|| subscription.stats().failed == 3).await;
    let second: Vec<_> = receive(&receiver, 3).await;
    assert_eq!(places(&second), [(4, 1), (2, 2), (3, 2)]);
    let release = Settlement::Release(Duration::from_secs(10));
    all_done(&settle(&receiver, release, &second[1..2]).await, 1);
    let all = letters(&world, 2).await;
    assert_eq!(
        (all[1].position, all[1].reason.as_str()),
        (2, "MaxDeliveryAttemptsExceeded")
    );
    advance(LOCK).await;
    let all = letters(&world, 3).await;
    assert_eq!(
        (all[2].position, all[2].last_outcome.as_str()),
        (3, "LockExpired")
    );

    advance(10 * LOCK).await;
    assert!(at_once(&receiver, 3).await.is_empty());
    let waiting = tokio::spawn({
        let receiver = receiver.clone();
        async move { receive(&receiver, 10).await }
    });
    let all = letters(&world, 4).await;
    assert_eq!(
        (all[3].position, all[3].reason.as_str()),
        (4, "TimeToLiveExceeded")
    );
    assert_eq!(all[3].attempts, 1);

    // Sent through again, it is of a generation without a time to live.
    dead_letter::replay(&world.log, &DeadLetterFilter::default())
        .await
        .unwrap();
    subscription.wake();
    let again = waiting.await.unwrap();
    assert!(again.iter().all(|r| r.delivery_count == 1));
    let mut all = again;
    while all.len() < 4 {
        all.extend(receive(&receiver, 4).await);
    }
    all_done(&settle(&receiver, Settlement::Acknowledge, &all).await, 4);
    subscription.stop().await;
    assert!(world.left_over().is_empty(), "{:?}", world.left_over());
    assert_eq!(world.progress().pending.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn locks_acknowledgements_and_counts_outlive_a_crash() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start(&world);
    world.publish(300, 7).await;
    let first = receive(&receiver, 4).await;
    all_done(
        &settle(&receiver, Settlement::Acknowledge, &first[..1]).await,
        1,
    );
    let release = Settlement::Release(Duration::from_secs(10));
    all_done(&settle(&receiver, release, &first[1..2]).await, 1);
    all_done(&settle(&receiver, Settlement::Reject, &first[3..]).await, 1);
    // What was only read ahead takes no room.
    assert!(
        world.progress().pending.len() <= 4,
        "{:?}",
        world.progress()
    );
    // All that was answered is in the journal as it is now: whatever the old one still does, a
    // journal cut off here is opened.
    let cut = world.journal.copy();
    drop((subscription, receiver));
    let world = World {
        journal: cut,
        ..world
    }
    .reopen();
    let (subscription, receiver) = start(&world);
    all_done(
        &settle(&receiver, Settlement::Acknowledge, &first[2..3]).await,
        1,
    );
    all_lost(&settle(&receiver, Settlement::Acknowledge, &first[..1]).await);
    let mut seen = BTreeMap::new();
    while seen.len() < 296 {
        let received = receive(&receiver, 100).await;
        all_done(
            &settle(&receiver, Settlement::Acknowledge, &received).await,
            received.len(),
        );
        for (position, count) in places(&received) {
            assert_eq!(seen.insert(position, count), None, "{position} came twice");
        }
    }
    assert_eq!(
        seen.keys().copied().collect::<Vec<_>>(),
        (5..=300).collect::<Vec<_>>()
    );
    advance(Duration::from_secs(10)).await;
    assert_eq!(
        places(&receive(&receiver, 100).await),
        [(2, 2)],
        "with a higher count"
    );
    assert_eq!(letters(&world, 1).await[0].position, 4);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_that_is_not_journaled() {
    let _still = still();
    let (world, fault) = World::new().await.with_faults(u64::MAX);
    let (subscription, receiver) = start(&world);
    world.publish(2, 1).await;
    let first = receive(&receiver, 1).await;
    fault.held.store(true, Ordering::SeqCst);
    let acknowledging = tokio::spawn({
        let (receiver, first) = (receiver.clone(), first.clone());
        async move {
            receiver
                .settle(Settlement::Acknowledge, tokens(&first))
                .await
        }
    });
    let receiving = tokio::spawn({
        let receiver = receiver.clone();
        async move { receive(&receiver, 1).await }
    });
    settle_down().await;
    assert!(!acknowledging.is_finished() && !receiving.is_finished());
    fault.held.store(false, Ordering::SeqCst);
    all_done(&acknowledging.await.unwrap().unwrap(), 1);
    let second = receiving.await.unwrap();
    fault.full.store(true, Ordering::SeqCst);
    let failed = receiver
        .settle(Settlement::Acknowledge, tokens(&second))
        .await;
    assert_eq!(failed.unwrap_err().kind(), foretell_types::ErrorKind::Full);
    fault.full.store(false, Ordering::SeqCst);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn receivers_that_compete_get_different_events() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start_with(&world, |options| {
        options.filter = Arc::new(|event: &NewEvent| !event.id.ends_with('3'));
    });
    world.publish(2_000, 50).await;
    let mut receivers = Vec::new();
    for number in 1..=8 {
        let receiver = receiver.clone();
        receivers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let received = receiver.receive(number * 3, 20 * MS).await.unwrap();
                if received.is_empty() {
                    return mine;
                }
                all_done(
                    &settle(&receiver, Settlement::Acknowledge, &received).await,
                    received.len(),
                );
                mine.extend(places(&received));
            }
        }));
    }
    until(|| subscription.stats().delivered == 1_800).await;
    while !receivers.iter().all(tokio::task::JoinHandle::is_finished) {
        advance(21 * MS).await;
        settle_down().await;
    }
    let mut seen = BTreeSet::new();
    for receiver in receivers {
        for (position, count) in receiver.await.unwrap() {
            assert!(seen.insert(position), "{position} came twice");
            assert_eq!(count, 1);
        }
    }
    let wanted: BTreeSet<u64> = (1..=2_000).filter(|n| n % 10 != 3).collect();
    assert_eq!(seen, wanted);
    assert_eq!(world.progress().pending.len(), 0);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_of_exceptions_receiving_waits() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start(&world);
    let limit = foretell_types::limits::SUBSCRIPTION_EXCEPTIONS;
    world.publish(limit as u64 + 50, 7).await;
    let mut held = Vec::new();
    while held.len() < limit {
        held.extend(receive(&receiver, 100).await);
    }
    assert_eq!(held.len(), limit);
    let waiting = tokio::spawn({
        let receiver = receiver.clone();
        async move { receive(&receiver, 100).await }
    });
    settle_down().await;
    assert!(!waiting.is_finished());
    all_done(
        &settle(&receiver, Settlement::Acknowledge, &held[..1]).await,
        1,
    );
    assert_eq!(places(&waiting.await.unwrap()), [(limit as u64 + 1, 1)]);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_subject_with_a_locked_event_waits_if_it_shall() {
    let _still = still();
    let world = World::new().await;
    let (subscription, receiver) = start_with(&world, |options| {
        options.ordered_by_subject = true;
    });
    world
        .append((1..=6).map(|n| event(n, Some(format!("s{}", n % 2)))))
        .await;
    let first = receive(&receiver, 100).await;
    assert_eq!(places(&first), [(1, 1), (2, 1)]);
    all_done(
        &settle(&receiver, Settlement::Acknowledge, &first[1..]).await,
        1,
    );
    assert_eq!(places(&receive(&receiver, 100).await), [(4, 1)]);
    all_done(&settle(&receiver, Settlement::Reject, &first[..1]).await, 1);
    assert_eq!(
        places(&receive(&receiver, 100).await),
        [(3, 1)],
        "after the dead letter"
    );
    subscription.stop().await;
}
