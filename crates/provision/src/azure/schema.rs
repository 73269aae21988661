//! Which inputs a resource has: the names and kinds of azure-native, in `schema.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::{CheckFailure, Properties, Value, diff};

/// The inputs of an object, by name.
type Inputs = BTreeMap<String, Kinds>;

#[derive(Deserialize)]
struct Schema {
    types: BTreeMap<String, Inputs>,
    objects: BTreeMap<String, Inputs>,
}

/// One kind, or several of which a value has one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kinds {
    One(String),
    Several(Vec<String>),
}

/// What tells which of several objects a map is, by the beginning of the object's name.
const DISCRIMINATORS: [&str; 4] = [
    "endpointType",
    "operatorType",
    "inputSchemaMappingType",
    "type",
];

#[expect(clippy::expect_used, reason = "part of the program, read by its tests")]
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    serde_json::from_str(include_str!("schema.json")).expect("schema.json is well formed")
});

impl Kinds {
    /// Without the mark of what is required.
    fn each(&self) -> impl Iterator<Item = &str> {
        let all: &[String] = match self {
            Kinds::One(one) => std::slice::from_ref(one),
            Kinds::Several(several) => several,
        };
        all.iter().map(|kind| kind.trim_start_matches('!'))
    }

    fn is_required(&self) -> bool {
        match self {
            Kinds::One(one) => one.starts_with('!'),
            Kinds::Several(several) => several.iter().any(|one| one.starts_with('!')),
        }
    }
}

/// Says which inputs of a resource there are not, are of another kind, or are missing.
pub fn check(token: &str, inputs: &Properties, failures: &mut Vec<CheckFailure>) {
    if let Some(known) = SCHEMA.types.get(token) {
        object(known, "", inputs, failures);
    }
}

/// Whether a resource has an input of this name.
pub fn has_input(token: &str, name: &str) -> bool {
    let known = SCHEMA.types.get(token);
    known.is_some_and(|known| known.contains_key(name))
}

fn object(known: &Inputs, path: &str, map: &Properties, failures: &mut Vec<CheckFailure>) {
    for (name, value) in map {
        let path = diff::member(path, name);
        match known.get(name) {
            Some(kinds) => one_of(&kinds.each().collect::<Vec<_>>(), &path, value, failures),
            None => failures.push(failure(&path, unknown(known, name))),
        }
    }
    for (name, kinds) in known {
        if kinds.is_required() && map.get(name).is_none_or(Value::is_null) {
            failures.push(failure(&diff::member(path, name), "it is missing"));
        }
    }
}

fn one_of(kinds: &[&str], path: &str, value: &Value, failures: &mut Vec<CheckFailure>) {
    let lists: Option<Vec<&str>> = kinds.iter().map(|kind| kind.strip_prefix("[]")).collect();
    if let (Some(of), Value::List(items)) = (lists, value.plain()) {
        for (at, item) in items.iter().enumerate() {
            one_of(&of, &format!("{path}[{at}]"), item, failures);
        }
        return;
    }
    let mut variants = kinds.iter().copied();
    let kind = match kinds {
        [one] => Some(*one),
        _ => variants.find(|kind| is_variant(kind, value)),
    };
    if let Some(kind) = kind {
        return one(kind, path, value, failures);
    }
    let mut least: Option<Vec<CheckFailure>> = None;
    for kind in kinds {
        let mut found = Vec::new();
        one(kind, path, value, &mut found);
        if least.as_ref().is_none_or(|least| found.len() < least.len()) {
            least = Some(found);
        }
    }
    failures.extend(least.unwrap_or_default());
}

/// Whether a map says that it is this object.
fn is_variant(kind: &str, value: &Value) -> bool {
    let Some((_, name)) = kind.strip_prefix('#').and_then(|name| name.split_once('.')) else {
        return false;
    };
    DISCRIMINATORS.iter().any(|property| {
        let said = value.get(property).and_then(Value::as_str);
        said.filter(|said| !said.is_empty()).is_some_and(|said| {
            let rest = name.strip_prefix(said).unwrap_or("");
            SUFFIXES.contains(&rest)
        })
    })
}

/// What follows the name of a variant in the name of its object.
const SUFFIXES: [&str; 6] = [
    "EventSubscriptionDestination",
    "DeadLetterDestination",
    "AdvancedFilter",
    "Filter",
    "DeliveryAttributeMapping",
    "InputSchemaMapping",
];

fn one(kind: &str, path: &str, value: &Value, failures: &mut Vec<CheckFailure>) {
    let value = value.plain();
    if matches!(value, Value::Null | Value::Unknown | Value::Resource(_)) || kind == "any" {
        return;
    }
    let expected = match (kind, value) {
        ("text", Value::String(_))
        | ("bool", Value::Bool(_))
        | ("number", Value::Number(_))
        | ("asset", Value::Asset(_) | Value::Archive(_)) => return,
        ("text", _) => "a string".to_owned(),
        ("bool", _) => "true or false".to_owned(),
        ("number", _) => "a number".to_owned(),
        ("asset", _) => "an asset or an archive".to_owned(),
        _ => match nested(kind, path, value, failures) {
            None => return,
            Some(expected) => expected,
        },
    };
    let found = match value {
        Value::String(text) => format!("{text:?}"),
        other => other.kind().to_owned(),
    };
    failures.push(failure(path, format!("expected {expected}, found {found}")));
}

/// Lists, maps, objects and enumerations; what was expected if it is something else.
fn nested(
    kind: &str,
    path: &str,
    value: &Value,
    failures: &mut Vec<CheckFailure>,
) -> Option<String> {
    if let Some(of) = kind.strip_prefix("[]") {
        let Value::List(items) = value else {
            return Some("a list".to_owned());
        };
        for (at, item) in items.iter().enumerate() {
            one_of(&[of], &format!("{path}[{at}]"), item, failures);
        }
        return None;
    }
    if let Some(of) = kind.strip_prefix("{}") {
        let Value::Map(map) = value else {
            return Some("a map".to_owned());
        };
        for (name, item) in map {
            one(of, &diff::member(path, name), item, failures);
        }
        return None;
    }
    if let Some(allowed) = kind.strip_prefix("enum:") {
        let mut all = allowed.split('|');
        return match value {
            Value::String(text) if all.clone().any(|one| one.eq_ignore_ascii_case(text)) => None,
            _ => Some(format!(
                "one of {}",
                all.by_ref().collect::<Vec<_>>().join(", ")
            )),
        };
    }
    match (SCHEMA.objects.get(kind.trim_start_matches('#')), value) {
        (Some(known), Value::Map(map)) => object(known, path, map, failures),
        (Some(_), _) => return Some("a map".to_owned()),
        (None, _) => {}
    }
    None
}

/// What to write in place of an input that there isn't.
fn unknown(known: &Inputs, name: &str) -> String {
    match alike(known.keys().map(String::as_str), name) {
        Some(near) => format!("there is no such property: did you mean {near}?"),
        None => "there is no such property".to_owned(),
    }
}

/// The one of some names that another may stand for: in snake case, or misspelt.
fn alike<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let wanted = plain(name);
    let near = |known: &&str| distance(&plain(known), &wanted);
    let best = names.min_by_key(near)?;
    (near(&best) <= 1 + wanted.len() / 6).then_some(best)
}

/// Letters that are put in, left out or changed between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, letter) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = at + 1;
        for (index, other) in b.iter().enumerate() {
            let changed = corner + usize::from(letter != *other);
            corner = row[index + 1];
            row[index + 1] = changed.min(corner + 1).min(row[index] + 1);
        }
    }
    row[b.len()]
}

pub fn failure(path: &str, reason: impl Into<String>) -> CheckFailure {
    CheckFailure {
        property: path.to_owned(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_json(token: &str, inputs: serde_json::Value) -> Vec<String> {
        let mut failures = Vec::new();
        let inputs = Value::from_json(inputs).as_map().unwrap().clone();
        check(token, &inputs, &mut failures);
        failures
            .into_iter()
            .map(|failure| format!("{}: {}", failure.property, failure.reason))
            .collect()
    }

    #[test]
    fn wrong_inputs_are_named_with_what_to_write() {
        let topic = "azure-native:eventgrid:Topic";
        let subscription = "azure-native:eventgrid:EventSubscription";
        let app = "azure-native:web:WebApp";
        for (token, inputs, expected) in [
            (
                topic,
                json!({"resource_group_name": "rg", "resourceGroupName": "rg"}),
                "resource_group_name: there is no such property: did you mean resourceGroupName?",
            ),
            (topic, json!({}), "resourceGroupName: it is missing"),
            (
                topic,
                json!({"resourceGroupName": "rg", "disableLocalAuth": "no"}),
                "disableLocalAuth: expected true or false, found \"no\"",
            ),
            (
                topic,
                json!({"resourceGroupName": "rg", "tags": {"a": 1}}),
                "tags.a: expected a string, found a number",
            ),
            (
                subscription,
                json!({"scope": "/x", "destination": {"endpointType": "WebHook", "endpointURL": "http://x"}}),
                "destination.endpointURL: there is no such property: did you mean endpointUrl?",
            ),
            (
                subscription,
                json!({"scope": "/x", "filter": {"advancedFilters": [
                    {"operatorType": "NumberGreaterThan", "key": "data.a", "values": [1]}]}}),
                "filter.advancedFilters[0].values: there is no such property: did you mean value?",
            ),
            (
                app,
                json!({"resourceGroupName": "rg", "siteConfig": {"appSettings": {"A": "b"}}}),
                "siteConfig.appSettings: expected a list, found a map",
            ),
            (
                app,
                json!({"resourceGroupName": "rg", "sourceControl": {}}),
                "sourceControl: there is no such property",
            ),
        ] {
            assert_eq!(check_json(token, inputs.clone()), [expected], "{inputs}");
        }
        let whole = json!({"scope": "/x", "labels": ["a"], "retryPolicy": {"maxDeliveryAttempts": 3},
            "destination": {"endpointType": "AzureFunction", "resourceId": "/y", "maxEventsPerBatch": 1}});
        assert!(check_json(subscription, whole).is_empty());
    }
}
