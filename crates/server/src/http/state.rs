use axum::extract::{Path, Request, State};
use foretell_protocol::Permission;
use foretell_state::Moment;
use foretell_types::Error;

use super::answer::{Answer, json};
use super::parameters::{Parameters, topic_and_subject, topic_of};
use super::projections::{field, of_key, pair};
use super::{Server, require};

/// `GET /topics/{topic}/state/{subject}?at=&known_at=&projection=&diff=&why=`
pub async fn state(
    State(node): Server,
    path: Path<Vec<(String, String)>>,
    request: Request,
) -> Answer {
    require(&node, &request, Permission::Read, topic_of(&path))?;
    let parameters = Parameters::parse(
        request.uri(),
        &[
            "subject",
            "at",
            "known_at",
            "projection",
            "as_of",
            "after",
            "diff",
            "why",
        ],
    )?;
    let (topic, subject) = topic_and_subject(path, &parameters)?;
    if let Some(name) = parameters.get("projection").filter(|name| *name != "merge") {
        let topic = node.readable_topic(&topic)?;
        let (projection, _) = node.projections.get(name)?;
        let topics = &projection.definition().topics;
        if !topics.contains(&topic) {
            let message = format!(
                "projection {name:?} does not read topic {topic:?}, but {}",
                topics.join(", ")
            );
            return Err(Error::invalid(message).into());
        }
        return of_key(&node, name, &subject, &parameters).await;
    }
    let (why, pair) = (field(&parameters)?, pair(&parameters)?);
    let topic = node.readable_topic(&topic)?;
    if let Some((before, after)) = pair {
        let moments = [before, after];
        let differs = node.state_difference(&topic, &subject, moments, why);
        return json(&differs.await?);
    }
    let moment = Moment::parse(parameters.get("at"), parameters.get("known_at"))?;
    json(&node.state(&topic, &subject, moment, why).await?)
}
