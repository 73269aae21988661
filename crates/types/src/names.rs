use std::fmt;
use std::str::FromStr;

use crate::limits::{NAME_MIN_CHARS, SUBSCRIPTION_NAME_CHARS, TOPIC_NAME_CHARS};
use crate::{Error, Result};

const SYSTEM_PREFIX: &str = "foretell.";

/// Whether a topic is one of the product's own (`foretell.config`, `foretell.predictions`, …).
pub fn is_system_topic(name: &str) -> bool {
    name.starts_with(SYSTEM_PREFIX)
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<$name> {
                check_name($what, text, $max)?;
                Ok($name(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// The name of a topic: 3 to 50 letters, digits and hyphens, as Azure Event Grid has it.
    /// The product's own topics begin with `foretell.`.
    TopicName, "topic", TOPIC_NAME_CHARS
}

name_type! {
    /// The name of an event subscription: 3 to 64 letters, digits and hyphens.
    SubscriptionName, "subscription", SUBSCRIPTION_NAME_CHARS
}

fn check_name(what: &str, text: &str, max: usize) -> Result<()> {
    let own = text
        .strip_prefix(SYSTEM_PREFIX)
        .filter(|_| what == "topic")
        .unwrap_or(text);
    let length = text.chars().count();
    if !(NAME_MIN_CHARS..=max).contains(&length) {
        return Err(Error::invalid(format!(
            "{what} name {text:?} has {length} characters: expected {NAME_MIN_CHARS} to {max}"
        )));
    }
    match own
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && *c != '-')
    {
        Some(wrong) => Err(Error::invalid(format!(
            "{what} name {text:?} holds {wrong:?}: only letters, digits and hyphens are allowed"
        ))),
        None => Ok(()),
    }
}

/// Checks a container name by Azure's rules: 3 to 63 lower-case letters, digits and single
/// hyphens, beginning and ending with a letter or digit.
pub fn check_container(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (3..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if good {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name:?} is not the name of a container: 3 to 63 lower-case letters, digits and single hyphens"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names() {
        for good in ["abc", "Shop-1", "foretell.config"] {
            assert!(good.parse::<TopicName>().is_ok(), "{good}");
        }
        let long = "x".repeat(51);
        for bad in [
            "",
            "ab",
            "a.b",
            "a/b",
            "ümlaut",
            "a b c",
            "foretell.a.b",
            long.as_str(),
        ] {
            assert!(bad.parse::<TopicName>().is_err(), "{bad}");
        }
    }
}
