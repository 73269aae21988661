//! State at any time, against a plain replay written here.

use crate::support::World;
use serde_json::{Map, Value, json};

/// A small generator: the same history in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// RFC 7396, as its pseudocode has it.
fn merge(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = match target {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            let old = target.remove(key).unwrap_or(Value::Null);
            target.insert(key.clone(), merge(old, value));
        }
    }
    Value::Object(target)
}

/// Minutes after 2024-01-01, within a day's hours of January.
fn time(minute: u64) -> String {
    let (day, hour) = (minute / 1_440 + 1, minute / 60 % 24);
    format!("2024-01-{day:02}T{hour:02}:{:02}:00Z", minute % 60)
}

struct Told {
    subject: String,
    minute: u64,
    deleted: bool,
    data: Value,
}

fn history(dice: &mut Dice, count: u64) -> Vec<Told> {
    let value = |dice: &mut Dice| match dice.below(6) {
        0 => Value::Null,
        1 => json!({"x": dice.below(9), "y": null}),
        2 => json!([dice.below(9)]),
        3 => json!({"x": {"z": dice.below(9)}}),
        n => json!(n * dice.below(9)),
    };
    (0..count)
        .map(|index| {
            // Many come late, some at the same time.
            let late = if dice.below(4) == 0 {
                dice.below(9_000)
            } else {
                dice.below(5)
            };
            let mut data = json!({});
            for _ in 0..dice.below(4) {
                let key = ["a", "b", "c", "d"][dice.below(4) as usize];
                data[key] = value(dice);
            }
            if dice.below(20) == 0 {
                data = json!(dice.below(9));
            }
            Told {
                subject: format!("customer/{}", dice.below(12)),
                minute: (index * 20).saturating_sub(late),
                deleted: dice.below(15) == 0,
                data,
            }
        })
        .collect()
}

fn as_event(index: usize, told: &Told) -> Value {
    let kind = if told.deleted {
        "customer.deleted"
    } else {
        "customer.changed"
    };
    json!({"specversion": "1.0", "id": index.to_string(), "source": "/crm", "type": kind,
        "subject": told.subject, "time": time(told.minute), "data": told.data})
}

/// What a plain replay says: sorted by (event time, position), folded one by one.
fn replay(told: &[Told], subject: &str, at: Option<u64>, known: usize) -> Option<Value> {
    let mut mine: Vec<(u64, usize)> = told[..known.min(told.len())]
        .iter()
        .enumerate()
        .filter(|(_, one)| one.subject == subject)
        .map(|(index, one)| (one.minute, index))
        .collect();
    if mine.is_empty() {
        return None;
    }
    mine.retain(|(minute, _)| at.is_none_or(|at| *minute <= at));
    mine.sort_unstable();
    Some(mine.into_iter().fold(Value::Null, |state, (_, index)| {
        if told[index].deleted {
            Value::Null
        } else {
            merge(state, &told[index].data)
        }
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_random_moments_equal_a_plain_replay() {
    let world = World::new().await;
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let told = history(&mut dice, 1_500);
    let events: Vec<Value> = told
        .iter()
        .enumerate()
        .map(|(i, one)| as_event(i, one))
        .collect();
    for batch in events.chunks(100) {
        world.publish(json!(batch)).await.is(200);
        // Sent again by a client that saw no answer.
        let again = dice.below(batch.len() as u64) as usize;
        world.publish(json!(batch[again..])).await.is(200);
    }
    let mut known_states = 0;
    for round in 0..1_000 {
        let subject = format!("customer/{}", dice.below(13));
        let at = (round % 5 != 0).then(|| dice.below(31_000));
        let known = (round % 3 == 0).then(|| dice.below(1_600) + 1);
        let mut path = format!("/topics/shop/state/{subject}?projection=merge");
        if let Some(at) = at {
            path += &format!("&at={}", time(at));
        }
        if let Some(known) = known {
            path += &format!("&known_at={known}");
        }
        let answer = world.get(&path).await;
        let known = known.unwrap_or(1_500) as usize;
        match replay(&told, &subject, at, known) {
            None => assert_eq!(answer.status, 404, "{path}: {answer}"),
            Some(state) => {
                assert_eq!(answer.status, 200, "{path}: {answer}");
                assert_eq!(answer.json()["state"], state, "{path}");
                known_states += 1;
            }
        }
    }
    assert!(known_states > 800, "{known_states}");
}

#[tokio::test]
async fn moments_and_what_they_say() {
    let world = World::new().await;
    let event = |id: &str, at: &str, data: Value| {
        json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t", "subject": "s",
            "time": at, "data": data})
    };
    world
        .publish(json!([event("1", "2024-01-01T00:00:00Z", json!({"a": 1}))]))
        .await
        .is(200);
    world
        .publish(json!([event("2", "2024-03-01T00:00:00Z", json!({"a": 3}))]))
        .await
        .is(200);
    world
        .publish(json!([event("3", "2024-02-01T00:00:00Z", json!({"a": 2}))]))
        .await
        .is(200);
    let path = "/topics/shop/state/s";
    let ask = |query: &'static str| {
        let world = &world;
        async move { world.get(&format!("{path}{query}")).await }
    };
    assert_eq!(
        ask("").await.is(200).json(),
        json!({"topic": "shop", "subject": "s", "at": null,
        "known_at": 3, "position": 3, "revision": 2, "state": {"a": 3}})
    );
    let answer = ask("?at=2024-02-15&known_at=2").await.is(200).json();
    assert_eq!(
        answer,
        json!({"topic": "shop", "subject": "s", "at": "2024-02-15T00:00:00Z",
        "known_at": 2, "position": 1, "revision": 0, "state": {"a": 1}})
    );
    assert_eq!(ask("?at=2024-02-15").await.json()["state"]["a"], 2);
    assert_eq!(ask("?at=1").await.json()["state"]["a"], 1);
    assert_eq!(
        ask("?at=2023-01-01").await.is(200).json()["state"],
        Value::Null
    );
    ask("?known_at=2020-01-01").await.is(404);
    ask("?known_at=18446744073709551615").await.is(200);
    let now = world.read("").await[2]["recordedtime"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = world
        .get(&format!("{path}?known_at={now}"))
        .await
        .is(200)
        .json();
    assert_eq!(answer["state"]["a"], 3);
    for query in ["?at=0", "?at=x", "?at=1&known_at=2", "?known=1", "?at="] {
        let answer = world.get(&format!("{path}{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {answer}");
    }
    ask("?projection=other").await.is(404);
    world.get("/topics/shop/state/nobody").await.is(404);
    world.get("/topics/nothing/state/s").await.is(404);
}
