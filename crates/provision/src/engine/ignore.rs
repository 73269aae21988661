//! Paths of properties, for the options ignoreChanges and replaceOnChanges.

use foretell_types::{Error, Result};

use crate::{Properties, Value};

/// A part of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    Name(String),
    Index(usize),
    /// `*`: whatever is there.
    Any,
}

/// Reads a path such as `siteConfig.appSettings[0].value`, `tags["a.b"]`, `list[*]`.
pub fn parse(path: &str) -> Result<Vec<Part>> {
    let wrong =
        |why: &str| Error::invalid(format!("{path:?} is not the path of a property: {why}"));
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let end = quoted
                .find("\"]")
                .ok_or_else(|| wrong("a \"] is missing"))?;
            parts.push(Part::Name(quoted[..end].replace("\\\"", "\"")));
            rest = &quoted[end + 2..];
        } else if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').ok_or_else(|| wrong("a ] is missing"))?;
            parts.push(match &inner[..end] {
                "*" => Part::Any,
                number => Part::Index(
                    number
                        .parse()
                        .map_err(|_| wrong("an index is a number or *"))?,
                ),
            });
            rest = &inner[end + 1..];
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            match &name[..end] {
                "" => return Err(wrong("a name is missing")),
                "*" => parts.push(Part::Any),
                name => parts.push(Part::Name(name.to_owned())),
            }
            rest = &name[end..];
        }
    }
    match parts.is_empty() {
        true => Err(wrong("it is empty")),
        false => Ok(parts),
    }
}

/// Whether a change at `path` is at, below or above what a pattern names.
pub fn touches(pattern: &[Part], path: &str) -> bool {
    let Ok(path) = parse(path) else { return false };
    pattern.iter().zip(&path).all(|pair| match pair {
        (Part::Any, _) => true,
        (pattern, part) => pattern == part,
    })
}

/// Sets what is at a path in `new` to what is there in `old`, or removes it.
pub fn keep(path: &[Part], old: &Properties, new: &mut Properties) {
    let names: Vec<String> = match &path[0] {
        Part::Name(name) => vec![name.clone()],
        Part::Any => old.keys().chain(new.keys()).cloned().collect(),
        Part::Index(_) => return,
    };
    for name in names {
        match (&path[1..], old.get(&name)) {
            ([], Some(old)) => drop(new.insert(name, old.clone())),
            ([], None) => drop(new.remove(&name)),
            (rest, old) => {
                if let Some(new) = new.get_mut(&name) {
                    keep_in(rest, old, new);
                }
            }
        }
    }
}

fn keep_in(path: &[Part], old: Option<&Value>, new: &mut Value) {
    match new {
        Value::Secret(inner) => keep_in(path, old, inner),
        Value::Map(new) => {
            let none = Properties::new();
            keep(path, old.and_then(Value::as_map).unwrap_or(&none), new);
        }
        Value::List(new) => {
            let old = old.and_then(Value::as_list).unwrap_or(&[]);
            for (at, item) in new.iter_mut().enumerate() {
                if path[0] != Part::Any && path[0] != Part::Index(at) {
                    continue;
                }
                match (&path[1..], old.get(at)) {
                    ([], Some(old)) => *item = old.clone(),
                    ([], None) => {}
                    (rest, old) => keep_in(rest, old, item),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(
        path: &str,
        old: serde_json::Value,
        new: serde_json::Value,
        expected: serde_json::Value,
    ) {
        let map = |json| Value::from_json(json).as_map().unwrap().clone();
        let mut got = map(new);
        keep(&parse(path).unwrap(), &map(old), &mut got);
        assert_eq!(got, map(expected), "{path}");
    }

    #[test]
    fn what_is_ignored_stays() {
        check(
            "a",
            json!({"a": 1}),
            json!({"a": 2, "b": 3}),
            json!({"a": 1, "b": 3}),
        );
        check("a", json!({}), json!({"a": 2}), json!({}));
        check(
            "s.l[1].v",
            json!({"s": {"l": [{"v": 1}, {"v": 2}]}}),
            json!({"s": {"l": [{"v": 8}, {"v": 9}]}}),
            json!({"s": {"l": [{"v": 8}, {"v": 2}]}}),
        );
        check(
            r#"tags["a.b"]"#,
            json!({"tags": {"a.b": 1}}),
            json!({"tags": {"a.b": 2, "c": 1}}),
            json!({"tags": {"a.b": 1, "c": 1}}),
        );
        check(
            "l[*]",
            json!({"l": [1, 2]}),
            json!({"l": [3, 4, 5]}),
            json!({"l": [1, 2, 5]}),
        );
    }

    #[test]
    fn patterns_touch_what_is_above_and_below() {
        let check = |pattern, path, expected| {
            assert_eq!(
                touches(&parse(pattern).unwrap(), path),
                expected,
                "{pattern} {path}"
            );
        };
        check("a.b", "a", true);
        check("a", "a.b[0]", true);
        check("a[*].c", "a[3].c", true);
        check("a.b", "a.c", false);
        check("*", "x", true);
    }

    #[test]
    fn what_is_no_path() {
        for path in ["", "a..b", "a[x]", "a[", r#"a["b"#] {
            assert!(parse(path).is_err(), "{path}");
        }
    }
}
