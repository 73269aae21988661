//! What differs between two sets of properties.

use crate::engine::Part;
use crate::{Properties, Value};

/// What a changed program asks of a resource. No changes: it stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diff {
    pub changes: Vec<Change>,
}

/// One property that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// As Pulumi writes paths: `siteConfig.appSettings[2].value`, `tags["a.b"]`.
    pub path: String,
    pub kind: ChangeKind,
    /// It can't be changed in place: the resource is replaced.
    pub replace: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    Add,
    Delete,
    Update,
}

impl Diff {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub fn replaces(&self) -> bool {
        self.changes.iter().any(|change| change.replace)
    }
}

impl Change {
    /// The property of the resource that the path begins with.
    pub fn property(&self) -> &str {
        let end = self.path.find(['.', '[']).unwrap_or(self.path.len());
        &self.path[..end]
    }
}

/// All that differs, none of it marked as replacing. Null is as good as absent, a secret equals
/// its value, and what is unknown differs from everything.
pub fn compare(old: &Properties, new: &Properties) -> Vec<Change> {
    let mut changes = Vec::new();
    maps("", old, new, &mut changes);
    changes
}

fn maps(path: &str, old: &Properties, new: &Properties, changes: &mut Vec<Change>) {
    for (name, before) in old {
        let path = member(path, name);
        values(
            &path,
            before,
            new.get(name).unwrap_or(&Value::Null),
            changes,
        );
    }
    for (name, after) in new {
        if !old.contains_key(name) {
            values(&member(path, name), &Value::Null, after, changes);
        }
    }
}

fn values(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    let mut push = |path: &str, kind| {
        changes.push(Change {
            path: path.to_owned(),
            kind,
            replace: false,
        });
    };
    match (old.plain(), new.plain()) {
        (Value::Null, Value::Null) => {}
        (Value::Null, _) => push(path, ChangeKind::Add),
        (_, Value::Null) => push(path, ChangeKind::Delete),
        (Value::Map(old), Value::Map(new)) => maps(path, old, new, changes),
        (Value::List(old), Value::List(new)) => {
            for at in 0..old.len().max(new.len()) {
                let before = old.get(at).unwrap_or(&Value::Null);
                let after = new.get(at).unwrap_or(&Value::Null);
                values(&format!("{path}[{at}]"), before, after, changes);
            }
        }
        (Value::Asset(old), Value::Asset(new)) if old.hash.is_some() && old.hash == new.hash => {}
        (Value::Archive(old), Value::Archive(new))
            if old.hash.is_some() && old.hash == new.hash => {}
        (Value::Unknown, _) | (_, Value::Unknown) => push(path, ChangeKind::Update),
        (old, new) if old == new => {}
        _ => push(path, ChangeKind::Update),
    }
}

/// What is at a path of a change.
pub fn at_path<'a>(properties: &'a Properties, path: &str) -> Option<&'a Value> {
    let parts = crate::engine::parse_path(path).ok()?;
    let (first, rest) = parts.split_first()?;
    let mut found = match first {
        Part::Name(name) => properties.get(name)?,
        _ => return None,
    };
    for part in rest {
        found = match part {
            Part::Name(name) => found.get(name)?,
            Part::Index(at) => found.as_list()?.get(*at)?,
            Part::Any => return None,
        };
    }
    Some(found)
}

/// The path of a member of what is at `path`.
pub fn member(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && !name.contains(['.', '[', ']', '"']);
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{name:?}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(json: serde_json::Value) -> Properties {
        Value::from_json(json).as_map().unwrap().clone()
    }

    #[test]
    fn paths_and_kinds() {
        let old = properties(json!({
            "a": 1, "b": {"c": [1, {"d": "x"}]}, "gone": true, "tags": {"x.y": "1"}, "none": null
        }));
        let new = properties(json!({
            "a": 1, "b": {"c": [1, {"d": "y"}, 3]}, "tags": {"x.y": "2"}, "new": [], "nil": null
        }));
        let found: Vec<_> = compare(&old, &new)
            .into_iter()
            .map(|change| {
                (
                    change.path.clone(),
                    change.kind,
                    change.property().to_owned(),
                )
            })
            .collect();
        let expected = [
            ("b.c[1].d", ChangeKind::Update, "b"),
            ("b.c[2]", ChangeKind::Add, "b"),
            ("gone", ChangeKind::Delete, "gone"),
            (r#"tags["x.y"]"#, ChangeKind::Update, "tags"),
            ("new", ChangeKind::Add, "new"),
        ]
        .map(|(path, kind, of)| (path.to_owned(), kind, of.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_secret_equals_its_value_and_unknown_nothing() {
        let old = Properties::from([("k".to_owned(), Value::secret("v"))]);
        let new = Properties::from([("k".to_owned(), Value::from("v"))]);
        assert!(compare(&old, &new).is_empty());
        let unknown = Properties::from([("k".to_owned(), Value::Unknown)]);
        assert_eq!(compare(&unknown, &unknown).len(), 1);
    }
}
