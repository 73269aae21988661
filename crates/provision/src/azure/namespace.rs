use async_trait::async_trait;
use foretell_protocol::TopicDefinition;
use foretell_types::{ErrorKind, NamespaceName, Result};
use serde_json::{Value as Json, json};

use super::arm::{AutoName, text};
use super::native::encode;
use super::resource::{Checked, Kind, Of};
use super::schema::failure;
use super::{subscription, topic};
use crate::{CheckFailure, Properties, Value};

/// An Event Grid namespace.
pub struct Namespace;
/// A topic of one.
pub struct NamespaceTopic;
/// A subscription of such a topic: a queue, or pushed.
pub struct NamespaceTopicEventSubscription;

fn namespace_path(inputs: &Properties) -> String {
    format!("/namespaces/{}", encode(text(inputs, "namespaceName")))
}

fn topic_path(inputs: &Properties) -> String {
    let topic = encode(text(inputs, "topicName"));
    format!("{}/topics/{topic}", namespace_path(inputs))
}

#[async_trait]
impl Kind for Namespace {
    fn token(&self) -> &'static str {
        "azure-native:eventgrid:Namespace"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.EventGrid/namespaces"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.EventGrid/namespaces/{namespaceName}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("namespaceName", AutoName::Random(50))
    }

    fn check(&self, _: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        let name = inputs.get("namespaceName").and_then(Value::as_str);
        if let Some(Err(error)) = name.map(str::parse::<NamespaceName>) {
            failures.push(failure("namespaceName", error.message()));
        }
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        // One that is there may have been kept for its topics.
        let path = namespace_path(inputs);
        of.server.put(&path, json!({})).await.map(|_| ())
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        if of.server.get(&namespace_path(inputs)).await?.is_none() {
            return Ok(None);
        }
        let name = text(inputs, "namespaceName");
        let hostname = format!("{}/namespaces/{name}", of.server.host());
        let topics = Value::from([("hostname", hostname.into())]);
        let mut facts = Properties::from([
            ("provisioningState".to_owned(), "Succeeded".into()),
            ("topicsConfiguration".to_owned(), topics),
        ]);
        if !inputs.contains_key("publicNetworkAccess") {
            facts.insert("publicNetworkAccess".to_owned(), "Enabled".into());
        }
        Ok(Some(facts))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, purge: bool) -> Result<()> {
        match of.server.delete(&namespace_path(inputs)).await {
            // It has topics, whose events are kept.
            Err(error) if error.kind() == ErrorKind::Conflict && !purge => Ok(()),
            other => other,
        }
    }
}

fn topic_body(inputs: &Properties) -> Json {
    let schema = inputs.get("inputSchema").and_then(Value::as_str);
    json!({ "properties": { "inputSchema": schema.unwrap_or("CloudEventSchemaV1_0") } })
}

#[async_trait]
impl Kind for NamespaceTopic {
    fn token(&self) -> &'static str {
        "azure-native:eventgrid:NamespaceTopic"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.EventGrid/namespaces/topics"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.EventGrid/namespaces/{namespaceName}/topics/{topicName}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("topicName", AutoName::Random(50))
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["inputSchema", "publisherType"]
    }

    fn is_placed(&self) -> bool {
        false
    }

    fn check(&self, _: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        if let Some(name) = inputs.get("topicName").and_then(Value::as_str)
            && let Err(error) = topic::check_name(name)
        {
            failures.push(failure("topicName", error.message()));
        }
        if let Err(error) = TopicDefinition::from_json(&topic_body(inputs)) {
            failures.push(subscription::told(&error, inputs));
        }
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        topic::put(of.server, &topic_path(inputs), of.id, topic_body(inputs)).await
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let Some(found) = of.server.get(&topic_path(inputs)).await? else {
            return Ok(None);
        };
        let schema = found["properties"]["inputSchema"].clone();
        Ok(Some(Properties::from([
            ("provisioningState".to_owned(), "Succeeded".into()),
            ("inputSchema".to_owned(), schema.into()),
            ("publisherType".to_owned(), "Custom".into()),
        ])))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, purge: bool) -> Result<()> {
        topic::delete(of.server, &topic_path(inputs), topic_body(inputs), purge).await
    }
}

const IN_PATH: [&str; 4] = [
    "resourceGroupName",
    "namespaceName",
    "topicName",
    "eventSubscriptionName",
];

/// What the resource manager would get.
fn subscription_body(inputs: &Properties) -> Json {
    let mut properties = subscription::properties(inputs, &IN_PATH);
    let Some(configuration) = inputs.get("deliveryConfiguration") else {
        return json!({ "properties": properties });
    };
    let mut body = super::json::to_json(configuration);
    if let Some(destination) = configuration
        .get("push")
        .and_then(|push| push.get("destination"))
    {
        body["push"]["destination"] = subscription::destination(destination);
    }
    for part in ["push", "queue"] {
        let name = "deadLetterDestinationWithResourceIdentity";
        let letters = configuration
            .get(part)
            .and_then(|part| part.get(name)?.get("deadLetterDestination"));
        if let Some(letters) = letters {
            body[part][name]["deadLetterDestination"] = subscription::dead_letter(letters);
        }
    }
    properties.insert("deliveryConfiguration".to_owned(), body);
    json!({ "properties": properties })
}

#[async_trait]
impl Kind for NamespaceTopicEventSubscription {
    fn token(&self) -> &'static str {
        "azure-native:eventgrid:NamespaceTopicEventSubscription"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.EventGrid/namespaces/topics/eventSubscriptions"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.EventGrid/namespaces/{namespaceName}/topics/{topicName}/eventSubscriptions/{eventSubscriptionName}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("eventSubscriptionName", AutoName::Random(50))
    }

    fn is_placed(&self) -> bool {
        false
    }

    fn check(&self, _: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        subscription::check_name(inputs, failures);
        let configuration = inputs.get("deliveryConfiguration");
        let push = configuration.and_then(|configuration| configuration.get("push"));
        let destination = push.and_then(|push| push.get("destination"));
        subscription::check_destination(
            "deliveryConfiguration.push.destination",
            destination,
            failures,
        );
        if configuration.is_none() {
            let reason = "it is missing: {deliveryMode: Queue, queue: {…}}, or {deliveryMode: Push, push: {…}}";
            failures.push(failure("deliveryConfiguration", reason));
        }
        if !configuration.is_some_and(Value::is_unknown) {
            subscription::check(&subscription_body(inputs), inputs, failures);
        }
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        let body = subscription_body(inputs);
        let push = &body["properties"]["deliveryConfiguration"]["push"];
        subscription::check_function(of.server, &push["destination"]).await?;
        let path = subscription::path(&topic_path(inputs), inputs);
        of.server.put(&path, body).await.map(|_| ())
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let path = subscription::path(&topic_path(inputs), inputs);
        let found = of.server.get(&path).await?;
        let topic = of.id.split("/eventSubscriptions/").next().unwrap_or("");
        Ok(found.map(|found| subscription::facts(&found, topic)))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        let path = subscription::path(&topic_path(inputs), inputs);
        of.server.delete(&path).await
    }
}
