use std::borrow::Cow;

use crate::limits::JSON_DEPTH;
use crate::{Error, Result};

/// Valid JSON text without its insignificant white space; everything else stays as it is, numbers
/// to the last digit. Fails if objects and arrays nest deeper than [`JSON_DEPTH`].
///
/// The text must be valid JSON (as `serde_json::value::RawValue` guarantees).
pub fn compact_json(text: &str) -> Result<Cow<'_, str>> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut out: Vec<u8> = Vec::new();
    // Bytes before `copied` are in `out`, once there is anything to leave out.
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH {
                    return Err(Error::invalid(format!(
                        "the JSON data nests deeper than {JSON_DEPTH} levels"
                    )));
                }
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b' ' | b'\n' | b'\r' | b'\t' => {
                if out.capacity() == 0 {
                    out.reserve(bytes.len());
                }
                out.extend_from_slice(&bytes[copied..at]);
                at += 1;
                copied = at;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(text));
    }
    out.extend_from_slice(&bytes[copied..]);
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| Error::invalid("the JSON is not UTF-8"))
}

/// The index after the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
            None => return bytes.len(),
            Some(found) if bytes[at + found] == b'"' => return at + found + 1,
            Some(found) => at += found + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn keeps_numbers_and_strings() {
        let text = "{ \"a b\" : [1.0, 1e400 ,\t-0.10], \"q\\\" \\\\\": \" x \\\\\" }\n";
        let compact = compact_json(text).unwrap();
        assert_eq!(compact, r#"{"a b":[1.0,1e400,-0.10],"q\" \\":" x \\"}"#);
        assert!(matches!(compact_json(&compact).unwrap(), Cow::Borrowed(_)));
    }

    #[test]
    fn refuses_deep_nesting() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(compact_json(&deep(JSON_DEPTH)).is_ok());
        assert!(compact_json(&deep(JSON_DEPTH + 1)).is_err());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC*[ \n\"\\\\]?".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("\\PC{0,4}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn pretty_text_compacts_to_compact_text(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let compact = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(compact_json(&pretty).unwrap(), compact);
        }
    }
}
