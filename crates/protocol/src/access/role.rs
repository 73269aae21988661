use foretell_types::limits::TOKEN_ROLES;
use foretell_types::{Error, ErrorKind, Result};
use serde_json::Value;

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Publish and append events.
    Publish,
    /// Receive and settle events.
    Receive,
    /// See which topics and subscriptions there are.
    Inspect,
    /// Read events, states, proofs and dead letters.
    Read,
    /// Make, change, pause, rewind and delete subscriptions, and replay dead letters.
    Subscribe,
    /// Make, change and delete topics, and see their keys.
    Manage,
    /// All else but erasing: import, verify, back up, functions.
    Administer,
    /// Erase the data of subjects.
    Erase,
}

impl Permission {
    /// As in "this needs a role for …".
    fn doing(self) -> &'static str {
        match self {
            Permission::Publish => "publishing",
            Permission::Receive => "receiving",
            Permission::Inspect => "seeing topics and subscriptions",
            Permission::Read => "reading",
            Permission::Subscribe => "changing subscriptions",
            Permission::Manage => "managing topics",
            Permission::Administer => "administration",
            Permission::Erase => "erasing",
        }
    }
}

struct Role {
    name: &'static str,
    permits: &'static [Permission],
}

/// Those of Azure Event Grid with what they permit there, and our own.
/// Source: "Authorizing access to Event Grid resources", built-in roles.
const ROLES: &[Role] = &[
    Role {
        name: "EventGrid Data Sender",
        permits: &[Permission::Publish],
    },
    Role {
        name: "EventGrid Data Receiver",
        permits: &[Permission::Receive],
    },
    Role {
        name: "EventGrid Data Contributor",
        permits: &[Permission::Publish, Permission::Receive],
    },
    Role {
        name: "EventGrid EventSubscription Reader",
        permits: &[Permission::Inspect],
    },
    Role {
        name: "EventGrid EventSubscription Contributor",
        permits: &[Permission::Inspect, Permission::Subscribe],
    },
    Role {
        name: "EventGrid Contributor",
        permits: &[
            Permission::Inspect,
            Permission::Subscribe,
            Permission::Manage,
        ],
    },
    Role {
        name: "Foretell Reader",
        permits: &[Permission::Inspect, Permission::Read],
    },
    Role {
        name: "Foretell Administrator",
        permits: &[
            Permission::Publish,
            Permission::Receive,
            Permission::Inspect,
            Permission::Read,
            Permission::Subscribe,
            Permission::Manage,
            Permission::Administer,
        ],
    },
    Role {
        name: "Foretell Eraser",
        permits: &[Permission::Erase],
    },
];

/// What the roles of a token allow. A role is for everything, or for a topic: `ROLE@TOPIC`.
#[derive(Clone, Default)]
pub struct Grants(Vec<Grant>);

#[derive(Clone)]
struct Grant {
    role: &'static Role,
    topic: Option<String>,
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Grants {
    /// Reads the claim with the roles: an array of names, or one text with spaces between names
    /// that hold none. Names of roles that aren't known here are read past: they are for others.
    pub(super) fn read(claim: Option<&Value>) -> Grants {
        let names: Vec<&str> = match claim {
            // A name with spaces, alone, is one name.
            Some(Value::String(text)) if grant(text).is_some() => vec![text.as_str()],
            Some(Value::String(text)) => text.split_whitespace().collect(),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let known = names.into_iter().filter_map(grant);
        Grants(known.take(TOKEN_ROLES).collect())
    }

    /// Checks that something may be done: in a topic, or everywhere.
    pub fn check(&self, permission: Permission, topic: Option<&str>) -> Result<()> {
        let allowed = self.0.iter().any(|grant| {
            let here = match (&grant.topic, topic) {
                (None, _) => true,
                (Some(own), Some(topic)) => own.eq_ignore_ascii_case(topic),
                (Some(_), None) => false,
            };
            here && grant.role.permits.contains(&permission)
        });
        if allowed {
            return Ok(());
        }
        let place = topic.map_or(String::new(), |topic| format!(" in topic {topic:?}"));
        let roles: Vec<&str> = ROLES
            .iter()
            .filter(|role| role.permits.contains(&permission))
            .map(|role| role.name)
            .collect();
        Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "{}{place} needs a role that the token doesn't have: {}; it has {}",
                permission.doing(),
                roles.join(" or "),
                self.shown()
            ),
        ))
    }

    fn shown(&self) -> String {
        let shown = self.0.iter().map(|grant| match &grant.topic {
            None => grant.role.name.to_owned(),
            Some(topic) => format!("{}@{topic}", grant.role.name),
        });
        let shown: Vec<String> = shown.collect();
        match shown.is_empty() {
            true => "none that is known here".to_owned(),
            false => shown.join(", "),
        }
    }
}

/// Reads `ROLE` or `ROLE@TOPIC`. A role is known by its letters: some issuers take no spaces.
fn grant(text: &str) -> Option<Grant> {
    let (name, topic) = match text.split_once('@') {
        Some((name, topic)) => (name, Some(topic.trim())),
        None => (text, None),
    };
    // A topic that is left out by mistake must not be all of them.
    if topic.is_some_and(str::is_empty) {
        return None;
    }
    let role = ROLES
        .iter()
        .find(|role| letters(role.name).eq(letters(name)))?;
    Some(Grant {
        role,
        topic: topic.map(str::to_owned),
    })
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    let separators = |c: &char| !matches!(c, ' ' | '-' | '_' | '.');
    name.chars()
        .filter(separators)
        .map(|c| c.to_ascii_lowercase())
}
