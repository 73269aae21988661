//! How a state came about: its difference between two moments, and the events behind a field.

use std::collections::BTreeMap;

use foretell_log::{EventLog, ReadOptions};
use foretell_state::{Change, Field, at_field, difference};
use foretell_types::limits::WHY_EVENTS;
use foretell_types::{Error, Position, RecordedEvent, Result, Timestamp};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A state at two moments, field by field.
#[derive(Debug, Serialize)]
pub struct Difference {
    pub projection: String,
    pub key: String,
    /// The moments, and the last position folded at each; null if nothing was known.
    pub before: Value,
    pub after: Value,
    pub changes: Vec<Changed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
}

/// A field that differs; a side where it isn't there is left out.
#[derive(Debug, Serialize)]
pub struct Changed {
    pub field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Box<RawValue>>,
}

/// The events that a field comes from.
#[derive(Debug, Serialize)]
pub struct Why {
    pub field: String,
    /// How many they are; the last [`WHY_EVENTS`] of them are told.
    pub count: usize,
    /// In the order in which they are folded.
    pub events: Vec<Reason>,
}

#[derive(Debug, Serialize)]
pub struct Reason {
    pub topic: String,
    pub position: u64,
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub subject: Option<String>,
    pub time: String,
    /// When it became known.
    pub known_time: String,
    /// What it gives to the field.
    pub value: Box<RawValue>,
    /// At which of two moments it counts: before or after.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
}

/// What differs between two states, JSON text each; of a field, only what lies in it.
pub(super) fn changes(before: &str, after: &str, field: Option<&Field>) -> Result<Vec<Changed>> {
    difference(before, after)
        .into_iter()
        .filter(|change| field.is_none_or(|field| change.field.is_within(field)))
        .map(
            |Change {
                 field,
                 before,
                 after,
             }| {
                Ok(Changed {
                    field: field.to_string(),
                    before: before.map(raw).transpose()?,
                    after: after.map(raw).transpose()?,
                })
            },
        )
        .collect()
}

/// Fails if a state doesn't have the field, in any of the moments asked for, and no event ever
/// touched it.
pub(super) fn check_field(field: &Field, states: &[&str], touched: bool) -> Result<()> {
    if touched || states.iter().any(|state| at_field(state, field).is_some()) {
        return Ok(());
    }
    let message = format!("why: no event that counts here ever set {field}");
    Err(Error::not_found(message))
}

/// Where an event of a state is found: its topic's place among those that are read, its position.
type Place = (usize, Position);

/// Events by the order in which they are folded.
pub(super) type Sources<K> = BTreeMap<K, Place>;

/// The events that a field comes from: all of one moment, or those that count at one of two
/// moments only. `value` tells what an event gives to the field.
pub(super) fn why<K: Ord + Copy>(
    log: &EventLog,
    topics: &[String],
    field: &Field,
    sources: &[Sources<K>],
    value: impl Fn(K, &RecordedEvent) -> Option<String>,
) -> Result<Why> {
    let mut places: BTreeMap<K, (Place, Option<&'static str>)> = BTreeMap::new();
    match sources {
        [before, after] => {
            let only = |of: &Sources<K>, other: &Sources<K>, side| {
                let only = of.iter().filter(|(stamp, _)| !other.contains_key(stamp));
                only.map(|(stamp, place)| (*stamp, (*place, Some(side))))
                    .collect::<Vec<_>>()
            };
            places.extend(only(before, after, "before"));
            places.extend(only(after, before, "after"));
        }
        sources => {
            let all = sources.iter().flatten();
            places.extend(all.map(|(stamp, place)| (*stamp, (*place, None))));
        }
    }
    let count = places.len();
    let mut events = Vec::new();
    for (stamp, ((topic, position), side)) in
        places.into_iter().skip(count.saturating_sub(WHY_EVENTS))
    {
        let topic = &topics[topic];
        let options = ReadOptions {
            from: Some(position),
            until: Some(position),
            ..ReadOptions::default()
        };
        let Some(event) = log.read(topic, options)?.next_recorded()? else {
            continue;
        };
        let time = |instant| Timestamp::from_instant(instant).to_string();
        events.push(Reason {
            topic: topic.clone(),
            position: position.get(),
            time: time(event.event_time()),
            known_time: time(event.known_time()),
            value: raw(value(stamp, &event).unwrap_or_else(|| "null".to_owned()))?,
            id: event.event.id,
            event_type: event.event.event_type,
            subject: event.event.subject,
            side,
        });
    }
    Ok(Why {
        field: field.to_string(),
        count,
        events,
    })
}

pub(super) fn raw(json: String) -> Result<Box<RawValue>> {
    RawValue::from_string(json).map_err(|error| {
        Error::new(foretell_types::ErrorKind::Damaged, "a state is not JSON").with_source(error)
    })
}
