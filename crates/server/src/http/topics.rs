//! Administration of topics and their keys. The JSON is that of Event Grid's resource model.

use axum::extract::{Path, Request, State};
use foretell_protocol::{Permission, TopicDefinition, TopicFacts};
use foretell_types::{Position, Timestamp, is_system_topic};
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json, json_with};
use super::parameters::Parameters;
use super::{Server, admin_body, key_slot, keys_json, made_status, require};
use crate::Node;
use crate::node::{Owner, TopicEntry, resource_id, to_the_end};

/// `GET /topics`
pub async fn list_topics(State(node): Server, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    let parameters = Parameters::parse(request.uri(), &["system"])?;
    let system = parameters.flag("system")?;
    let names = node.log.topics().into_iter().map(|topic| topic.name);
    let wanted = names.filter(|name| system || !is_system_topic(name));
    let topics: Vec<Value> = wanted
        .filter_map(|name| topic_json(&node, &name).ok())
        .collect();
    answer_json(&topics)
}

fn topic_json(node: &Node, name: &str) -> foretell_types::Result<Value> {
    let info = node.log.topic(name)?;
    let mut value = match node.topic(name) {
        Ok(entry) => described(node, &entry),
        Err(_) => json!({ "name": name, "id": resource_id(name) }),
    };
    value["head"] = Position::as_count(info.head).into();
    value["streams"] = info.streams.into();
    value["created"] = Timestamp::from_instant(info.created).to_string().into();
    Ok(value)
}

fn described(node: &Node, entry: &TopicEntry) -> Value {
    let name = &entry.config.name;
    let endpoint = format!(
        "{}/topics/{name}/api/events",
        node.url().unwrap_or_default()
    );
    let uuid = node
        .log
        .topic(name)
        .map(|topic| topic.uuid.to_string())
        .unwrap_or_default();
    entry.config.definition.to_json(&TopicFacts {
        name,
        resource_id: &entry.resource_id,
        endpoint: &endpoint,
        metric_resource_id: &uuid,
    })
}

/// `GET /topics/{topic}`
pub async fn get_topic(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, Some(&topic))?;
    let topic = node.readable_topic(&topic)?;
    answer_json(&topic_json(&node, &topic)?)
}

/// `PUT /topics/{topic}`
pub async fn put_topic(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Manage, Some(&topic))?;
    let body = admin_body(request).await?;
    let body = if body.is_null() { json!({}) } else { body };
    let definition = TopicDefinition::from_json(&body)?;
    let (to, name) = (node.clone(), topic.clone());
    let put = async move { to.put_topic(&name, definition, Owner::Api).await };
    let made = to_the_end(put).await?;
    let name = node.readable_topic(&topic)?;
    json_with(made_status(made), &topic_json(&node, &name)?)
}

/// `PATCH /topics/{topic}`
pub async fn patch_topic(
    State(node): Server,
    Path(topic): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Manage, Some(&topic))?;
    let update = admin_body(request).await?;
    let (to, name) = (node.clone(), topic.clone());
    to_the_end(async move { to.update_topic(&name, &update).await }).await?;
    let name = node.readable_topic(&topic)?;
    answer_json(&topic_json(&node, &name)?)
}

/// `DELETE /topics/{topic}`
pub async fn delete_topic(
    State(node): Server,
    Path(topic): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Manage, Some(&topic))?;
    let name = topic.clone();
    to_the_end(async move { node.delete_topic(&name).await }).await?;
    answer_json(&json!({ "deleted": topic }))
}

/// `POST /topics/{topic}/listKeys`
pub async fn list_keys(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Manage, Some(&topic))?;
    let topic = node.topic(&topic)?;
    answer_json(&keys_json(&topic.keys))
}

/// `POST /topics/{topic}/regenerateKey` with `{"keyName": "key1"}`
pub async fn regenerate_key(
    State(node): Server,
    Path(topic): Path<String>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Manage, Some(&topic))?;
    let body = admin_body(request).await?;
    let slot = key_slot(&body)?;
    let (to, name) = (node.clone(), topic.clone());
    to_the_end(async move { to.regenerate_key(&name, slot).await }).await?;
    let topic = node.topic(&topic)?;
    answer_json(&keys_json(&topic.keys))
}
