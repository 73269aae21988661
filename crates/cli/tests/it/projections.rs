//! Projections as their users meet them: defined, asked for, changed, restarted.

const SQL: &str = "CREATE PROJECTION customer ON shop KEY data.customer AS SELECT
    count(*) AS orders, sum(data.total) OVER (RANGE INTERVAL '30 days' PRECEDING) AS spend";

#[test]
fn a_projection_answers_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("customer.sql");
    let path = file.to_str().unwrap();
    std::fs::write(&file, SQL).unwrap();
    crate::support::text(&data, &["topic", "create", "shop"]);
    let server = crate::support::Server::start(&data, &[]);
    crate::support::text(&data, &["projection", "create", "customer", path]);
    let events = folder.path().join("events.jsonl");
    let line = |(n, day, total): (u32, &str, &str)| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/s\",\"type\":\"order\",\"time\":\"2024-{day}T00:00:00Z\",\"data\":{{\"customer\":7,\"total\":{total}}}}}\n"
        )
    };
    let lines = [
        (1, "01-01", "10"),
        (2, "01-31", "0.5"),
        (3, "01-15", "\"x\""),
    ];
    std::fs::write(&events, lines.map(line).concat()).unwrap();
    crate::support::text(&data, &["publish", "shop", events.to_str().unwrap()]);
    let ask = |more: &[&str]| {
        crate::support::json(
            &data,
            &[&["state", "shop", "7", "--projection", "customer"], more].concat(),
        )
    };
    let found = ask(&["--at", "2024-01-30"]);
    assert_eq!(
        found["state"],
        serde_json::json!({ "orders": 2, "spend": 10 }),
        "{found}"
    );
    assert_eq!(found["not_numbers"]["spend"], 1);
    // The first is no longer in (t - 30 days, t].
    assert_eq!(ask(&["--at", "2024-01-31"])["state"]["spend"], 0.5);
    assert_eq!(
        ask(&["--at", "2024-01-31", "--known-at", "2"])["state"]["orders"],
        2
    );
    let differs = ask(&["--diff", "2024-01-30", "2024-01-31", "--why", "spend"]);
    assert_eq!(
        differs["changes"],
        serde_json::json!([{ "field": "spend", "before": 10, "after": 0.5 }])
    );
    let told = crate::support::text(
        &data,
        &[
            "state",
            "shop",
            "7",
            "--projection",
            "customer",
            "--diff",
            "2024-01-30",
            "2024-01-31",
            "--why",
            "spend",
        ],
    );
    let rest = told.split_once("\n\n").unwrap().1;
    let lines: Vec<&str> = rest.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "FIELD  BEFORE  AFTER",
            "spend  10      0.5",
            "",
            "spend comes from 2 events",
            "TOPIC  POSITION  TIME                  TYPE   ID  VALUE  COUNTS",
            "shop   1         2024-01-01T00:00:00Z  order  1   10     before only",
            "shop   2         2024-01-31T00:00:00Z  order  2   0.5    after only",
        ],
        "{told}"
    );
    let output = crate::support::run(
        &data,
        &["state", "shop", "7", "--diff", "1", "2", "--known-at", "3"],
    );
    assert_eq!(output.status.code(), Some(2));
    let all = crate::support::text(
        &data,
        &["state", "shop", "--all", "--projection", "customer"],
    );
    assert!(all.starts_with("{") && all.lines().count() == 1, "{all}");
    let output = crate::support::run(&data, &["state", "shop", "8", "--projection", "customer"]);
    assert_eq!(output.status.code(), Some(3));
    // A wrong text is refused where it is wrong; a changed one takes over.
    std::fs::write(&file, SQL.replace("count(*)", "median(*)")).unwrap();
    let output = crate::support::run(&data, &["projection", "create", "customer", path]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("customer.sql:2:5: there is no function median"),
        "{told}"
    );
    std::fs::write(&file, SQL.replace("count(*)", "2 * count(*)")).unwrap();
    crate::support::text(&data, &["projection", "create", "customer", path]);
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while ask(&[])["state"]["orders"] != 6 {
        assert!(
            std::time::Instant::now() < give_up,
            "the changed projection never answers"
        );
    }
    drop(server);
    // Without a server, from what was kept.
    assert_eq!(ask(&[])["state"]["orders"], 6);
    crate::support::text(&data, &["projection", "delete", "customer"]);
    let output = crate::support::run(&data, &["state", "shop", "7", "--projection", "customer"]);
    assert_eq!(output.status.code(), Some(3));
}
