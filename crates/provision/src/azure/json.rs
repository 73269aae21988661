//! Between property values and the JSON of the server.

use serde_json::{Map, Value as Json};

use crate::{Properties, Value};

/// JSON with secrets in it as they are. What isn't known is left out.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Unknown | Value::Asset(_) | Value::Archive(_) | Value::Resource(_) => {
            Json::Null
        }
        Value::Bool(yes) => Json::Bool(*yes),
        Value::Number(number) => match value.as_i64() {
            Some(whole) => whole.into(),
            None => (*number).into(),
        },
        Value::String(text) => Json::String(text.clone()),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => Json::Object(object(map)),
        Value::Secret(inner) => to_json(inner),
    }
}

pub fn object(map: &Properties) -> Map<String, Json> {
    map.iter()
        .filter(|(_, value)| !value.is_null() && !value.is_unknown())
        .map(|(name, value)| (name.clone(), to_json(value)))
        .collect()
}

/// Some members of a flat map in the form of the resource manager: what isn't named goes into
/// `properties`.
pub fn nested(flat: &Value, outside: &[&str]) -> Json {
    let mut outer = Map::new();
    let mut inner = Map::new();
    for (name, value) in flat.as_map().map(object).unwrap_or_default() {
        match outside.contains(&&*name) {
            true => outer.insert(name, value),
            false => inner.insert(name, value),
        };
    }
    outer.insert("properties".to_owned(), Json::Object(inner));
    Json::Object(outer)
}
