//! The first completed outcome counts, whatever crashes when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::{Recorder, WORK, World, busy, event, outputs, until};
use foretell_delivery::create;
use foretell_delivery::dead_letter::{self, DeadLetterFilter};
use foretell_log::{Append, ReadOptions};
use foretell_types::{ExtensionValue, NewEvent};

/// Answers with a number that is another at every call.
fn counting(counter: &Arc<AtomicU64>) -> Arc<Recorder> {
    let counter = counter.clone();
    Recorder::at_once(move |invocation| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        match number % 5 {
            4 => Err(busy()),
            _ => Ok(outputs(invocation, &number.to_string())),
        }
    })
}

async fn blob(world: &World, name: &str) -> String {
    let blob = world.storage.get("results", name).await.unwrap().unwrap();
    String::from_utf8(blob.to_vec()).unwrap()
}

#[test]
fn a_journaled_outcome_is_applied_after_a_crash_and_nothing_called() {
    let setup = tokio::runtime::Runtime::new().unwrap();
    let world = setup.block_on(async {
        let world = World::new().await;
        world.publish(1, 1).await;
        world
    });
    let counter = Arc::new(AtomicU64::new(0));
    // The outcome can't be applied: a file lies where the container's folder must be.
    let obstacle = world.folder.path().join("results");
    std::fs::write(&obstacle, "x").unwrap();
    let life = tokio::runtime::Runtime::new().unwrap();
    life.block_on(async {
        let subscription = world.start(&counting(&counter));
        until(|| subscription.stats().failed == 1).await;
    });
    life.shutdown_timeout(std::time::Duration::from_secs(10));
    assert_eq!(world.left_over(), ["subscription/shop/work/outcome/1/0"]);
    std::fs::remove_file(&obstacle).unwrap();
    let world = world.reopen();
    // As if nothing at all had been journaled after the outcome.
    let forgotten = create(Append::new(), "shop", "work", 0, 0, WORK);
    setup.block_on(async {
        world.log.append(forgotten).unwrap().await.unwrap();
        let subscription = world.start(&counting(&counter));
        world.until_settled(1).await;
        assert_eq!(subscription.stats().delivered, 1);
        subscription.stop().await;
        assert_eq!(counter.load(Ordering::SeqCst), 1, "called once");
        assert_eq!(blob(&world, "1.txt").await, "0");
        assert!(world.left_over().is_empty());
    });
}

/// Runs until the journal fails or all is done; gives the journal as the crash left it.
fn one_life(world: World, left: u64, counter: &Arc<AtomicU64>, seed: u64) -> (World, bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1 + seed as usize % 2)
        .enable_all()
        .build()
        .unwrap();
    let (world, fault) = world.with_faults(left);
    let subscription = {
        let _inside = runtime.enter();
        world.start_with(&counting(counter), |options| {
            options.concurrency = 1 + seed as usize % 16;
            crate::support::retry(options).schedule = vec![std::time::Duration::from_millis(1)];
        })
    };
    let is_done = || {
        let progress = world.progress();
        progress.upto == EVENTS && progress.pending.is_empty()
    };
    runtime.block_on(until(|| fault.has_failed() || is_done()));
    let done = is_done() && !fault.has_failed();
    // Tasks are dropped where they stand.
    runtime.shutdown_timeout(std::time::Duration::from_secs(10));
    drop(subscription);
    (world, done)
}

const EVENTS: u64 = 60;

#[test]
fn crashes_at_any_moment_leave_one_outcome_per_event() {
    let setup = tokio::runtime::Runtime::new().unwrap();
    for seed in 0..40 {
        let mut world = setup.block_on(async {
            let world = World::new().await;
            world.publish(EVENTS, 7).await;
            world
        });
        let counter = Arc::new(AtomicU64::new(0));
        let (mut lives, mut done) = (0, false);
        while !done {
            lives += 1;
            let left = match lives {
                1..20 => 1 + (seed * 7 + lives * 13) % 23,
                _ => u64::MAX,
            };
            (world, done) = one_life(world, left, &counter, seed + lives);
        }
        setup.block_on(check(&world.reopen(), seed));
    }
}

/// Blob and event of each position tell the same number, each number once.
async fn check(world: &World, seed: u64) {
    let mut events = BTreeMap::new();
    let read = world.log.read("results", ReadOptions::default()).unwrap();
    for event in read.collect().unwrap() {
        let number = event.event.data.clone();
        let before = events.insert(event.subject.clone().unwrap(), number);
        assert_eq!(
            before, None,
            "seed {seed}: two outcomes of {:?}",
            event.subject
        );
        let position = &event.subject.as_deref().unwrap()[1..];
        let cause = event.extension_str("causationid").unwrap();
        assert_eq!(cause, format!("shop/{position}"));
        let depth = event.extension("causationdepth");
        assert_eq!(depth, Some(&ExtensionValue::Integer(1)));
    }
    assert_eq!(events.len() as u64, EVENTS, "seed {seed}");
    let letters = dead_letter::list(&world.log, &DeadLetterFilter::default()).unwrap();
    assert_eq!(letters, [], "seed {seed}");
    for (subject, number) in events {
        let text = blob(world, &format!("{}.txt", &subject[1..])).await;
        assert_eq!(number, foretell_types::Data::json(format!("\"{text}\"")));
    }
    assert!(
        world.left_over().is_empty(),
        "seed {seed}: {:?}",
        world.left_over()
    );
}

#[tokio::test]
async fn a_chain_of_outputs_ends() {
    let world = World::new().await;
    let handler = Recorder::at_once(|invocation| {
        let mut outcome = outputs(invocation, "x");
        outcome.blobs.clear();
        outcome.events[0].topic = "shop".into();
        Ok(outcome)
    });
    world.append([event(1, None)]).await;
    let subscription = world.start(&handler);
    until(|| subscription.stats().dead_lettered == 1).await;
    subscription.stop().await;
    let depth = foretell_types::limits::CAUSATION_DEPTH;
    assert_eq!(world.progress().upto as usize, depth + 1);
    assert_eq!(handler.count(), depth + 1);
}

#[tokio::test]
async fn outcomes_of_a_deleted_topic_are_not_those_of_its_successor() {
    let world = World::new().await;
    let stale = Append::new().register("subscription/shop/work/outcome/1/0", {
        let mut value = vec![1, 0];
        value.extend_from_slice(&[7; 16]);
        Some(value)
    });
    world.log.append(stale).unwrap().await.unwrap();
    let none: [NewEvent; 1] = [event(1, None)];
    world.append(none).await;
    let handler = Recorder::fine();
    let subscription = world.start(&handler);
    world.until_settled(1).await;
    subscription.stop().await;
    assert_eq!(handler.count(), 1);
}
