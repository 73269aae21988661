use std::collections::BTreeMap;

use async_trait::async_trait;
use foretell_types::{Error, Result, check_function_app};
use serde_json::json;

use super::arm::{AutoName, segment, text, uuid_of};
use super::code::{self, Source};
use super::native::encode;
use super::resource::{Checked, Kind, Of};
use super::schema::failure;
use super::storage::taken;
use crate::{CheckFailure, Properties, Value};

/// A function app.
pub struct WebApp;

/// What Azure puts before the names of connection strings, by their types.
const CONNECTION_PREFIXES: [(&str, &str); 5] = [
    ("SQLAzure", "SQLAZURECONNSTR_"),
    ("SQLServer", "SQLCONNSTR_"),
    ("MySql", "MYSQLCONNSTR_"),
    ("PostgreSQL", "POSTGRESQLCONNSTR_"),
    ("Custom", "CUSTOMCONNSTR_"),
];

pub fn path(inputs: &Properties) -> String {
    format!("/functions/{}", encode(text(inputs, "name")))
}

fn site_config<'a>(inputs: &'a Properties, name: &str) -> Option<&'a Value> {
    inputs.get("siteConfig")?.get(name)
}

/// The environment variables of its functions.
fn settings(inputs: &Properties) -> BTreeMap<String, String> {
    let list = |name| {
        site_config(inputs, name)
            .and_then(Value::as_list)
            .unwrap_or_default()
    };
    let of = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut settings: BTreeMap<String, String> = list("appSettings")
        .iter()
        .filter_map(|setting| {
            Some((
                of(setting, "name")?,
                of(setting, "value").unwrap_or_default(),
            ))
        })
        .collect();
    for connection in list("connectionStrings") {
        let kind = of(connection, "type").unwrap_or_default();
        let prefix = CONNECTION_PREFIXES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(&kind));
        let prefix = prefix.map_or("CUSTOMCONNSTR_", |(_, prefix)| prefix);
        if let (Some(name), Some(value)) =
            (of(connection, "name"), of(connection, "connectionString"))
        {
            settings.insert(format!("{prefix}{name}"), value);
        }
    }
    settings
}

/// Name and version of its runtime: `PYTHON|3.11`, or that of a Flex Consumption app.
fn runtime(inputs: &Properties) -> Option<(String, String)> {
    let linux = site_config(inputs, "linuxFxVersion").and_then(Value::as_str);
    if let Some((name, version)) = linux.and_then(|text| text.split_once('|')) {
        return Some((name.to_owned(), version.to_owned()));
    }
    let runtime = inputs.get("functionAppConfig")?.get("runtime")?;
    let of = |name| runtime.get(name).and_then(Value::as_str);
    Some((of("name")?.to_owned(), of("version")?.to_owned()))
}

fn check_settings(inputs: &Properties, failures: &mut Vec<CheckFailure>) {
    let settings = site_config(inputs, "appSettings").and_then(Value::as_list);
    for (at, setting) in settings.unwrap_or_default().iter().enumerate() {
        let of = |name| setting.get(name).and_then(Value::as_str);
        let path = format!("siteConfig.appSettings[{at}]");
        let Some(name) = of("name") else {
            failures.push(failure(&path, "it has no name"));
            continue;
        };
        let value = of("value").unwrap_or("");
        if value.starts_with("@Microsoft.") {
            failures.push(failure(
                &format!("{path}.value"),
                format!("{name} refers to a service of Azure, which isn't asked here: give the value, from a secret of the configuration"),
            ));
        }
        if name.eq_ignore_ascii_case("FUNCTIONS_WORKER_RUNTIME")
            && !value.is_empty()
            && !value.eq_ignore_ascii_case("python")
        {
            failures.push(failure(&format!("{path}.value"), only_python(value)));
        }
    }
}

fn only_python(found: &str) -> String {
    format!("{found:?} isn't run here: function apps in Python are")
}

#[async_trait]
impl Kind for WebApp {
    fn token(&self) -> &'static str {
        "azure-native:web:WebApp"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.Web/sites"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.Web/sites/{name}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("name", AutoName::Random(60))
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["kind"]
    }

    fn check(&self, of: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        if let Some(name) = inputs.get("name").and_then(Value::as_str)
            && let Err(error) = check_function_app(name)
        {
            failures.push(failure("name", error.message()));
        }
        let kind = inputs.get("kind");
        let said = kind.and_then(Value::as_str).unwrap_or("app");
        if !kind.is_some_and(Value::is_unknown) && !said.contains("functionapp") {
            failures.push(failure(
                "kind",
                format!("web apps of kind {said:?} aren't run here: expected functionapp, such as \"functionapp,linux\""),
            ));
        }
        if inputs.get("enabled").and_then(Value::as_bool) == Some(false) {
            failures.push(failure(
                "enabled",
                "an app always runs here: leave it out, or delete the app",
            ));
        }
        if let Some((name, version)) = runtime(inputs) {
            if !name.eq_ignore_ascii_case("python") {
                failures.push(failure(
                    "siteConfig.linuxFxVersion",
                    only_python(&format!("{name}|{version}")),
                ));
            } else if !version.starts_with("3.") {
                failures.push(failure(
                    "siteConfig.linuxFxVersion",
                    format!("Python {version:?} is none: expected a version such as PYTHON|3.11"),
                ));
            }
        }
        check_settings(inputs, failures);
        code::check(of, inputs, failures);
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, fresh: bool) -> Result<()> {
        let path = path(inputs);
        let known = of.server.get(&path).await?;
        if fresh && known.is_some() {
            return Err(taken("function app", text(inputs, "name")));
        }
        let python = runtime(inputs).map(|(_, version)| version);
        let definition = json!({ "python": python, "settings": settings(inputs) });
        of.server.put(&path, definition).await?;
        let Some(code) = inputs.get(code::INPUT) else {
            return Ok(());
        };
        let part = |name| code.get(name).and_then(Value::as_str).unwrap_or("");
        let there = known
            .as_ref()
            .and_then(|known| known["code"]["hash"].as_str());
        match Source::parse(part("source")) {
            Source::Path(from) => {
                let zip = tokio::task::spawn_blocking(move || code::read(&from)).await;
                let zip = zip.map_err(|error| {
                    Error::unavailable(format!("the packing was cut off: {error}"))
                })??;
                if there != Some(blake3::hash(&zip).to_hex().as_str()) {
                    of.server.put_bytes(&format!("{path}/code"), zip).await?;
                }
            }
            Source::Blob(blob) => {
                of.server
                    .put(&format!("{path}/code"), json!({ "blob": blob }))
                    .await?;
            }
        }
        // Whether it can be run is for the one to know who deploys it.
        let found = of.server.get(&format!("{path}?wait=true")).await?;
        let found = found.unwrap_or_default();
        match found["state"]["reason"].as_str() {
            Some(reason) => Err(Error::invalid(reason.to_owned())),
            None => Ok(()),
        }
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let found = of.server.get(&path(inputs)).await?;
        if found.is_none_or(|found| found["owner"] != "api") {
            return Ok(None);
        }
        Ok(Some(facts(of, inputs)))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        of.server.delete(&path(inputs)).await
    }
}

fn facts(of: Of<'_>, inputs: &Properties) -> Properties {
    let host = of.server.host();
    let hosts = Value::from(vec![host.as_str().into()]);
    let address: Value = "127.0.0.1".into();
    let group = segment(of.id, "resourceGroups").unwrap_or("");
    let mut facts = Properties::from([
        ("state".to_owned(), "Running".into()),
        ("enabled".to_owned(), true.into()),
        ("defaultHostName".to_owned(), host.into()),
        ("hostNames".to_owned(), hosts.clone()),
        ("enabledHostNames".to_owned(), hosts),
        ("outboundIpAddresses".to_owned(), address.clone()),
        ("possibleOutboundIpAddresses".to_owned(), address),
        ("repositorySiteName".to_owned(), text(inputs, "name").into()),
        ("resourceGroup".to_owned(), group.into()),
        ("availabilityState".to_owned(), "Normal".into()),
        ("usageState".to_owned(), "Normal".into()),
    ]);
    let identity = inputs.get("identity").and_then(Value::as_map);
    if let Some(identity) = identity {
        let mut identity = identity.clone();
        let kind = text(&identity, "type").to_owned();
        if kind.contains("SystemAssigned") {
            identity.insert("principalId".to_owned(), uuid_of(of.id).into());
            identity.insert("tenantId".to_owned(), uuid_of("tenant").into());
        }
        facts.insert("identity".to_owned(), identity.into());
    }
    facts
}
