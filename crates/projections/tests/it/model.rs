//! Random logs, questions at random moments: what the follower answers, online and after it was
//! opened anew, against sums and counts over a plain list.

use std::time::Duration;

use foretell_log::{Append, Environment, EventLog};
use foretell_projections::{Ask, Known, Projections};
use foretell_state::Definition;
use foretell_types::{Data, Instant, NewEvent, Timestamp};
use proptest::prelude::*;

const SQL: &str = "CREATE PROJECTION p ON shop KEY data.k AS SELECT
    count(*) AS n, sum(data.x) OVER (RANGE INTERVAL '10 seconds' PRECEDING) AS s,
    min(data.x) OVER (RANGE INTERVAL '10 seconds' PRECEDING) AS low,
    last(data.x) FILTER (WHERE data.x > 0) AS last, collect(data.x) OVER (ROWS 3 PRECEDING) AS three";
const SECOND: i64 = 1_000_000_000;

/// An event: its key, time in seconds and value.
type Plain = (u8, i64, i64);

fn event(index: usize, (key, time, x): Plain) -> NewEvent {
    NewEvent {
        id: index.to_string(),
        source: "/test".into(),
        event_type: "changed".into(),
        time: Some(Timestamp::from_instant(Instant::from_nanos(time * SECOND))),
        data: Data::json(format!(r#"{{"k":"k{key}","x":{x}}}"#)),
        ..NewEvent::default()
    }
}

/// The columns by a plain look at all events.
fn reference(events: &[Plain], key: u8, at: i64, known: usize) -> Option<String> {
    let of_key: Vec<Plain> = events[..known]
        .iter()
        .copied()
        .filter(|(k, ..)| *k == key)
        .collect();
    if of_key.is_empty() {
        return None;
    }
    let mut seen: Vec<Plain> = of_key
        .into_iter()
        .filter(|(_, time, _)| *time <= at)
        .collect();
    seen.sort_by_key(|(_, time, _)| *time);
    let window: Vec<i64> = seen
        .iter()
        .filter(|(_, time, _)| *time > at - 10)
        .map(|(.., x)| *x)
        .collect();
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".into());
    let sum = (!window.is_empty()).then(|| window.iter().sum::<i64>().to_string());
    let low = window.iter().min().map(ToString::to_string);
    let last = seen
        .iter()
        .rev()
        .find(|(.., x)| *x > 0)
        .map(|(.., x)| x.to_string());
    let three: Vec<String> = seen[seen.len().saturating_sub(3)..]
        .iter()
        .map(|(.., x)| x.to_string())
        .collect();
    let three = (!three.is_empty()).then(|| format!("[{}]", three.join(",")));
    Some(format!(
        r#"{{"n":{},"s":{},"low":{},"last":{},"three":{}}}"#,
        seen.len(),
        or_null(sum),
        or_null(low),
        or_null(last),
        or_null(three)
    ))
}

async fn check(
    projections: &std::sync::Arc<Projections>,
    events: &[Plain],
    asks: &[(u8, i64, usize)],
) {
    let (projection, _) = projections.get("p").unwrap();
    projection
        .reached(&[events.len() as u64], Duration::from_secs(30))
        .await
        .unwrap();
    for (key, at, known) in asks {
        let known = *known % (events.len() + 1);
        let ask = Ask {
            at: Some(at * SECOND),
            known: Known::Positions(vec![known as u64]),
            ..Ask::default()
        };
        let found = projection
            .state(&format!("k{key}"), &ask, 0)
            .unwrap()
            .map(|mut found| {
                let values = found.state.outputs(projection.definition(), at * SECOND);
                projection.definition().to_json(&values)
            });
        assert_eq!(
            found,
            reference(events, *key, *at, known),
            "key {key} at {at}, known {known}"
        );
    }
}

fn plain(keys: u8) -> impl Strategy<Value = Plain> {
    // Mostly forward in time is what a log is; here it is not, and many are at one instant.
    (0..keys, 0i64..60, -5i64..20)
}

fn run(events: Vec<Plain>, asks: Vec<(u8, i64, usize)>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let log =
            EventLog::open_folder(&folder.path().join("journal"), &Environment::real()).unwrap();
        let create =
            Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false);
        log.append(create).unwrap().await.unwrap();
        let derived = folder.path().join("derived");
        let projections = Projections::new(derived.clone(), log.clone(), runtime.handle().clone());
        projections
            .define(Definition::parse(SQL, "p.sql").unwrap())
            .await
            .unwrap();
        let half = events.len() / 2;
        for (first, part) in [(0, &events[..half]), (half, &events[half..])] {
            let new: Vec<NewEvent> = part
                .iter()
                .enumerate()
                .map(|(index, plain)| event(first + index, *plain))
                .collect();
            if !new.is_empty() {
                log.append(Append::new().events("shop", new))
                    .unwrap()
                    .await
                    .unwrap();
            }
            check(&projections, &events[..first + part.len()], &asks).await;
            // Stored, with snapshots: what comes late afterwards must not be hidden by them.
            projections.stop().await;
            projections
                .define(Definition::parse(SQL, "p.sql").unwrap())
                .await
                .unwrap();
        }
        projections.stop().await;
        // What was stored answers alike, and so does a list of all keys.
        let projections = Projections::new(derived, log, runtime.handle().clone());
        projections
            .define(Definition::parse(SQL, "p.sql").unwrap())
            .await
            .unwrap();
        check(&projections, &events, &asks).await;
        let (projection, _) = projections.get("p").unwrap();
        let ask = Ask {
            at: Some(30 * SECOND),
            ..Ask::default()
        };
        let mut all = Vec::new();
        projection
            .each(&ask, 0, &mut |mut found| {
                let values = found
                    .state
                    .outputs(projection.definition(), found.as_of.max(30 * SECOND));
                all.push((found.key, projection.definition().to_json(&values)));
                Ok(true)
            })
            .unwrap();
        let expected: Vec<(String, String)> = (0..10u8)
            .filter_map(|key| {
                Some((
                    format!("k{key}"),
                    reference(&events, key, 30, events.len())?,
                ))
            })
            .collect();
        assert_eq!(all, expected);
        projections.stop().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn answers_are_those_of_a_plain_look(
        events in prop::collection::vec(plain(4), 1..120),
        asks in prop::collection::vec((0u8..5, 0i64..75, 0usize..1000), 12),
    ) {
        run(events, asks);
    }
}

/// One key with so many events that blocks and snapshots are made, a few of them late.
#[test]
fn keys_with_many_events_answer_from_snapshots() {
    let events: Vec<Plain> = (0..12_000i64)
        .map(|index| {
            (
                1,
                index / 4
                    - if index > 6_000 && index % 50 == 0 {
                        900
                    } else {
                        0
                    },
                index * 7919 % 25 - 5,
            )
        })
        .collect();
    let asks = (0..40)
        .map(|index| (1u8, index * 80, (index as usize) * 311 + 200))
        .collect();
    run(events, asks);
}

/// More events than are folded in one turn, of keys that several threads fold side by side.
#[test]
fn many_keys_are_folded_in_many_turns() {
    let events: Vec<Plain> = (0..9_000i64)
        .map(|index| {
            let late = if index % 97 == 0 { 40 } else { 0 };
            let key = (index * 31 % 10) as u8;
            (key, index / 100 - late, index * 7919 % 25 - 5)
        })
        .collect();
    let asks = (0..60)
        .map(|index| ((index % 11) as u8, index * 2, (index as usize) * 311 + 200))
        .collect();
    run(events, asks);
}
