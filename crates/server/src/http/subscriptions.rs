//! Administration of event subscriptions. The JSON is that of Event Grid's resource model.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use foretell_delivery::allowed_rate;
use foretell_protocol::{Permission, SubscriptionDefinition, SubscriptionFacts};
use foretell_types::{Error, Timestamp};
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json, json_with};
use super::parameters::Parameters;
use super::{Server, admin_body, made_status, require};
use crate::Node;
use crate::node::{Owner, SubscriptionConfig, to_the_end};

type OfSubscription = Path<(String, String)>;

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
    value["paused"] = subscription.paused.into();
    if let Some(rate) = subscription.rate {
        value["rate"] = rate.get().into();
    }
    if let Some(probation) = stats.and_then(|stats| stats.probation) {
        let until = Timestamp::from_instant(probation.until).to_string();
        value["probation"] =
            json!({ "outcome": format!("{:?}", probation.outcome), "until": until });
    }
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
    require(&node, &request, Permission::Inspect, Some(&topic))?;
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
    require(&node, &request, Permission::Inspect, Some(&topic))?;
    let subscription = node.subscription(&topic, &name)?;
    answer_json(&subscription_json(&node, &subscription).await?)
}

/// `PUT /topics/{topic}/eventSubscriptions/{subscription}?from=beginning|now|POSITION|TIME`
pub async fn put_subscription(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Subscribe, Some(&topic))?;
    let parameters = Parameters::parse(request.uri(), &["from"])?;
    let body = admin_body(request).await?;
    let from = match (
        parameters.get("from"),
        SubscriptionDefinition::start_from_json(&body)?,
    ) {
        (Some(one), Some(other)) if one != other => {
            return Err(Error::invalid(format!(
                "?from= says {one:?}, properties.from says {other:?}: send one"
            ))
            .into());
        }
        (one, other) => one.or(other),
    };
    let start = from.map_or(Ok(Default::default()), str::parse)?;
    let schema = node.topic(&topic)?.config.definition.input_schema;
    let definition = SubscriptionDefinition::from_json(&body, schema)?;
    let (to, of, called) = (node.clone(), topic.clone(), name.clone());
    let put = async move {
        to.put_subscription(&of, &called, definition, start, Owner::Api)
            .await
    };
    let made = to_the_end(put).await?;
    let subscription = node.subscription(&topic, &name)?;
    json_with(
        made_status(made),
        &subscription_json(&node, &subscription).await?,
    )
}

/// `PATCH /topics/{topic}/eventSubscriptions/{subscription}`
pub async fn patch_subscription(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Subscribe, Some(&topic))?;
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
    require(&node, &request, Permission::Subscribe, Some(&topic))?;
    let called = name.clone();
    let delete = async move { node.delete_subscription(&topic, &called, Owner::Api).await };
    to_the_end(delete).await?;
    answer_json(&json!({ "deleted": name }))
}

/// `POST /topics/{topic}/eventSubscriptions/{subscription}/pause`
pub async fn pause(State(node): Server, Path(path): OfSubscription, request: Request) -> Answer {
    require(&node, &request, Permission::Subscribe, Some(&path.0))?;
    set_paused(&node, path, true).await
}

/// `POST /topics/{topic}/eventSubscriptions/{subscription}/resume`
pub async fn resume(State(node): Server, Path(path): OfSubscription, request: Request) -> Answer {
    require(&node, &request, Permission::Subscribe, Some(&path.0))?;
    set_paused(&node, path, false).await
}

async fn set_paused(node: &Arc<Node>, (topic, name): (String, String), paused: bool) -> Answer {
    let (of, to, called) = (node.clone(), topic.clone(), name.clone());
    let pause = async move { of.pause_subscription(&to, &called, paused).await };
    to_the_end(pause).await?;
    let subscription = node.subscription(&topic, &name)?;
    answer_json(&subscription_json(node, &subscription).await?)
}

/// `POST /topics/{topic}/eventSubscriptions/{subscription}/rewind?to=beginning|POSITION|TIME`
pub async fn rewind(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Subscribe, Some(&topic))?;
    let parameters = Parameters::parse(request.uri(), &["to"])?;
    let to = parameters.get("to").ok_or_else(|| {
        Error::invalid("to is missing: send ?to= with beginning, a position or a time")
    })?;
    let to = to.parse()?;
    let (of, topic_name, called) = (node.clone(), topic.clone(), name.clone());
    let rewind = async move { of.rewind_subscription(&topic_name, &called, to).await };
    to_the_end(rewind).await?;
    let subscription = node.subscription(&topic, &name)?;
    answer_json(&subscription_json(&node, &subscription).await?)
}

/// `GET` or `POST /topics/{topic}/eventSubscriptions/{subscription}/validate?code=`: for who knows
/// the code that the endpoint was sent. CloudEvents lets an endpoint say yes by a POST as well,
/// with the rate that it allows.
pub async fn confirm(
    State(node): Server,
    Path((topic, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let parameters = Parameters::parse(request.uri(), &["code"])?;
    let code = parameters.get("code").unwrap_or("").to_owned();
    let rate = allowed_rate(request.headers());
    let confirm = async move {
        node.confirm_subscription(&topic, &name, &code, rate)
            .await?;
        Ok(json!({ "topic": topic, "subscription": name, "provisioningState": "Succeeded" }))
    };
    answer_json(&to_the_end(confirm).await?)
}
