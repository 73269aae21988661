//! Reads the captured requests.

use foretell_protocol::{Fill, InputMapping, InputSchema, TopicSchema, read_events};
use foretell_types::{Error, Instant, NewEvent};
use http::{HeaderMap, HeaderName, HeaderValue};

pub const TOPIC: &str = "/topics/shop";

const FILES: [&str; 4] = [
    include_str!("../fixtures/captured_cloudevents_sdks.txt"),
    include_str!("../fixtures/captured_js.txt"),
    include_str!("../fixtures/captured_python.txt"),
    include_str!("../fixtures/captured_python_tls.txt"),
];

#[derive(Debug)]
pub struct Request {
    pub title: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Every request of every file; the title is the last one above it.
pub fn all() -> Vec<Request> {
    let mut title = String::new();
    let mut requests = Vec::new();
    let text = FILES.join("\n").replace('\r', "");
    for block in text.split("\n-----") {
        if let Some(line) = block.lines().rfind(|line| line.starts_with("##### ")) {
            title = line.trim_start_matches("##### ").to_owned();
        }
        let Some(at) = block.find("POST ") else {
            continue;
        };
        let (head, body) = block[at..].split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        requests.push(Request {
            title: title.clone(),
            path,
            headers: headers(lines.map(|line| line.split_once(": ").unwrap())),
            body: body.as_bytes().to_vec(),
        });
    }
    requests
}

/// The first captured request with this title.
pub fn titled(title: &str) -> Request {
    all()
        .into_iter()
        .find(|request| request.title == title)
        .unwrap_or_else(|| panic!("no capture {title:?}"))
}

pub fn headers<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    lines
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
        .collect()
}

/// Ids `generated-1`, …; the clock stands at 2024-01-02T03:04:05Z.
pub struct Counter(pub u32);

pub const NOW: Instant = Instant {
    seconds: 1_704_164_645,
    nanos: 0,
};

impl Fill for Counter {
    fn id(&mut self) -> String {
        self.0 += 1;
        format!("generated-{}", self.0)
    }
    fn now(&mut self) -> Instant {
        NOW
    }
}

pub fn read(
    headers: &HeaderMap,
    body: &[u8],
    schema: InputSchema,
    mapping: Option<&InputMapping>,
) -> Result<Vec<NewEvent>, Error> {
    let topic = TopicSchema {
        resource_id: TOPIC,
        schema,
        mapping,
    };
    read_events(headers, body, &topic, &mut Counter(0))
}

impl Request {
    pub fn read(&self, schema: InputSchema) -> Result<Vec<NewEvent>, Error> {
        read(&self.headers, &self.body, schema, None)
    }
}
