use std::fmt;

use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};

/// The type of the resource that a whole program is. It shows in no URN but its own.
pub const STACK: &str = "pulumi:pulumi:Stack";

/// The name of a resource within all stacks:
/// `urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Urn(String);

impl Urn {
    /// The URN of a resource below `parent`; the stack itself as a parent leaves no trace.
    pub fn new(stack: &str, project: &str, parent: Option<&Urn>, token: &str, name: &str) -> Urn {
        match parent.map(Urn::qualified_type).filter(|of| *of != STACK) {
            Some(of) => Urn(format!(
                "urn:pulumi:{stack}::{project}::{of}${token}::{name}"
            )),
            None => Urn(format!("urn:pulumi:{stack}::{project}::{token}::{name}")),
        }
    }

    pub fn parse(text: &str) -> Result<Urn> {
        let parts: Vec<&str> = text.splitn(4, "::").collect();
        let whole = matches!(
            parts.as_slice(),
            [head, _, kind, _] if head.starts_with("urn:pulumi:") && !kind.is_empty()
        );
        if !whole {
            return Err(Error::invalid(format!(
                "{text:?} is not a URN: expected urn:pulumi:STACK::PROJECT::TYPE::NAME"
            )));
        }
        Ok(Urn(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn part(&self, at: usize) -> &str {
        self.0.splitn(4, "::").nth(at).unwrap_or("")
    }

    pub fn stack(&self) -> &str {
        self.part(0).strip_prefix("urn:pulumi:").unwrap_or("")
    }

    pub fn project(&self) -> &str {
        self.part(1)
    }

    /// The types of all parents and its own, joined by `$`.
    pub fn qualified_type(&self) -> &str {
        self.part(2)
    }

    /// Its own type.
    pub fn token(&self) -> &str {
        self.qualified_type().rsplit('$').next().unwrap_or("")
    }

    pub fn name(&self) -> &str {
        self.part(3)
    }

    /// The same URN whatever API version its types name: what a resource is known by.
    #[must_use]
    pub fn unversioned(&self) -> Urn {
        let kinds: Vec<String> = self.qualified_type().split('$').map(unversioned).collect();
        Urn(format!(
            "urn:pulumi:{}::{}::{}::{}",
            self.stack(),
            self.project(),
            kinds.join("$"),
            self.name()
        ))
    }
}

impl fmt::Display for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Urn {
    type Error = Error;

    fn try_from(text: String) -> Result<Urn> {
        Urn::parse(&text)
    }
}

impl From<Urn> for String {
    fn from(urn: Urn) -> String {
        urn.0
    }
}

/// A token without the API version that its module names:
/// `azure-native:eventgrid/v20250215:Topic` is `azure-native:eventgrid:Topic`.
pub fn unversioned(token: &str) -> String {
    let parts: Vec<&str> = token.split(':').collect();
    match parts.as_slice() {
        ["azure-native", module, name] => {
            let module = module.split('/').next().unwrap_or(module);
            format!("azure-native:{module}:{name}")
        }
        _ => token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_show_but_for_the_stack() {
        let stack = Urn::new("dev", "shop", None, STACK, "shop-dev");
        let part = Urn::new("dev", "shop", Some(&stack), "my:index:Part", "a");
        assert_eq!(part.as_str(), "urn:pulumi:dev::shop::my:index:Part::a");
        let topic = Urn::new(
            "dev",
            "shop",
            Some(&part),
            "azure-native:eventgrid:Topic",
            "t::1",
        );
        assert_eq!(
            topic.as_str(),
            "urn:pulumi:dev::shop::my:index:Part$azure-native:eventgrid:Topic::t::1"
        );
        assert_eq!(topic.token(), "azure-native:eventgrid:Topic");
        assert_eq!(
            (topic.stack(), topic.project(), topic.name()),
            ("dev", "shop", "t::1")
        );
        assert_eq!(Urn::parse(topic.as_str()).unwrap(), topic);
    }

    #[test]
    fn what_is_no_urn() {
        for text in ["", "urn:pulumi:dev", "urn:pulumi:dev::p::::n", "x::p::t::n"] {
            assert!(Urn::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn versions_do_not_matter() {
        let check = |token: &str, expected: &str| assert_eq!(unversioned(token), expected);
        check(
            "azure-native:eventgrid/v20250215:Topic",
            "azure-native:eventgrid:Topic",
        );
        check(
            "azure-native:eventgrid:Topic",
            "azure-native:eventgrid:Topic",
        );
        check("my:index/part:Part", "my:index/part:Part");
        let urn = Urn::parse("urn:pulumi:d::p::my:a:B$azure-native:web/v2:WebApp::n").unwrap();
        assert_eq!(
            urn.unversioned().as_str(),
            "urn:pulumi:d::p::my:a:B$azure-native:web:WebApp::n"
        );
    }
}
