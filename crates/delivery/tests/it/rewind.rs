//! Beginning in the past, going back, pausing. Time is paused and advanced.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Recorder, WORK, World, busy, event, settle_down, still, until};
use foretell_delivery::dead_letter::{self, DeadLetterFilter};
use foretell_delivery::{
    Failure, FailureKind, Outcome, PullPolicy, Settlement, Subscription, Work, create, rewind,
};
use foretell_log::Append;
use foretell_types::{ErrorKind, Position};
use tokio::time::advance;

/// What was delivered: position, whether as a replay, and the id of the invocation.
type Seen = Arc<Mutex<Vec<(u64, bool, uuid::Uuid)>>>;

/// Fails the events of subject `s0` while it is told to.
fn noting() -> (Arc<Recorder>, Seen, Arc<AtomicBool>) {
    let (seen, failing) = (Seen::default(), Arc::new(AtomicBool::new(false)));
    let (note, fails) = (seen.clone(), failing.clone());
    let handler = Recorder::at_once(move |invocation| {
        if fails.load(Ordering::SeqCst) && invocation.event.subject.as_deref() == Some("s0") {
            return Err(busy());
        }
        let position = invocation.event.position.get();
        let call = (position, invocation.replayed, invocation.id);
        note.lock().unwrap().push(call);
        Ok(Outcome::default())
    });
    (handler, seen, failing)
}

fn flags(seen: &Seen) -> Vec<(u64, bool)> {
    seen.lock().unwrap().iter().map(|s| (s.0, s.1)).collect()
}

async fn go_back(world: &World, after: u64) -> foretell_types::Result<()> {
    let head = Position::as_count(world.log.head("shop").unwrap());
    let append = rewind(Append::new(), &world.log, "shop", "work", after, head)?;
    world.log.append(append)?.await.map(|_| ())
}

#[tokio::test(start_paused = true)]
async fn history_is_a_replay_and_what_comes_after_is_not() {
    let _still = still();
    let world = World::new().await;
    world.publish(5, 1).await;
    let anew = create(Append::new(), "shop", "work", 2, 5, WORK);
    world.log.append(anew).unwrap().await.unwrap();
    let (handler, seen, _) = noting();
    let subscription = world.start(&handler);
    world.until_settled(5).await;
    // Half way through a restart nothing is forgotten either.
    subscription.stop().await;
    let subscription = world.start(&handler);
    world.append([event(6, None)]).await;
    world.until_settled(6).await;
    assert_eq!(flags(&seen), [(3, true), (4, true), (5, true), (6, false)]);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rewind_delivers_again_in_a_new_generation() {
    let _still = still();
    let world = World::new().await;
    let (handler, seen, failing) = noting();
    // s1, s2, s0, s1, s2, s0: the two of s0 fail.
    world.publish(6, 3).await;
    failing.store(true, Ordering::SeqCst);
    let subscription = world.start(&handler);
    until(|| {
        world
            .progress()
            .pending
            .get(&3)
            .is_some_and(|p| p.attempts == 1)
    })
    .await;
    until(|| seen.lock().unwrap().len() == 4).await;
    subscription.stop().await;
    go_back(&world, 3).await.unwrap();
    let progress = world.progress();
    assert_eq!(progress.upto, 3);
    // The retry before the place goes on as it was.
    assert_eq!(progress.pending.keys().copied().collect::<Vec<_>>(), [3]);
    assert_eq!(progress.pending[&3].attempts, 1);
    assert_eq!(progress.pending[&3].generation, 0);
    let world = world.reopen();
    failing.store(false, Ordering::SeqCst);
    let subscription = world.start(&handler);
    world.append([event(7, None)]).await;
    until(|| seen.lock().unwrap().len() == 7).await;
    advance(Duration::from_secs(10)).await;
    world.until_settled(7).await;
    let mut after = flags(&seen)[4..].to_vec();
    // 6 waits for 3, which is of its subject.
    assert_eq!(after.split_off(3), [(3, false), (6, true)]);
    after.sort_unstable();
    assert_eq!(after, [(4, true), (5, true), (7, false)]);
    let mut ids: BTreeMap<u64, Vec<uuid::Uuid>> = BTreeMap::new();
    for (position, _, id) in seen.lock().unwrap().iter() {
        ids.entry(*position).or_default().push(*id);
    }
    assert_eq!(ids[&4].len(), 2);
    assert_ne!(ids[&4][0], ids[&4][1], "another generation");
    subscription.stop().await;
    // Time stands still; each is a generation of its own all the same.
    let mut last = world.progress().generation;
    for _ in 0..2 {
        go_back(&world, 0).await.unwrap();
        assert!(world.progress().generation > last);
        last = world.progress().generation;
    }
    let ahead = go_back(&world, 1).await.unwrap_err();
    assert_eq!(ahead.kind(), ErrorKind::Invalid);
    assert!(ahead.message().contains("position 2 lies ahead"), "{ahead}");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_were_sent_again_go_with_the_rewind() {
    let _still = still();
    let world = World::new().await;
    let refuses = Arc::new(AtomicBool::new(true));
    let tell = refuses.clone();
    let handler = Recorder::at_once(move |_| match tell.load(Ordering::SeqCst) {
        true => Err(Failure {
            permanent: true,
            ..Failure::new(FailureKind::BadRequest, "no")
        }),
        false => Ok(Outcome::default()),
    });
    world.publish(2, 2).await;
    let subscription = world.start(&handler);
    world.until_settled(2).await;
    subscription.stop().await;
    let all = DeadLetterFilter::default();
    let sent = dead_letter::replay(&world.log, &all).await.unwrap();
    assert_eq!(sent.len(), 2);
    go_back(&world, 1).await.unwrap();
    assert_eq!(world.left_over().len(), 1, "that of position 1 stays");
    refuses.store(false, Ordering::SeqCst);
    let before = handler.count();
    let subscription = world.start(&handler);
    until(|| world.left_over().is_empty()).await;
    world.until_settled(2).await;
    let mut again = handler.positions()[before..].to_vec();
    again.sort_unstable();
    assert_eq!(again, [1, 2], "each once");
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_has_no_time_to_live_and_what_is_new_has() {
    let _still = still();
    let world = World::new().await;
    let handler = Recorder::at_once(|_| Err(busy()));
    world.publish(1, 1).await;
    advance(Duration::from_secs(86_400)).await;
    go_back(&world, 0).await.unwrap();
    let short = |options: &mut foretell_delivery::SubscriptionOptions| {
        crate::support::retry(options).ttl_minutes = 1;
        crate::support::retry(options).max_attempts = 3;
    };
    let subscription = world.start_with(&handler, short);
    world.append([event(2, Some("other".into()))]).await;
    let list = || dead_letter::list(&world.log, &DeadLetterFilter::default()).unwrap();
    let tried = |position, attempts| {
        let progress = world.progress();
        let pending = progress.pending.get(&position);
        pending.is_some_and(|p| p.attempts == attempts)
    };
    until(|| tried(1, 1) && tried(2, 1)).await;
    advance(Duration::from_secs(90)).await;
    until(|| tried(1, 2) && list().len() == 1).await;
    advance(Duration::from_secs(30)).await;
    until(|| list().len() == 2).await;
    let reasons: Vec<_> = list().into_iter().map(|l| (l.position, l.reason)).collect();
    assert_eq!(
        reasons,
        [
            (2, "TimeToLiveExceeded".to_owned()),
            (1, "MaxDeliveryAttemptsExceeded".to_owned())
        ]
    );
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_delivered_while_paused_and_all_of_it_after() {
    let _still = still();
    let world = World::new().await;
    let (handler, seen, failing) = noting();
    failing.store(true, Ordering::SeqCst);
    world.append([event(1, Some("s0".into()))]).await;
    let subscription = world.start(&handler);
    until(|| {
        world
            .progress()
            .pending
            .get(&1)
            .is_some_and(|p| p.attempts == 1)
    })
    .await;
    subscription.stop().await;
    failing.store(false, Ordering::SeqCst);
    let subscription = world.start_with(&handler, |options| options.paused = true);
    world.append([event(2, None)]).await;
    // Far beyond the retry that is due.
    advance(Duration::from_secs(3_600)).await;
    let asked = world.asked.load(Ordering::Relaxed);
    settle_down().await;
    assert!(world.asked.load(Ordering::Relaxed) < asked + 5, "it rests");
    assert_eq!((handler.count(), world.progress().upto), (1, 1));
    subscription.stop().await;
    let subscription = world.start(&handler);
    world.until_settled(2).await;
    assert_eq!(flags(&seen).len(), 2);
    subscription.stop().await;
}

fn pulled(world: &World, paused: bool) -> Subscription {
    let mut options = crate::support::options(Recorder::fine());
    options.work = Work::Pull(PullPolicy {
        lock: Duration::from_secs(60),
        max_deliveries: 10,
        ttl: Duration::from_secs(3_600),
    });
    options.ordered_by_subject = false;
    options.paused = paused;
    Subscription::start(options, world.log.clone(), world.storage.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_receivers_hold_they_can_settle_while_paused() {
    let _still = still();
    let world = World::new().await;
    world.publish(4, 4).await;
    let subscription = pulled(&world, false);
    let wait = Duration::from_secs(10);
    let receiver = subscription.receiver().unwrap();
    let held = receiver.receive(2, wait).await.unwrap();
    assert_eq!(held.len(), 2);
    subscription.stop().await;
    let subscription = pulled(&world, true);
    let receiver = subscription.receiver().unwrap();
    let one = receiver
        .settle(Settlement::Acknowledge, vec![held[0].lock_token.clone()])
        .await
        .unwrap();
    assert_eq!(one.succeeded.len(), 1);
    let asking = tokio::spawn(async move { receiver.receive(2, wait).await });
    settle_down().await;
    assert!(!asking.is_finished(), "it waits as without events");
    advance(wait).await;
    assert!(asking.await.unwrap().unwrap().is_empty());
    subscription.stop().await;
    // The lock of the other ends with the rewind.
    go_back(&world, 0).await.unwrap();
    let subscription = pulled(&world, false);
    let receiver = subscription.receiver().unwrap();
    let lost = receiver
        .settle(Settlement::Acknowledge, vec![held[1].lock_token.clone()])
        .await
        .unwrap();
    assert_eq!(lost.failed.len(), 1);
    let again = receiver.receive(9, wait).await.unwrap();
    let positions = again.iter().map(|one| one.event.position.get());
    assert_eq!(positions.collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(again.iter().all(|one| one.delivery_count == 1));
    subscription.stop().await;
}
