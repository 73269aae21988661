//! Events given up on: the blob, the list, the replay.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use foretell_delivery::dead_letter::{self, DeadLetterFilter};
use foretell_delivery::{Failure, FailureKind, Outcome, Subscription};
use foretell_types::{ExtensionValue, eventgrid};
use support::{Recorder, World, event, outputs, still, until};
use tokio::time::advance;

fn list(world: &World) -> Vec<dead_letter::DeadLetter> {
    dead_letter::list(&world.log, &DeadLetterFilter::default()).unwrap()
}

fn refused() -> Failure {
    Failure {
        permanent: true,
        ..Failure::new(FailureKind::BadRequest, "no")
    }
}

/// Refuses the events of subject `s0` until told otherwise; remembers which were replays.
fn picky() -> (Arc<Recorder>, Arc<AtomicBool>, Arc<Mutex<Vec<bool>>>) {
    let (healed, replayed) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let (tell, seen): (_, Arc<Mutex<Vec<bool>>>) = (healed.clone(), replayed);
    let replayed = seen.clone();
    let handler = Recorder::at_once(move |invocation| {
        seen.lock().unwrap().push(invocation.replayed);
        let bad = invocation.event.subject.as_deref() == Some("s0");
        match bad && !tell.load(Ordering::SeqCst) {
            true => Err(refused()),
            false => Ok(Outcome::default()),
        }
    });
    (handler, healed, replayed)
}

#[tokio::test(start_paused = true)]
async fn the_blob_is_as_event_grid_writes_it() {
    let _still = still();
    let world = World::new().await;
    assert_eq!(list(&world), [], "nothing was ever given up");
    let (handler, ..) = picky();
    let mut bad = event(1, Some("s0".into()));
    bad.set_extension(
        eventgrid::DATA_VERSION,
        ExtensionValue::String("2.0".into()),
    );
    world
        .append([
            bad,
            event(2, Some("s0".into())),
            event(3, Some("s1".into())),
        ])
        .await;
    let subscription = world.start(&handler);
    world.until_settled(3).await;
    subscription.stop().await;
    assert!(world.left_over().is_empty());
    let letters = list(&world);
    assert_eq!(
        letters.iter().map(|l| l.position).collect::<Vec<_>>(),
        [1, 2]
    );
    let name = letters[0].blob.strip_prefix("dead-letters/").unwrap();
    // 1,700,000,000 s after the epoch.
    assert!(
        name.starts_with("WORK/2023/11/14/22/") && name.ends_with(".json"),
        "{name}"
    );
    let blob = world
        .storage
        .get("dead-letters", name)
        .await
        .unwrap()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&blob).unwrap();
    let event = &json.as_array().unwrap()[0];
    for (key, value) in [
        ("id", "1"),
        ("topic", "/test"),
        ("subject", "s0"),
        ("eventType", "thing.happened"),
        ("dataVersion", "2.0"),
        ("metadataVersion", "1"),
        ("deadLetterReason", "UndeliverableDueToClientError"),
        ("lastDeliveryOutcome", "BadRequest"),
    ] {
        assert_eq!(event[key], value, "{key}");
    }
    assert_eq!(
        (&event["deliveryAttempts"], &event["data"]["number"]),
        (&1.into(), &1.into())
    );
    for time in ["publishTime", "lastDeliveryAttemptTime", "eventTime"] {
        assert!(
            event[time]
                .as_str()
                .unwrap()
                .starts_with("2023-11-14T22:13:2"),
            "{time}"
        );
    }
    for (filter, count) in [
        (
            DeadLetterFilter {
                position: Some(2),
                ..Default::default()
            },
            1,
        ),
        (
            DeadLetterFilter {
                subject: Some("s0".into()),
                ..Default::default()
            },
            2,
        ),
        (
            DeadLetterFilter {
                subscription: Some("other".into()),
                ..Default::default()
            },
            0,
        ),
    ] {
        assert_eq!(dead_letter::list(&world.log, &filter).unwrap().len(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn replay_goes_through_again_as_often_as_it_is_asked_for() {
    let _still = still();
    let world = World::new().await;
    let (handler, healed, replayed) = picky();
    world.publish(9, 3).await;
    let subscription = world.start(&handler);
    world.until_settled(9).await;
    assert_eq!(list(&world).len(), 3);
    for round in 1..=2 {
        // Time stands still: each replay is a generation of its own all the same.
        let all = DeadLetterFilter::default();
        let sent = dead_letter::replay(&world.log, &all).await.unwrap();
        assert_eq!((sent.len(), list(&world).len()), (3, 0));
        subscription.wake();
        until(|| subscription.stats().dead_lettered == 3 + 3 * round).await;
        assert_eq!(list(&world).len(), 3);
    }
    healed.store(true, Ordering::SeqCst);
    dead_letter::replay(&world.log, &DeadLetterFilter::default())
        .await
        .unwrap();
    subscription.wake();
    until(|| subscription.stats().delivered == 9).await;
    subscription.stop().await;
    assert_eq!(list(&world), []);
    assert!(world.left_over().is_empty());
    assert_eq!(handler.count(), 9 + 9);
    let replayed = replayed.lock().unwrap();
    assert_eq!(replayed.iter().filter(|replayed| **replayed).count(), 9);
    assert!(!replayed[..9].contains(&true));
}

#[tokio::test(start_paused = true)]
async fn a_replay_while_stopped_is_taken_at_the_start() {
    let _still = still();
    let world = World::new().await;
    let (handler, healed, _) = picky();
    world.publish(3, 1).await;
    let subscription = world.start(&handler);
    world.until_settled(3).await;
    subscription.stop().await;
    dead_letter::replay(
        &world.log,
        &DeadLetterFilter {
            position: Some(2),
            ..Default::default()
        },
    )
    .await
    .unwrap();
    healed.store(true, Ordering::SeqCst);
    let world = world.reopen();
    let subscription = world.start(&handler);
    until(|| handler.count() == 4).await;
    subscription.wake();
    until(|| world.left_over().is_empty()).await;
    subscription.stop().await;
    assert_eq!(handler.positions(), [1, 2, 3, 2]);
    assert_eq!(list(&world).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_can_not_be_written_holds_up_its_subject_only() {
    let _still = still();
    let world = World::new().await;
    let (handler, ..) = picky();
    // A file lies where the container's folder must be.
    let obstacle = world.folder.path().join("dead-letters");
    std::fs::write(&obstacle, "x").unwrap();
    world.publish(9, 3).await;
    let subscription = world.start(&handler);
    until(|| world.progress().pending.len() == 3).await;
    until(|| world.progress().pending[&3].due_ms > 0).await;
    assert_eq!(handler.count(), 7);
    assert_eq!(
        world.progress().pending[&3]
            .given_up
            .as_ref()
            .unwrap()
            .message,
        "no"
    );
    subscription.stop().await;
    let world = world.reopen();
    let subscription = world.start(&handler);
    std::fs::remove_file(&obstacle).unwrap();
    advance(std::time::Duration::from_secs(5)).await;
    world.until_settled(9).await;
    subscription.stop().await;
    assert_eq!(handler.count(), 9, "what is given up isn't called again");
    assert_eq!(list(&world).len(), 3);
}

#[tokio::test]
async fn outputs_that_could_never_be_applied_are_refused_before_they_are_journaled() {
    let world = World::new().await;
    let handler = Recorder::at_once(|invocation| {
        let mut outcome = outputs(invocation, "x");
        match invocation.event.position.get() {
            1 => outcome.blobs[0].name = "../up".into(),
            2 => outcome.blobs[0].container = "X".into(),
            3 => outcome.events[0].event.source.clear(),
            4 => outcome.events = vec![outcome.events[0].clone(); 1_001],
            5 => outcome.blobs[0].content = vec![0; 17 * 1024 * 1024].into(),
            _ => {}
        }
        Ok(outcome)
    });
    world.publish(6, 6).await;
    let subscription: Subscription = world.start(&handler);
    world.until_settled(6).await;
    subscription.stop().await;
    assert_eq!(list(&world).len(), 5);
    let head = world.log.head("results").unwrap();
    assert_eq!(head.map(foretell_types::Position::get), Some(1));
    assert_eq!(world.storage.list("results", "").await.unwrap().len(), 1);
}
