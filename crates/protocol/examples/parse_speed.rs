//! How fast one core reads batches of 100 Event Grid events of about 250 bytes.
//! `cargo run --release -p foretell-protocol --example parse_speed`
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Instant as Clock;

use foretell_protocol::{Fill, InputSchema, TopicSchema, read_events};
use foretell_types::{Instant, Result};

struct Nothing;

impl Fill for Nothing {
    fn id(&mut self) -> String {
        String::new()
    }
    fn now(&mut self) -> Instant {
        Instant::MIN
    }
}

fn main() -> Result<()> {
    let event = |n: u32| {
        format!(
            r#"{{"id": "5f298542-e6e4-11f1-8c77-02fc0000{n:04}", "subject": "customer/{n}", "data": {{"cds": 3, "amount": 42.17, "customer": {n}, "channel": "web"}}, "eventType": "Shop.Purchased", "eventTime": "2024-01-02T03:04:05.678901Z", "dataVersion": "1.0"}}"#
        )
    };
    let events: Vec<String> = (0..100).map(event).collect();
    let body = format!("[{}]", events.join(", "));
    let mut headers = http::HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json; charset=utf-8"),
    );
    let resource_id =
        "/subscriptions/0/resourceGroups/local/providers/Microsoft.EventGrid/topics/shop";
    for schema in [InputSchema::Any, InputSchema::EventGrid] {
        let topic = TopicSchema {
            resource_id,
            schema,
            mapping: None,
        };
        let rounds = 20_000;
        let start = Clock::now();
        for _ in 0..rounds {
            black_box(read_events(
                &headers,
                body.as_bytes(),
                &topic,
                &mut Nothing,
            )?);
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{schema}: {:.0} events/s, {:.0} MB/s ({} bytes an event)",
            f64::from(rounds) * 100.0 / seconds,
            f64::from(rounds) * body.len() as f64 / seconds / 1e6,
            body.len() / 100
        );
    }
    Ok(())
}
