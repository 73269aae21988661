#![no_main]

use foretell_protocol::{Fill, InputSchema, TopicSchema, read_events};
use foretell_types::Instant;

struct Filled;

impl Fill for Filled {
    fn id(&mut self) -> String {
        "filled".to_owned()
    }

    fn now(&mut self) -> Instant {
        Instant::from_nanos(0)
    }
}

const TYPES: [&str; 4] = [
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/plain",
];

libfuzzer_sys::fuzz_target!(|input: (u8, Vec<(String, String)>, Vec<u8>)| {
    let (kind, attributes, body) = input;
    let topic = TopicSchema {
        resource_id: "/topics/shop",
        schema: InputSchema::Any,
        mapping: None,
    };
    let mut headers = http::HeaderMap::new();
    let value = http::HeaderValue::from_static(TYPES[usize::from(kind) % TYPES.len()]);
    headers.insert(http::header::CONTENT_TYPE, value);
    for (name, value) in attributes {
        let name = http::HeaderName::try_from(format!("ce-{name}"));
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let _ = read_events(&headers, &body, &topic, &mut Filled);
});
