//! How a state came about, over HTTP.

use crate::support::{World, event};
use serde_json::{Value, json};

/// An event of the day of May, and when it was sent is its position.
fn on(id: u32, kind: &str, day: u32, data: Value) -> Value {
    let mut event = event(&id.to_string(), "c/1", data);
    event["eventType"] = kind.into();
    event["eventTime"] = format!("2024-05-{day:02}T00:00:00Z").into();
    event
}

async fn shop() -> World {
    let world = World::new().await;
    let events = json!([
        on(
            1,
            "moved",
            1,
            json!({"name": "Ada", "address": {"city": "London", "zip": 1}})
        ),
        on(2, "moved", 10, json!({"address": {"city": "Turin"}})),
        on(
            3,
            "paid",
            11,
            json!({"paid": 12345678901234567890123_i128.to_string()})
        ),
        // It happened in between, and became known last.
        on(
            4,
            "moved",
            5,
            json!({"address": {"city": "Paris"}, "name": "Ada L."})
        ),
        on(5, "gone.deleted", 20, json!({})),
    ]);
    world.publish(events).await.is(200);
    let sql = "CREATE PROJECTION moves ON shop AS SELECT
        count(*) FILTER (WHERE type = 'moved') AS moves,
        count(*) OVER (RANGE INTERVAL '5 days' PRECEDING) AS lately,
        last(data.address.city) AS city, min(data.address.city) AS least,
        count(data.name) + count(data.paid) AS both,
        time_since_last('day') AS idle";
    let headers = [("content-type", "application/sql")];
    let made = world.call("PUT", "/projections/moves", &headers, sql);
    made.await.is(201);
    world
}

async fn ask(world: &World, query: &str) -> Value {
    let path = format!("/topics/shop/state/c%2F1?{query}");
    world.get(&path).await.is(200).json()
}

/// Positions and values of the events in an answer.
fn events(answer: &Value) -> Vec<(u64, Value)> {
    let events = answer["why"]["events"].as_array().unwrap().iter();
    let told: Vec<_> = events
        .map(|event| {
            let side = event["in"]
                .as_str()
                .map(|side| json!([side, event["value"]]));
            let value = side.unwrap_or_else(|| event["value"].clone());
            (event["position"].as_u64().unwrap(), value)
        })
        .collect();
    assert_eq!(answer["why"]["count"], told.len());
    told
}

#[tokio::test]
async fn merged_states_differ_field_by_field() {
    let world = shop().await;
    let differs = ask(&world, "diff=2024-05-02,2024-05-12").await;
    let changes = json!([
        {"field": "address.city", "before": "London", "after": "Turin"},
        {"field": "name", "before": "Ada", "after": "Ada L."},
        {"field": "paid", "after": "12345678901234567890123"},
    ]);
    assert_eq!(differs["changes"], changes, "{differs}");
    assert_eq!(
        (
            &differs["before"]["position"],
            &differs["after"]["position"]
        ),
        (&json!(1), &json!(4))
    );
    assert!(differs.get("why").is_none());
    // What was learned between two positions, about one time.
    let learned = ask(&world, "diff=3,4&at=2024-05-06").await;
    let changes = json!([
        {"field": "address.city", "before": "London", "after": "Paris"},
        {"field": "name", "before": "Ada", "after": "Ada L."},
    ]);
    assert_eq!(learned["changes"], changes);
    let before_all = ask(&world, "diff=2024-04-01,2024-05-02&why=name").await;
    assert_eq!(
        before_all["changes"],
        json!([{"field": "name", "after": "Ada"}])
    );
    assert_eq!(before_all["before"]["position"], json!(null));
    assert_eq!(events(&before_all), [(1, json!(["after", "Ada"]))]);
    let same = ask(&world, "diff=2024-05-12,2024-05-13").await;
    assert_eq!(same["changes"], json!([]));
}

#[tokio::test]
async fn merged_fields_name_their_events() {
    let world = shop().await;
    for (query, expected) in [
        ("at=2024-05-12&why=address.city", json!([[2, "Turin"]])),
        ("at=2024-05-06&why=address.city", json!([[4, "Paris"]])),
        (
            "at=2024-05-06&known_at=3&why=address.city",
            json!([[1, "London"]]),
        ),
        // Three events made the object what it is.
        (
            "at=2024-05-12&why=address",
            json!([
                [1, {"city": "London", "zip": 1}], [4, {"city": "Paris"}], [2, {"city": "Turin"}],
            ]),
        ),
        ("why=name", json!([[5, null]])),
        (
            "diff=2024-05-02,2024-05-12&why=address.city",
            json!([[1, ["before", "London"]], [2, ["after", "Turin"]],]),
        ),
        ("diff=2024-05-02,2024-05-12&why=address.zip", json!([])),
    ] {
        let expected: Vec<(u64, Value)> = serde_json::from_value(expected).unwrap();
        assert_eq!(events(&ask(&world, query).await), expected, "{query}");
    }
    let why = &ask(&world, "at=2024-05-06&why=name").await["why"]["events"][0];
    assert_eq!(why["id"], "4");
    assert_eq!(why["type"], "moved");
    assert_eq!(why["time"], "2024-05-05T00:00:00Z");
    assert!(why["known_time"].as_str().unwrap() > "2024-06");
    let path = "/topics/shop/state/c%2F1?why=nothing";
    let text = world.get(path).await.is(200).json();
    assert_eq!(
        events(&text),
        [(5, json!(null))],
        "deleted with all there was"
    );
    let path = "/topics/shop/state/c%2F1?at=2024-05-12&why=nothing";
    assert!(world.get(path).await.is(404).message().contains("nothing"));
}

#[tokio::test]
async fn columns_name_their_events() {
    let world = shop().await;
    let ask = async |query: &str| ask(&world, &format!("projection=moves&{query}")).await;
    for (query, expected) in [
        (
            "at=2024-05-12&why=moves",
            json!([[1, true], [4, true], [2, true]]),
        ),
        // 5 May is at the edge, and outside.
        ("at=2024-05-10&why=lately", json!([[2, true]])),
        ("at=2024-05-09&why=lately", json!([[4, true]])),
        ("at=2024-05-12&why=city", json!([[2, "Turin"]])),
        ("at=2024-05-12&why=least", json!([[1, "London"]])),
        (
            "at=2024-05-12&known_at=3&why=moves",
            json!([[1, true], [2, true]]),
        ),
        (
            "at=2024-05-12&why=both",
            json!([
                [1, ["Ada", null]],
                [4, ["Ada L.", null]],
                [3, [null, "12345678901234567890123"]],
            ]),
        ),
        ("at=2024-05-12&why=idle", json!([[3, true]])),
        (
            "diff=2024-05-09,2024-05-10&why=lately",
            json!([[4, ["before", true]], [2, ["after", true]],]),
        ),
        ("diff=2024-05-12,2024-05-13&why=idle", json!([])),
    ] {
        let expected: Vec<(u64, Value)> = serde_json::from_value(expected).unwrap();
        assert_eq!(events(&ask(query).await), expected, "{query}");
    }
    let differs = ask("diff=2024-05-12,2024-05-13").await;
    // Time alone passes.
    let idle = &differs["changes"].as_array().unwrap()[0];
    assert_eq!(*idle, json!({"field": "idle", "before": 1.0, "after": 2.0}));
    let first = ask("diff=2024-04-01,2024-05-02").await;
    assert_eq!(
        first["changes"][1],
        json!({"field": "city", "before": null, "after": "London"})
    );
    let path = "/projections/moves/state?key=c%2F1&at=2024-05-12&why=city";
    let direct = world.get(path).await.is(200).json();
    assert_eq!(direct["why"]["field"], "city");
}

#[tokio::test]
async fn what_can_not_be_told_is_refused() {
    let world = shop().await;
    for (query, status, part) in [
        ("diff=2024-05-01", 400, "two instants"),
        ("diff=1,x", 400, "neither a position nor a time"),
        ("diff=1,2&known_at=3", 400, "leave known-at out"),
        (
            "diff=2024-05-01,2024-05-02&at=2024-05-01",
            400,
            "leave at out",
        ),
        ("why=a..b", 400, "no field of a state"),
        ("why=none&projection=moves", 400, "moves, lately, city"),
        ("why=city.x&projection=moves", 400, "has no column city.x"),
        (
            "diff=2024-04-01,2024-04-02&known_at=1970-01-01",
            404,
            "nothing is known",
        ),
        (
            "diff=2024-04-01,2024-04-02&known_at=1970-01-01&projection=moves",
            404,
            "nothing is known",
        ),
    ] {
        let answer = world
            .get(&format!("/topics/shop/state/c%2F1?{query}"))
            .await;
        assert_eq!(answer.status, status, "{query}: {answer}");
        assert!(answer.message().contains(part), "{query}: {answer}");
    }
    let all = world.get("/projections/moves/state?why=city").await.is(400);
    assert!(all.message().contains("key="), "{all}");
}
