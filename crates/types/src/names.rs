use std::fmt;
use std::str::FromStr;

use crate::limits::{
    BLOB_NAME_BYTES, FUNCTION_APP_NAME_CHARS, NAME_MIN_CHARS, NAMESPACE_NAME_CHARS,
    STORAGE_ACCOUNT_NAME_CHARS, SUBSCRIPTION_NAME_CHARS, TOPIC_NAME_CHARS,
};
use crate::{Error, Result};

const SYSTEM_PREFIX: &str = "foretell.";
const SYSTEM_NAMESPACE: &str = "foretell";

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
                check_name($what, part_of($what, text), $max)?;
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
    /// The product's own topics begin with `foretell.`; those of an Event Grid namespace are
    /// named `NAMESPACE.TOPIC`.
    TopicName, "topic", TOPIC_NAME_CHARS
}

name_type! {
    /// The name of an Event Grid namespace: 3 to 50 letters, digits and hyphens, not `foretell`.
    NamespaceName, "namespace", NAMESPACE_NAME_CHARS
}

name_type! {
    /// The name of an event subscription: 3 to 64 letters, digits and hyphens.
    SubscriptionName, "subscription", SUBSCRIPTION_NAME_CHARS
}

/// The namespace of a topic and its name there; `None` for a topic of no namespace.
pub fn in_namespace(topic: &str) -> Option<(&str, &str)> {
    topic.split_once('.').filter(|_| !is_system_topic(topic))
}

/// What is left of a topic's name once what is before its dot is known to be good.
fn part_of<'a>(what: &str, text: &'a str) -> &'a str {
    if what != "topic" {
        return text;
    }
    match text.split_once('.') {
        Some((namespace, name)) if !name.contains('.') => {
            match check_name("namespace", namespace, NAMESPACE_NAME_CHARS) {
                Ok(()) => name,
                // Its own system's topics are in no namespace.
                Err(_) if namespace == SYSTEM_NAMESPACE => name,
                Err(_) => text,
            }
        }
        _ => text,
    }
}

fn check_name(what: &str, text: &str, max: usize) -> Result<()> {
    let length = text.chars().count();
    if !(NAME_MIN_CHARS..=max).contains(&length) {
        return Err(Error::invalid(format!(
            "{what} name {text:?} has {length} characters: expected {NAME_MIN_CHARS} to {max}"
        )));
    }
    if what == "namespace" && text.eq_ignore_ascii_case(SYSTEM_NAMESPACE) {
        return Err(Error::invalid(format!(
            "namespace name {text:?} is the product's own: choose another"
        )));
    }
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && *c != '-')
    {
        Some(wrong) => Err(Error::invalid(format!(
            "{what} name {text:?} holds {wrong:?}: only letters, digits and hyphens are allowed"
        ))),
        None => Ok(()),
    }
}

/// Checks the name of a function app: letters, digits, hyphens, underscores and dots, as a folder
/// may be named.
pub fn check_function_app(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=FUNCTION_APP_NAME_CHARS).contains(&name.len())
        && name.chars().all(allowed)
        && !name.starts_with(['.', '_']);
    if good {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name:?} is not the name of a function app: 1 to {FUNCTION_APP_NAME_CHARS} letters, digits, '-', '_' and '.', beginning with a letter, a digit or '-'"
    )))
}

/// Checks the name of a storage account by Azure's rules: 3 to 24 lower-case letters and digits.
pub fn check_storage_account(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if (NAME_MIN_CHARS..=STORAGE_ACCOUNT_NAME_CHARS).contains(&name.len())
        && name.bytes().all(allowed)
    {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name:?} is not the name of a storage account: {NAME_MIN_CHARS} to {STORAGE_ACCOUNT_NAME_CHARS} lower-case letters and digits"
    )))
}

/// Checks where a container is: `CONTAINER` of the default storage account, or
/// `ACCOUNT:CONTAINER`.
pub fn check_container_of(place: &str) -> Result<()> {
    match place.split_once(':') {
        Some((account, container)) => {
            check_storage_account(account)?;
            check_container(container)
        }
        None => check_container(place),
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

/// Checks a blob name: what every store can hold, and nothing that could leave the container.
pub fn check_blob(name: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(Error::invalid(format!(
            "{name:?} is not the name of a blob: {why}"
        )))
    };
    if name.is_empty() || name.len() > BLOB_NAME_BYTES {
        return wrong(&format!("1 to {BLOB_NAME_BYTES} bytes are allowed"));
    }
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return wrong("control characters and backslashes are not allowed");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return wrong("a part between slashes is empty, '.' or '..'");
    }
    if name.split('/').any(|part| part.len() > 255) {
        return wrong("a part between slashes has more than 255 bytes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names() {
        for good in ["abc", "Shop-1", "foretell.config", "north.orders"] {
            assert!(good.parse::<TopicName>().is_ok(), "{good}");
        }
        let long = "x".repeat(51);
        for bad in [
            "",
            "ab",
            "a.b",
            "abc.b",
            "abc.def.ghi",
            "Foretell.abc",
            ".abc",
            "abc.",
            "a/b",
            "ümlaut",
            "a b c",
            "foretell.a.b",
            long.as_str(),
        ] {
            assert!(bad.parse::<TopicName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn namespaces_and_accounts() {
        assert_eq!(in_namespace("north.orders"), Some(("north", "orders")));
        assert_eq!(in_namespace("orders"), None);
        assert_eq!(in_namespace("foretell.config"), None);
        assert!("foretell".parse::<NamespaceName>().is_err());
        assert!("north".parse::<NamespaceName>().is_ok());
        for good in ["results", "events1:results"] {
            assert!(check_container_of(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ":results",
            "Events:results",
            "a-b:results",
            "events1:",
            "a:b:c",
            "ab:abc",
        ] {
            assert!(check_container_of(bad).is_err(), "{bad}");
        }
        assert!(check_function_app("shop_1.x").is_ok());
        for bad in ["", "../x", ".", "a/b", "_x"] {
            assert!(check_function_app(bad).is_err(), "{bad}");
        }
    }
}
