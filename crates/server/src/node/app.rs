//! The application directory: `foretell.toml`, `functions/NAME/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foretell_delivery::RetryPolicy;
use foretell_log::{ArchiveRule, LogOptions};
use foretell_protocol::RequestLimits;
use foretell_types::limits::{DEAD_LETTER_DELAY_MOST_S, SUBSCRIPTIONS_PER_TOPIC, TOPICS};
use foretell_types::{Error, Result, SubscriptionName, TopicName, is_system_topic};

use super::app_file::{AccessSettings, CertificateFiles, File, TlsSetting, TopicTable};

const FILE: &str = "foretell.toml";

/// What the application directory says.
#[derive(Clone, Debug, Default)]
pub struct Application {
    folder: Option<PathBuf>,
    pub(super) file: Option<File>,
    retry_schedule: Option<Vec<Duration>>,
    dead_letter_delay: Duration,
    request_limits: Option<RequestLimits>,
    /// Where traces go unless `foretell.toml` says it.
    pub otlp_endpoint: Option<String>,
    /// Where virtual environments of functions are shared.
    pub venv_cache: Option<PathBuf>,
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
        application
            .with_delivery(&path)?
            .with_limits(&path)?
            .checked(&path)
    }

    fn with_limits(mut self, path: &Path) -> Result<Application> {
        let here = |error: Error| error.context(format_args!("{}, [limits]", path.display()));
        let file = self.file.as_ref();
        let limits = file.map(|file| file.limits.request_limits()).transpose();
        self.request_limits = limits.map_err(here)?;
        Ok(self)
    }

    /// Where traces go.
    pub(super) fn otlp_endpoint(&self) -> Option<&str> {
        let file = self.file.as_ref();
        let named = file.and_then(|file| file.telemetry.otlp_endpoint.as_deref());
        named.or(self.otlp_endpoint.as_deref())
    }

    /// How much a publish request may carry.
    pub fn request_limits(&self) -> RequestLimits {
        self.request_limits.unwrap_or(RequestLimits::PUBLISH)
    }

    fn with_delivery(mut self, path: &Path) -> Result<Application> {
        let here = |error: Error| {
            error.context(format_args!(
                "{}, [delivery] retry_schedule",
                path.display()
            ))
        };
        let texts = self
            .file
            .as_ref()
            .and_then(|file| file.delivery.retry_schedule.as_ref());
        self.retry_schedule = texts
            .map(|texts| {
                let waits = texts.iter().map(|text| parse_wait(text));
                waits.collect::<Result<Vec<_>>>().map_err(here)
            })
            .transpose()?;
        let policy = RetryPolicy {
            schedule: self.retry_schedule(),
            ..RetryPolicy::default()
        };
        policy.check().map_err(here)?;
        let delay = self
            .file
            .as_ref()
            .and_then(|file| file.delivery.dead_letter_delay.as_deref());
        let here = |error: Error| {
            error.context(format_args!(
                "{}, [delivery] dead_letter_delay",
                path.display()
            ))
        };
        self.dead_letter_delay = delay.map_or(Ok(Duration::ZERO), parse_wait).map_err(here)?;
        let most = Duration::from_secs(DEAD_LETTER_DELAY_MOST_S as u64);
        if self.dead_letter_delay > most {
            return Err(here(Error::invalid(format!(
                "it is longer than {DEAD_LETTER_DELAY_MOST_S} seconds, the most that is allowed"
            ))));
        }
        Ok(self)
    }

    /// Everything is checked before anything takes effect.
    fn checked(self, path: &Path) -> Result<Application> {
        let path = path.display();
        let mut seen = BTreeSet::new();
        for (name, table) in self.topics() {
            let here = |error: Error| error.context(format_args!("{path}, [topics.{name}]"));
            name.parse::<TopicName>().map_err(here)?;
            if is_system_topic(name) {
                let message = "names with foretell. are the product's own: choose another";
                return Err(here(Error::invalid(message)));
            }
            if !seen.insert(name.to_lowercase()) {
                return Err(here(twice()));
            }
            table.check(&path, name)?;
        }
        self.log_options(Path::new(""))
            .and_then(|_| self.archive_rule())
            .map_err(|error| error.context(format_args!("{path}, [log]")))?;
        if let Some(oidc) = &self.access().oidc {
            let here = |error: Error| error.context(format_args!("{path}, [access.oidc]"));
            oidc.check().map_err(here)?;
        }
        if seen.len() > TOPICS {
            return Err(Error::invalid(format!(
                "{path} has {} topics: at most {TOPICS} are allowed",
                seen.len()
            )));
        }
        Ok(self)
    }

    pub fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// The files below `projections`: their names and texts.
    pub(super) fn projections(&self) -> Result<Vec<(String, String)>> {
        self.definitions("projections")
    }

    /// The files below `datasets`: their names and texts.
    pub(super) fn datasets(&self) -> Result<Vec<(String, String)>> {
        self.definitions("datasets")
    }

    fn definitions(&self, kind: &str) -> Result<Vec<(String, String)>> {
        let Some(folder) = self.folder.as_ref().map(|folder| folder.join(kind)) else {
            return Ok(Vec::new());
        };
        let Ok(entries) = std::fs::read_dir(&folder) else {
            return Ok(Vec::new());
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "sql"));
        files.sort();
        files
            .into_iter()
            .map(|path| {
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    Error::io(format_args!("can't read {}", path.display()), error)
                })?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                Ok((format!("{kind}/{name}"), text))
            })
            .collect()
    }

    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    pub fn access(&self) -> &AccessSettings {
        const NONE: &AccessSettings = &AccessSettings {
            allow_insecure_network: false,
            tls: None,
            oidc: None,
        };
        self.file.as_ref().map_or(NONE, |file| &file.access)
    }

    /// The certificate that `foretell.toml` names.
    pub fn certificate(&self) -> Option<CertificateFiles> {
        let Some(TlsSetting::Own(files)) = &self.access().tls else {
            return None;
        };
        let at = |path: &Path| match &self.folder {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        };
        Some(CertificateFiles {
            certificate: at(&files.certificate),
            key: at(&files.key),
        })
    }

    /// Whether webhooks may be at link-local addresses and at the server's own administration.
    pub fn allows_internal_addresses(&self) -> bool {
        let file = self.file.as_ref();
        file.is_some_and(|file| file.delivery.allow_internal_addresses)
    }

    /// How the log is opened.
    pub(super) fn log_options(&self, data: &Path) -> Result<LogOptions> {
        let table = self.file.as_ref().map(|file| file.log.clone());
        table.unwrap_or_default().options(data)
    }

    /// Which sealed segments are archived.
    pub(super) fn archive_rule(&self) -> Result<Option<ArchiveRule>> {
        let file = self.file.as_ref();
        file.map_or(Ok(None), |file| file.log.archive_rule())
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

    /// How long a dead letter is held before it is written.
    pub fn dead_letter_delay(&self) -> Duration {
        self.dead_letter_delay
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (&String, &TopicTable)> {
        self.file.iter().flat_map(|file| &file.topics)
    }

    /// The function apps: the folders below `functions`.
    pub(super) fn function_apps(&self) -> Vec<(String, PathBuf)> {
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

pub(super) fn parse_wait(text: &str) -> Result<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        Error::invalid(format!(
            "{text:?} is not a duration such as 10s, 5m or 1h: {error}"
        ))
    })
}

/// Names are told apart without regard to case.
fn twice() -> Error {
    Error::invalid("the name is there twice, with other letters in capitals")
}

impl TopicTable {
    fn check(&self, path: &impl std::fmt::Display, topic: &str) -> Result<()> {
        let here = |error: Error| error.context(format_args!("{path}, [topics.{topic}]"));
        let definition = self.definition().map_err(here)?;
        let mut seen = BTreeSet::new();
        for (name, table) in &self.subscriptions {
            let here = |error: Error| {
                error.context(format_args!(
                    "{path}, [topics.{topic}.subscriptions.{name}]"
                ))
            };
            name.parse::<SubscriptionName>().map_err(here)?;
            if !seen.insert(name.to_lowercase()) {
                return Err(here(twice()));
            }
            let (found, _) = table.definition().map_err(here)?;
            found.check(definition.input_schema).map_err(here)?;
        }
        if seen.len() > SUBSCRIPTIONS_PER_TOPIC {
            return Err(here(Error::invalid(format!(
                "there are {} subscriptions: at most {SUBSCRIPTIONS_PER_TOPIC} are allowed",
                seen.len()
            ))));
        }
        Ok(())
    }
}
