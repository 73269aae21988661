//! The condition of an append, as JSON.

use foretell_types::{AppendCondition, Error, Position, Query, QueryItem, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

/// `{"fail_if_events_match": {"items": [{"types", "subjects", "subject_prefix", "tags"}]},
/// "after": P}`, or an array of these.
pub fn conditions(value: &RawValue) -> Result<Vec<AppendCondition>> {
    let text = value.get();
    let parsed = match text.as_bytes().first() {
        Some(b'n') => return Ok(Vec::new()),
        Some(b'[') => serde_json::from_str(text),
        _ => serde_json::from_str(text).map(|one| vec![one]),
    };
    let all: Vec<Condition> =
        parsed.map_err(|error| Error::invalid(format!("condition: {error}")))?;
    Ok(all.into_iter().map(Condition::into).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    fail_if_events_match: Items,
    /// 0 or null: from the first event on.
    #[serde(default)]
    after: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Items {
    items: Vec<Item>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Item {
    types: Vec<String>,
    subjects: Vec<String>,
    subject_prefix: Option<String>,
    tags: Vec<String>,
}

impl Condition {
    fn into(self) -> AppendCondition {
        let items = self.fail_if_events_match.items.into_iter();
        let items = items.map(|item| QueryItem {
            types: item.types,
            subjects: item.subjects,
            subject_prefix: item.subject_prefix,
            tags: item.tags,
        });
        AppendCondition {
            fail_if_events_match: Query {
                items: items.collect(),
            },
            after: self.after.and_then(Position::new),
        }
    }
}
