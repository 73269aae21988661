//! An app's settings and its host.json.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use foretell_types::limits::DELIVERY_TIMEOUT_MS;
use foretell_types::{Error, Result};
use serde_json::Value;

use crate::AppOptions;
use crate::limits::UNLIMITED;

/// Variables of our own environment that no function sees: keys of the server, and what would
/// change the interpreter.
const WITHHELD: [&str; 3] = ["FORETELL_", "PYTHON", "VIRTUAL_ENV"];

/// The app setting that goes before `functionTimeout` of host.json, as on Azure.
const TIMEOUT: &str = "AzureFunctionsJobHost__functionTimeout";

/// What the files beside `function_app.py` say, read at each start of the worker.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// All environment variables of the worker.
    pub environment: BTreeMap<String, String>,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Synchronous invocations at a time.
    pub threads: usize,
}

impl Settings {
    /// Reads `local.settings.json` and `host.json`, both optional.
    pub(crate) fn read(options: &AppOptions) -> Result<Settings> {
        let mut environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| !WITHHELD.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        let root = options.dir.display().to_string();
        for (name, value) in [
            ("AzureWebJobsScriptRoot", root.as_str()),
            ("AzureWebJobsStorage", "UseDevelopmentStorage=true"),
            ("AZURE_FUNCTIONS_ENVIRONMENT", "Development"),
            ("FUNCTIONS_EXTENSION_VERSION", "~4"),
            ("FUNCTIONS_WORKER_RUNTIME", "python"),
            ("WEBSITE_SITE_NAME", options.name.as_str()),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        environment.extend(local_settings(&options.dir)?);
        environment.extend(options.settings.clone());
        let threads = match environment.get("PYTHON_THREADPOOL_THREAD_COUNT") {
            None => options.threads,
            Some(text) => text.parse().map_err(|_| {
                Error::invalid(format!(
                    "app setting PYTHON_THREADPOOL_THREAD_COUNT is {text:?}: expected a number"
                ))
            })?,
        };
        let timeout = match environment.get(TIMEOUT) {
            Some(text) => timeout_of(text, &format!("app setting {TIMEOUT}"))?,
            None => timeout(&options.dir)?,
        };
        Ok(Settings {
            environment,
            timeout,
            threads: threads.clamp(1, 256),
        })
    }

    /// The storage account of a blob binding, from the connection string in the app setting that
    /// its `connection` names (or `AzureWebJobs` and the name). `None` if it names no account.
    pub(crate) fn account(&self, connection: &str) -> Option<String> {
        let connection = match connection {
            "" => "AzureWebJobsStorage",
            name => name.trim_matches('%'),
        };
        let names = [connection.to_owned(), format!("AzureWebJobs{connection}")];
        for name in names {
            if let Some(text) = self.get(&name) {
                return account_of(&text);
            }
            if let Some(account) = self.get(&format!("{name}__accountName")) {
                return Some(account.trim().to_ascii_lowercase());
            }
            if let Some(url) = self.get(&format!("{name}__blobServiceUri")) {
                return host_account(&url);
            }
        }
        None
    }

    /// An app setting, as binding expressions and `connection` name it.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        // Azure's settings are case-insensitive; environment variables are not.
        self.environment.get(name).cloned().or_else(|| {
            let found = self
                .environment
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        })
    }
}

/// The account that a connection string is for.
fn account_of(connection: &str) -> Option<String> {
    let mut pairs = connection
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()));
    let mut endpoint = None;
    let named = pairs.find_map(|(name, value)| {
        if name.eq_ignore_ascii_case("BlobEndpoint") {
            endpoint = host_account(value);
        }
        name.eq_ignore_ascii_case("AccountName")
            .then(|| value.to_ascii_lowercase())
    });
    named.or(endpoint)
}

/// The account in an address such as `https://ACCOUNT.blob.core.windows.net`.
fn host_account(url: &str) -> Option<String> {
    let host = url.split_once("://")?.1.split(['/', ':', '?']).next()?;
    let (account, rest) = host.split_once('.')?;
    rest.starts_with("blob.")
        .then(|| account.to_ascii_lowercase())
}

/// A JSON object in a file of the app; empty if there is no such file.
fn read_object(dir: &Path, name: &str) -> Result<serde_json::Map<String, Value>> {
    let path = dir.join(name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(error) => return Err(Error::io(path.display(), error)),
    };
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
}

fn local_settings(dir: &Path) -> Result<BTreeMap<String, String>> {
    let file = read_object(dir, "local.settings.json")?;
    if file.get("IsEncrypted") == Some(&Value::Bool(true)) {
        return Err(Error::invalid(
            "local.settings.json is encrypted: run `func settings decrypt` in the app's folder",
        ));
    }
    let values = match file.get("Values") {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(values)) => values,
        Some(_) => {
            return Err(Error::invalid(
                "local.settings.json: Values is not an object",
            ));
        }
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    Ok(values
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect())
}

/// `functionTimeout` of host.json (`hh:mm:ss`, or -1 for none), else the time a delivery may take.
fn timeout(dir: &Path) -> Result<Duration> {
    let file = read_object(dir, "host.json")?;
    let text = match file.get("functionTimeout") {
        None | Some(Value::Null) => return Ok(Duration::from_millis(DELIVERY_TIMEOUT_MS as u64)),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    timeout_of(&text, "host.json: functionTimeout")
}

fn timeout_of(text: &str, what: &str) -> Result<Duration> {
    if text == "-1" {
        return Ok(UNLIMITED);
    }
    parse_timeout(text)
        .ok_or_else(|| Error::invalid(format!("{what} is {text:?}: expected \"hh:mm:ss\"")))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let mut parts = text.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let total = Duration::try_from_secs_f64(hours * 3_600.0 + minutes * 60.0 + seconds).ok()?;
    (!total.is_zero()).then(|| total.min(UNLIMITED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_name_their_account() {
        for (text, account) in [
            (
                "DefaultEndpointsProtocol=https;AccountName=Events1;AccountKey=a==;EndpointSuffix=core.windows.net",
                Some("events1"),
            ),
            (
                "BlobEndpoint=https://events2.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a",
                Some("events2"),
            ),
            ("UseDevelopmentStorage=true", None),
            ("", None),
            ("BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1", None),
        ] {
            assert_eq!(account_of(text).as_deref(), account, "{text}");
        }
    }

    #[test]
    fn timeouts() {
        let seconds = |text| parse_timeout(text).map(|timeout| timeout.as_secs_f64());
        assert_eq!(seconds("00:05:00"), Some(300.0));
        assert_eq!(seconds("00:00:01.5"), Some(1.5));
        assert_eq!(seconds("100:00:00"), Some(86_400.0));
        for wrong in ["", "5", "00:05", "00:00:00", "a:b:c", "-1:00:00"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
