use std::cmp::Ordering;

/// A JSON number: whole ones of 64 bits exactly, all others as the nearest double.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Number {
    Whole(i128),
    /// Never NaN; infinite if it is larger than all doubles.
    Float(f64),
}

impl Number {
    /// Reads a number as it stands in JSON text.
    pub fn from_text(text: &str) -> Option<Number> {
        let whole = text.parse::<i64>().map(i128::from);
        match whole.or_else(|_| text.parse::<u64>().map(i128::from)) {
            Ok(whole) => Some(Number::Whole(whole)),
            Err(_) => text.parse().ok().map(Number::Float),
        }
    }

    pub fn from_json(number: &serde_json::Number) -> Number {
        match number.as_i128() {
            Some(whole) => Number::Whole(whole),
            None => Number::Float(number.as_f64().unwrap_or(f64::INFINITY)),
        }
    }

    /// Compares the values, whole numbers with doubles too: nothing is rounded.
    pub fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a.cmp(&b),
            (Number::Whole(a), Number::Float(b)) => compare_mixed(a, b),
            (Number::Float(a), Number::Whole(b)) => compare_mixed(b, a).reverse(),
            // There is no NaN; plus and minus zero are equal.
            (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        }
    }
}

/// What lies beyond the range of the whole numbers becomes its end, and stays beyond 64 bits.
fn compare_mixed(whole: i128, float: f64) -> Ordering {
    let floor = float.floor();
    whole.cmp(&(floor as i128)).then(if float > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Number {
        Number::from_text(text).unwrap()
    }

    #[test]
    fn in_order() {
        let ascending = [
            "-1e400",
            "-1e300",
            "-9223372036854777856",
            "-9223372036854775808",
            "-9223372036854775807",
            "-1.5",
            "-1",
            "-0.5",
            "0",
            "5e-324",
            "0.1",
            "0.5",
            "1",
            "1.0000000000000002",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994.0",
            "9223372036854775807",
            "9223372036854775808.0",
            "9223372036854775809",
            "18446744073709551614",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "1e400",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(read(a).compare(read(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn written_in_other_ways() {
        for (a, b) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0", "-0.0"),
            ("-0", "0"),
            ("0.1", "0.10"),
            ("1E2", "100.00"),
            ("18446744073709551616", "1.8446744073709551616e19"),
        ] {
            assert_eq!(read(a).compare(read(b)), Ordering::Equal, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn filter_and_event_read_alike(whole: i64, float: f64, digits in "-?[1-9][0-9]{0,24}", fraction in "[0-9]{1,20}") {
            for text in [whole.to_string(), format!("{float:e}"), digits.clone(), format!("{digits}.{fraction}")] {
                if let Ok(number) = serde_json::from_str::<serde_json::Number>(&text) {
                    prop_assert_eq!(Number::from_json(&number), read(&text));
                    let again: serde_json::Number = serde_json::from_str(&number.to_string()).unwrap();
                    prop_assert_eq!(again, number);
                }
            }
        }
    }
}
