//! Property values, as Pulumi's wire has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Urn;

/// The properties of a resource, by name (camelCase).
pub type Properties = BTreeMap<String, Value>;

/// A property's value. The accessors (`as_str`, …) see through [`Value::Secret`].
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    /// Every number is a double on the wire.
    Number(f64),
    String(String),
    List(Vec<Value>),
    Map(Properties),
    Asset(Asset),
    Archive(Archive),
    /// To be shown to nobody who didn't ask, and kept sealed.
    Secret(Box<Value>),
    /// Not known before something is made: only in a preview.
    Unknown,
    Resource(ResourceReference),
}

/// A file of the program. `hash` is of its content, once that has been read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Asset {
    pub source: AssetSource,
    pub hash: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AssetSource {
    Text(String),
    /// Absolute once the engine has it.
    Path(String),
    Uri(String),
}

/// A folder or archive file of the program, or named assets and archives.
#[derive(Clone, PartialEq, Debug)]
pub struct Archive {
    pub source: ArchiveSource,
    pub hash: Option<String>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum ArchiveSource {
    /// Assets and archives by the path they get.
    Parts(Properties),
    /// A folder, or a zip or tar file; absolute once the engine has it.
    Path(String),
    Uri(String),
}

/// A resource that is passed as a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResourceReference {
    pub urn: Urn,
    /// `None` for components, empty where it isn't known yet.
    pub id: Option<String>,
}

impl Value {
    pub fn secret(value: impl Into<Value>) -> Value {
        match value.into() {
            secret @ Value::Secret(_) => secret,
            plain => Value::Secret(Box::new(plain)),
        }
    }

    /// The value within secrets.
    pub fn plain(&self) -> &Value {
        match self {
            Value::Secret(inner) => inner.plain(),
            other => other,
        }
    }

    /// The value with no secret in it: for a comparison, or for whoever may see it.
    #[must_use]
    pub fn revealed(&self) -> Value {
        match self {
            Value::Secret(inner) => inner.revealed(),
            Value::List(items) => Value::List(items.iter().map(Value::revealed).collect()),
            Value::Map(map) => Value::Map(revealed(map)),
            other => other.clone(),
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self.plain() {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self.plain() {
            Value::Bool(yes) => Some(*yes),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self.plain() {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A whole number.
    pub fn as_i64(&self) -> Option<i64> {
        let number = self.as_f64()?;
        let whole = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
        whole.then_some(number as i64)
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        match self.plain() {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&Properties> {
        match self.plain() {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// A property of a map; `None` also where this is no map.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_map()?.get(name)
    }

    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Value::Null)
    }

    pub fn is_unknown(&self) -> bool {
        matches!(self.plain(), Value::Unknown)
    }

    /// Whether anything in it is unknown.
    pub fn has_unknown(&self) -> bool {
        self.any(&|value| matches!(value, Value::Unknown))
    }

    /// Whether anything in it is secret.
    pub fn has_secret(&self) -> bool {
        self.any(&|value| matches!(value, Value::Secret(_)))
    }

    fn any(&self, holds: &dyn Fn(&Value) -> bool) -> bool {
        holds(self)
            || match self {
                Value::Secret(inner) => inner.any(holds),
                Value::List(items) => items.iter().any(|item| item.any(holds)),
                Value::Map(map) => map.values().any(|item| item.any(holds)),
                Value::Archive(archive) => match &archive.source {
                    ArchiveSource::Parts(parts) => parts.values().any(|part| part.any(holds)),
                    _ => false,
                },
                _ => false,
            }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.plain() {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Asset(_) => "an asset",
            Value::Archive(_) => "an archive",
            Value::Unknown => "not yet known",
            Value::Resource(_) => "a resource",
            Value::Secret(_) => "a secret",
        }
    }

    /// A value of JSON; no signature in it is given a meaning.
    pub fn from_json(json: serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(yes) => Value::Bool(yes),
            Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Value::String(text),
            Json::Array(items) => Value::List(items.into_iter().map(Value::from_json).collect()),
            Json::Object(map) => Value::Map(
                map.into_iter()
                    .map(|(name, value)| (name, Value::from_json(value)))
                    .collect(),
            ),
        }
    }
}

/// Properties with no secret in them.
pub fn revealed(properties: &Properties) -> Properties {
    properties
        .iter()
        .map(|(name, value)| (name.clone(), value.revealed()))
        .collect()
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Bool(yes)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Number(number.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::List(items)
    }
}

impl From<Properties> for Value {
    fn from(map: Properties) -> Value {
        Value::Map(map)
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Value {
        Value::from_json(json)
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Value {
    fn from(entries: [(&str, Value); N]) -> Value {
        Value::Map(
            entries
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}
