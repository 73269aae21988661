//! Requests of Event Grid events, built once; between sends only ids and subjects are written
//! over in place, so that the client costs little of the processors that it shares.

use std::net::SocketAddr;

/// Subjects that events are about.
pub const SUBJECTS: u64 = 2_000;

const ID: &str = "00000000-0000000000000000";
const SUBJECT: &str = "customer/0000";

/// A whole HTTP request that publishes a batch.
#[derive(Debug)]
pub struct Batch {
    request: Vec<u8>,
    body_bytes: usize,
    /// Where each event's id and the four digits of its subject begin.
    places: Vec<(usize, usize)>,
    random: u64,
}

impl Batch {
    /// `series` tells the ids of this batch from those of others (below 16^8).
    pub fn new(target: &Target, series: u32, events: usize) -> Batch {
        let mut body = String::from("[");
        for index in 0..events {
            if index > 0 {
                body.push(',');
            }
            body.push_str(&format!(
                r#"{{"id":"{ID}","subject":"{SUBJECT}","eventType":"shop.order.placed","eventTime":"2024-05-01T12:30:00.1234567Z","dataVersion":"1.0","data":{{"order":{},"item":"sku-{:06}","quantity":2,"total":19.99,"currency":"EUR"}}}}"#,
                100_000 + index,
                index * 7919 % 1_000_000,
            ));
        }
        body.push(']');
        let body_bytes = body.len();
        let request = target.request(&body);
        let mut places = Vec::with_capacity(events);
        let mut at = request.len() - body_bytes;
        while let Some(found) = find(&request[at..], ID.as_bytes()) {
            let id = at + found;
            let subject = id + ID.len() + "\",\"subject\":\"customer/".len();
            places.push((id, subject));
            at = subject;
        }
        let mut batch = Batch {
            request,
            body_bytes,
            places,
            random: u64::from(series) * 2 + 1,
        };
        let series = hex(u64::from(series));
        for &(id, _) in &batch.places {
            batch.request[id..id + 8].copy_from_slice(&series[8..]);
        }
        batch
    }

    /// The request with ids that count up from `first`, and random subjects.
    pub fn stamped(&mut self, first: u64) -> &[u8] {
        for (number, &(id, subject)) in (first..).zip(&self.places) {
            self.request[id + 9..id + 25].copy_from_slice(&hex(number));
            // Xorshift (Marsaglia 2003).
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let mut rest = self.random % SUBJECTS;
            for digit in self.request[subject..subject + 4].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        &self.request
    }

    pub fn events(&self) -> usize {
        self.places.len()
    }

    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}

/// Where to publish, and with which key.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub topic: String,
    pub key: String,
}

impl Target {
    /// The request that publishes a JSON array of Event Grid events.
    pub fn request(&self, body: &str) -> Vec<u8> {
        format!(
            "POST /topics/{}/api/events?api-version=2018-01-01 HTTP/1.1\r\nHost: {}\r\naeg-sas-key: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.topic,
            self.address,
            self.key,
            body.len(),
        )
        .into_bytes()
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

fn hex(value: u64) -> [u8; 16] {
    let mut text = [b'0'; 16];
    for (index, digit) in text.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(value >> (4 * index) & 15) as usize];
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn ids_are_unique_and_subjects_spread() {
        let target = Target {
            address: ([127, 0, 0, 1], 1).into(),
            topic: "bench".into(),
            key: "k".into(),
        };
        let (mut ids, mut subjects) = (HashSet::new(), HashSet::new());
        for series in [1, 0xffff_ffff] {
            let mut batch = Batch::new(&target, series, 100);
            for round in 0..50 {
                let bytes = batch.body_bytes();
                let request = batch.stamped(round * 100);
                let body = &request[request.len() - bytes..];
                assert!((240..270).contains(&(bytes / 100)), "{bytes}");
                let events: Vec<Value> = serde_json::from_slice(body).unwrap();
                assert_eq!(events.len(), 100);
                for event in events {
                    assert!(ids.insert(event["id"].to_string()));
                    subjects.insert(event["subject"].to_string());
                }
            }
        }
        assert_eq!(ids.len(), 10_000);
        assert!(
            (1_900..=2_000).contains(&subjects.len()),
            "{}",
            subjects.len()
        );
    }
}
