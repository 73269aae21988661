//! A cheap look at the first keys of a JSON body, to choose its reader without parsing it twice.
//! It never fails: whatever isn't JSON is left for the reader to refuse.

use memchr::{memchr, memchr2};

/// What begins a JSON value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outer {
    Array,
    Object,
    Text,
    Other,
}

impl Outer {
    fn of(byte: u8) -> Outer {
        match byte {
            b'[' => Outer::Array,
            b'{' => Outer::Object,
            b'"' => Outer::Text,
            _ => Outer::Other,
        }
    }

    /// The service's word for the token that it found.
    pub fn token(self) -> &'static str {
        match self {
            Outer::Array => "StartArray",
            Outer::Object => "StartObject",
            Outer::Text => "String",
            Outer::Other => "Other",
        }
    }
}

/// The shape of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub outer: Outer,
    /// The first element of an array; none of an empty one.
    pub first: Option<Outer>,
    /// The object, or the array's first one, has a property `specversion`.
    pub is_cloud_event: bool,
}

/// Looks at the body's first object up to the key that tells.
pub(super) fn peek(body: &[u8]) -> Shape {
    let mut at = skip_space(body, 0);
    let outer = body.get(at).map_or(Outer::Other, |byte| Outer::of(*byte));
    let mut first = None;
    if outer == Outer::Array {
        at = skip_space(body, at + 1);
        first = body
            .get(at)
            .filter(|byte| **byte != b']')
            .map(|byte| Outer::of(*byte));
    }
    let object = outer == Outer::Object || first == Some(Outer::Object);
    Shape {
        outer,
        first,
        is_cloud_event: object && has_specversion(body, at + 1).unwrap_or(false),
    }
}

/// Whether the object whose first key begins at or after `at` has `specversion`; `None` if the
/// text ends within it. An Event Grid event is told at its `eventType`.
fn has_specversion(body: &[u8], mut at: usize) -> Option<bool> {
    loop {
        at = skip_space(body, at);
        if *body.get(at)? != b'"' {
            return Some(false);
        }
        let end = end_of_string(body, at)?;
        match &body[at + 1..end - 1] {
            b"specversion" => return Some(true),
            b"eventType" => return Some(false),
            _ => at = end_of_value(body, end)? + 1,
        }
    }
}

/// The place of the comma behind the value that a key's colon announces; `None` if there is none.
fn end_of_value(body: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match *body.get(at)? {
            b'"' => {
                at = end_of_string(body, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// The place after the string that begins at `start`.
fn end_of_string(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let found = at + memchr2(b'"', b'\\', body.get(at..)?)?;
        if body[found] == b'"' {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

fn skip_space(body: &[u8], at: usize) -> usize {
    body.iter()
        .skip(at)
        .position(|byte| memchr(*byte, b" \n\r\t").is_none())
        .map_or(body.len(), |found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for (text, outer, first, is_cloud_event) in [
            ("", Outer::Other, None, false),
            ("[]", Outer::Array, None, false),
            (" [ ] ", Outer::Array, None, false),
            ("[\"x\"]", Outer::Array, Some(Outer::Text), false),
            (
                "[[{\"specversion\":1}]]",
                Outer::Array,
                Some(Outer::Array),
                false,
            ),
            ("{\"specversion\"", Outer::Object, None, true),
            (
                "\n[ {\"a\":{\"eventType\":[1,2]},\"b\":\"}\\\"\", \"specversion\":1}]",
                Outer::Array,
                Some(Outer::Object),
                true,
            ),
            (
                "[{\"a\":1},{\"specversion\":1}]",
                Outer::Array,
                Some(Outer::Object),
                false,
            ),
            (
                "{\"eventType\":1,\"specversion\":1}",
                Outer::Object,
                None,
                false,
            ),
            ("{\"a\":{\"specversion\":1}}", Outer::Object, None, false),
            ("{\"a\\", Outer::Object, None, false),
            ("{\"a\":\"\\", Outer::Object, None, false),
            ("{}", Outer::Object, None, false),
            ("7", Outer::Other, None, false),
        ] {
            let shape = peek(text.as_bytes());
            assert_eq!(
                (shape.outer, shape.first, shape.is_cloud_event),
                (outer, first, is_cloud_event),
                "{text}"
            );
        }
    }
}
