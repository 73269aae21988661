//! Names and ids, as Azure's resource manager has them.

use crate::{Properties, Value};

/// The subscription of programs that name none.
const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
/// The region of programs that name none.
const LOCATION: &str = "westeurope";
/// What azure-native puts behind a name to make it another's.
const SUFFIX_DIGITS: usize = 8;

/// The settings of the provider that ids and locations come from.
pub fn subscription_id(config: &Properties) -> &str {
    setting(config, "subscriptionId").unwrap_or(SUBSCRIPTION)
}

pub fn location(config: &Properties) -> &str {
    setting(config, "location").unwrap_or(LOCATION)
}

fn setting<'a>(config: &'a Properties, name: &str) -> Option<&'a str> {
    config.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// `/subscriptions/S/resourceGroups/GROUP`
pub fn group_id(config: &Properties, group: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{group}",
        subscription_id(config)
    )
}

/// The segment of a resource id after one of this name, which is matched without regard to case.
pub fn segment<'a>(id: &'a str, name: &str) -> Option<&'a str> {
    let mut segments = id.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(name))?;
    segments.next().filter(|segment| !segment.is_empty())
}

/// How a name is made that the program left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AutoName {
    /// The resource's name in the program and some random digits, at most so many characters.
    Random(usize),
    /// Likewise, of lower-case letters and digits alone.
    Plain(usize),
    /// The resource's name in the program.
    Copy,
    /// None is made: it has to be given.
    Given,
}

impl AutoName {
    pub fn make(self, logical: &str, seed: u64) -> Option<String> {
        let digits = format!("{:08x}", seed as u32);
        let cut = |text: String, most: usize| -> String {
            let left = most - SUFFIX_DIGITS;
            text.chars().take(left).collect::<String>() + &digits
        };
        Some(match self {
            AutoName::Random(most) => cut(logical.to_owned(), most),
            AutoName::Plain(most) => {
                let plain = logical.chars().filter(char::is_ascii_alphanumeric);
                cut(plain.collect::<String>().to_ascii_lowercase(), most)
            }
            AutoName::Copy => logical.to_owned(),
            AutoName::Given => return None,
        })
    }
}

/// An id of the kind that principals have, always the same for the same name.
pub fn uuid_of(name: &str) -> String {
    let hex = blake3::hash(name.as_bytes()).to_hex();
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

/// A text among inputs; empty where it isn't known or isn't there.
pub fn text<'a>(inputs: &'a Properties, name: &str) -> &'a str {
    inputs.get(name).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_in_digits_and_fit() {
        for (how, logical, expected) in [
            (AutoName::Random(50), "topic", "topic0000002a"),
            (AutoName::Random(12), "long-name", "long0000002a"),
            (AutoName::Plain(24), "My-Events_1", "myevents10000002a"),
            (
                AutoName::Plain(24),
                &"x".repeat(40),
                "xxxxxxxxxxxxxxxx0000002a",
            ),
            (AutoName::Copy, "processed", "processed"),
        ] {
            assert_eq!(how.make(logical, 42).as_deref(), Some(expected));
        }
    }

    #[test]
    fn segments_of_ids() {
        let id = "/subscriptions/s/resourcegroups/rg/providers/Microsoft.Web/sites/app/functions/f";
        assert_eq!(segment(id, "resourceGroups"), Some("rg"));
        assert_eq!(segment(id, "functions"), Some("f"));
        assert_eq!(segment(id, "topics"), None);
        assert_eq!(uuid_of("a").len(), 36);
    }
}
