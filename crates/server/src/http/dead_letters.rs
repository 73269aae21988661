//! Dead letters: listed, sent through again.

use axum::extract::{Request, State};
use foretell_delivery::{DeadLetterFilter, dead_letter};
use foretell_protocol::Permission;
use serde_json::json;

use super::answer::{Answer, json as answer_json};
use super::parameters::Parameters;
use super::{Server, require};
use crate::Node;
use crate::node::{blocking, to_the_end};

/// Which dead letters are meant, by who may do this with them.
fn filter(
    node: &Node,
    request: &Request,
    permission: Permission,
) -> foretell_types::Result<DeadLetterFilter> {
    let names = [
        "topic",
        "subscription",
        "subject",
        "position",
        "type",
        "reason",
        "since",
        "until",
    ];
    let parameters = Parameters::parse(request.uri(), &names);
    let topic = parameters.as_ref().ok().and_then(|all| all.get("topic"));
    require(node, request, permission, topic)?;
    let parameters = parameters?;
    let text = |name| parameters.get(name).map(str::to_owned);
    // Names are matched without regard to case; those of what was deleted stand as they are.
    let mut topic = text("topic");
    let mut subscription = text("subscription");
    if let Some(name) = &mut topic
        && let Ok(entry) = node.topic(name)
    {
        name.clone_from(&entry.config.name);
    }
    if let (Some(topic), Some(name)) = (&topic, &mut subscription)
        && let Ok(found) = node.subscription(topic, name)
    {
        *name = found.name;
    }
    Ok(DeadLetterFilter {
        topic,
        subscription,
        subject: text("subject"),
        position: parameters.number("position")?,
        event_type: text("type"),
        reason: text("reason"),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
    })
}

/// `GET /deadletters?topic=&subscription=&subject=&position=&type=&reason=&since=&until=`
pub async fn list(State(node): Server, request: Request) -> Answer {
    let filter = filter(&node, &request, Permission::Read)?;
    let log = node.log.clone();
    answer_json(&blocking(move || dead_letter::list(&log, &filter)).await?)
}

/// `POST /deadletters/replay`, with the same parameters: sends them through again.
pub async fn replay(State(node): Server, request: Request) -> Answer {
    let filter = filter(&node, &request, Permission::Subscribe)?;
    let replay = async move { node.replay_dead_letters(&filter).await };
    let replayed = to_the_end(replay).await?;
    answer_json(&json!({ "replayed": replayed.len() }))
}
