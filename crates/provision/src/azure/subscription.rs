//! What both kinds of event subscriptions have in common.

use foretell_protocol::{InputSchema, SubscriptionDefinition};
use foretell_types::{Error, Result, SubscriptionName};
use serde_json::{Map, Value as Json, json};

use super::json::{nested, object};
use super::native::{Server, encode};
use super::schema::failure;
use crate::{CheckFailure, Properties, Value};

/// Destinations that Azure has and that are none here.
const ELSEWHERE: [&str; 8] = [
    "StorageQueue",
    "EventHub",
    "ServiceBusQueue",
    "ServiceBusTopic",
    "HybridConnection",
    "PartnerDestination",
    "NamespaceTopic",
    "MonitorAlert",
];

/// A destination as the resource manager has it. Where something isn't known yet there stands
/// something that is well formed, so that the rest can be checked.
pub fn destination(flat: &Value) -> Json {
    if flat.is_unknown() {
        return json!({"endpointType": "WebHook", "properties": {"endpointUrl": "https://unknown.invalid/"}});
    }
    let mut body = nested(flat, &["endpointType"]);
    let unknown = |name: &str| flat.get(name).is_some_and(Value::is_unknown);
    let is_function = body["endpointType"]
        .as_str()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("AzureFunction"));
    let properties = &mut body["properties"];
    if unknown("endpointUrl") {
        properties["endpointUrl"] = "https://unknown.invalid/".into();
    }
    if unknown("resourceId") {
        properties["resourceId"] = "/sites/unknown/functions/unknown".into();
    }
    if is_function && let Some(fields) = properties.as_object_mut() {
        // A function gets one event a call, there too: the host takes batches apart.
        fields.remove("maxEventsPerBatch");
        fields.remove("preferredBatchSizeInKilobytes");
    }
    if let Some(Value::List(mappings)) = flat.get("deliveryAttributeMappings").map(Value::plain) {
        let mappings = mappings
            .iter()
            .map(|mapping| nested(mapping, &["name", "type"]));
        properties["deliveryAttributeMappings"] = mappings.collect();
    }
    body
}

/// Likewise a destination of dead letters.
pub fn dead_letter(flat: &Value) -> Json {
    let mut body = nested(flat, &["endpointType"]);
    if flat.get("blobContainerName").is_some_and(Value::is_unknown) {
        body["properties"]["blobContainerName"] = "unknown".into();
    }
    body
}

/// The `properties` of a PUT, made of inputs but for those that are named in the path.
pub fn properties(inputs: &Properties, in_path: &[&str]) -> Map<String, Json> {
    let mut properties = object(inputs);
    for name in in_path {
        properties.remove(*name);
    }
    properties
}

/// Refuses destinations that there are not here.
pub fn check_destination(
    path: &str,
    destination: Option<&Value>,
    failures: &mut Vec<CheckFailure>,
) {
    let kind = destination.and_then(|destination| destination.get("endpointType"));
    let Some(kind) = kind.and_then(Value::as_str) else {
        return;
    };
    if ELSEWHERE.iter().any(|name| name.eq_ignore_ascii_case(kind)) {
        failures.push(failure(
            &format!("{path}.endpointType"),
            format!(
                "{kind} is no destination here yet: use AzureFunction or WebHook, or a NamespaceTopicEventSubscription whose events are received from its queue"
            ),
        ));
    }
}

/// Checks the whole as the server will.
pub fn check(body: &Json, inputs: &Properties, failures: &mut Vec<CheckFailure>) {
    if !failures.is_empty() {
        return;
    }
    if let Err(error) = SubscriptionDefinition::from_json(body, InputSchema::Any) {
        failures.push(told(&error, inputs));
    }
}

pub fn check_name(inputs: &Properties, failures: &mut Vec<CheckFailure>) {
    let name = inputs.get("eventSubscriptionName").and_then(Value::as_str);
    if let Some(Err(error)) = name.map(str::parse::<SubscriptionName>) {
        failures.push(failure("eventSubscriptionName", error.message()));
    }
}

/// An error about a body of the resource manager, as one about inputs: these have no `properties`
/// in their paths.
pub fn told(error: &Error, inputs: &Properties) -> CheckFailure {
    let message = error.message().replace("properties.", "");
    let path: String = message
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']'))
        .collect();
    let first = path.split(['.', '[']).next().unwrap_or("");
    match (inputs.contains_key(first), message.strip_prefix(&path)) {
        (true, Some(rest)) => failure(&path, rest.trim_start_matches([' ', ':'])),
        _ => failure("", message),
    }
}

/// The path of a subscription below that of its topic.
pub fn path(topic: &str, inputs: &Properties) -> String {
    let name = super::arm::text(inputs, "eventSubscriptionName");
    format!("{topic}/eventSubscriptions/{}", encode(name))
}

/// A function that events are to be sent to must be there: to learn of it now is better than by
/// events that fail.
pub async fn check_function(server: Server<'_>, destination: &Json) -> Result<()> {
    let id = destination["properties"]["resourceId"]
        .as_str()
        .unwrap_or("");
    let (Some(app), Some(function)) = (
        super::arm::segment(id, "sites"),
        super::arm::segment(id, "functions"),
    ) else {
        return Ok(());
    };
    let path = format!("/functions/{}?wait=true", encode(app));
    let found = server.get(&path).await?.ok_or_else(|| {
        Error::invalid(format!(
            "there is no function app {app:?} on this server: its events would go nowhere"
        ))
    })?;
    if let Some(reason) = found["state"]["reason"].as_str() {
        return Err(Error::invalid(format!(
            "the function app {app:?} doesn't run: {reason}"
        )));
    }
    if found["state"]["status"] != "ready" {
        // No server holds the data directory: what the app has is known once one runs it.
        return Ok(());
    }
    let functions = found["functions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let names: Vec<&str> = functions
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    if names.iter().any(|name| name.eq_ignore_ascii_case(function)) {
        return Ok(());
    }
    let there = match names[..] {
        [] => "it has no functions".to_owned(),
        _ => format!("it has {}", names.join(", ")),
    };
    Err(Error::invalid(format!(
        "the function app {app:?} has no function {function:?}: {there}"
    )))
}

/// What the server says of a subscription.
pub fn facts(found: &Json, topic: &str) -> Properties {
    let state = found["properties"]["provisioningState"].clone();
    Properties::from([
        ("provisioningState".to_owned(), state.into()),
        ("topic".to_owned(), topic.into()),
    ])
}
