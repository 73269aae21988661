//! Questions for the states of projections.

use std::sync::Arc;
use std::time::Duration;

use foretell_projections::{Ask, Found, Known, Projection, Reasons};
use foretell_state::{Definition, Field, KnownAt, Moment, Output, Scalar, Stamp};
use foretell_types::limits::STATE_WAIT_MS;
use foretell_types::{Error, Instant, Position, RecordedEvent, Result, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::explain::{self, Difference, Sources, Why};
use super::{Node, blocking};

/// A question for a state of a projection.
#[derive(Clone, Debug, Default)]
pub struct StateQuestion {
    pub moment: Moment,
    /// The position of a topic beyond which nothing is known, as `topic=position`.
    pub known_positions: Vec<(String, u64)>,
    /// The instant that windows end at, in place of the frontier.
    pub as_of: Option<Instant>,
    /// Waits only until this position is folded, rather than all that there is.
    pub after: Option<u64>,
}

/// The state of a key.
#[derive(Debug, Serialize)]
pub struct Projected {
    projection: String,
    key: String,
    /// What was asked for, and how far the state goes.
    #[serde(flatten)]
    moment: Map<String, Value>,
    /// Null if the projection's function failed.
    state: Option<Box<RawValue>>,
    /// Columns with values that had to be numbers and weren't, and how many.
    #[serde(skip_serializing_if = "Map::is_empty")]
    not_numbers: Map<String, Value>,
    /// Why the function failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
}

/// The states of many keys.
pub struct Batch {
    projection: Arc<Projection>,
    found: Vec<(String, Ask, Option<Found>)>,
}

impl Batch {
    /// As [`Node::projected`] answers.
    pub fn described(self) -> Result<Vec<Option<Projected>>> {
        let definition = self.projection.definition();
        let answers = self.found.into_iter().map(|(_, ask, found)| {
            found
                .map(|found| described(definition, found, &ask))
                .transpose()
        });
        answers.collect()
    }

    /// As a stream of Arrow: the keys, then the columns, null where nothing was known.
    pub fn into_arrow(self) -> Result<Vec<u8>> {
        let definition = self.projection.definition();
        let rows = self.found.into_iter().map(|(key, _, found)| {
            let Some(mut found) = found else {
                return Ok((key, None));
            };
            Ok((key, Some(values(definition, &mut found)?)))
        });
        foretell_lake::states_to_arrow(definition, &rows.collect::<Result<Vec<_>>>()?)
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} keys)", self.found.len())
    }
}

/// What a projection answers to some questions about one key.
struct Answers {
    projection: Arc<Projection>,
    asks: Vec<Ask>,
    found: Vec<Option<(Found, Reasons)>>,
}

impl Node {
    /// The state of a key of a projection; with a field, the events that it comes from. Fails with
    /// *not found* if nothing about the key was known. That the projection's function failed is in
    /// the answer.
    pub async fn projected(
        &self,
        name: &str,
        key: &str,
        question: &StateQuestion,
        why: Option<&Field>,
    ) -> Result<Projected> {
        let questions = std::slice::from_ref(question);
        let mut answers = self.answers(name, key, questions, why).await?;
        let why = self.why(&answers, why).await?;
        let definition = answers.projection.definition();
        let (found, ask) = (answers.found.pop().flatten(), answers.asks.pop());
        let Some(((found, _), ask)) = found.zip(ask) else {
            return Err(unknown(key, definition));
        };
        let answer = described(definition, found, &ask)?;
        Ok(Projected { why, ..answer })
    }

    /// The states of many keys, each for a question of its own, by one and the same definition;
    /// `None` if nothing about the key was known.
    pub async fn projected_batch(
        &self,
        name: &str,
        asked: Vec<(String, StateQuestion)>,
    ) -> Result<Batch> {
        let (keys, questions): (Vec<String>, Vec<StateQuestion>) = asked.into_iter().unzip();
        let (projection, found) = self
            .asked(name, &questions, move |projection, asks, clock| {
                let pairs = keys.iter().zip(asks);
                let found = pairs.map(|(key, ask)| {
                    let found = projection.state(key, ask, clock)?;
                    Ok((key.clone(), ask.clone(), found))
                });
                found.collect::<Result<Vec<_>>>()
            })
            .await?;
        Ok(Batch { projection, found })
    }

    /// What differs in the state of a key between two questions; of a field, with the events that
    /// make the difference. Fails with *not found* if nothing was known at either of them.
    pub async fn projected_difference(
        &self,
        name: &str,
        key: &str,
        questions: &[StateQuestion; 2],
        why: Option<&Field>,
    ) -> Result<Difference> {
        let answers = self.answers(name, key, questions, why).await?;
        let definition = answers.projection.definition();
        if answers.found.iter().all(Option::is_none) {
            return Err(unknown(key, definition));
        }
        let why_so = self.why(&answers, why).await?;
        let sides = answers.found.iter().zip(&answers.asks).map(|(found, ask)| {
            let Some((found, _)) = found else {
                let side = Value::Object(moment(definition, ask));
                return Ok((side, "null".to_owned()));
            };
            let mut found = found.clone();
            let values = values(definition, &mut found)?;
            let mut side = moment(definition, ask);
            side.extend(folded(&found));
            Ok((Value::Object(side), definition.to_json(&values)))
        });
        let sides = sides.collect::<Result<Vec<(Value, String)>>>()?;
        let (mut sides, states): (Vec<Value>, Vec<String>) = sides.into_iter().unzip();
        let after = sides.pop().unwrap_or_default();
        Ok(Difference {
            projection: definition.name.clone(),
            key: key.to_owned(),
            before: sides.pop().unwrap_or_default(),
            after,
            changes: explain::changes(&states[0], &states[1], why)?,
            why: why_so,
        })
    }

    /// The states of all keys, one after the other, until `visit` says stop.
    pub async fn all_projected(
        &self,
        name: &str,
        question: StateQuestion,
        mut visit: impl FnMut(Projected) -> bool + Send + 'static,
    ) -> Result<()> {
        let (projection, mut asks) = self.ready(name, std::slice::from_ref(&question)).await?;
        let ask = asks.pop().unwrap_or_default();
        let clock = self.now().as_nanos();
        blocking(move || {
            projection.each(&ask, clock, &mut |found| {
                Ok(visit(described(projection.definition(), found, &ask)?))
            })
        })
        .await
    }

    /// What the projection answers to questions about one key.
    async fn answers(
        &self,
        name: &str,
        key: &str,
        questions: &[StateQuestion],
        why: Option<&Field>,
    ) -> Result<Answers> {
        let (key, why) = (key.to_owned(), why.cloned());
        let (projection, (asks, found)) = self
            .asked(name, questions, move |projection, asks, clock| {
                let column = match &why {
                    Some(field) => Some(column(projection.definition(), field)?),
                    None => None,
                };
                let found = projection.states(&key, asks, clock, column)?;
                Ok((asks.to_vec(), found))
            })
            .await?;
        Ok(Answers {
            projection,
            asks,
            found,
        })
    }

    /// What the projection answers, or the one that takes its place meanwhile.
    async fn asked<T: Send + 'static>(
        &self,
        name: &str,
        questions: &[StateQuestion],
        work: impl Fn(&Projection, &[Ask], i64) -> Result<T> + Send + Sync + 'static,
    ) -> Result<(Arc<Projection>, T)> {
        let work = Arc::new(work);
        loop {
            let (projection, asks) = self.ready(name, questions).await?;
            let clock = self.now().as_nanos();
            let (asked, work) = (projection.clone(), work.clone());
            match blocking(move || work(&asked, &asks, clock)).await {
                Err(_) if projection.is_discarded() => {}
                found => return Ok((projection, found?)),
            }
        }
    }

    /// The events that a column comes from.
    async fn why(&self, answers: &Answers, field: Option<&Field>) -> Result<Option<Why>> {
        let Some(field) = field.cloned() else {
            return Ok(None);
        };
        let log = self.log.clone();
        let topics = answers.projection.definition().topics.clone();
        let reasons = answers.found.iter().map(|found| match found {
            Some((_, reasons)) => reasons.clone(),
            None => Reasons::new(),
        });
        let reasons: Vec<Reasons> = reasons.collect();
        blocking(move || {
            let place = |stamp: &Stamp| {
                let position = Position::new(stamp.position)?;
                Some((*stamp, (stamp.topic as usize, position)))
            };
            let sources: Vec<Sources<Stamp>> = reasons
                .iter()
                .map(|reasons| reasons.keys().filter_map(place).collect())
                .collect();
            let value = |stamp: Stamp, _: &RecordedEvent| {
                let values = reasons.iter().find_map(|reasons| reasons.get(&stamp))?;
                Some(match &values[..] {
                    [value] => value.to_json(),
                    values => {
                        let values: Vec<String> = values.iter().map(Scalar::to_json).collect();
                        format!("[{}]", values.join(","))
                    }
                })
            };
            explain::why(&log, &topics, &field, &sources, value).map(Some)
        })
        .await
    }

    /// The projection, once it has folded what the questions are about.
    async fn ready(
        &self,
        name: &str,
        questions: &[StateQuestion],
    ) -> Result<(Arc<Projection>, Vec<Ask>)> {
        loop {
            let (projection, _) = self.projections.get(name)?;
            match wait_for(&projection, questions).await {
                Err(_) if projection.is_discarded() => {}
                asks => return Ok((projection, asks?)),
            }
        }
    }
}

async fn wait_for(projection: &Projection, questions: &[StateQuestion]) -> Result<Vec<Ask>> {
    let heads = projection.heads();
    let patience = Duration::from_millis(STATE_WAIT_MS as u64);
    let mut asks = Vec::with_capacity(questions.len());
    for question in questions {
        let (ask, wanted) = ask(projection.definition(), &heads, question)?;
        projection.reached(&wanted, patience).await?;
        asks.push(ask);
    }
    Ok(asks)
}

/// What a question asks of a projection whose topics have these heads, and how far they must be
/// folded.
fn ask(
    definition: &Definition,
    heads: &[u64],
    question: &StateQuestion,
) -> Result<(Ask, Vec<u64>)> {
    let (name, topics) = (&definition.name, &definition.topics);
    let mut wanted: Vec<u64> = match question.after {
        Some(after) => heads.iter().map(|head| after.min(*head)).collect(),
        None => heads.to_vec(),
    };
    let known = match question.moment.known_at {
        KnownAt::Head if question.known_positions.is_empty() => Known::Head,
        KnownAt::Head => {
            let mut positions = heads.to_vec();
            for (topic, position) in &question.known_positions {
                let place = topics
                    .iter()
                    .position(|name| name.eq_ignore_ascii_case(topic));
                let place = place.ok_or_else(|| {
                    Error::invalid(format!(
                        "known_at: projection {name} does not read topic {topic:?}, but {}",
                        topics.join(", ")
                    ))
                })?;
                positions[place] = *position;
                wanted[place] = wanted[place].min(*position);
            }
            Known::Positions(positions)
        }
        KnownAt::Position(position) if topics.len() == 1 => {
            wanted[0] = wanted[0].min(position.get());
            Known::Positions(vec![position.get()])
        }
        KnownAt::Position(_) => {
            return Err(Error::invalid(format!(
                "known_at: projection {name} reads {} topics: give a time, or topic=position for each that matters",
                topics.len()
            )));
        }
        KnownAt::Time(time) => Known::Time(time.as_nanos()),
    };
    let ask = Ask {
        at: question.moment.at.map(Instant::as_nanos),
        known,
        as_of: question.as_of.map(Instant::as_nanos),
    };
    Ok((ask, wanted))
}

fn column<'d>(definition: &'d Definition, field: &Field) -> Result<&'d Output> {
    let column = match field.steps() {
        // Whatever a function returns comes from all its events.
        _ if definition.whole => definition.outputs.first(),
        [name] => definition
            .outputs
            .iter()
            .find(|output| output.name == *name),
        _ => None,
    };
    column.ok_or_else(|| {
        let names: Vec<&str> = definition
            .outputs
            .iter()
            .map(|output| output.name.as_str())
            .collect();
        Error::invalid(format!(
            "why: projection {} has no column {field}, but {}",
            definition.name,
            names.join(", ")
        ))
    })
}

fn unknown(key: &str, definition: &Definition) -> Error {
    Error::not_found(format!(
        "nothing is known about {key:?} in projection {}",
        definition.name
    ))
}

fn time(nanos: i64) -> String {
    Timestamp::from_instant(Instant::from_nanos(nanos)).to_string()
}

/// What was asked for.
fn moment(definition: &Definition, ask: &Ask) -> Map<String, Value> {
    let known_at: Value = match &ask.known {
        Known::Head => Value::Null,
        Known::Time(nanos) => time(*nanos).into(),
        Known::Positions(positions) => definition
            .topics
            .iter()
            .zip(positions)
            .map(|(name, at)| (name.clone(), Value::from(*at)))
            .collect::<Map<_, _>>()
            .into(),
    };
    let mut moment = Map::new();
    moment.insert("at".to_owned(), ask.at.map(time).into());
    moment.insert("known_at".to_owned(), known_at);
    moment
}

/// How far a state goes.
fn folded(found: &Found) -> Map<String, Value> {
    let last = found.state.last();
    let position = last.and_then(|last| Position::new(last.position));
    let mut folded = Map::new();
    folded.insert("as_of".to_owned(), time(found.as_of).into());
    folded.insert("position".to_owned(), position.map(Position::get).into());
    folded.insert("events".to_owned(), found.state.events().into());
    folded
}

fn described(definition: &Definition, mut found: Found, ask: &Ask) -> Result<Projected> {
    let (state, error) = match values(definition, &mut found) {
        Ok(values) => (Some(explain::raw(definition.to_json(&values))?), None),
        Err(error) => (None, Some(error.message().to_owned())),
    };
    let mut told = moment(definition, ask);
    told.extend(folded(&found));
    let not_numbers = found.state.not_numbers(definition).into_iter();
    Ok(Projected {
        projection: definition.name.clone(),
        key: found.key,
        moment: told,
        state,
        not_numbers: not_numbers
            .map(|(name, count)| (name.to_owned(), Value::from(count)))
            .collect(),
        error,
        why: None,
    })
}

/// The columns of a state. Fails if the projection's function did.
fn values(definition: &Definition, found: &mut Found) -> Result<Vec<Scalar<'static>>> {
    if let Some(why) = found.state.failure() {
        return Err(Error::invalid(format!(
            "projection {}: fold failed {why}: mend the function and define the projection anew",
            definition.name
        )));
    }
    Ok(found.state.outputs(definition, found.as_of))
}

impl Projected {
    /// The answer, unless the function failed.
    pub fn whole(self) -> Result<Projected> {
        match self.error {
            Some(error) => Err(Error::invalid(error)),
            None => Ok(self),
        }
    }
}
