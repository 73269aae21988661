//! Administration: topics, keys, subscriptions, dead letters. The JSON is that of Event Grid's
//! resource model.

use axum::extract::{Path, Request, State};
use foretell_delivery::{DeadLetterFilter, dead_letter};
use foretell_protocol::{
    KeySlot, SubscriptionDefinition, SubscriptionFacts, TopicDefinition, TopicFacts,
};
use foretell_types::{Error, Position, Timestamp, is_system_topic};
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json, json_with};
use super::events::admin_body;
use super::parameters::Parameters;
use super::{Server, require_admin};
use crate::Node;
use crate::node::{Owner, SubscriptionConfig, TopicEntry, blocking, resource_id};

/// `GET /topics`
pub async fn list_topics(State(node): Server, request: Request) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
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
    require_admin(&node, request.headers(), request.uri())?;
    let topic = node.readable_topic(&topic)?;
    answer_json(&topic_json(&node, &topic)?)
}

/// `PUT /topics/{topic}`
pub async fn put_topic(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let (_, body) = admin_body(request).await?;
    let body = if body.is_null() { json!({}) } else { body };
    let definition = TopicDefinition::from_json(&body)?;
    let made = node.put_topic(&topic, definition, Owner::Api).await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let name = node.readable_topic(&topic)?;
    json_with(status, &topic_json(&node, &name)?)
}

/// `DELETE /topics/{topic}`
pub async fn delete_topic(
    State(node): Server,
    Path(topic): Path<String>,
    request: Request,
) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    node.delete_topic(&topic).await?;
    answer_json(&json!({ "deleted": topic }))
}

/// `POST /topics/{topic}/listKeys`
pub async fn list_keys(State(node): Server, Path(topic): Path<String>, request: Request) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let topic = node.topic(&topic)?;
    let [key1, key2] = &topic.keys;
    answer_json(&json!({ "key1": key1.as_str(), "key2": key2.as_str() }))
}

/// `POST /topics/{topic}/regenerateKey` with `{"keyName": "key1"}`
pub async fn regenerate_key(
    State(node): Server,
    Path(topic): Path<String>,
    request: Request,
) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let (_, body) = admin_body(request).await?;
    let slot = match body.get("keyName").and_then(Value::as_str) {
        Some("key1") => KeySlot::Key1,
        Some("key2") => KeySlot::Key2,
        _ => return Err(Error::invalid("keyName must be \"key1\" or \"key2\"").into()),
    };
    node.regenerate_key(&topic, slot).await?;
    let topic = node.topic(&topic)?;
    let [key1, key2] = &topic.keys;
    answer_json(&json!({ "key1": key1.as_str(), "key2": key2.as_str() }))
}

fn subscription_json(
    node: &Node,
    subscription: &SubscriptionConfig,
) -> foretell_types::Result<Value> {
    let topic = node.topic(&subscription.topic)?;
    let mut value = subscription.definition.to_json(&SubscriptionFacts {
        name: &subscription.name,
        topic_resource_id: &topic.resource_id,
        topic_schema: topic.config.definition.input_schema,
    });
    let head = Position::as_count(node.log.head(&subscription.topic)?);
    value["to"] = subscription.definition.target.to_string().into();
    let stats = node.subscription_stats(&subscription.topic, &subscription.name);
    let saved = foretell_delivery::progress(&node.log, &subscription.topic, &subscription.name)?;
    value["lag"] = match (&stats, saved) {
        (Some(stats), _) => stats.lag(head).into(),
        (None, Some(saved)) => {
            (head.saturating_sub(saved.upto) + saved.pending.len() as u64).into()
        }
        (None, None) => Value::Null,
    };
    value["running"] = stats.is_some().into();
    if let Some(stats) = stats {
        value["stats"] = json!(stats);
    }
    Ok(value)
}

/// `GET /topics/{topic}/eventSubscriptions`
pub async fn list_subscriptions(
    State(node): Server,
    Path(topic): Path<String>,
    request: Request,
) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let topic = node.topic(&topic)?;
    let config = node.config();
    let found = config.subscriptions_of(&topic.config.name);
    let all: Vec<Value> = found
        .map(|subscription| subscription_json(&node, subscription))
        .collect::<Result<_, _>>()?;
    answer_json(&json!({ "value": all }))
}

/// `GET /topics/{topic}/eventSubscriptions/{subscription}`
pub async fn get_subscription(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let subscription = node.subscription(&topic, &name)?;
    answer_json(&subscription_json(&node, &subscription)?)
}

/// `PUT /topics/{topic}/eventSubscriptions/{subscription}?from=beginning|now|POSITION`
pub async fn put_subscription(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let parameters = Parameters::parse(request.uri(), &["from"])?;
    let start = parameters
        .get("from")
        .map_or(Ok(Default::default()), str::parse)?;
    let (_, body) = admin_body(request).await?;
    let schema = node.topic(&topic)?.config.definition.input_schema;
    let definition = SubscriptionDefinition::from_json(&body, schema)?;
    let made = node
        .put_subscription(&topic, &name, definition, start, Owner::Api)
        .await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let subscription = node.subscription(&topic, &name)?;
    json_with(status, &subscription_json(&node, &subscription)?)
}

/// `DELETE /topics/{topic}/eventSubscriptions/{subscription}`
pub async fn delete_subscription(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    node.delete_subscription(&topic, &name, Owner::Api).await?;
    answer_json(&json!({ "deleted": name }))
}

fn dead_letter_filter(request: &Request) -> foretell_types::Result<DeadLetterFilter> {
    let parameters = Parameters::parse(
        request.uri(),
        &["topic", "subscription", "subject", "position"],
    )?;
    let text = |name| parameters.get(name).map(str::to_owned);
    Ok(DeadLetterFilter {
        topic: text("topic"),
        subscription: text("subscription"),
        subject: text("subject"),
        position: parameters.number("position")?,
    })
}

/// `GET /deadletters?topic=&subscription=&subject=&position=`
pub async fn list_dead_letters(State(node): Server, request: Request) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let filter = dead_letter_filter(&request)?;
    let log = node.log.clone();
    answer_json(&blocking(move || dead_letter::list(&log, &filter)).await?)
}

/// `POST /deadletters/replay`, with the same parameters: sends them through again.
pub async fn replay_dead_letters(State(node): Server, request: Request) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let filter = dead_letter_filter(&request)?;
    let replayed = dead_letter::replay(&node.log, &filter).await?;
    node.wake_subscriptions();
    answer_json(&json!({ "replayed": replayed.len() }))
}
