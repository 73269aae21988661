//! Several events in a call: all of what is ready, in order, with one outcome.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::http::{Answer, serve};
use crate::support::{World, event, options, settle_down, still, until};
use async_trait::async_trait;
use foretell_delivery::{
    Batch, BatchHandler, Failure, FailureKind, Handler, Invocation, Outcome, STOP_GRACE,
    Subscription, Webhook, WebhookSchema,
};
use foretell_types::{Data, NewEvent, RecordedEvent};
use tokio::sync::Semaphore;

type Judge = dyn Fn(&[u64], u32) -> Result<(), Failure> + Send + Sync;

/// Records its batches: the positions, and the attempts before of the first.
struct Batches {
    batch: Batch,
    calls: Mutex<Vec<(Vec<u64>, u32)>>,
    gate: Semaphore,
    judge: Box<Judge>,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("batches")
    }
}

impl Batches {
    fn new(
        batch: Batch,
        judge: impl Fn(&[u64], u32) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Arc<Batches> {
        Arc::new(Batches {
            batch,
            calls: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            judge: Box::new(judge),
        })
    }

    fn calls(&self) -> Vec<(Vec<u64>, u32)> {
        self.calls.lock().unwrap().clone()
    }

    fn positions(&self) -> Vec<u64> {
        self.calls().into_iter().flat_map(|(all, _)| all).collect()
    }
}

#[async_trait]
impl Handler for Batches {
    async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure> {
        self.handle_batch(vec![invocation]).await?;
        Ok(Outcome::default())
    }

    fn batches(&self) -> Option<&dyn BatchHandler> {
        Some(self)
    }
}

#[async_trait]
impl BatchHandler for Batches {
    fn batch(&self) -> Batch {
        self.batch
    }

    fn fit(&self, one: &RecordedEvent, other: &RecordedEvent) -> bool {
        one.event_type == other.event_type
    }

    async fn handle_batch(&self, batch: Vec<Invocation>) -> Result<(), Failure> {
        let positions = batch.iter().map(|one| one.event.position.get()).collect();
        let call: (Vec<u64>, u32) = (positions, batch[0].attempts);
        self.calls.lock().unwrap().push(call.clone());
        self.gate.acquire().await.unwrap().forget();
        (self.judge)(&call.0, call.1)
    }
}

fn of(max_events: u32, preferred_kilobytes: u32) -> Batch {
    Batch {
        max_events,
        preferred_kilobytes,
    }
}

fn start(world: &World, handler: &Arc<Batches>, concurrency: usize) -> Subscription {
    let mut options = options(handler.clone());
    options.concurrency = concurrency;
    Subscription::start(options, world.log.clone(), world.storage.clone()).unwrap()
}

#[tokio::test]
async fn what_is_ready_goes_together() {
    let world = World::new().await;
    world.publish(1_000, 7).await;
    let handler = Batches::new(of(300, 1_024), |_, _| Ok(()));
    let subscription = start(&world, &handler, 1);
    world.until_settled(1_000).await;
    subscription.stop().await;
    let calls = handler.calls();
    assert!(calls.iter().all(|(batch, _)| batch.len() <= 300));
    assert!(calls.len() < 10, "{} calls", calls.len());
    let mut last: HashMap<u64, u64> = HashMap::new();
    for position in handler.positions() {
        let before = last.insert(position % 7, position).unwrap_or(0);
        assert!(before < position, "{position} came after {before}");
    }
    assert_eq!(handler.positions().len(), 1_000, "each once");
    assert!(world.left_over().is_empty());
}

#[tokio::test]
async fn one_event_does_not_wait_for_more() {
    let world = World::new().await;
    let handler = Batches::new(of(5_000, 64), |_, _| Ok(()));
    let subscription = start(&world, &handler, 64);
    for number in 1..=3 {
        world.append([event(number, Some("s".into()))]).await;
        until(|| handler.calls().len() as u64 == number).await;
    }
    subscription.stop().await;
    assert_eq!(handler.positions(), [1, 2, 3]);
}

#[tokio::test]
async fn the_size_is_kept_to_and_a_large_event_goes_alone() {
    let world = World::new().await;
    let sized = |number: u64, bytes: usize| NewEvent {
        data: Data::Json(format!("\"{}\"", "x".repeat(bytes))),
        ..event(number, None)
    };
    let sizes = [600, 600, 9_000, 100, 100, 100, 600];
    let events = sizes
        .iter()
        .zip(1..)
        .map(|(size, number)| sized(number, *size));
    world.append(events).await;
    // Of another kind, as an event in another schema is.
    let other = NewEvent {
        event_type: "other".into(),
        ..sized(8, 10)
    };
    world.append([other]).await;
    let handler = Batches::new(of(10, 2), |_, _| Ok(()));
    let subscription = start(&world, &handler, 1);
    world.until_settled(8).await;
    subscription.stop().await;
    let batches: Vec<_> = handler
        .calls()
        .into_iter()
        .map(|(batch, _)| batch)
        .collect();
    assert_eq!(batches, [vec![1, 2], vec![3], vec![4, 5, 6, 7], vec![8]]);
}

#[tokio::test(start_paused = true)]
async fn all_of_a_batch_fail_together_and_come_again_together() {
    let _still = still();
    let world = World::new().await;
    world.publish(6, 2).await;
    let handler = Batches::new(of(4, 64), |batch, attempts| match (batch.len(), attempts) {
        (4, 0 | 1) => Err(Failure::new(FailureKind::Busy, "busy")),
        // Their events are lost with the call: they are read again, and go one by one.
        (4, 2) => panic!("a handler that panics has failed"),
        _ => Ok(()),
    });
    let subscription = start(&world, &handler, 1);
    for wait in [10, 30, 60] {
        let due = |world: &World| {
            world
                .progress()
                .pending
                .values()
                .filter(|p| p.due_ms > 0)
                .count()
        };
        until(|| due(&world) == 4).await;
        let before = handler.calls().len();
        tokio::time::advance(Duration::from_secs(wait)).await;
        until(|| handler.calls().len() > before).await;
    }
    world.until_settled(6).await;
    let stats = subscription.stats();
    subscription.stop().await;
    let calls = handler.calls();
    let mut first = calls[0].0.clone();
    assert_eq!(first.len(), 4);
    let again = calls.iter().filter(|(batch, _)| *batch == first);
    let attempts: Vec<u32> = again.map(|(_, attempts)| *attempts).collect();
    assert_eq!(attempts, [0, 1, 2], "{calls:?}");
    assert_eq!((stats.delivered, stats.failed), (6, 12));
    // Who was in no failed batch came once; each subject in its order.
    first.sort_unstable();
    for (batch, _) in &calls {
        assert!(batch.is_sorted(), "{calls:?}");
    }
    for subject in 0..2 {
        let of = |position: &u64| position % 2 == subject && !first.contains(position);
        let rest: Vec<u64> = handler.positions().into_iter().filter(of).collect();
        assert!(
            rest.is_sorted()
                && rest.len() == 3 - first.iter().filter(|p| *p % 2 == subject).count()
        );
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_buried_one_by_one() {
    let world = World::new().await;
    world.publish(5, 1).await;
    let handler = Batches::new(of(3, 64), |batch, _| match batch.contains(&2) {
        true => Err(Failure {
            permanent: true,
            ..Failure::new(FailureKind::BadRequest, "no")
        }),
        false => Ok(()),
    });
    let subscription = start(&world, &handler, 1);
    world.until_settled(5).await;
    let stats = subscription.stats();
    subscription.stop().await;
    assert_eq!((stats.delivered, stats.dead_lettered), (2, 3));
    let filter = foretell_delivery::DeadLetterFilter::default();
    let letters = foretell_delivery::dead_letter::list(&world.log, &filter).unwrap();
    let positions: Vec<u64> = letters.iter().map(|letter| letter.position).collect();
    assert_eq!(positions, [1, 2, 3]);
    // Those that are replayed go in a batch of their own.
    let handler = Batches::new(of(9, 64), |_, _| Ok(()));
    foretell_delivery::dead_letter::replay(&world.log, &filter)
        .await
        .unwrap();
    let subscription = start(&world, &handler, 1);
    until(|| handler.positions().len() == 3).await;
    subscription.stop().await;
    assert_eq!(handler.positions(), [1, 2, 3]);
    assert!(world.left_over().is_empty(), "{:?}", world.left_over());
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_comes_again_after_a_stop() {
    let _still = still();
    let world = World::new().await;
    world.publish(40, 3).await;
    let stuck = Batches::new(of(7, 64), |_, _| Ok(()));
    stuck.gate.forget_permits(usize::MAX);
    stuck.gate.add_permits(2);
    let subscription = start(&world, &stuck, 2);
    until(|| stuck.calls().len() == 4).await;
    let stopped = tokio::spawn(subscription.stop());
    settle_down().await;
    assert!(!stopped.is_finished());
    tokio::time::advance(STOP_GRACE).await;
    stopped.await.unwrap();
    assert_eq!(world.progress().pending.len(), 26);
    let world = world.reopen();
    let handler = Batches::new(of(7, 64), |_, _| Ok(()));
    let subscription = start(&world, &handler, 2);
    world.until_settled(40).await;
    subscription.stop().await;
    let done: Vec<u64> = stuck.positions().into_iter().take(14).collect();
    let mut all = handler.positions();
    assert!(
        done.iter().all(|position| !all.contains(position)),
        "{done:?}"
    );
    all.extend(done);
    all.sort_unstable();
    assert_eq!(all, (1..=40).collect::<Vec<u64>>());
}

#[tokio::test]
async fn what_is_replayed_goes_in_the_order_in_which_it_was_asked_for() {
    let world = World::new().await;
    world.publish(2, 1).await;
    let refuse = |_: &[u64], _| {
        Err(Failure {
            permanent: true,
            ..Failure::new(FailureKind::BadRequest, "no")
        })
    };
    let subscription = start(&world, &Batches::new(of(1, 64), refuse), 1);
    world.until_settled(2).await;
    subscription.stop().await;
    let handler = Batches::new(of(9, 64), |_, _| Ok(()));
    handler.gate.forget_permits(usize::MAX);
    let subscription = start(&world, &handler, 1);
    world.append([event(3, Some("s0".into()))]).await;
    until(|| handler.calls().len() == 1).await;
    for (position, waiting) in [(2, 2), (1, 3)] {
        let filter = foretell_delivery::DeadLetterFilter {
            position: Some(position),
            ..Default::default()
        };
        let sent = foretell_delivery::dead_letter::replay(&world.log, &filter).await;
        assert_eq!(sent.unwrap().len(), 1);
        subscription.wake();
        until(|| subscription.stats().pending == waiting).await;
    }
    world.append([event(4, Some("s0".into()))]).await;
    until(|| subscription.stats().pending == 4).await;
    handler.gate.add_permits(10);
    world.until_settled(4).await;
    subscription.stop().await;
    let batches: Vec<_> = handler
        .calls()
        .into_iter()
        .map(|(batch, _)| batch)
        .collect();
    assert_eq!(batches, [vec![3], vec![2, 1], vec![4]]);
}

#[test]
fn batches_have_limits() {
    for wrong in [of(0, 64), of(5_001, 64), of(1, 0), of(1, 1_025)] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
    of(5_000, 1_024).check().unwrap();
}

/// The requests of a webhook with this schema for 20 events of which one came alone.
async fn sent(schema: WebhookSchema) -> Vec<crate::support::http::Request> {
    let world = World::new().await;
    world.publish(20, 4).await;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let server = serve(Answer::Bytes(answer)).await;
    let webhook = Webhook::new(&server.url).unwrap();
    let webhook = webhook.with_schema(schema).with_batch(of(19, 64));
    let mut options = options(Arc::new(webhook));
    options.concurrency = 1;
    let started = Subscription::start(options, world.log.clone(), world.storage.clone());
    world.until_settled(20).await;
    started.unwrap().stop().await;
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 2);
    requests
}

#[tokio::test]
async fn a_webhook_gets_an_array() {
    for (schema, content_type) in [
        (WebhookSchema::EventGrid, "application/json; charset=utf-8"),
        (
            WebhookSchema::CloudEvents,
            "application/cloudevents-batch+json; charset=utf-8",
        ),
    ] {
        let mut ids = Vec::new();
        for (request, count) in sent(schema).await.iter().zip([19, 1]) {
            assert_eq!(request.header("content-type"), Some(content_type));
            assert_eq!(request.header("aeg-event-type"), Some("Notification"));
            let one = request.header("aeg-output-event-id").is_some();
            assert_eq!(one, count == 1);
            let body: Vec<serde_json::Value> = serde_json::from_str(&request.body).unwrap();
            assert_eq!(body.len(), count);
            ids.extend(body.iter().map(|e| e["id"].as_str().unwrap().to_owned()));
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 20);
    }
}
