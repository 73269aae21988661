use std::fmt;
use std::str::FromStr;

use foretell_types::{Error, Result};
use http::Uri;
use serde::{Deserialize, Serialize};

const EXPECTED: &str = "expected webhook:URL, function:APP/FUNCTION or pull";

/// Where a subscription's events go. Text, also in the journal: `webhook:URL`,
/// `function:APP/FUNCTION`, `pull`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    WebHook(String),
    Function {
        app: String,
        function: String,
    },
    /// Nowhere: readers receive, acknowledge and release them.
    Pull,
}

impl Target {
    /// A webhook at an `http` or `https` address.
    pub fn webhook(url: &str) -> Result<Target> {
        let wrong = |why: &str| {
            Err(Error::invalid(format!(
                "webhook address {url:?} {why}: expected http://HOST/PATH or https://HOST/PATH"
            )))
        };
        let Ok(uri) = url.parse::<Uri>() else {
            return wrong("is not a URL");
        };
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return wrong("has neither scheme http nor https");
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if uri.host().is_none_or(str::is_empty) || authority.contains('@') {
            return wrong("has no plain host");
        }
        Ok(Target::WebHook(url.to_owned()))
    }

    /// A function of an application.
    pub fn function(app: &str, function: &str) -> Result<Target> {
        for (what, name) in [("application", app), ("function", function)] {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let dots = name.chars().all(|c| c == '.');
            if dots || name.len() > 128 || !name.chars().all(allowed) {
                return Err(Error::invalid(format!(
                    "{name:?} is not the name of {} {what}: 1 to 128 letters, digits, '-', '_' and '.' are allowed",
                    if what == "function" { "a" } else { "an" }
                )));
            }
        }
        Ok(Target::Function {
            app: app.to_owned(),
            function: function.to_owned(),
        })
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Target> {
        let unknown = || Error::invalid(format!("{text:?} is not a target: {EXPECTED}"));
        match text.split_once(':') {
            None if text == "pull" => Ok(Target::Pull),
            Some(("webhook", url)) => Target::webhook(url),
            Some(("function", path)) => {
                let (app, function) = path.split_once('/').ok_or_else(unknown)?;
                Target::function(app, function)
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::WebHook(url) => write!(f, "webhook:{url}"),
            Target::Function { app, function } => write!(f, "function:{app}/{function}"),
            Target::Pull => f.write_str("pull"),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = Error;

    fn try_from(text: String) -> Result<Target> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}
