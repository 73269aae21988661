use std::collections::BTreeMap;

use foretell_log::{EventLog, ReadOptions};
use foretell_state::{Field, Fold, KnownAt, Moment, State, Touch};
use foretell_types::{Error, Instant, Position, Result, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::explain::{self, Difference, Sources, Why};
use super::{Node, blocking};

/// The state of a subject, with the moment that it was asked for.
#[derive(Debug, Serialize)]
pub struct StateAnswer {
    pub topic: String,
    pub subject: String,
    /// The event time asked for; null for all.
    pub at: Option<String>,
    /// The position or time that bounds what was known.
    pub known_at: Value,
    /// The last position folded; null if no event was.
    pub position: Option<u64>,
    pub revision: Option<u64>,
    pub state: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
}

/// By event time, then position.
type Stamp = (Instant, Position);

/// A subject's events folded at a moment, and those that a field comes from.
struct Folded {
    state: State,
    sources: Sources<Stamp>,
}

impl Node {
    /// Folds a subject's events into its state at a moment; with a field, tells the events that
    /// this comes from. Fails with *not found* if nothing about the subject was known then.
    pub async fn state(
        &self,
        topic: &str,
        subject: &str,
        moment: Moment,
        why: Option<Field>,
    ) -> Result<StateAnswer> {
        let log = self.log.clone();
        let (topic, subject) = (topic.to_owned(), subject.to_owned());
        blocking(move || {
            let head = log.head(&topic)?;
            let folded = fold(&log, &topic, &subject, head, &[moment], why.as_ref())?;
            let known = folded.into_iter().find(|folded| folded.state.known);
            let Folded { state, sources } = known.ok_or_else(|| unknown(&topic, &subject))?;
            let why = match &why {
                Some(field) => {
                    explain::check_field(field, &[state.value.get()], !sources.is_empty())?;
                    Some(events(&log, &topic, field, &[sources])?)
                }
                None => None,
            };
            Ok(StateAnswer {
                topic,
                subject,
                at: moment.at.map(time),
                known_at: known_at(moment, head),
                position: state.position.map(Position::get),
                revision: state.revision.map(foretell_types::Revision::get),
                state: state.value,
                why,
            })
        })
        .await
    }

    /// What differs in a subject's state between two moments; of a field, with the events that
    /// make the difference. Fails with *not found* if nothing was known at either of them.
    pub async fn state_difference(
        &self,
        topic: &str,
        subject: &str,
        moments: [Moment; 2],
        why: Option<Field>,
    ) -> Result<Difference> {
        let log = self.log.clone();
        let (topic, subject) = (topic.to_owned(), subject.to_owned());
        blocking(move || {
            let head = log.head(&topic)?;
            let folded = fold(&log, &topic, &subject, head, &moments, why.as_ref())?;
            if folded.iter().all(|folded| !folded.state.known) {
                return Err(unknown(&topic, &subject));
            }
            let sides = folded.iter().zip(moments).map(|(folded, moment)| {
                json!({
                    "at": moment.at.map(time),
                    "known_at": known_at(moment, head),
                    "position": folded.state.position.map(Position::get),
                })
            });
            let mut sides = sides.collect::<Vec<_>>().into_iter();
            let states: Vec<&str> = folded.iter().map(|side| side.state.value.get()).collect();
            let changes = explain::changes(states[0], states[1], why.as_ref())?;
            let why = match &why {
                Some(field) => {
                    let touched = folded.iter().any(|side| !side.sources.is_empty());
                    explain::check_field(field, &states, touched)?;
                    let sources: Vec<_> = folded.iter().map(|side| side.sources.clone()).collect();
                    Some(events(&log, &topic, field, &sources)?)
                }
                None => None,
            };
            Ok(Difference {
                projection: "merge".to_owned(),
                key: subject,
                before: sides.next().unwrap_or_default(),
                after: sides.next().unwrap_or_default(),
                changes,
                why,
            })
        })
        .await
    }
}

/// Folds a subject's events at some moments in one pass. What is folded is fixed before reading
/// begins, by the head: an answer is one of its moment.
fn fold(
    log: &EventLog,
    topic: &str,
    subject: &str,
    head: Option<Position>,
    moments: &[Moment],
    field: Option<&Field>,
) -> Result<Vec<Folded>> {
    let lasts = moments.iter().map(|moment| moment.last_position().or(head));
    let options = ReadOptions {
        until: lasts.max().flatten(),
        ..ReadOptions::stream(subject)
    };
    let mut folds: Vec<_> = moments
        .iter()
        .map(|moment| (*moment, Fold::new(*moment), Replaces::new()))
        .collect();
    let mut reader = log.read(topic, options)?;
    while let Some(event) = reader.next_recorded()? {
        let touch = field.and_then(|field| Touch::of(&event, field));
        let stamp = (event.event_time(), event.position);
        for (moment, fold, touches) in &mut folds {
            if moment.last_position().is_none() && Some(event.position) > head {
                continue;
            }
            fold.push(&event)?;
            if let Some(touch) = &touch
                && moment.knows(&event)
                && moment.covers(&event)
            {
                enter(touches, stamp, touch.replaces);
            }
        }
    }
    folds
        .into_iter()
        .map(|(_, fold, mut touches)| {
            // What was merged in after it found no object, and left nothing of it.
            if touches.len() > 1
                && touches
                    .first_key_value()
                    .is_some_and(|(_, replaces)| *replaces)
            {
                touches.pop_first();
            }
            let places = touches.into_keys().map(|stamp| (stamp, (0, stamp.1)));
            Ok(Folded {
                state: fold.finish()?,
                sources: places.collect(),
            })
        })
        .collect()
}

/// Whether events replace what a field was before, of those that it comes from: the last one that
/// does, and what was merged in after it.
type Replaces = BTreeMap<Stamp, bool>;

fn enter(touches: &mut Replaces, stamp: Stamp, replaces: bool) {
    let first = touches.first_key_value();
    if first.is_some_and(|(first, replaced)| *replaced && *first > stamp) {
        return;
    }
    if replaces {
        *touches = touches.split_off(&stamp);
    }
    touches.insert(stamp, replaces);
}

fn events(log: &EventLog, topic: &str, field: &Field, sources: &[Sources<Stamp>]) -> Result<Why> {
    explain::why(log, &[topic.to_owned()], field, sources, |_, event| {
        Touch::of(event, field).map(|touch| touch.value)
    })
}

fn unknown(topic: &str, subject: &str) -> Error {
    Error::not_found(format!(
        "nothing is known about subject {subject:?} in topic {topic:?}"
    ))
}

fn time(instant: Instant) -> String {
    Timestamp::from_instant(instant).to_string()
}

fn known_at(moment: Moment, head: Option<Position>) -> Value {
    match moment.known_at {
        KnownAt::Head => Position::as_count(head).into(),
        KnownAt::Position(position) => position.get().into(),
        KnownAt::Time(instant) => time(instant).into(),
    }
}
