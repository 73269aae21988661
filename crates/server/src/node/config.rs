//! The configuration: all definitions (topics, subscriptions, and those of `definitions`), kept as events of the system topic
//! `foretell.config`, so that it too can be asked for at any past time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use foretell_log::{EventLog, ReadOptions};
use foretell_protocol::{Provisioning, SubscriptionDefinition, TopicDefinition};
use foretell_types::{Data, Error, ErrorKind, NewEvent, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::definitions::{DatasetConfig, FunctionAppConfig, NamespaceConfig, StorageAccountConfig};

/// The topic that holds the configuration.
pub const CONFIG: &str = "foretell.config";
/// The version of a definition's form. An older program refuses a newer one by name: it would
/// leave out what it doesn't know, or take a deleted definition for one that is there.
const VERSION: u32 = 4;
/// What the type of an event that deletes a definition ends in, as for every projection.
const DELETED: &str = ".deleted";

/// Who defined something: what the application's `foretell.toml` names, it owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    Api,
    File,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// What became of a definition. With the former one the event tells, as a merge patch, what is
/// there no more, so that the state of its subject is the definition.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a, T> {
    Created,
    Updated(&'a T),
    KeyRegenerated(&'a T),
    Deleted,
}

/// A topic as it was defined.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TopicConfig {
    pub name: String,
    pub definition: TopicDefinition,
    /// How often key1 and key2 were made anew.
    pub key_generations: [u32; 2],
    pub owner: Owner,
}

/// A subscription as it was defined.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SubscriptionConfig {
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

/// A projection as it was defined.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProjectionConfig {
    pub name: String,
    /// Its SQL.
    pub text: String,
    pub owner: Owner,
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
    pub function_apps: BTreeMap<String, FunctionAppConfig>,
    pub storage_accounts: BTreeMap<String, StorageAccountConfig>,
    pub namespaces: BTreeMap<String, NamespaceConfig>,
    pub projections: BTreeMap<String, ProjectionConfig>,
    pub datasets: BTreeMap<String, DatasetConfig>,
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
            let deleted = event.event_type.ends_with(DELETED);
            let damaged = |error: serde_json::Error| {
                Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "the definition of {subject:?} (position {}) is malformed: {error}",
                        event.position
                    ),
                )
            };
            let mut data = Value::Null;
            if let Some(text) = event.json() {
                data = serde_json::from_str(text).map_err(damaged)?;
                drop_nulls(&mut data);
            }
            check_version(&data, subject)?;
            let data = (!deleted).then_some(data);
            let lower = str::to_lowercase;
            let taken = match subject.split('/').collect::<Vec<_>>()[..] {
                ["topics", name] => take(&mut config.topics, lower(name), data),
                ["topics", topic, "eventSubscriptions", name] => {
                    let key = (lower(topic), lower(name));
                    take(&mut config.subscriptions, key, data)
                }
                ["functions", name] => take(&mut config.function_apps, lower(name), data),
                ["storageAccounts", name] => take(&mut config.storage_accounts, lower(name), data),
                ["namespaces", name] => take(&mut config.namespaces, lower(name), data),
                ["projections", name] => take(&mut config.projections, name.to_owned(), data),
                ["datasets", name] => take(&mut config.datasets, name.to_owned(), data),
                _ => Ok(()),
            };
            taken.map_err(damaged)?;
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

/// Takes a definition in, or out where there is none any more.
fn take<K: Ord, T: DeserializeOwned>(
    all: &mut BTreeMap<K, T>,
    key: K,
    data: Option<Value>,
) -> serde_json::Result<()> {
    match data {
        Some(data) => {
            all.insert(key, serde_json::from_value(data)?);
        }
        None => {
            all.remove(&key);
        }
    }
    Ok(())
}

fn check_version(data: &Value, subject: &str) -> Result<()> {
    // What was written before there were versions has none.
    let version = Versioned::deserialize(data).map_or(1, |found| found.version);
    if version <= VERSION {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::NewerFormat,
        format!(
            "the definition of {subject:?} has version {version}, this program knows {VERSION}: use a newer foretell"
        ),
    ))
}

/// Something that is defined, and kept as events.
pub trait Definition: Serialize + Sized {
    /// Part of the types of its events.
    const KIND: &'static str;

    /// The subject of its events, by which it is told apart.
    fn subject(&self) -> String;

    /// The event that tells what became of this definition.
    fn event(&self, id: uuid::Uuid, change: Change<'_, Self>) -> Result<NewEvent> {
        event(id, self.subject(), self, Self::KIND, change)
    }
}

impl Definition for ProjectionConfig {
    const KIND: &'static str = "projection";

    fn subject(&self) -> String {
        format!("projections/{}", self.name)
    }
}

impl Definition for TopicConfig {
    const KIND: &'static str = "topic";

    fn subject(&self) -> String {
        format!("topics/{}", self.name)
    }
}

impl Definition for SubscriptionConfig {
    const KIND: &'static str = "subscription";

    fn subject(&self) -> String {
        format!("topics/{}/eventSubscriptions/{}", self.topic, self.name)
    }
}

impl SubscriptionConfig {
    /// The same after its endpoint was asked.
    #[must_use]
    pub fn with(mut self, asked: Asked) -> SubscriptionConfig {
        self.provisioning = asked.provisioning;
        self.rate = asked.rate;
        self
    }

    /// Its place in [`Config::subscriptions`].
    pub fn key(&self) -> (String, String) {
        (self.topic.to_lowercase(), self.name.to_lowercase())
    }
}

fn event<T: Serialize>(
    id: uuid::Uuid,
    subject: String,
    definition: &T,
    kind: &str,
    change: Change<'_, T>,
) -> Result<NewEvent> {
    let json = |value: &T| {
        serde_json::to_value(value)
            .map_err(|error| Error::invalid(format!("the definition can't be written: {error}")))
    };
    let mut data = json(definition)?;
    data["version"] = VERSION.into();
    let what = match change {
        Change::Created => "created",
        Change::Updated(former) | Change::KeyRegenerated(former) => {
            null_what_is_gone(&mut data, &json(former)?);
            match change {
                Change::KeyRegenerated(_) => "key_regenerated",
                _ => "updated",
            }
        }
        Change::Deleted => "deleted",
    };
    Ok(NewEvent {
        id: id.to_string(),
        source: "/foretell/config".to_owned(),
        event_type: format!("foretell.{kind}.{what}"),
        subject: Some(subject),
        data: Data::Json(data.to_string()),
        ..NewEvent::default()
    })
}

/// Makes a merge patch from `former` of a whole value.
fn null_what_is_gone(value: &mut Value, former: &Value) {
    let (Value::Object(value), Value::Object(former)) = (value, former) else {
        return;
    };
    for (name, was) in former {
        match value.get_mut(name) {
            Some(is) => null_what_is_gone(is, was),
            None => {
                value.insert(name.clone(), Value::Null);
            }
        }
    }
}

/// The whole value again.
fn drop_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(drop_nulls);
    }
}
