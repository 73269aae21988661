//! Events given up on: the blob, the list, the replay.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Recorder, World, event, outputs, still, until};
use foretell_delivery::dead_letter::{self, DeadLetterFilter};
use foretell_delivery::{Failure, FailureKind, LetterForm, Outcome, Subscription, WebhookSchema};
use foretell_types::{ExtensionValue, eventgrid};
use serde_json::json;
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

/// The blob of the only dead letter of an event, in a form.
async fn written(form: LetterForm, bad: foretell_types::NewEvent) -> (String, serde_json::Value) {
    let world = World::new().await;
    let (handler, ..) = picky();
    world.append([bad]).await;
    let subscription = world.start_with(&handler, |options| options.dead_letters.form = form);
    world.until_settled(1).await;
    subscription.stop().await;
    let letter = list(&world).remove(0);
    let name = letter.blob.strip_prefix("dead-letters/").unwrap();
    let blob = world.storage.get("dead-letters", name).await.unwrap();
    let json = serde_json::from_slice(&blob.unwrap()).unwrap();
    (name.to_owned(), json)
}

#[tokio::test(start_paused = true)]
async fn each_schema_has_its_form() {
    let _still = still();
    let mut bad = event(1, Some("s0".into()));
    for (name, value) in [("tenant", "acme"), ("deadletterreason", "an earlier one")] {
        bad.set_extension(name, ExtensionValue::String(value.into()));
    }
    let cloud = json!([{
        "specversion": "1.0", "id": "1", "source": "/test", "type": "thing.happened",
        "subject": "s0", "tenant": "acme", "data": {"number": 1},
        "deadletterreason": "UndeliverableDueToClientError", "deliveryattempts": 1,
        "lastdeliveryoutcome": "BadRequest", "publishtime": "T", "lastdeliveryattempttime": "T",
    }]);
    let grid = json!([{
        "id": "1", "topic": "/test", "subject": "s0", "eventType": "thing.happened",
        "eventTime": "T", "data": {"number": 1}, "dataVersion": "", "metadataVersion": "1",
        "deadLetterReason": "UndeliverableDueToClientError", "deliveryAttempts": 1,
        "lastDeliveryOutcome": "BadRequest", "publishTime": "T", "lastDeliveryAttemptTime": "T",
    }]);
    let pulled = json!({
        "event": {
            "specversion": "1.0", "id": "1", "source": "/test", "type": "thing.happened",
            "subject": "s0", "tenant": "acme", "deadletterreason": "an earlier one",
            "data": {"number": 1},
        },
        "customDeliveryProperties": {},
        "deadletterProperties": {
            "deadletterreason": "UndeliverableDueToClientError", "deliveryattempts": 1,
            "deliveryresult": "BadRequest", "publishutc": "T", "deliveryattemptutc": "T",
        },
    });
    let as_sent = |topic_id: &str| {
        LetterForm::Pushed(WebhookSchema::AsSent {
            topic_id: topic_id.into(),
        })
    };
    for (form, folder, expected) in [
        (
            LetterForm::Pushed(WebhookSchema::CloudEvents),
            "WORK",
            &cloud,
        ),
        (LetterForm::Pushed(WebhookSchema::EventGrid), "WORK", &grid),
        (LetterForm::Pushed(WebhookSchema::Custom), "WORK", &grid),
        (as_sent("/test"), "WORK", &grid),
        (as_sent("/other"), "WORK", &cloud),
        (LetterForm::Pulled, "foretell/shop/work", &pulled),
    ] {
        let (name, mut json) = written(form, bad.clone()).await;
        assert!(
            name.starts_with(&format!("{folder}/2023/11/14/22/")),
            "{name}"
        );
        let mut ours = vec![&mut json];
        while let Some(value) = ours.pop() {
            match value {
                serde_json::Value::String(text) if text.starts_with("2023-11-14T22:13:2") => {
                    *text = "T".into();
                }
                serde_json::Value::Array(values) => ours.extend(values),
                serde_json::Value::Object(fields) => {
                    // Those of the event itself are written by another crate.
                    fields.remove("datacontenttype");
                    ours.extend(fields.values_mut());
                }
                _ => {}
            }
        }
        assert_eq!(&json, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_can_be_held_and_is_kept_until_it_is_written() {
    let _still = still();
    let world = World::new().await;
    let (handler, ..) = picky();
    world
        .append([event(1, Some("s0".into())), event(2, Some("s1".into()))])
        .await;
    // A file where the container should be: nothing can be written.
    std::fs::write(world.folder.path().join("dead-letters"), "in the way").unwrap();
    let hold = |options: &mut foretell_delivery::SubscriptionOptions| {
        options.dead_letters.delay = std::time::Duration::from_secs(300);
    };
    let subscription = world.start_with(&handler, hold);
    until(|| {
        world
            .progress()
            .pending
            .get(&1)
            .is_some_and(|p| p.given_up.is_some())
    })
    .await;
    // Also over a restart, and far beyond the four hours of Event Grid.
    subscription.stop().await;
    let subscription = world.start_with(&handler, hold);
    advance(std::time::Duration::from_secs(299)).await;
    crate::support::settle_down().await;
    assert_eq!((list(&world).len(), handler.count()), (0, 2));
    for _ in 0..5 {
        advance(std::time::Duration::from_secs(3_600)).await;
        crate::support::settle_down().await;
    }
    assert_eq!(list(&world), []);
    assert_eq!(world.progress().pending.len(), 1, "it is kept");
    std::fs::remove_file(world.folder.path().join("dead-letters")).unwrap();
    advance(std::time::Duration::from_secs(6)).await;
    world.until_settled(2).await;
    assert_eq!((list(&world).len(), handler.count()), (1, 2));
    subscription.stop().await;
}

#[tokio::test(start_paused = true)]
async fn those_of_a_type_a_reason_or_a_time_are_found() {
    let _still = still();
    let world = World::new().await;
    let (handler, ..) = picky();
    let mut other = event(2, Some("s0".into()));
    other.event_type = "thing.ended".into();
    world.append([event(1, Some("s0".into()))]).await;
    let subscription = world.start(&handler);
    world.until_settled(1).await;
    advance(std::time::Duration::from_secs(60)).await;
    world.append([other]).await;
    world.until_settled(2).await;
    subscription.stop().await;
    let middle = Some(foretell_types::Instant::from_nanos(
        1_700_000_030_000_000_000,
    ));
    let text = |text: &str| Some(text.to_owned());
    let all = DeadLetterFilter::default;
    for (filter, expected) in [
        (all(), &[1, 2][..]),
        (
            DeadLetterFilter {
                event_type: text("thing.ended"),
                ..all()
            },
            &[2],
        ),
        (
            DeadLetterFilter {
                reason: text("undeliverabledueToClientError"),
                ..all()
            },
            &[1, 2],
        ),
        (
            DeadLetterFilter {
                reason: text("TimeToLiveExceeded"),
                ..all()
            },
            &[],
        ),
        (
            DeadLetterFilter {
                since: middle,
                ..all()
            },
            &[2],
        ),
        (
            DeadLetterFilter {
                until: middle,
                ..all()
            },
            &[1],
        ),
    ] {
        let found = dead_letter::list(&world.log, &filter).unwrap();
        let positions: Vec<u64> = found.iter().map(|letter| letter.position).collect();
        assert_eq!(positions, expected, "{filter:?}");
    }
    let ended = DeadLetterFilter {
        event_type: text("thing.ended"),
        ..all()
    };
    assert_eq!(
        dead_letter::replay(&world.log, &ended).await.unwrap().len(),
        1
    );
    assert_eq!(list(&world).len(), 1);
}
