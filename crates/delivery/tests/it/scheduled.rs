//! Events that are not delivered before a time. Time is paused and advanced.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Recorder, World, busy, event, settle_down, still, until};
use foretell_delivery::dead_letter::{self, DeadLetterFilter};
use foretell_delivery::{Outcome, PullPolicy, Settlement, Subscription, Work};
use foretell_types::limits::SUBSCRIPTION_EXCEPTIONS;
use foretell_types::{ExtensionValue, Instant, NOT_BEFORE, NewEvent, Timestamp};
use tokio::time::advance;

/// An event that is due so many milliseconds after the tests begin.
fn scheduled(number: u64, subject: Option<&str>, after_ms: i64) -> NewEvent {
    let mut event = event(number, subject.map(str::to_owned));
    let begin = Instant::from_nanos(1_700_000_000_000_000_000);
    let time = Timestamp::from_instant(begin.plus_nanos(after_ms * 1_000_000));
    event.set_extension(NOT_BEFORE, ExtensionValue::String(time.to_string()));
    event
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_its_time_and_its_subject_with_it() {
    let _still = still();
    let world = World::new().await;
    let handler = Recorder::fine();
    world
        .append([
            scheduled(1, Some("a"), 60_000),
            event(2, Some("a".into())),
            event(3, Some("b".into())),
            scheduled(4, None, 60_000),
            event(5, None),
            scheduled(6, Some("b"), -1),
        ])
        .await;
    let subscription = world.start(&handler);
    until(|| handler.count() == 3).await;
    until(|| world.progress().upto == 6).await;
    let mut first = handler.positions();
    first.sort_unstable();
    assert_eq!(first, [3, 5, 6], "what is past is no schedule");
    let stats = subscription.stats();
    assert_eq!((stats.pending, stats.waiting), (3, 2));
    // A restart keeps the time.
    subscription.stop().await;
    assert_eq!(world.progress().pending[&1].due_ms, 1_700_000_060_000);
    let world = world.reopen();
    let subscription = world.start(&handler);
    advance(Duration::from_secs(59)).await;
    settle_down().await;
    assert_eq!(handler.count(), 3);
    advance(Duration::from_millis(1_001)).await;
    world.until_settled(6).await;
    let then = handler.positions()[3..].to_vec();
    let of_a: Vec<u64> = then.iter().copied().filter(|p| *p < 3).collect();
    assert_eq!((of_a, then.len()), (vec![1, 2], 3));
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn its_life_begins_when_it_is_due() {
    let _still = still();
    let world = World::new().await;
    let handler = Recorder::at_once(|_| Err(busy()));
    let day = 86_400_000;
    world.append([scheduled(1, None, 2 * day)]).await;
    let subscription = world.start_with(&handler, |options| {
        crate::support::retry(options).ttl_minutes = 1;
    });
    until(|| subscription.stats().pending == 1).await;
    advance(Duration::from_millis(2 * day as u64 + 1)).await;
    until(|| handler.count() == 1).await;
    for (seconds, calls) in [(10, 2), (30, 3)] {
        until(|| {
            world
                .progress()
                .pending
                .get(&1)
                .is_some_and(|p| p.attempts == calls - 1)
        })
        .await;
        advance(Duration::from_secs(seconds)).await;
        until(|| handler.count() == calls as usize).await;
    }
    until(|| {
        world
            .progress()
            .pending
            .get(&1)
            .is_some_and(|p| p.attempts == 3)
    })
    .await;
    advance(Duration::from_secs(60)).await;
    world.until_settled(1).await;
    let letters = dead_letter::list(&world.log, &DeadLetterFilter::default()).unwrap();
    assert_eq!(letters[0].reason, "TimeToLiveExceeded");
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn so_many_that_reading_stops_are_all_delivered() {
    let _still = still();
    let world = World::new().await;
    let count = SUBSCRIPTION_EXCEPTIONS as u64 + 500;
    let handler = Recorder::fine();
    world
        .append((1..=count).map(|number| scheduled(number, None, 600_000 + number as i64)))
        .await;
    world.append([event(count + 1, None)]).await;
    let subscription = world.start(&handler);
    until(|| subscription.stats().pending == SUBSCRIPTION_EXCEPTIONS as u64).await;
    settle_down().await;
    assert_eq!(handler.count(), 0, "reading stops at the limit");
    assert_eq!(subscription.stats().upto, SUBSCRIPTION_EXCEPTIONS as u64);
    advance(Duration::from_secs(700)).await;
    world.until_settled(count + 1).await;
    let mut all = handler.positions();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=count + 1));
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn batches_leave_out_what_is_not_due() {
    let _still = still();
    let world = World::new().await;
    let server = crate::support::http::serve(crate::support::http::Answer::Bytes(
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    world
        .append([
            event(1, Some("a".into())),
            scheduled(2, Some("a"), 5_000),
            event(3, Some("a".into())),
            event(4, None),
        ])
        .await;
    let hook = foretell_delivery::Webhook::new(&server.url).unwrap();
    let hook = hook.with_batch(foretell_delivery::Batch {
        max_events: 10,
        ..Default::default()
    });
    let options = crate::support::options(Arc::new(hook));
    let subscription =
        Subscription::start(options, world.log.clone(), world.storage.clone()).unwrap();
    let ids = || {
        let requests = server.requests.lock().unwrap();
        let bodies = requests.iter().map(|request| request.body.clone());
        bodies
            .flat_map(|body| serde_json::from_str::<Vec<serde_json::Value>>(&body).unwrap())
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    until(|| ids().len() == 2).await;
    settle_down().await;
    assert_eq!(ids(), ["1", "4"]);
    advance(Duration::from_millis(5_001)).await;
    world.until_settled(4).await;
    assert_eq!(ids(), ["1", "4", "2", "3"]);
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn receivers_do_not_get_it_before() {
    let _still = still();
    for ordered in [false, true] {
        let world = World::new().await;
        world
            .append([
                scheduled(1, Some("a"), 3_600_000),
                event(2, Some("a".into())),
                event(3, Some("b".into())),
            ])
            .await;
        let start = || {
            let mut options = crate::support::options(Recorder::fine());
            options.work = Work::Pull(PullPolicy {
                lock: Duration::from_secs(60),
                max_deliveries: 2,
                // Of the first shorter than its schedule.
                ttl: Duration::from_secs(if ordered { 7_200 } else { 600 }),
            });
            options.ordered_by_subject = ordered;
            Subscription::start(options, world.log.clone(), world.storage.clone()).unwrap()
        };
        let subscription = start();
        let positions = async |subscription: &Subscription| {
            let receiver = subscription.receiver().unwrap();
            let got = receiver.receive(9, Duration::from_secs(5)).await.unwrap();
            let tokens = got.iter().map(|one| one.lock_token.clone()).collect();
            let positions: Vec<u64> = got.iter().map(|one| one.event.position.get()).collect();
            receiver
                .settle(Settlement::Acknowledge, tokens)
                .await
                .unwrap();
            positions
        };
        let expected = if ordered { vec![3] } else { vec![2, 3] };
        assert_eq!(positions(&subscription).await, expected);
        subscription.stop().await;
        let subscription = start();
        advance(Duration::from_secs(3_601)).await;
        assert_eq!(positions(&subscription).await, [1]);
        if ordered {
            assert_eq!(positions(&subscription).await, [2]);
        }
        subscription.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_rewind_what_is_past_is_delivered_at_once() {
    let _still = still();
    let world = World::new().await;
    let replayed: Arc<Mutex<Vec<bool>>> = Arc::default();
    let note = replayed.clone();
    let calls = Arc::new(AtomicBool::new(false));
    let handler = Recorder::at_once(move |invocation| {
        calls.store(true, Ordering::SeqCst);
        note.lock().unwrap().push(invocation.replayed);
        Ok(Outcome::default())
    });
    world.append([scheduled(1, None, 1_000)]).await;
    let subscription = world.start(&handler);
    until(|| subscription.stats().pending == 1).await;
    advance(Duration::from_millis(1_001)).await;
    world.until_settled(1).await;
    subscription.stop().await;
    let append = foretell_delivery::rewind(
        foretell_log::Append::new(),
        &world.log,
        "shop",
        "work",
        0,
        1,
    );
    world.log.append(append.unwrap()).unwrap().await.unwrap();
    let subscription = world.start(&handler);
    world.until_settled(1).await;
    assert_eq!(*replayed.lock().unwrap(), [false, true]);
    subscription.stop().await;
}
