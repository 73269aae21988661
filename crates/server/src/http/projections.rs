//! Projections: their definitions, how far they are, and the states of their keys.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use bytes::Bytes;
use foretell_protocol::Permission;
use foretell_state::{Definition, Field, Moment};
use foretell_types::limits::{PROJECTION_BYTES, STATE_BATCH, STORE_BODY_BYTES};
use foretell_types::{Error, ErrorKind, Result};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::answer::{Answer, json as answer_json, json_with};
use super::body::read_request;
use super::parameters::Parameters;
use super::stream::ARROW;
use super::{Server, json_body, require};
use crate::node::{Node, Owner, Projected, StateQuestion, to_the_end};

/// The parameters of a question.
const QUESTION: [&str; 7] = ["key", "at", "known_at", "as_of", "after", "diff", "why"];

/// `GET /projections`
pub async fn list(State(node): Server, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    let names = node.projections.names();
    let all: Vec<Value> = names
        .iter()
        .filter_map(|name| node.projection_json(name).ok())
        .collect();
    answer_json(&all)
}

/// `GET /projections/{name}`
pub async fn show(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Inspect, None)?;
    answer_json(&node.projection_json(&name)?)
}

/// `PUT /projections/{name}` with the SQL text of the projection.
pub async fn put(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    let body = read_request(request, PROJECTION_BYTES).await?;
    let text =
        std::str::from_utf8(&body).map_err(|_| Error::invalid("the projection is not UTF-8"))?;
    let definition = Definition::parse(text, &format!("{name}.sql"))?;
    if definition.name != name {
        return Err(Error::invalid(format!(
            "the text defines projection {}, the path says {name}",
            definition.name
        ))
        .into());
    }
    let to = node.clone();
    let made = to_the_end(async move { to.put_projection(definition, Owner::Api).await }).await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    json_with(status, &node.projection_json(&name)?)
}

/// `DELETE /projections/{name}`
pub async fn delete(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    let deleted = name.clone();
    to_the_end(async move { node.delete_projection(&name, Owner::Api).await }).await?;
    answer_json(&json!({ "deleted": deleted }))
}

/// `POST /projections/{name}/rebuild`
pub async fn rebuild(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Manage, None)?;
    node.rebuild_projection(&name).await?;
    json_with(StatusCode::ACCEPTED, &node.projection_json(&name)?)
}

/// `GET /projections/{name}/state?key=&at=&known_at=&as_of=&after=&diff=&why=`: of one key, or of
/// all as JSON lines.
pub async fn state(State(node): Server, Path(name): Path<String>, request: Request) -> Answer {
    require(&node, &request, Permission::Read, None)?;
    let parameters = Parameters::parse(request.uri(), &QUESTION)?;
    if let Some(key) = parameters.get("key") {
        return of_key(&node, &name, key, &parameters).await;
    }
    if parameters.get("diff").or(parameters.get("why")).is_some() {
        return Err(Error::invalid("diff and why are asked about one key: send key=").into());
    }
    let question = question(&parameters, None)?;
    node.projections.get(&name)?;
    let (lines, rest) = tokio::sync::mpsc::channel::<Result<Bytes>>(64);
    tokio::spawn(async move {
        let to = lines.clone();
        let visit = move |state: Projected| {
            let line = serde_json::to_string(&state).map(|line| Bytes::from(line + "\n"));
            to.blocking_send(line.map_err(not_json)).is_ok()
        };
        if let Err(error) = node.all_projected(&name, question, visit).await {
            let _ = lines.send(Err(error)).await;
        }
    });
    let lines =
        futures::stream::unfold(
            rest,
            |mut rest| async move { Some((rest.recv().await?, rest)) },
        );
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response())
}

/// `POST /state:batch` with `{"projection": …, "questions": [{"key", "at", "known_at"}, …]}`: the
/// answers in that order, null where nothing was known; as a stream of Arrow, if that is accepted.
pub async fn batch(State(node): Server, request: Request) -> Answer {
    require(&node, &request, Permission::Read, None)?;
    let accepted = request.headers().get_all(header::ACCEPT).iter();
    let arrow = accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(ARROW));
    let body = json_body(&read_request(request, STORE_BODY_BYTES).await?)?;
    let wrong = || {
        Error::invalid(
            "expected {\"projection\": \"NAME\", \"questions\": [{\"key\": …, \"at\": …, \"known_at\": …}, …]}",
        )
    };
    let name = body["projection"].as_str().ok_or_else(wrong)?;
    let questions = body["questions"].as_array().ok_or_else(wrong)?;
    if questions.len() > STATE_BATCH {
        return Err(Error::invalid(format!(
            "{} questions are too many: at most {STATE_BATCH} in a request",
            questions.len()
        ))
        .into());
    }
    let mut asked = Vec::with_capacity(questions.len());
    for question in questions {
        let key = question["key"].as_str().ok_or_else(wrong)?;
        let moment = Moment::parse(question["at"].as_str(), question["known_at"].as_str())?;
        let question = StateQuestion {
            moment,
            ..StateQuestion::default()
        };
        asked.push((key.to_owned(), question));
    }
    let found = node.projected_batch(name, asked).await?;
    if !arrow {
        return answer_json(&found.described()?);
    }
    Ok(([(header::CONTENT_TYPE, ARROW)], found.into_arrow()?).into_response())
}

fn not_json(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Damaged, "a state can't be written as JSON").with_source(error)
}

/// The state of a key, or what differs in it.
pub async fn of_key(node: &Node, name: &str, key: &str, parameters: &Parameters) -> Answer {
    let why = field(parameters)?;
    match pair(parameters)? {
        None => {
            let question = question(parameters, None)?;
            let answer = node.projected(name, key, &question, why.as_ref()).await?;
            answer_json(&answer.whole()?)
        }
        Some(moments) => {
            let questions = [
                question(parameters, Some(moments.0))?,
                question(parameters, Some(moments.1))?,
            ];
            let differs = node.projected_difference(name, key, &questions, why.as_ref());
            answer_json(&differs.await?)
        }
    }
}

/// The field whose reasons are asked for.
pub fn field(parameters: &Parameters) -> Result<Option<Field>> {
    let why = parameters.get("why").map(Field::parse);
    why.transpose().map_err(|error| error.context("why"))
}

/// The two moments that a state is compared at: `diff=T1,T2`.
pub fn pair(parameters: &Parameters) -> Result<Option<(Moment, Moment)>> {
    let Some(diff) = parameters.get("diff") else {
        return Ok(None);
    };
    let pair = diff.split_once(',').ok_or_else(|| {
        Error::invalid(format!(
            "diff: {diff:?} is not two instants: expected two times or two positions, as in diff=2024-05-01,2024-06-01"
        ))
    })?;
    // Of known positions by topic, only that they are there is looked at.
    let known_at = parameters.get("known_at");
    let by_topic = known_at.is_some_and(|text| text.contains('='));
    let is_position = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let known_at = known_at.filter(|_| !by_topic || is_position(pair.0) || is_position(pair.1));
    Moment::parse_pair(pair, parameters.get("at"), known_at).map(Some)
}

/// What the parameters ask, or what they ask at a moment.
fn question(parameters: &Parameters, moment: Option<Moment>) -> Result<StateQuestion> {
    let mut known_positions = Vec::new();
    let mut known_at = parameters.get("known_at");
    if let Some(text) = known_at.filter(|text| text.contains('=')) {
        for pair in text.split(',') {
            let (topic, position) = pair.split_once('=').unwrap_or((pair, ""));
            let position = position
                .parse()
                .map_err(|_| Error::invalid(format!("known_at: {pair:?} is not topic=position")))?;
            known_positions.push((topic.trim().to_owned(), position));
        }
        known_at = None;
    }
    Ok(StateQuestion {
        moment: match moment {
            Some(moment) => moment,
            None => Moment::parse(parameters.get("at"), known_at)?,
        },
        known_positions,
        as_of: parameters.time("as_of")?,
        after: parameters.number("after")?,
    })
}
