use std::fmt;

use crate::limits::{QUERY_ITEM_VALUES, QUERY_ITEMS};
use crate::{Error, NewEvent, Position, Result, Revision};

/// Selects events: those that match any item; without items, all events.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Query {
    pub items: Vec<QueryItem>,
}

/// Matches an event whose type is one of `types`, whose subject is one of `subjects` (or begins
/// with `subject_prefix`) and that bears all of `tags`. What is empty does not restrict.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct QueryItem {
    pub types: Vec<String>,
    pub subjects: Vec<String>,
    pub subject_prefix: Option<String>,
    pub tags: Vec<String>,
}

impl Query {
    /// Matches every event.
    pub fn all() -> Query {
        Query::default()
    }

    /// Matches the events of one stream.
    pub fn subject(subject: impl Into<String>) -> Query {
        Query {
            items: vec![QueryItem {
                subjects: vec![subject.into()],
                ..QueryItem::default()
            }],
        }
    }

    /// Matches the events of the given types.
    pub fn types<T: Into<String>>(types: impl IntoIterator<Item = T>) -> Query {
        let types = types.into_iter().map(Into::into).collect();
        Query {
            items: vec![QueryItem {
                types,
                ..QueryItem::default()
            }],
        }
    }

    /// Matches the events that bear all of the given tags.
    pub fn tags<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Query {
        let tags = tags.into_iter().map(Into::into).collect();
        Query {
            items: vec![QueryItem {
                tags,
                ..QueryItem::default()
            }],
        }
    }

    pub fn is_all(&self) -> bool {
        self.items.is_empty()
    }

    pub fn matches(&self, event: &NewEvent) -> bool {
        self.matches_parts(&event.event_type, event.subject.as_deref(), event.tags())
    }

    /// As [`Query::matches`], for an event that isn't built; `tags` as on the wire.
    pub fn matches_parts(&self, event_type: &str, subject: Option<&str>, tags: &str) -> bool {
        self.items.is_empty()
            || self
                .items
                .iter()
                .any(|item| item.matches_parts(event_type, subject, tags))
    }

    /// Fails if the query is larger than the limits allow.
    pub fn check(&self) -> Result<()> {
        if self.items.len() > QUERY_ITEMS {
            return Err(Error::invalid(format!(
                "the query has {} items: at most {QUERY_ITEMS} are allowed",
                self.items.len()
            )));
        }
        for item in &self.items {
            if item
                .tags
                .iter()
                .any(|tag| tag.is_empty() || tag.contains(' '))
            {
                return Err(Error::invalid(
                    "a tag of a query item is empty or holds a blank",
                ));
            }
            let most = item
                .types
                .len()
                .max(item.subjects.len())
                .max(item.tags.len());
            if most > QUERY_ITEM_VALUES {
                return Err(Error::invalid(format!(
                    "a query item has {most} values of one kind: at most {QUERY_ITEM_VALUES} are allowed"
                )));
            }
        }
        Ok(())
    }
}

impl QueryItem {
    fn matches_parts(&self, event_type: &str, subject: Option<&str>, tags: &str) -> bool {
        (self.types.is_empty() || self.types.iter().any(|wanted| wanted == event_type))
            && (self.subjects.is_empty()
                || subject.is_some_and(|subject| self.subjects.iter().any(|s| s == subject)))
            && self
                .subject_prefix
                .as_ref()
                .is_none_or(|prefix| subject.is_some_and(|subject| subject.starts_with(&**prefix)))
            && self
                .tags
                .iter()
                .all(|wanted| tags.split(' ').any(|tag| tag == wanted))
    }
}

/// An append fails if an event that matches the query lies after the position (`None`: anywhere
/// in the topic). The dynamic consistency boundary: decide from a query, append only if nothing
/// that it selects has come since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendCondition {
    pub fail_if_events_match: Query,
    pub after: Option<Position>,
}

/// What a writer expects a stream to be at; sugar for an [`AppendCondition`] on its subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpectedRevision {
    Any,
    /// The stream has no events.
    None,
    /// The stream's last event has this revision.
    Exact(Revision),
}

impl ExpectedRevision {
    pub fn holds(self, last: Option<Revision>) -> bool {
        match self {
            ExpectedRevision::Any => true,
            ExpectedRevision::None => last.is_none(),
            ExpectedRevision::Exact(expected) => last == Some(expected),
        }
    }
}

impl fmt::Display for ExpectedRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpectedRevision::Any => f.write_str("any revision"),
            ExpectedRevision::None => f.write_str("no events"),
            ExpectedRevision::Exact(revision) => write!(f, "revision {revision}"),
        }
    }
}
