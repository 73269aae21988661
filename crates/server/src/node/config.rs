//! The configuration: definitions of topics and subscriptions, kept as events of the system topic
//! `foretell.config`, so that it too can be asked for at any past time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use foretell_log::{EventLog, ReadOptions};
use foretell_protocol::{Provisioning, SubscriptionDefinition, TopicDefinition};
use foretell_types::{Data, Error, ErrorKind, NewEvent, Result};
use serde::{Deserialize, Serialize};

/// The topic that holds the configuration.
pub const CONFIG: &str = "foretell.config";
const PUT: &str = "foretell.definition.put";
const DELETED: &str = "foretell.definition.deleted";

/// Who defined something: what the application's `foretell.toml` names, it owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    Api,
    File,
}

/// The version of a definition's form; a form that older binaries must not read gets the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Version(u32);

impl Version {
    /// The newest that this program knows.
    const NEWEST: Version = Version(3);

    /// That of a subscription. Version 3 brought those that are paused, to which an older program
    /// would deliver, and the rate that an endpoint allows, to which it would not keep. Version 2 brought advanced filters, which a program that doesn't
    /// know them would let all events pass; batches and headers, which it would leave out; and
    /// endpoints that didn't say yes yet, to which it would deliver.
    fn of(config: &SubscriptionConfig) -> Version {
        let definition = &config.definition;
        let as_before = definition.filter.advanced.is_empty()
            && definition.max_events_per_batch == 1
            && definition.attributes.is_empty()
            && config.provisioning.is_succeeded();
        match (config.paused || config.rate.is_some(), as_before) {
            (true, _) => Version(3),
            (false, true) => Version::default(),
            (false, false) => Version(2),
        }
    }
}

impl Default for Version {
    fn default() -> Version {
        Version(1)
    }
}

#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: Version,
}

/// A topic as it was defined.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TopicConfig {
    #[serde(default)]
    pub version: Version,
    pub name: String,
    pub definition: TopicDefinition,
    /// How often key1 and key2 were made anew.
    pub key_generations: [u32; 2],
    pub owner: Owner,
}

/// A subscription as it was defined.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SubscriptionConfig {
    #[serde(default)]
    pub version: Version,
    pub topic: String,
    pub name: String,
    pub definition: SubscriptionDefinition,
    pub owner: Owner,
    #[serde(default, skip_serializing_if = "Provisioning::is_succeeded")]
    pub provisioning: Provisioning,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Requests a minute that the endpoint allowed when it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
}

/// What an endpoint said when it was asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked {
    pub provisioning: Provisioning,
    pub rate: Option<NonZeroU32>,
}

impl From<Provisioning> for Asked {
    fn from(provisioning: Provisioning) -> Asked {
        Asked {
            provisioning,
            rate: None,
        }
    }
}

/// All definitions as they stand. Keys are lower case: names are told apart without case.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub topics: BTreeMap<String, TopicConfig>,
    pub subscriptions: BTreeMap<(String, String), SubscriptionConfig>,
}

impl Config {
    /// Reads the configuration back from its events.
    pub fn load(log: &EventLog) -> Result<Config> {
        let mut config = Config::default();
        let mut reader = log.read(CONFIG, ReadOptions::default())?;
        while let Some(event) = reader.next_event()? {
            let Some(subject) = event.subject else {
                continue;
            };
            let deleted = event.event_type == DELETED;
            let damaged = |error: serde_json::Error| {
                Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "the definition of {subject:?} (position {}) is malformed: {error}",
                        event.position
                    ),
                )
            };
            let data = event.json().unwrap_or("null");
            if !deleted {
                let Versioned { version } = serde_json::from_str(data).map_err(damaged)?;
                check_version(version, subject)?;
            }
            match subject.split('/').collect::<Vec<_>>()[..] {
                ["topics", name] if deleted => {
                    config.topics.remove(&name.to_lowercase());
                }
                ["topics", name] => {
                    let topic = serde_json::from_str(data).map_err(damaged)?;
                    config.topics.insert(name.to_lowercase(), topic);
                }
                ["topics", topic, "eventSubscriptions", name] => {
                    let key = (topic.to_lowercase(), name.to_lowercase());
                    if deleted {
                        config.subscriptions.remove(&key);
                    } else {
                        let subscription = serde_json::from_str(data).map_err(damaged)?;
                        config.subscriptions.insert(key, subscription);
                    }
                }
                _ => {}
            }
        }
        Ok(config)
    }

    /// The subscriptions of a topic, in order of their names.
    pub fn subscriptions_of(&self, topic: &str) -> impl Iterator<Item = &SubscriptionConfig> {
        let topic = topic.to_lowercase();
        self.subscriptions
            .iter()
            .filter(move |((of, _), _)| *of == topic)
            .map(|(_, found)| found)
    }
}

fn check_version(version: Version, subject: &str) -> Result<()> {
    if version <= Version::NEWEST {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::NewerFormat,
        format!(
            "the definition of {subject:?} has version {}, this program knows {}: use a newer foretell",
            version.0,
            Version::NEWEST.0
        ),
    ))
}

impl TopicConfig {
    fn subject(&self) -> String {
        format!("topics/{}", self.name)
    }

    /// The event that puts or deletes this definition.
    pub fn event(&self, id: uuid::Uuid, deleted: bool) -> Result<NewEvent> {
        event(id, self.subject(), self, deleted)
    }
}

impl SubscriptionConfig {
    /// The same after its endpoint was asked.
    #[must_use]
    pub fn with(mut self, asked: Asked) -> SubscriptionConfig {
        self.provisioning = asked.provisioning;
        self.rate = asked.rate;
        self.versioned()
    }

    /// The same with the version of the form that it takes.
    #[must_use]
    pub fn versioned(mut self) -> SubscriptionConfig {
        self.version = Version::of(&self);
        self
    }

    /// Its place in [`Config::subscriptions`].
    pub fn key(&self) -> (String, String) {
        (self.topic.to_lowercase(), self.name.to_lowercase())
    }

    fn subject(&self) -> String {
        format!("topics/{}/eventSubscriptions/{}", self.topic, self.name)
    }

    /// The event that puts or deletes this definition.
    pub fn event(&self, id: uuid::Uuid, deleted: bool) -> Result<NewEvent> {
        event(id, self.subject(), self, deleted)
    }
}

fn event(
    id: uuid::Uuid,
    subject: String,
    value: &impl Serialize,
    deleted: bool,
) -> Result<NewEvent> {
    let json = serde_json::to_string(value)
        .map_err(|error| Error::invalid(format!("the definition can't be written: {error}")))?;
    Ok(NewEvent {
        id: id.to_string(),
        source: "/foretell/config".to_owned(),
        event_type: if deleted { DELETED } else { PUT }.to_owned(),
        subject: Some(subject),
        data: Data::Json(json),
        ..NewEvent::default()
    })
}
