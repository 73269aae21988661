use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use foretell_types::{Error, Instant, Result};
use http::Uri;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Target;

/// Whether the endpoint of a webhook is asked before events are delivered to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validation {
    /// Unless it lies on this machine: who runs the server runs the endpoint too.
    #[default]
    Auto,
    Always,
    Never,
}

impl Validation {
    pub fn is_auto(&self) -> bool {
        *self == Validation::Auto
    }

    /// Whether a target is to be asked.
    pub fn asks(self, target: &Target) -> bool {
        match (self, target) {
            (Validation::Auto, Target::WebHook(url)) => !is_loopback(url),
            (Validation::Always, Target::WebHook(_)) => true,
            _ => false,
        }
    }
}

/// The host of a URL by its name alone: nothing is looked up.
fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or("").trim_matches(['[', ']']);
    let host = host.to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

impl FromStr for Validation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Validation> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Validation::Auto),
            "always" => Ok(Validation::Always),
            "never" => Ok(Validation::Never),
            _ => Err(Error::invalid(format!(
                "{text:?} is no choice of validation: expected auto, always or never"
            ))),
        }
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Validation::Auto => "auto",
            Validation::Always => "always",
            Validation::Never => "never",
        })
    }
}

/// How far a subscription is; only one that succeeded delivers. In the journal too: what was
/// written before there were handshakes has succeeded.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Provisioning {
    #[default]
    Succeeded,
    /// The endpoint is yet to be asked, by a server.
    Creating,
    /// Someone has to confirm, with the code that derives from the id.
    AwaitingManualAction {
        id: Uuid,
        until_ms: i64,
        why: String,
    },
    Failed {
        why: String,
    },
}

impl Provisioning {
    pub fn is_succeeded(&self) -> bool {
        *self == Provisioning::Succeeded
    }

    /// As of now: what nobody confirmed in time has failed.
    #[must_use]
    pub fn at(&self, now: Instant) -> Provisioning {
        match self {
            Provisioning::AwaitingManualAction { until_ms, why, .. }
                if *until_ms < now.as_millis() =>
            {
                Provisioning::Failed {
                    why: format!("{why}; nobody confirmed it in time"),
                }
            }
            other => other.clone(),
        }
    }

    /// What is to be said about it.
    pub fn why(&self) -> Option<&str> {
        match self {
            Provisioning::Succeeded => None,
            Provisioning::Creating => Some("a server will ask the endpoint when it runs"),
            Provisioning::AwaitingManualAction { why, .. } | Provisioning::Failed { why } => {
                Some(why)
            }
        }
    }

    /// Event Grid's `provisioningState`.
    pub fn arm(&self) -> &'static str {
        match self {
            Provisioning::Succeeded => "Succeeded",
            Provisioning::Creating => "Creating",
            Provisioning::AwaitingManualAction { .. } => "AwaitingManualAction",
            Provisioning::Failed { .. } => "Failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_not_asked() {
        for (url, is_asked) in [
            ("http://127.0.0.1:1/", false),
            ("http://127.9.9.9/", false),
            ("http://[::1]:80/x", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("http://LOCALHOST/x", false),
            ("http://a.localhost:1/x", false),
            ("http://localhost.example.com/", true),
            ("http://10.0.0.1/", true),
            ("https://example.com/127.0.0.1", true),
        ] {
            let target = Target::webhook(url).unwrap();
            assert_eq!(Validation::Auto.asks(&target), is_asked, "{url}");
            assert!(Validation::Always.asks(&target) && !Validation::Never.asks(&target));
        }
        assert!(!Validation::Always.asks(&Target::Pull));
    }

    #[test]
    fn what_is_not_confirmed_in_time_has_failed() {
        let waits = Provisioning::AwaitingManualAction {
            id: Uuid::nil(),
            until_ms: 1_000,
            why: "it said nothing".to_owned(),
        };
        let at = |nanos| waits.at(Instant::from_nanos(nanos));
        assert_eq!(at(1_000_000_000), waits);
        assert_eq!(at(1_001_000_000).arm(), "Failed");
        assert!(
            at(1_001_000_000)
                .why()
                .unwrap()
                .starts_with("it said nothing; nobody")
        );
    }
}
