use async_trait::async_trait;
use foretell_protocol::TopicDefinition;
use foretell_types::{Error, ErrorKind, Result, TopicName};
use serde_json::{Value as Json, json};

use super::arm::{AutoName, text};
use super::native::{Server, encode};
use super::resource::{Checked, Kind, Of};
use super::schema::failure;
use super::{json as convert, subscription};
use crate::{CheckFailure, Properties, Value};

/// A custom topic.
pub struct Topic;

/// The tag of a topic that says whose it is: names are unique on the server, and not in Azure's
/// resource groups.
const RESOURCE: &str = "foretell-resource-id";

/// Makes a topic or changes it. One that another stack has is refused; one that nobody has any
/// more (its events were kept) is taken over.
pub async fn put(server: Server<'_>, path: &str, id: &str, mut body: Json) -> Result<()> {
    if let Some(there) = server.get(path).await? {
        let owner = there["tags"][RESOURCE].as_str().unwrap_or(id);
        if !owner.eq_ignore_ascii_case(id) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the topic of this name is {owner}, which isn't this one: give this one another name"
                ),
            ));
        }
    }
    body["tags"][RESOURCE] = id.into();
    server.put(path, body).await.map(|_| ())
}

/// Deletes a topic with its events, or lets go of it.
pub async fn delete(server: Server<'_>, path: &str, body: Json, purge: bool) -> Result<()> {
    if purge {
        return server.delete(path).await;
    }
    if server.get(path).await?.is_some() {
        server.put(path, body).await?;
    }
    Ok(())
}

fn path(inputs: &Properties) -> String {
    format!("/topics/{}", encode(text(inputs, "topicName")))
}

/// What the resource manager would get.
fn body(inputs: &Properties) -> Json {
    let mut properties = convert::object(inputs);
    let tags = properties.remove("tags").unwrap_or_else(|| json!({}));
    for outside in [
        "topicName",
        "resourceGroupName",
        "location",
        "identity",
        "sku",
        "kind",
        "extendedLocation",
    ] {
        properties.remove(outside);
    }
    if let Some(mapping) = inputs
        .get("inputSchemaMapping")
        .filter(|mapping| !mapping.is_null())
    {
        let mapping = convert::nested(mapping, &["inputSchemaMappingType"]);
        properties.insert("inputSchemaMapping".to_owned(), mapping);
    }
    // The service's own default; ours takes every schema.
    let schema = properties.entry("inputSchema");
    schema.or_insert_with(|| "EventGridSchema".into());
    json!({ "tags": tags, "properties": properties })
}

#[async_trait]
impl Kind for Topic {
    fn token(&self) -> &'static str {
        "azure-native:eventgrid:Topic"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.EventGrid/topics"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.EventGrid/topics/{topicName}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("topicName", AutoName::Random(50))
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["inputSchema", "kind"]
    }

    fn check(&self, _: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        if let Some(name) = inputs.get("topicName").and_then(Value::as_str)
            && let Err(error) = check_name(name)
        {
            failures.push(failure("topicName", error.message()));
        }
        if let Err(error) = TopicDefinition::from_json(&body(inputs)) {
            failures.push(subscription::told(&error, inputs));
        }
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        put(of.server, &path(inputs), of.id, body(inputs)).await
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let Some(found) = of.server.get(&path(inputs)).await? else {
            return Ok(None);
        };
        let properties = &found["properties"];
        let name = text(inputs, "topicName");
        let endpoint = format!("{}/topics/{name}/api/events", of.server.url());
        let mut facts = Properties::from([
            ("endpoint".to_owned(), endpoint.into()),
            ("provisioningState".to_owned(), "Succeeded".into()),
        ]);
        for name in ["metricResourceId", "inputSchema", "publicNetworkAccess"] {
            facts.insert(name.to_owned(), properties[name].clone().into());
        }
        let local = inputs.get("disableLocalAuth").cloned();
        facts.insert(
            "disableLocalAuth".to_owned(),
            local.unwrap_or_else(|| false.into()),
        );
        Ok(Some(facts))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, purge: bool) -> Result<()> {
        delete(of.server, &path(inputs), body(inputs), purge).await
    }
}

/// A topic of no namespace.
pub fn check_name(name: &str) -> Result<()> {
    if name.contains('.') {
        return Err(Error::invalid(format!(
            "topic name {name:?} holds '.': only letters, digits and hyphens are allowed"
        )));
    }
    name.parse::<TopicName>().map(|_| ())
}
