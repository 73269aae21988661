//! Two states side by side, field by field.

use std::collections::BTreeSet;

use foretell_types::{Error, Result};

use crate::patch::{Patch, parse};

/// A place in a state: the members that lead to it, from the outermost on. As text they are joined
/// by dots; a member that isn't a plain name stands in double quotes, as in JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Field(Vec<String>);

/// A field that isn't the same in two states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub field: Field,
    /// JSON text; `None` if the field isn't there.
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Field {
    /// Reads `name`, `a.b`, `a."odd name"`.
    pub fn parse(text: &str) -> Result<Field> {
        let wrong = || {
            Error::invalid(format!(
                "{text:?} is no field of a state: write name, name.inner, or \"odd name\".inner"
            ))
        };
        let (mut steps, mut rest) = (Vec::new(), text);
        loop {
            let end = if rest.starts_with('"') {
                let mut quotes = rest.match_indices('"').skip(1).map(|(at, _)| at);
                // A quote after an odd number of backslashes is part of the name.
                let is_last = |at: &usize| {
                    let before = rest[..*at].bytes().rev();
                    before.take_while(|byte| *byte == b'\\').count() % 2 == 0
                };
                quotes.find(is_last).ok_or_else(wrong)? + 1
            } else {
                rest.find('.').unwrap_or(rest.len())
            };
            let (step, after) = rest.split_at(end);
            let name = match step.starts_with('"') {
                true => serde_json::from_str(step).map_err(|_| wrong())?,
                false if step.is_empty() => return Err(wrong()),
                false => step.to_owned(),
            };
            steps.push(name);
            match after.strip_prefix('.') {
                Some(after) => rest = after,
                None if after.is_empty() => return Ok(Field(steps)),
                None => return Err(wrong()),
            }
        }
    }

    /// The members, from the outermost on.
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// Whether it is this one, or lies in it.
    pub fn is_within(&self, other: &Field) -> bool {
        self.0.starts_with(&other.0)
    }

    fn inner(&self, key: &str) -> Field {
        // A key is spelled as in JSON; one that is no text keeps its escapes.
        let name = serde_json::from_str(&format!("\"{key}\"")).unwrap_or_else(|_| key.to_owned());
        let mut steps = self.0.clone();
        steps.push(name);
        Field(steps)
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let plain = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-');
            if !step.is_empty() && step.chars().all(plain) {
                f.write_str(step)?;
            } else {
                f.write_str(&serde_json::to_string(step).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// What differs between two states, JSON text each, in the order of the fields. Objects are
/// compared member by member, all else as a whole; numbers by how they are written. `null` as a
/// whole state is one without fields.
pub fn difference(before: &str, after: &str) -> Vec<Change> {
    let whole = |text| parse(text).filter(|patch| *patch != Patch::Leaf("null"));
    let mut changes = Vec::new();
    compare(
        &Field::default(),
        whole(before).as_ref(),
        whole(after).as_ref(),
        &mut changes,
    );
    changes
}

/// The value at a field, JSON text.
pub fn at_field(state: &str, field: &Field) -> Option<String> {
    let patch = parse(state)?;
    let mut at = &patch;
    for step in field.steps() {
        at = member(at, step)?;
    }
    Some(text_of(at))
}

pub(crate) fn member<'p, 'a>(patch: &'p Patch<'a>, name: &str) -> Option<&'p Patch<'a>> {
    let Patch::Object(members) = patch else {
        return None;
    };
    let quoted = serde_json::to_string(name).ok()?;
    members.get(quoted.get(1..quoted.len() - 1)?)
}

pub(crate) fn text_of(patch: &Patch<'_>) -> String {
    match patch {
        Patch::Leaf(text) => (*text).to_owned(),
        Patch::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| format!("\"{key}\":{}", text_of(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

fn compare(
    field: &Field,
    before: Option<&Patch<'_>>,
    after: Option<&Patch<'_>>,
    changes: &mut Vec<Change>,
) {
    if let (Some(left), Some(right)) = (keys(before), keys(after))
        && !(left.is_empty() && right.is_empty())
    {
        for key in left.union(&right) {
            let inner = field.inner(key);
            compare(&inner, of(before, key), of(after, key), changes);
        }
        return;
    }
    let (before, after) = (before.map(text_of), after.map(text_of));
    if !is_same(before.as_deref(), after.as_deref()) {
        changes.push(Change {
            field: field.clone(),
            before,
            after,
        });
    }
}

/// The members of an object, or of nothing; `None` for anything else.
fn keys<'p>(side: Option<&'p Patch<'_>>) -> Option<BTreeSet<&'p str>> {
    match side {
        None => Some(BTreeSet::new()),
        Some(Patch::Object(members)) => Some(members.keys().map(|key| &**key).collect()),
        Some(Patch::Leaf(_)) => None,
    }
}

fn of<'p, 'a>(side: Option<&'p Patch<'a>>, key: &str) -> Option<&'p Patch<'a>> {
    match side {
        Some(Patch::Object(members)) => members.get(key),
        _ => None,
    }
}

/// One text has several spellings.
fn is_same(before: Option<&str>, after: Option<&str>) -> bool {
    let text = |side: Option<&str>| {
        let side = side.filter(|text| text.starts_with('"'))?;
        serde_json::from_str::<String>(side).ok()
    };
    before == after || (text(before).is_some() && text(before) == text(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str, after: &str) -> String {
        let or_dash = |side: Option<String>| side.unwrap_or_else(|| "-".into());
        difference(before, after)
            .into_iter()
            .map(|change| {
                format!(
                    "{}: {} > {}; ",
                    change.field,
                    or_dash(change.before),
                    or_dash(change.after)
                )
            })
            .collect()
    }

    #[test]
    fn fields_that_differ_are_told() {
        for (before, after, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#, ""),
            (
                r#"{"a":1,"b":2}"#,
                r#"{"b":3,"c":4}"#,
                "a: 1 > -; b: 2 > 3; c: - > 4; ",
            ),
            (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1}}"#, "a.c: 2 > -; "),
            (r#"{"a":{"b":1}}"#, r#"{"a":[1]}"#, r#"a: {"b":1} > [1]; "#),
            ("null", r#"{"a":{"b":1},"c":{}}"#, "a.b: - > 1; c: - > {}; "),
            (r#"{"a":1e400}"#, r#"{"a":1e401}"#, "a: 1e400 > 1e401; "),
            (r#"{"a":"caf\u00e9"}"#, r#"{"a":"café"}"#, ""),
            (
                r#"{"a b":{"\"":1}}"#,
                r#"{"a b":{"\"":2}}"#,
                r#""a b"."\"": 1 > 2; "#,
            ),
            ("null", "5", ": - > 5; "),
            ("{}", "null", ": {} > -; "),
            ("null", "null", ""),
        ] {
            assert_eq!(told(before, after), expected, "{before} {after}");
        }
    }

    #[test]
    fn fields_are_read_as_they_are_told() {
        for text in ["a", "a.b", "a.\"b.c\".d", "\"\\\"\"", "\"a\\\\\".b", "été"] {
            assert_eq!(Field::parse(text).unwrap().to_string(), text);
        }
        for text in ["", ".", "a.", ".a", "\"a", "\"a\"b", "a..b"] {
            assert!(Field::parse(text).is_err(), "{text}");
        }
        let state = r#"{"a":{"b c":[1,2]},"\"":3}"#;
        for (field, expected) in [
            ("a.\"b c\"", Some("[1,2]")),
            ("a", Some(r#"{"b c":[1,2]}"#)),
            ("\"\\\"\"", Some("3")),
            ("a.c", None),
            ("a.\"b c\".d", None),
        ] {
            let found = at_field(state, &Field::parse(field).unwrap());
            assert_eq!(found.as_deref(), expected, "{field}");
        }
    }
}
