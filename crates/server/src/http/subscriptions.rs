//! Administration of event subscriptions. The JSON is that of Event Grid's resource model.

use axum::extract::{Path, Request, State};
use foretell_protocol::{SubscriptionDefinition, SubscriptionFacts};
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json, json_with};
use super::parameters::Parameters;
use super::{Server, admin_body, require_admin};
use crate::Node;
use crate::node::{Owner, SubscriptionConfig, to_the_end};

async fn subscription_json(
    node: &Node,
    subscription: &SubscriptionConfig,
) -> foretell_types::Result<Value> {
    let topic = node.topic(&subscription.topic)?;
    let provisioning = subscription.provisioning.at(node.now());
    let mut value = subscription.definition.to_json(&SubscriptionFacts {
        name: &subscription.name,
        topic_resource_id: &topic.resource_id,
        topic_schema: topic.config.definition.input_schema,
        provisioning: &provisioning,
    });
    if let Some(why) = provisioning.why() {
        let url = node.validation_url(subscription);
        value["validation"] = json!({ "message": why, "url": url });
    }
    value["to"] = subscription.definition.target.to_string().into();
    let lag = node.lag(subscription)?;
    value["lag"] = lag.map(|lag| lag.events).into();
    if let Some(first) = lag.and_then(|lag| lag.first) {
        value["behindSeconds"] = node.behind_s(&subscription.topic, first).await?.into();
    }
    let stats = lag.and_then(|lag| lag.stats);
    value["running"] = stats.is_some().into();
    if subscription.definition.is_expired(node.now()) {
        value["expired"] = true.into();
    }
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
    let mut all: Vec<Value> = Vec::new();
    for subscription in config.subscriptions_of(&topic.config.name) {
        all.push(subscription_json(&node, subscription).await?);
    }
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
    answer_json(&subscription_json(&node, &subscription).await?)
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
    let body = admin_body(request).await?;
    let schema = node.topic(&topic)?.config.definition.input_schema;
    let definition = SubscriptionDefinition::from_json(&body, schema)?;
    let (to, of, called) = (node.clone(), topic.clone(), name.clone());
    let put = async move {
        to.put_subscription(&of, &called, definition, start, Owner::Api)
            .await
    };
    let made = to_the_end(put).await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let subscription = node.subscription(&topic, &name)?;
    json_with(status, &subscription_json(&node, &subscription).await?)
}

/// `PATCH /topics/{topic}/eventSubscriptions/{subscription}`
pub async fn patch_subscription(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let update = admin_body(request).await?;
    let (to, of, called) = (node.clone(), topic.clone(), name.clone());
    to_the_end(async move { to.update_subscription(&of, &called, &update).await }).await?;
    let subscription = node.subscription(&topic, &name)?;
    answer_json(&subscription_json(&node, &subscription).await?)
}

/// `DELETE /topics/{topic}/eventSubscriptions/{subscription}`
pub async fn delete_subscription(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require_admin(&node, request.headers(), request.uri())?;
    let called = name.clone();
    let delete = async move { node.delete_subscription(&topic, &called, Owner::Api).await };
    to_the_end(delete).await?;
    answer_json(&json!({ "deleted": name }))
}

/// `GET` or `POST /topics/{topic}/eventSubscriptions/{subscription}/validate?code=`: for who knows
/// the code that the endpoint was sent. CloudEvents lets an endpoint say yes by a POST as well.
pub async fn confirm(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let parameters = Parameters::parse(request.uri(), &["code"])?;
    let code = parameters.get("code").unwrap_or("").to_owned();
    let confirm = async move {
        node.confirm_subscription(&topic, &name, &code).await?;
        Ok(json!({ "topic": topic, "subscription": name, "provisioningState": "Succeeded" }))
    };
    answer_json(&to_the_end(confirm).await?)
}
