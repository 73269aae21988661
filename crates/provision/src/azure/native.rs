use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::{Error, ErrorKind, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::resource::{Checked, Kind, Of};
use super::{arm, code, functions, refused, schema};
use crate::control::{Body, Control, Method};
use crate::{
    Check, CheckFailure, Create, Created, Delete, Diff, Invoke, Known, Partial, Properties,
    Provider, Read, Resource, Supported, Update, Value, compare,
};

/// The version of the API that the resources say they are of.
const API_VERSION: &str = "2025-02-15";

/// What the resources need to know of the program.
#[derive(Clone, Debug, Default)]
pub struct AzureOptions {
    /// The folder of the program, where relative paths begin.
    pub root: PathBuf,
    /// The configuration `foretell:code`: where the code of its function apps is, as a path, or as
    /// a JSON object of paths by the names that the apps have in the program.
    pub code: Option<String>,
}

/// The provider of `azure-native`: its resources are parts of a Foretell server.
pub struct AzureNative {
    control: Arc<dyn Control>,
    options: AzureOptions,
}

impl std::fmt::Debug for AzureNative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AzureNative({})", self.control.url())
    }
}

/// The server, as resources ask it.
#[derive(Clone, Copy)]
pub struct Server<'a>(&'a dyn Control);

/// One part of a path.
pub fn encode(text: &str) -> String {
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text, SAFE).to_string()
}

impl Server<'_> {
    /// None if there is nothing.
    pub async fn get(&self, path: &str) -> Result<Option<Json>> {
        match self.0.call(Method::Get, path, Body::None).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn put(&self, path: &str, body: Json) -> Result<Json> {
        self.0.call(Method::Put, path, Body::Json(body)).await
    }

    pub async fn put_bytes(&self, path: &str, body: Vec<u8>) -> Result<Json> {
        self.0.call(Method::Put, path, Body::Bytes(body)).await
    }

    pub async fn post(&self, path: &str) -> Result<Json> {
        self.0.call(Method::Post, path, Body::None).await
    }

    /// What is gone already is no error.
    pub async fn delete(&self, path: &str) -> Result<()> {
        match self.0.call(Method::Delete, path, Body::None).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub fn url(&self) -> String {
        self.0.url().trim_end_matches('/').to_owned()
    }

    /// Host and port.
    pub fn host(&self) -> String {
        let url = self.url();
        url.split_once("://")
            .map_or(&*url, |(_, host)| host)
            .to_owned()
    }
}

impl AzureNative {
    pub fn new(control: Arc<dyn Control>, options: AzureOptions) -> AzureNative {
        AzureNative { control, options }
    }

    fn of<'a>(&'a self, config: &'a Properties, id: &'a str) -> Of<'a> {
        Of {
            server: Server(&*self.control),
            config,
            id,
        }
    }

    /// The outputs of a resource: its inputs, and what the server says.
    async fn outputs(
        &self,
        kind: &dyn Kind,
        of: Of<'_>,
        inputs: &Properties,
    ) -> Result<Option<Properties>> {
        let Some(facts) = kind.look(of, inputs).await? else {
            return Ok(None);
        };
        let mut outputs = inputs.clone();
        outputs.remove(code::INPUT);
        let name = arm::text(inputs, kind.name().0).to_owned();
        outputs.insert("name".to_owned(), name.into());
        outputs.insert("type".to_owned(), kind.arm_type().into());
        outputs.insert("azureApiVersion".to_owned(), API_VERSION.into());
        if kind.is_placed() && !outputs.contains_key("location") {
            outputs.insert("location".to_owned(), arm::location(of.config).into());
        }
        outputs.extend(facts);
        Ok(Some(outputs))
    }

    async fn put(
        &self,
        kind: &dyn Kind,
        of: Of<'_>,
        inputs: &Properties,
        fresh: bool,
    ) -> Result<Properties, Partial> {
        if let Err(error) = kind.put(of, inputs, fresh).await {
            // Something may be there: what it looks like tells.
            let conflict = error.kind() == ErrorKind::Conflict && fresh;
            let there = match conflict {
                true => None,
                false => self.outputs(kind, of, inputs).await.unwrap_or(None),
            };
            let made = there.map(|outputs| Created {
                id: of.id.to_owned(),
                outputs,
            });
            return Err(Partial { error, made });
        }
        let outputs = self.outputs(kind, of, inputs).await?;
        outputs.ok_or_else(|| Error::not_found("it was made, and is gone again").into())
    }

    /// What `get…` of a type gives.
    async fn get(&self, kind: &dyn Kind, invoke: Invoke<'_>) -> Result<Properties> {
        let id = expand(kind, invoke.config, invoke.args).ok_or_else(|| {
            let (name, _) = kind.name();
            Error::invalid(format!("{name} or another part of its id is missing"))
        })?;
        let of = self.of(invoke.config, &id);
        let outputs = self.outputs(kind, of, invoke.args).await?;
        let mut outputs = outputs.ok_or_else(|| Error::not_found(format!("there is no {id}")))?;
        outputs.insert("id".to_owned(), id.into());
        Ok(outputs)
    }
}

fn kind_of(token: &str) -> Result<&'static dyn Kind> {
    let found = functions::KINDS.iter().find(|kind| kind.token() == token);
    found.copied().ok_or_else(|| {
        let message = refused::reason(token).unwrap_or("there is no such resource here");
        Error::invalid(format!("{token}: {message}"))
    })
}

/// The id of a resource; none while a part of it isn't known.
fn expand(kind: &dyn Kind, config: &Properties, inputs: &Properties) -> Option<String> {
    let mut id = String::new();
    let mut rest = kind.id();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        id.push_str(before);
        let known = |name: &str| {
            let text = inputs.get(name)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        id.push_str(&match name {
            "group" => arm::group_id(config, &known("resourceGroupName")?),
            _ => known(name)?,
        });
        rest = behind;
    }
    id.push_str(rest);
    Some(id)
}

/// The inputs that an id is made of; none if it is no id of this kind.
fn parse(kind: &dyn Kind, id: &str) -> Option<Properties> {
    let mut found = Properties::new();
    let mut put = |name: &str, text: &str| {
        let whole = !text.is_empty();
        whole.then(|| found.insert(name.to_owned(), text.into()));
        whole
    };
    let mut rest = id;
    let template = match kind.id().strip_prefix("{group}") {
        Some(template) => {
            let at = rest.to_ascii_lowercase().find("/resourcegroups/")?;
            let group = rest[at..].split('/').nth(2)?;
            put("resourceGroupName", group);
            rest = &rest[at + "/resourcegroups/".len() + group.len()..];
            template
        }
        None => kind.id(),
    };
    let mut pieces = template.split('{');
    let head = pieces.next()?;
    rest = strip(rest, head)?;
    for piece in pieces {
        let (name, literal) = piece.split_once('}')?;
        let at = match literal.is_empty() {
            true => rest.len(),
            false => {
                let literal = literal.to_ascii_lowercase();
                rest.to_ascii_lowercase().rfind(&literal)?
            }
        };
        let (value, behind) = rest.split_at_checked(at)?;
        if !put(name, value) {
            return None;
        }
        rest = behind.get(literal.len()..)?;
    }
    Some(found)
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The inputs that an id is made of.
fn parts(kind: &dyn Kind) -> impl Iterator<Item = &'static str> {
    let pieces = kind.id().split('{').skip(1);
    pieces.filter_map(|piece| match piece.split_once('}')?.0 {
        "group" => Some("resourceGroupName"),
        name => Some(name),
    })
}

#[async_trait]
impl Provider for AzureNative {
    fn supported(&self) -> Supported {
        let types = functions::KINDS.iter().map(|kind| kind.token());
        Supported {
            package: "azure-native",
            types: types.collect(),
            refused: refused::tokens().collect(),
            functions: functions::tokens(),
        }
    }

    fn check(&self, check: Check<'_>) -> Result<Properties, Vec<CheckFailure>> {
        let token = check.resource.token;
        if let Some(reason) = refused::reason(token) {
            return Err(vec![schema::failure("", reason)]);
        }
        let kind = match kind_of(token) {
            Ok(kind) => kind,
            Err(error) => return Err(vec![schema::failure("", error.message())]),
        };
        let mut inputs = check.inputs.clone();
        let mut failures = Vec::new();
        inputs.retain(|_, value| !value.is_null());
        let (name, how) = kind.name();
        if !inputs.contains_key(name) {
            let kept = check.old.and_then(|old| old.get(name)).cloned();
            let made = || {
                how.make(check.resource.urn.name(), check.seed)
                    .map(Value::from)
            };
            inputs.extend(kept.or_else(made).map(|value| (name.to_owned(), value)));
        }
        refused::check(token, &inputs, &mut failures);
        let named: Vec<String> = failures.iter().map(|one| one.property.clone()).collect();
        let mut found = Vec::new();
        schema::check(token, &inputs, &mut found);
        failures.extend(
            found
                .into_iter()
                .filter(|one| !named.contains(&one.property)),
        );
        if failures.is_empty() {
            let checked = Checked {
                urn: check.resource.urn,
                options: &self.options,
            };
            kind.check(checked, &mut inputs, &mut failures);
        }
        match failures.is_empty() {
            true => Ok(inputs),
            false => Err(failures),
        }
    }

    fn diff(&self, resource: Resource<'_>, old: &Properties, new: &Properties) -> Diff {
        let mut changes = compare(old, new);
        // The same code from another place.
        changes.retain(|change| change.path != code::SOURCE);
        let Ok(kind) = kind_of(resource.token) else {
            return Diff { changes };
        };
        let fixed: Vec<&str> = parts(kind)
            .chain(kind.replaced_by().iter().copied())
            .collect();
        for change in &mut changes {
            let property = change.property();
            change.replace =
                fixed.contains(&property) || property == "location" && kind.is_placed();
        }
        Diff { changes }
    }

    fn identify(&self, resource: Resource<'_>, inputs: &Properties) -> Option<String> {
        expand(kind_of(resource.token).ok()?, resource.config, inputs)
    }

    async fn create(&self, create: Create<'_>) -> Result<Created, Partial> {
        let kind = kind_of(create.resource.token)?;
        let config = create.resource.config;
        let id = expand(kind, config, create.inputs)
            .ok_or_else(|| Error::invalid("a part of its id isn't known"))?;
        let of = self.of(config, &id);
        let outputs = self.put(kind, of, create.inputs, !create.resumed).await?;
        Ok(Created { id, outputs })
    }

    async fn read(
        &self,
        resource: Resource<'_>,
        id: &str,
        known: Option<Known<'_>>,
    ) -> Result<Option<Read>> {
        let kind = kind_of(resource.token)?;
        let is_known = known.is_some();
        let mut inputs = match known {
            Some(known) => known.inputs.clone(),
            None => parse(kind, id).ok_or_else(|| {
                let expected = kind
                    .id()
                    .replace("{group}", "/subscriptions/S/resourceGroups/GROUP");
                Error::invalid(format!(
                    "{id:?} is not the id of a {}: expected {expected}",
                    resource.token
                ))
            })?,
        };
        let outputs = self
            .outputs(kind, self.of(resource.config, id), &inputs)
            .await?;
        let Some(outputs) = outputs else {
            return Ok(None);
        };
        if !is_known {
            // What the server says of it. Of its location it knows nothing.
            let said = outputs
                .iter()
                .filter(|(name, _)| *name != "location" && schema::has_input(resource.token, name));
            for (name, value) in said {
                inputs.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        Ok(Some(Read {
            id: id.to_owned(),
            inputs,
            outputs,
        }))
    }

    async fn update(&self, update: Update<'_>) -> Result<Properties, Partial> {
        let kind = kind_of(update.resource.token)?;
        let of = self.of(update.resource.config, update.id);
        self.put(kind, of, update.inputs, false).await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<()> {
        let kind = kind_of(delete.resource.token)?;
        let of = self.of(delete.resource.config, delete.id);
        kind.delete(of, delete.inputs, delete.purge).await
    }

    async fn invoke(&self, invoke: Invoke<'_>) -> Result<Properties> {
        if let Some(kind) = functions::looked_at(invoke.token) {
            return self.get(kind, invoke).await;
        }
        functions::invoke(Server(&*self.control), invoke).await
    }
}

/// A text that isn't known is no text.
pub fn is_unknown(inputs: &Properties, name: &str) -> bool {
    inputs.get(name).is_some_and(Value::is_unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_apart_as_they_were_made() {
        for kind in functions::KINDS {
            let mut inputs = Properties::new();
            for name in parts(*kind) {
                let text = match name {
                    "scope" => {
                        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.EventGrid/topics/t1"
                    }
                    name => name,
                };
                inputs.insert(name.to_owned(), text.into());
            }
            let id = expand(*kind, &Properties::new(), &inputs).unwrap();
            assert_eq!(parse(*kind, &id), Some(inputs.clone()), "{id}");
            assert_eq!(parse(*kind, "/x"), None, "{id}");
            inputs.insert(kind.name().0.to_owned(), Value::Unknown);
            assert_eq!(expand(*kind, &Properties::new(), &inputs), None);
        }
    }
}
