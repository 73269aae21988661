//! Values as JSON, written the way the file wrote them.

use crate::limits::SHOWN_CHARS;

/// Appends a JSON string.
pub(crate) fn write_string(out: &mut String, text: &str) {
    if text
        .bytes()
        .any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    {
        // A string always has a JSON form.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// Appends a text as what it reads as: a number, `true` or `false`, or else a string.
pub(crate) fn write_guessed(out: &mut String, text: &str) {
    if text == "true" || text == "false" || is_number(text) {
        out.push_str(text);
    } else {
        write_string(out, text);
    }
}

/// Appends `,` unless the object has just begun, then the key.
pub(crate) fn write_key(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    write_string(out, key);
    out.push(':');
}

/// Whether a text is a number by the grammar of JSON (no leading zeros, no leading plus) that a
/// 64-bit float can hold.
pub(crate) fn is_number(text: &str) -> bool {
    let bytes = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let digits = |bytes: &[u8]| {
        bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let whole = digits(bytes);
    if whole == 0 || (whole > 1 && bytes[0] == b'0') {
        return false;
    }
    let mut rest = &bytes[whole..];
    if let [b'.', after @ ..] = rest {
        let count = digits(after);
        if count == 0 {
            return false;
        }
        rest = &after[count..];
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let after = match after {
            [b'+' | b'-', after @ ..] => after,
            _ => after,
        };
        let count = digits(after);
        if count == 0 {
            return false;
        }
        rest = &after[count..];
    }
    // Few digits and no exponent can't be beyond a float.
    rest.is_empty() && (bytes.len() < 300 && whole + 1 >= bytes.len() || finite(text))
}

fn finite(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A value as an error shows it: quoted, and cut if it is long.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "-0"),
            ("12.50", "12.50"),
            ("-1.5E+3", "-1.5E+3"),
            ("00001", "\"00001\""),
            ("-01", "\"-01\""),
            ("+1", "\"+1\""),
            ("1.", "\"1.\""),
            (".5", "\".5\""),
            ("1e", "\"1e\""),
            ("1e999", "\"1e999\""),
            ("12 ", "\"12 \""),
            ("NaN", "\"NaN\""),
            ("true", "true"),
            ("True", "\"True\""),
            ("null", "\"null\""),
            ("a\"\n\\", r#""a\"\n\\""#),
            ("12345678901234567890123", "12345678901234567890123"),
        ] {
            let mut out = String::new();
            write_guessed(&mut out, text);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shown("a\n"), "\"a\\n\"");
        assert!(shown(&"é".repeat(1000)).chars().count() < 100);
    }

    proptest! {
        #[test]
        fn what_is_written_is_json(text in "\\PC*|-?[0-9.eE+-]{0,12}|[\\x00-\\x7f]*") {
            let mut out = String::new();
            write_guessed(&mut out, &text);
            let value: serde_json::Value = serde_json::from_str(&out).unwrap();
            if let Some(string) = value.as_str() {
                prop_assert_eq!(string, &text);
            } else {
                prop_assert_eq!(out, text);
            }
        }
    }
}
