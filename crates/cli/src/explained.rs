//! How a state came about, as a person reads it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::output::{Failure, amount, line, or_dash, table};

/// The answer with what keeps its digits.
#[derive(Deserialize)]
struct Difference<'a> {
    key: String,
    projection: String,
    before: Value,
    after: Value,
    #[serde(borrow)]
    changes: Vec<Changed<'a>>,
}

#[derive(Deserialize)]
struct Changed<'a> {
    field: String,
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    why: Option<Why<'a>>,
}

#[derive(Deserialize)]
struct Why<'a> {
    field: String,
    count: u64,
    #[serde(borrow)]
    events: Vec<Reason<'a>>,
}

#[derive(Deserialize)]
struct Reason<'a> {
    topic: String,
    position: u64,
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    time: String,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(rename = "in")]
    side: Option<String>,
}

/// What differs between two moments.
pub fn difference(topic: &str, json: &str) -> Result<(), Failure> {
    let differs: Difference<'_> = serde_json::from_str(json).map_err(unread)?;
    line(&format!(
        "{} in {topic}, projection {}",
        differs.key, differs.projection
    ))?;
    for (name, side) in [("before", &differs.before), ("after", &differs.after)] {
        line(&format!(
            "{name}: at {}, known at {}: position {}",
            side["at"].as_str().unwrap_or("any time"),
            or_dash(&side["known_at"]),
            or_dash(&side["position"]),
        ))?;
    }
    line("")?;
    if differs.changes.is_empty() {
        line("nothing differs")?;
    } else {
        let text = |side: Option<&RawValue>| side.map_or("-", RawValue::get).to_owned();
        let rows = differs.changes.iter().map(|change| {
            let sides = (text(change.before), text(change.after));
            vec![change.field.clone(), sides.0, sides.1]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        table(&["FIELD", "BEFORE", "AFTER"], &rows)?;
    }
    why(json)
}

/// The events that a field comes from, if the answer tells them.
pub fn why(json: &str) -> Result<(), Failure> {
    let answer: Answer<'_> = serde_json::from_str(json).map_err(unread)?;
    let Some(why) = answer.why else {
        return Ok(());
    };
    line("")?;
    let told = why.events.len() as u64;
    let last = match told < why.count {
        true => format!("; the last {told} are"),
        false => String::new(),
    };
    line(&format!(
        "{} comes from {}{last}",
        why.field,
        amount(why.count, "event")
    ))?;
    if why.events.is_empty() {
        return Ok(());
    }
    let mut header = vec!["TOPIC", "POSITION", "TIME", "TYPE", "ID", "VALUE"];
    let sides = why.events.iter().any(|event| event.side.is_some());
    if sides {
        header.push("COUNTS");
    }
    let rows = why.events.into_iter().map(|event| {
        let mut row = vec![
            event.topic,
            event.position.to_string(),
            event.time,
            event.event_type,
            event.id,
            event.value.get().to_owned(),
        ];
        row.extend(event.side.map(|side| format!("{side} only")));
        row
    });
    table(&header, &rows.collect::<Vec<_>>())
}

fn unread(error: serde_json::Error) -> Failure {
    foretell_types::Error::new(
        foretell_types::ErrorKind::Damaged,
        format!("the answer is not understood: {error}"),
    )
    .into()
}
