//! Function apps that are made through the API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use foretell_functions::{App, AppOptions};
use foretell_protocol::Key;
use foretell_types::limits::{FUNCTION_APPS, FUNCTION_SETTINGS, FUNCTION_SETTINGS_BYTES};
use foretell_types::{Error, ErrorKind, Result, check_function_app};

use super::apps::{KnownApp, Place};
use super::config::{Change, Definition};
use super::definitions::{Code, FunctionAppConfig, change_event};
use super::secrets::SecretRef;
use super::topics::check_owner;
use super::{Node, Owner, blocking, resource_id};

/// What the names of their secrets begin with.
const SECRETS: &str = "function.";
/// What an app without code is told to do.
const NO_CODE: &str = "it has no code yet: send it as a zip to PUT /functions/APP/code";

impl Node {
    /// Makes a function app, or changes its settings; its code stays. Gives whether it was made.
    pub async fn put_function_app(
        &self,
        name: &str,
        python: Option<String>,
        settings: BTreeMap<String, String>,
    ) -> Result<bool> {
        check_settings(&settings)?;
        if let Some(version) = &python {
            check_python(version)?;
        }
        let _one_at_a_time = self.change().await?;
        check_function_app(name)?;
        self.check_app_owner(name)?;
        let known = self.function_app(name);
        if known.is_none() && self.config.read().function_apps.len() >= FUNCTION_APPS {
            return Err(Error::invalid(format!(
                "there are {FUNCTION_APPS} function apps: no more are allowed"
            )));
        }
        let mut app = known.clone().unwrap_or_else(|| FunctionAppConfig {
            name: name.to_owned(),
            python: None,
            settings: BTreeSet::new(),
            secret: None,
            code: None,
        });
        app.python = python;
        app.secret = self.keep_settings(&app, &settings).await?;
        app.settings = settings.into_keys().collect();
        self.define_function_app(known.as_ref(), app).await?;
        Ok(known.is_none())
    }

    /// Gives a function app its code, a zip, which may be the content of a blob.
    pub async fn put_function_code(
        &self,
        name: &str,
        zip: Bytes,
        blob: Option<String>,
    ) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        self.check_app_owner(name)?;
        let known = self.function_app(name).ok_or_else(|| no_app(name))?;
        let packages = self.packages.clone();
        let code = blocking(move || packages.put(&zip)).await?;
        let app = FunctionAppConfig {
            code: Some(Code { blob, ..code }),
            ..known.clone()
        };
        self.define_function_app(Some(&known), app).await
    }

    /// Gives its new content to the apps whose code a blob is.
    pub(super) async fn follow_blob(&self, blob: &str, content: &Bytes) -> Result<()> {
        let apps = self.config().function_apps.into_values();
        let follows = |app: &FunctionAppConfig| {
            let code = app.code.as_ref();
            code.is_some_and(|code| code.blob.as_deref() == Some(blob))
        };
        for app in apps.filter(follows) {
            self.put_function_code(&app.name, content.clone(), Some(blob.to_owned()))
                .await
                .map_err(|error| error.context(format!("function app {:?}", app.name)))?;
        }
        Ok(())
    }

    /// Deletes a function app that was made through the API; its log lines stay.
    pub async fn delete_function_app(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.change().await?;
        self.check_app_owner(name)?;
        let app = self.function_app(name).ok_or_else(|| no_app(name))?;
        let event = app.event(self.new_id(), Change::Deleted)?;
        self.journal(event).await?;
        let key = app.name.to_lowercase();
        self.config.write().function_apps.remove(&key);
        if let Some(former) = self.apps.remove(&app.name) {
            stop(&former).await;
        }
        self.forget_unused().await
    }

    /// An app that was made through the API.
    pub fn function_app(&self, name: &str) -> Option<FunctionAppConfig> {
        let config = self.config.read();
        config.function_apps.get(&name.to_lowercase()).cloned()
    }

    /// The keys by which its functions are called over HTTP: that of the host, and the default one.
    pub fn host_keys(&self, name: &str) -> Result<[Key; 2]> {
        let name = match self.function_app(name) {
            Some(app) => app.name,
            None => self.known_app(name)?.name,
        };
        let key = |which: &str| self.master.derive(&format!("function|{name}|{which}"));
        Ok([key("master"), key("default")])
    }

    /// Starts all of them. One that can't be started says why; the others go on.
    pub(super) async fn start_function_apps(&self) {
        for app in self.config().function_apps.into_values() {
            if self.apps.get(&app.name).is_some() {
                tracing::warn!(
                    app = app.name,
                    "the application directory has an app of this name too: that one runs"
                );
                continue;
            }
            self.start_function_app(&app).await;
        }
        if let Err(error) = self.forget_unused().await {
            tracing::warn!(%error, "what function apps had before is still there");
        }
    }

    async fn define_function_app(
        &self,
        known: Option<&FunctionAppConfig>,
        app: FunctionAppConfig,
    ) -> Result<()> {
        let Some(event) = change_event(self.new_id(), known, &app)? else {
            return Ok(());
        };
        self.journal(event).await?;
        let key = app.name.to_lowercase();
        self.config.write().function_apps.insert(key, app.clone());
        self.start_function_app(&app).await;
        self.forget_unused().await
    }

    /// Puts an app into the place of the one that runs, which ends its calls in flight.
    async fn start_function_app(&self, app: &FunctionAppConfig) {
        if !self.options.deliver {
            return;
        }
        let place = match self.app_options(app).await {
            Ok(Some(options)) => Place::Running(App::start(options)),
            Ok(None) => Place::Idle(NO_CODE.replace("APP", &app.name)),
            Err(error) => {
                tracing::error!(app = app.name, %error, "the function app can't be started");
                Place::Idle(error.to_string())
            }
        };
        if let Some(former) = self.apps.set(&app.name, Owner::Api, place) {
            stop(&former).await;
        }
    }

    /// What an app is started with; none if it has no code.
    async fn app_options(&self, app: &FunctionAppConfig) -> Result<Option<AppOptions>> {
        let Some(code) = app.code.clone() else {
            return Ok(None);
        };
        let (packages, secrets, secret) = (
            self.packages.clone(),
            self.secrets.clone(),
            app.secret.clone(),
        );
        let (folder, settings) = blocking(move || {
            let settings = secret
                .map(|secret| secrets.get(&secret.file()))
                .transpose()?;
            Ok((packages.folder(&code)?, settings))
        })
        .await?;
        let mut options = self.common_app_options(&app.name, folder);
        options.python_version.clone_from(&app.python);
        // An app that is made anew has another name, and most often the same requirements.
        let shared = self.options.data.join("venvs");
        options.venv_cache.get_or_insert(shared);
        if let Some(text) = settings {
            options.settings = serde_json::from_str(&text).map_err(|error| {
                let message = format!("the settings of {:?} are malformed: {error}", app.name);
                Error::new(ErrorKind::Damaged, message)
            })?;
        }
        Ok(Some(options))
    }

    /// What every app of this node is started with.
    pub(super) fn common_app_options(&self, name: &str, folder: std::path::PathBuf) -> AppOptions {
        let work = self.options.data.join("functions").join(name);
        let mut options = AppOptions::new(name, folder, work, self.storage.clone());
        options
            .venv_cache
            .clone_from(&self.options.application.venv_cache);
        options.topic_id = Arc::new(resource_id);
        let config = self.config.clone();
        options.is_account =
            Arc::new(move |name| config.read().storage_accounts.contains_key(name));
        options
    }

    /// Keeps the values of settings outside the log. The same values keep their secret.
    async fn keep_settings(
        &self,
        app: &FunctionAppConfig,
        settings: &BTreeMap<String, String>,
    ) -> Result<Option<SecretRef>> {
        if settings.is_empty() {
            return Ok(None);
        }
        let text = serde_json::to_string(settings)
            .map_err(|error| Error::invalid(format!("the settings can't be written: {error}")))?;
        let (secrets, former) = (self.secrets.clone(), app.secret.clone());
        let name = format!("{SECRETS}{}", app.name.to_lowercase());
        blocking(move || {
            if let Some(former) = &former
                && secrets.get(&former.file()).is_ok_and(|there| there == text)
            {
                return Ok(Some(former.clone()));
            }
            let generation = former.map_or(1, |former| former.generation + 1);
            let secret = SecretRef { name, generation };
            secrets.put(&secret.file(), &text)?;
            Ok(Some(secret))
        })
        .await
    }

    /// Removes code and secrets that no definition names any more.
    async fn forget_unused(&self) -> Result<()> {
        let (packages, secrets) = (self.packages.clone(), self.secrets.clone());
        let apps: Vec<_> = self.config().function_apps.into_values().collect();
        blocking(move || {
            let named = apps
                .iter()
                .filter_map(|app| Some(app.secret.as_ref()?.file()));
            secrets.keep_only(SECRETS, &named.collect())?;
            let hashes = apps.into_iter().filter_map(|app| Some(app.code?.hash));
            packages.keep_only(&hashes.collect())
        })
        .await
    }

    /// What the application directory has it owns.
    fn check_app_owner(&self, name: &str) -> Result<()> {
        let file = self.options.application.function_apps();
        let owned = file.iter().find(|(of, _)| of.eq_ignore_ascii_case(name));
        match owned {
            Some((of, _)) => check_owner(Owner::File, Owner::Api, "function app", of),
            None => Ok(()),
        }
    }
}

async fn stop(former: &KnownApp) {
    if let Some(app) = former.running() {
        app.stop().await;
    }
}

pub(super) fn no_app(name: &str) -> Error {
    Error::not_found(format!(
        "there is no function app {name:?} that was made through the API: make it with PUT /functions/{name}"
    ))
}

fn check_settings(settings: &BTreeMap<String, String>) -> Result<()> {
    let bytes: usize = settings
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if settings.len() > FUNCTION_SETTINGS || bytes > FUNCTION_SETTINGS_BYTES {
        return Err(Error::invalid(format!(
            "there are {} settings of {bytes} bytes: at most {FUNCTION_SETTINGS} of {FUNCTION_SETTINGS_BYTES} bytes are allowed",
            settings.len()
        )));
    }
    let bad = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
    if let Some(name) = settings.keys().find(bad) {
        return Err(Error::invalid(format!(
            "{name:?} can't be the name of a setting, which is an environment variable"
        )));
    }
    match settings.iter().find(|(_, value)| value.contains('\0')) {
        Some((name, _)) => Err(Error::invalid(format!(
            "setting {name:?} holds a zero byte"
        ))),
        None => Ok(()),
    }
}

/// `3.11`
fn check_python(version: &str) -> Result<()> {
    let number = |part: &str| {
        !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit())
    };
    match version.split_once('.') {
        Some(("3", minor)) if number(minor) => Ok(()),
        _ => Err(Error::invalid(format!(
            "python is {version:?}: expected a version such as \"3.11\""
        ))),
    }
}
