//! What is beyond a topic's quota is published when it goes on.

#[test]
fn publishing_waits_for_the_quota() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let create = ["topic", "create", "shop", "--events-per-second", "5000"];
    let made = crate::support::json(&data, &create);
    assert_eq!(made["properties"]["quota"]["eventsPerSecond"], 5_000);
    let events = folder.path().join("events.jsonl");
    let line = |n| {
        format!("{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/s\",\"type\":\"t\"}}\n")
    };
    std::fs::write(&events, (0..10_000).map(line).collect::<String>()).unwrap();
    let _server = crate::support::Server::start(&data, &[]);
    let output = crate::support::run(&data, &["publish", "shop", events.to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && told.contains("quota of 5000 events per second"),
        "{told}"
    );
    assert_eq!(
        crate::support::json(&data, &["topic", "show", "shop"])["head"],
        10_000
    );
}
