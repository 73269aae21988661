//! Projections that answer: defined by the API or by the application's files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foretell_projections::{Ask, Found, Known, Projection};
use foretell_state::{Definition, KnownAt, Moment};
use foretell_types::limits::STATE_WAIT_MS;
use foretell_types::{Error, Instant, Position, Result, Timestamp};
use serde_json::{Value, json};

use super::config::{Change, Definition as _, ProjectionConfig};
use super::topics::check_owner;
use super::{Node, Owner, blocking};

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

impl Node {
    pub(super) fn start_projections(&self) {
        let configured: Vec<ProjectionConfig> =
            self.config.read().projections.values().cloned().collect();
        for projection in configured {
            let file = format!("{}.sql", projection.name);
            let started = Definition::parse(&projection.text, &file)
                .and_then(|definition| self.projections.define(definition));
            if let Err(error) = started {
                tracing::error!(projection = projection.name, %error, "a projection does not run");
            }
        }
    }

    /// Brings the projections to what the application's files say. One whose file is gone goes.
    pub(super) async fn apply_projections(&self) -> Result<()> {
        let mut named = BTreeSet::new();
        for (file, text) in self.options.application.projections()? {
            let definition = Definition::parse(&text, &file)?;
            if !named.insert(definition.name.clone()) {
                return Err(Error::invalid(format!(
                    "{file}: projection {} is there twice",
                    definition.name
                )));
            }
            self.put_projection(definition, Owner::File).await?;
        }
        let known: Vec<ProjectionConfig> =
            self.config.read().projections.values().cloned().collect();
        for projection in known {
            if projection.owner == Owner::File && !named.contains(&projection.name) {
                self.delete_projection(&projection.name, Owner::File)
                    .await?;
            }
        }
        Ok(())
    }

    /// Defines a projection, or changes its definition. Gives whether it was made.
    pub async fn put_projection(&self, definition: Definition, owner: Owner) -> Result<bool> {
        let _phase = self.change().await?;
        for topic in &definition.topics {
            self.readable_topic(topic)?;
        }
        let projection = ProjectionConfig {
            name: definition.name.clone(),
            text: definition.text.clone(),
            owner,
        };
        let known = self
            .config
            .read()
            .projections
            .get(&projection.name)
            .cloned();
        if let Some(known) = &known {
            check_owner(known.owner, owner, "projection", &known.name)?;
        }
        let projections = self.projections.clone();
        blocking(move || projections.define(definition)).await?;
        if known.as_ref() != Some(&projection) {
            let change = known.as_ref().map_or(Change::Created, Change::Updated);
            let event = projection.event(self.new_id(), change)?;
            self.journal(event).await?;
            let name = projection.name.clone();
            self.config.write().projections.insert(name, projection);
        }
        Ok(known.is_none())
    }

    pub async fn delete_projection(&self, name: &str, owner: Owner) -> Result<()> {
        let _phase = self.change().await?;
        self.projections.get(name)?;
        let known = self.config.read().projections.get(name).cloned();
        if let Some(known) = known {
            check_owner(known.owner, owner, "projection", name)?;
            let event = known.event(self.new_id(), Change::Deleted)?;
            self.journal(event).await?;
            self.config.write().projections.remove(name);
        }
        self.projections.remove(name).await
    }

    /// A projection and how far it is, as JSON.
    pub fn projection_json(&self, name: &str) -> Result<Value> {
        let (projection, next) = self.projections.get(name)?;
        let definition = projection.definition();
        let columns: Vec<Value> = definition
            .outputs
            .iter()
            .zip(definition.types())
            .map(|(output, of)| json!({ "name": output.name, "type": of }))
            .collect();
        let status = |projection: &Projection| {
            let status = projection.status();
            let topics = status.topics.iter().map(
                |(name, folded, head)| json!({ "name": name, "position": folded, "head": head }),
            );
            json!({
                "topics": topics.collect::<Vec<_>>(),
                "events": status.events,
                "events_with_too_large_keys": status.too_large,
                "complete": status.complete,
                "trouble": status.trouble,
                "disk_bytes": status.disk_bytes,
            })
        };
        Ok(json!({
            "name": definition.name,
            "definition": definition.text,
            "columns": columns,
            "status": status(&projection),
            "rebuilding": next.map(|next| status(&next)),
        }))
    }

    /// Drops what projections keep of a topic, since some of it was erased: they are built anew,
    /// and answer when they are.
    pub async fn forget_projected(&self, topic: &str) -> Result<()> {
        for name in self.projections.names() {
            let (projection, _) = self.projections.get(&name)?;
            let definition = projection.definition().clone();
            if definition
                .topics
                .iter()
                .any(|of| of.eq_ignore_ascii_case(topic))
            {
                drop(projection);
                self.projections.remove(&name).await?;
                let projections = self.projections.clone();
                blocking(move || projections.define(definition)).await?;
            }
        }
        Ok(())
    }

    pub async fn rebuild_projection(&self, name: &str) -> Result<()> {
        let (projections, name) = (self.projections.clone(), name.to_owned());
        blocking(move || projections.rebuild(&name)).await
    }

    /// The state of a key of a projection. Fails with *not found* if nothing about it was known.
    pub async fn projected(
        &self,
        name: &str,
        key: &str,
        question: &StateQuestion,
    ) -> Result<Value> {
        let (projection, ask) = self.ready(name, question).await?;
        let (clock, key) = (self.now().as_nanos(), key.to_owned());
        let (asked, waiting) = (projection.clone(), ask.clone());
        let name = key.clone();
        let found = blocking(move || asked.state(&key, &waiting, clock)).await?;
        let found = found.ok_or_else(|| {
            Error::not_found(format!(
                "nothing is known about {name:?} in projection {}",
                projection.definition().name
            ))
        })?;
        Ok(described(projection.definition(), found, &ask, question))
    }

    /// The states of all keys, one after the other, until `visit` says stop.
    pub async fn all_projected(
        &self,
        name: &str,
        question: StateQuestion,
        mut visit: impl FnMut(Value) -> bool + Send + 'static,
    ) -> Result<()> {
        let (projection, ask) = self.ready(name, &question).await?;
        let clock = self.now().as_nanos();
        blocking(move || {
            projection.each(&ask, clock, &mut |found| {
                Ok(visit(described(
                    projection.definition(),
                    found,
                    &ask,
                    &question,
                )))
            })
        })
        .await
    }

    /// The projection, once it has folded what the question is about.
    async fn ready(&self, name: &str, question: &StateQuestion) -> Result<(Arc<Projection>, Ask)> {
        let (projection, _) = self.projections.get(name)?;
        let topics = &projection.definition().topics;
        let heads = projection.heads();
        let mut wanted = match question.after {
            Some(after) => heads.iter().map(|head| after.min(*head)).collect(),
            None => heads.clone(),
        };
        let known = match question.moment.known_at {
            KnownAt::Head if question.known_positions.is_empty() => Known::Head,
            KnownAt::Head => {
                let mut positions = heads;
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
        projection
            .reached(&wanted, Duration::from_millis(STATE_WAIT_MS as u64))
            .await?;
        let at = question.moment.at.map(Instant::as_nanos);
        Ok((projection, Ask { at, known }))
    }
}

fn described(
    definition: &Definition,
    mut found: Found,
    ask: &Ask,
    question: &StateQuestion,
) -> Value {
    let as_of = match (question.as_of, ask.at) {
        (Some(as_of), None) => as_of
            .as_nanos()
            .max(found.state.last().map_or(i64::MIN, |last| last.time)),
        _ => found.as_of,
    };
    let values = found.state.outputs(definition, as_of);
    let time = |nanos| Timestamp::from_instant(Instant::from_nanos(nanos)).to_string();
    let known_at: Value = match &ask.known {
        Known::Head => Value::Null,
        Known::Time(nanos) => time(*nanos).into(),
        Known::Positions(positions) => definition
            .topics
            .iter()
            .zip(positions)
            .map(|(name, at)| (name.clone(), Value::from(*at)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    };
    let mut answer = json!({
        "projection": definition.name,
        "key": found.key,
        "at": ask.at.map(time),
        "known_at": known_at,
        "as_of": time(as_of),
        "position": found.state.last().and_then(|last| Position::new(last.position)).map(Position::get),
        "events": found.state.events(),
        "state": serde_json::from_str::<Value>(&definition.to_json(&values)).unwrap_or_default(),
    });
    let not_numbers = found.state.not_numbers(definition);
    if !not_numbers.is_empty() {
        answer["not_numbers"] = not_numbers
            .into_iter()
            .map(|(name, count)| (name.to_owned(), Value::from(count)))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    answer
}
