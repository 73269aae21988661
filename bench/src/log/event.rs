//! The synthetic event: 256 bytes as the JSON text of CloudEvents, the same for all engines.

use crate::Result;

pub const SOURCE: &str = "/shop/till";
pub const TYPE: &str = "shop.order.placed";
pub const TIME: &str = "2024-05-01T12:30:00Z";

const SUBJECT: &str = "customer/0000000";
const ID: &str = "0000000000000000";
const DATA: &str = r#"{"order":"0000000000000000","sku":"000000000000","quantity":2,"cents":0000000,"currency":"EUR"}"#;
/// Where the digits begin: the number in hexadecimal, the sku, the price.
const DATA_AT: [usize; 3] = [10, 35, 70];

const WHOLE: [&str; 4] = [
    r#"{"specversion":"1.0","id":"#,
    r#","source":"/shop/till","type":"shop.order.placed","subject":"#,
    r#","time":"2024-05-01T12:30:00Z","data":"#,
    "}",
];
const REST: [&str; 3] = [
    r#"{"specversion":"1.0","id":"#,
    r#","source":"/shop/till","time":"2024-05-01T12:30:00Z","data":"#,
    "}",
];

/// The number makes the id and the data, the stream the subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    pub number: u64,
    pub stream: u32,
}

impl Event {
    pub fn id(self) -> Result<String> {
        let mut id = vec![0; ID.len()];
        hexadecimal(&mut id, self.number);
        text(id)
    }

    pub fn subject(self) -> Result<String> {
        subject(self.stream)
    }

    pub fn data(self) -> Result<String> {
        let mut out = Vec::with_capacity(DATA.len());
        self.write_data(&mut out);
        text(out)
    }

    /// The whole event as the JSON text of CloudEvents: its payload, where bytes are counted.
    pub fn json(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write_json(&mut out);
        out
    }

    pub fn write_json(self, out: &mut Vec<u8>) {
        out.extend_from_slice(WHOLE[0].as_bytes());
        self.write_id(out);
        out.extend_from_slice(WHOLE[1].as_bytes());
        out.push(b'"');
        write_subject(out, self.stream);
        out.push(b'"');
        out.extend_from_slice(WHOLE[2].as_bytes());
        self.write_data(out);
        out.extend_from_slice(WHOLE[3].as_bytes());
    }

    /// All but type and subject, for the stores that keep these beside the payload.
    pub fn rest(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(REST[0].as_bytes());
        self.write_id(&mut out);
        out.extend_from_slice(REST[1].as_bytes());
        self.write_data(&mut out);
        out.extend_from_slice(REST[2].as_bytes());
        out
    }

    fn write_id(self, out: &mut Vec<u8>) {
        out.push(b'"');
        let at = out.len();
        out.extend_from_slice(ID.as_bytes());
        hexadecimal(&mut out[at..], self.number);
        out.push(b'"');
    }

    fn write_data(self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(DATA.as_bytes());
        let data = &mut out[at..];
        let mixed = mix(self.number);
        hexadecimal(&mut data[DATA_AT[0]..DATA_AT[0] + 16], self.number);
        decimal(&mut data[DATA_AT[1]..DATA_AT[1] + 12], mixed);
        decimal(
            &mut data[DATA_AT[2]..DATA_AT[2] + 7],
            1_000_000 + (mixed >> 32) % 9_000_000,
        );
    }
}

pub fn subject(stream: u32) -> Result<String> {
    let mut out = Vec::with_capacity(SUBJECT.len());
    write_subject(&mut out, stream);
    text(out)
}

fn write_subject(out: &mut Vec<u8>, stream: u32) {
    let at = out.len();
    out.extend_from_slice(SUBJECT.as_bytes());
    decimal(&mut out[at + 9..], u64::from(stream));
}

/// A multiplicative hash (Knuth), so that neighbours differ.
pub fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_mul(11_400_714_819_323_198_485);
    mixed ^ mixed >> 29
}

fn text(bytes: Vec<u8>) -> Result<String> {
    Ok(String::from_utf8(bytes)?)
}

fn hexadecimal(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn decimal(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use foretell_types::cloudevents;
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_event_is_256_bytes_of_json() {
        let event = Event {
            number: 0xfedc_ba98_7654_3210,
            stream: 1_234_567,
        };
        let json = event.json();
        assert_eq!(json.len(), 256, "{}", json.len());
        let parsed = cloudevents::from_json(&json).unwrap();
        assert_eq!(parsed.id, "fedcba9876543210");
        assert_eq!(parsed.id, event.id().unwrap());
        assert_eq!(parsed.source, SOURCE);
        assert_eq!(parsed.event_type, TYPE);
        assert_eq!(parsed.subject.as_deref(), Some("customer/1234567"));
        assert_eq!(cloudevents::to_json(&parsed).as_bytes(), json);
        let data: Value = serde_json::from_str(&event.data().unwrap()).unwrap();
        assert_eq!(data["order"], "fedcba9876543210");
        let rest: Value = serde_json::from_slice(&event.rest()).unwrap();
        assert_eq!(rest["data"], data);
        assert!(rest["subject"].is_null());
    }
}
