//! The events of this bench bear numbers, so that each that arrives is known.

use std::ops::Range;

use memchr::memmem::Finder;

use crate::payload::Target;

const ID: &str = "\"id\":\"n-";

/// The request that publishes these events, each about the subject of its number.
pub fn request(target: &Target, numbers: impl Iterator<Item = u64>, subjects: u64) -> Vec<u8> {
    let mut body = String::from("[");
    for number in numbers {
        if body.len() > 1 {
            body.push(',');
        }
        let subject = number % subjects;
        body.push_str(&format!(
            r#"{{"id":"n-{number:012}","subject":"customer/{subject:08}","eventType":"shop.order.placed","eventTime":"2024-05-01T12:30:00.1234567Z","dataVersion":"1.0","data":{{"order":{},"item":"sku-{:06}","quantity":2,"total":19.99,"currency":"EUR"}}}}"#,
            100_000 + number,
            number * 7919 % 1_000_000,
        ));
    }
    body.push(']');
    target.request(&body)
}

/// The requests that publish a range, in order.
pub fn requests(
    target: &Target,
    numbers: Range<u64>,
    each: u64,
    subjects: u64,
) -> impl Iterator<Item = Vec<u8>> {
    let firsts = numbers.clone().step_by(each as usize);
    firsts.map(move |first| request(target, first..(first + each).min(numbers.end), subjects))
}

/// Finds the numbers in what is delivered, in either schema. It costs little: the bench shares the
/// processors.
#[derive(Debug)]
pub struct Numbers {
    id: Finder<'static>,
}

impl Numbers {
    pub fn new() -> Numbers {
        Numbers {
            id: Finder::new(ID),
        }
    }

    pub fn of<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
        self.id.find_iter(body).map(|found| {
            let digits = body[found + ID.len()..].iter();
            let digits = digits.take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_published_is_found_again() {
        let target = Target {
            address: ([127, 0, 0, 1], 1).into(),
            topic: "bench".into(),
            key: "k".into(),
        };
        let (mut numbers, found) = (Vec::new(), Numbers::new());
        for request in requests(&target, 5..30, 10, 7) {
            let text = String::from_utf8(request).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            let events: Vec<Value> = serde_json::from_str(body).unwrap();
            for event in &events {
                let number: u64 = event["id"].as_str().unwrap()[2..].parse().unwrap();
                let subject = format!("customer/{:08}", number % 7);
                assert_eq!(event["subject"], subject.as_str());
            }
            let before = numbers.len();
            numbers.extend(found.of(body.as_bytes()));
            assert_eq!(numbers.len() - before, events.len());
        }
        assert_eq!(numbers, (5..30).collect::<Vec<_>>());
    }
}
