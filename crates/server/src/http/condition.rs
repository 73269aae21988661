//! The conditions of an append, as JSON.

use foretell_types::{
    AppendCondition, Error, ExpectedRevision, Position, Query, QueryItem, Result, Revision,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::node::Conditions;

/// `{"fail_if_events_match": {"items": [{"types", "subjects", "subject_prefix", "tags"}]},
/// "after": P}`, or `{"subject", "revision"}`, or an array of these.
pub fn conditions(value: &RawValue) -> Result<Conditions> {
    let text = value.get();
    let parsed = match text.as_bytes().first() {
        Some(b'n') => return Ok(Conditions::default()),
        Some(b'[') => serde_json::from_str(text),
        _ => serde_json::from_str(text).map(|one| vec![one]),
    };
    let all: Vec<Condition> =
        parsed.map_err(|error| Error::invalid(format!("condition: {error}")))?;
    let mut conditions = Conditions::default();
    for condition in all {
        condition.add_to(&mut conditions)?;
    }
    Ok(conditions)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    fail_if_events_match: Option<Items>,
    /// 0 or null: from the first event on.
    #[serde(default)]
    after: Option<u64>,
    subject: Option<String>,
    /// Null: the stream has no events.
    #[serde(default, deserialize_with = "is_there")]
    revision: Option<Option<u64>>,
}

/// Tells null from what is missing.
fn is_there<'de, D: Deserializer<'de>>(
    value: D,
) -> std::result::Result<Option<Option<u64>>, D::Error> {
    Deserialize::deserialize(value).map(Some)
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
    fn add_to(self, conditions: &mut Conditions) -> Result<()> {
        match self {
            Condition {
                fail_if_events_match: Some(query),
                after,
                subject: None,
                revision: None,
            } => {
                let items = query.items.into_iter().map(|item| QueryItem {
                    types: item.types,
                    subjects: item.subjects,
                    subject_prefix: item.subject_prefix,
                    tags: item.tags,
                });
                conditions.conditions.push(AppendCondition {
                    fail_if_events_match: Query {
                        items: items.collect(),
                    },
                    after: after.and_then(Position::new),
                });
            }
            Condition {
                fail_if_events_match: None,
                after: None,
                subject: Some(subject),
                revision: Some(revision),
            } => {
                let expected = revision.map_or(ExpectedRevision::None, |revision| {
                    ExpectedRevision::Exact(Revision::new(revision))
                });
                conditions.expected.push((subject, expected));
            }
            _ => {
                return Err(Error::invalid(
                    "condition: either fail_if_events_match, with after, or subject and revision (null: no events) are expected",
                ));
            }
        }
        Ok(())
    }
}
