//! The application directory: `foretell.toml`, `functions/NAME/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use foretell_delivery::RetryPolicy;
use foretell_functions::{App, AppOptions};
use foretell_protocol::{Filter, InputSchema, SubscriptionDefinition, Target, TopicDefinition};
use foretell_types::{Error, Result};
use serde::Deserialize;

use super::admin::StartAt;
use super::{Node, Owner, resource_id};

const FILE: &str = "foretell.toml";

/// What the application directory says.
#[derive(Clone, Debug, Default)]
pub struct Application {
    folder: Option<PathBuf>,
    file: Option<File>,
    retry_schedule: Option<Vec<Duration>>,
    /// Where virtual environments of functions are shared.
    pub venv_cache: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    topics: BTreeMap<String, TopicTable>,
    storage: StorageTable,
    delivery: DeliveryTable,
    access: AccessSettings,
    functions: BTreeMap<String, FunctionTable>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TopicTable {
    input_schema: Option<String>,
    subscriptions: BTreeMap<String, SubscriptionTable>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionTable {
    to: String,
    #[serde(default)]
    event_types: Vec<String>,
    #[serde(default)]
    subject_begins_with: String,
    #[serde(default)]
    subject_ends_with: String,
    max_delivery_attempts: Option<u32>,
    event_ttl_minutes: Option<u32>,
    dead_letter: Option<String>,
    from: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StorageTable {
    /// A folder; relative to the data directory.
    path: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DeliveryTable {
    retry_schedule: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FunctionTable {
    settings: BTreeMap<String, String>,
}

/// `[access]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSettings {
    /// Listen beyond the loopback although nothing is encrypted.
    pub allow_insecure_network: bool,
}

impl Application {
    /// No application: topics and subscriptions are made by hand.
    pub fn none() -> Application {
        Application::default()
    }

    /// Reads an application directory.
    pub fn read(folder: &Path) -> Result<Application> {
        let at = |error| {
            Error::io(
                format_args!("application directory {}", folder.display()),
                error,
            )
        };
        let folder = folder.canonicalize().map_err(at)?;
        let path = folder.join(FILE);
        let file: Option<File> = match std::fs::read_to_string(&path) {
            Ok(text) => Some(toml::from_str(&text).map_err(|error| {
                Error::invalid(format!("{}: {error}", path.display()).trim_end().to_owned())
            })?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Error::io(
                    format_args!("can't read {}", path.display()),
                    error,
                ));
            }
        };
        let application = Application {
            folder: Some(folder),
            file,
            ..Application::default()
        };
        application.with_schedule()?.checked(&path)
    }

    fn with_schedule(mut self) -> Result<Application> {
        let texts = self
            .file
            .as_ref()
            .and_then(|file| file.delivery.retry_schedule.as_ref());
        self.retry_schedule = texts
            .map(|texts| {
                texts
                    .iter()
                    .map(|text| parse_wait(text))
                    .collect::<Result<Vec<_>>>()
            })
            .transpose()?;
        let schedule = self.retry_schedule();
        RetryPolicy {
            schedule,
            ..RetryPolicy::default()
        }
        .check()?;
        Ok(self)
    }

    /// Everything is checked before anything takes effect.
    fn checked(self, path: &Path) -> Result<Application> {
        for (name, table) in self.topics() {
            let here =
                |error: Error| error.context(format_args!("{}, [topics.{name}]", path.display()));
            name.parse::<foretell_types::TopicName>().map_err(here)?;
            let definition = table.definition().map_err(here)?;
            for (subscription, table) in &table.subscriptions {
                let here = |error: Error| {
                    error.context(format_args!(
                        "{}, [topics.{name}.subscriptions.{subscription}]",
                        path.display()
                    ))
                };
                subscription
                    .parse::<foretell_types::SubscriptionName>()
                    .map_err(here)?;
                let (found, _) = table.definition().map_err(here)?;
                found.check(definition.input_schema).map_err(here)?;
            }
        }
        Ok(self)
    }

    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    pub fn access(&self) -> &AccessSettings {
        const NONE: &AccessSettings = &AccessSettings {
            allow_insecure_network: false,
        };
        self.file.as_ref().map_or(NONE, |file| &file.access)
    }

    /// The folder of the storage account.
    pub fn storage_folder(&self, data: &Path) -> PathBuf {
        let path = self
            .file
            .as_ref()
            .and_then(|file| file.storage.path.clone());
        data.join(path.unwrap_or_else(|| "storage".into()))
    }

    pub fn retry_schedule(&self) -> Vec<Duration> {
        self.retry_schedule
            .clone()
            .unwrap_or_else(|| RetryPolicy::default().schedule)
    }

    fn topics(&self) -> impl Iterator<Item = (&String, &TopicTable)> {
        self.file.iter().flat_map(|file| &file.topics)
    }

    /// The function apps: the folders below `functions`.
    fn function_apps(&self) -> Vec<(String, PathBuf)> {
        let Some(folder) = &self.folder else {
            return Vec::new();
        };
        let Ok(entries) = std::fs::read_dir(folder.join("functions")) else {
            return Vec::new();
        };
        let mut apps: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| {
                (
                    entry.file_name().to_string_lossy().into_owned(),
                    entry.path(),
                )
            })
            .filter(|(name, _)| !name.starts_with(['.', '_']))
            .collect();
        apps.sort();
        apps
    }
}

fn parse_wait(text: &str) -> Result<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        Error::invalid(format!("{FILE}, [delivery] retry_schedule: {text:?} is not a duration such as 10s, 5m or 1h: {error}"))
    })
}

impl TopicTable {
    fn definition(&self) -> Result<TopicDefinition> {
        let input_schema = match &self.input_schema {
            Some(text) => text.parse()?,
            None => InputSchema::default(),
        };
        Ok(TopicDefinition {
            input_schema,
            mapping: None,
        })
    }
}

impl SubscriptionTable {
    fn definition(&self) -> Result<(SubscriptionDefinition, StartAt)> {
        let target: Target = self.to.parse()?;
        let mut definition = SubscriptionDefinition::new(target);
        definition.filter = Filter {
            included_event_types: self.event_types.clone(),
            subject_begins_with: self.subject_begins_with.clone(),
            subject_ends_with: self.subject_ends_with.clone(),
            ..Filter::default()
        };
        definition.max_delivery_attempts = self
            .max_delivery_attempts
            .unwrap_or(definition.max_delivery_attempts);
        definition.event_ttl_minutes = self
            .event_ttl_minutes
            .unwrap_or(definition.event_ttl_minutes);
        definition.dead_letter.clone_from(&self.dead_letter);
        let start = self.from.as_deref().map_or(Ok(StartAt::Now), str::parse)?;
        Ok((definition, start))
    }
}

impl Node {
    pub(super) fn start_apps(&mut self) {
        let application = &self.options.application;
        for (name, folder) in application.function_apps() {
            let work = self.options.data.join("functions").join(&name);
            let mut options = AppOptions::new(&name, folder, work, self.storage.clone());
            options.venv_cache.clone_from(&application.venv_cache);
            options.topic_id = std::sync::Arc::new(resource_id);
            if let Some(table) = application
                .file
                .as_ref()
                .and_then(|file| file.functions.get(&name))
            {
                options.settings.clone_from(&table.settings);
            }
            self.apps.insert(name, App::start(options));
        }
    }

    /// Brings the configuration to what `foretell.toml` says. A subscription that it named once
    /// and names no more is deleted; a topic stays, with its events, and can be edited again.
    pub(super) async fn apply_application(&self) -> Result<()> {
        let application = self.options.application.clone();
        let mut named = BTreeSet::new();
        for (name, table) in application.topics() {
            self.put_topic(name, table.definition()?, Owner::File)
                .await?;
            for (subscription, table) in &table.subscriptions {
                let (definition, start) = table.definition()?;
                self.put_subscription(name, subscription, definition, start, Owner::File)
                    .await?;
                named.insert((name.to_lowercase(), subscription.to_lowercase()));
            }
        }
        let config = self.config();
        for (key, subscription) in &config.subscriptions {
            if subscription.owner == Owner::File && !named.contains(key) {
                self.delete_subscription(&subscription.topic, &subscription.name, Owner::File)
                    .await?;
            }
        }
        for topic in config.topics.values() {
            let gone = !application
                .topics()
                .any(|(name, _)| name.eq_ignore_ascii_case(&topic.name));
            if topic.owner == Owner::File && gone {
                self.disown_topic(&topic.name).await?;
            }
        }
        Ok(())
    }
}
