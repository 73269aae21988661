//! What the documents show is run.

use std::io::{Read, Write};

const PROJECTIONS: &str = include_str!("../../../../docs/projections.md");

/// The blocks of a kind.
fn blocks<'d>(document: &'d str, kind: &str) -> Vec<&'d str> {
    let fence = format!("```{kind}\n");
    let blocks = document.split(&*fence).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

#[test]
fn projections() {
    let folder = tempfile::tempdir().unwrap();
    let (data, app) = (folder.path().join("data"), folder.path().join("app"));
    std::fs::create_dir_all(app.join("projections")).unwrap();
    let sql = blocks(PROJECTIONS, "sql");
    std::fs::write(app.join("projections/customer.sql"), sql[0]).unwrap();
    std::fs::write(app.join("projections/basket.sql"), sql[1]).unwrap();
    std::fs::write(app.join("foretell.toml"), "[topics.shop]\n").unwrap();
    let server = crate::support::Server::start(&data, &[app.to_str().unwrap()]);
    let events: String = (1..=9)
        .map(|day| {
            let of = serde_json::json!({
                "specversion": "1.0", "id": day.to_string(), "source": "/till",
                "type": "order.placed", "subject": "customer/7",
                "time": format!("2024-0{day}-02T00:00:00Z"),
                "data": {
                    "customer": "customer/7", "total": day, "status": "open",
                    "address": {"city": format!("city {day}")},
                },
            });
            format!("{of}\n")
        })
        .collect();
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, events).unwrap();
    crate::support::text(&data, &["publish", "shop", file.to_str().unwrap()]);
    let mut ran = 0;
    for line in blocks(PROJECTIONS, "sh").concat().lines() {
        if let Some(command) = line.strip_prefix("foretell ") {
            let arguments: Vec<&str> = command.split_whitespace().collect();
            assert!(
                !crate::support::text(&data, &arguments).is_empty(),
                "{line}"
            );
            ran += 1;
        }
    }
    assert_eq!(ran, 8);
    let basket = ["state", "shop", "customer/7", "--projection"];
    let state = |name| crate::support::json(&data, &[&basket[..], &[name]].concat());
    assert_eq!(state("basket")["state"]["orders"], 9);
    let columns = folder.path().join("columns.sql");
    std::fs::write(&columns, sql[2].replace("basket", "columns")).unwrap();
    let create = ["projection", "create", "columns", columns.to_str().unwrap()];
    crate::support::text(&data, &create);
    assert_eq!(state("columns")["state"]["total"], 45.0);
    assert_eq!(state("columns")["state"]["share_of_largest"], 0.2);
    let batch = PROJECTIONS.split("-d '").nth(1).unwrap();
    let body = batch.split('\'').next().unwrap();
    let key = crate::support::text(&data, &["keys"]);
    let mut to = std::net::TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    write!(
        to,
        "POST /state:batch HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        key.trim(),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    to.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""orders":4"#), "{answer}");
}
