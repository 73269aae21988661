//! Property values as JSON, with the signatures by which Pulumi tells secrets, assets and
//! references from maps. The monitor's messages and the stack's events both have this form.

use foretell_types::{Error, Result};
use prost_types::value::Kind;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use crate::{
    Archive, ArchiveSource, Asset, AssetSource, Properties, ResourceReference, Urn, Value,
};

/// The member whose text tells what a map stands for.
pub const SIGNATURE: &str = "4dabf18193072939515e22adb298388d";
pub const SECRET: &str = "1b47061264138c4ac30d75fd1eb44270";
const ASSET: &str = "c44067f5952c0a294b673a41bacd8c17";
const ARCHIVE: &str = "0def7320c3a5731c473e5ecbe6d01bc7";
const RESOURCE: &str = "5cf8f73096256a8f31e491e813e4eb8e";
const OUTPUT: &str = "d0e6a833031e9bbcd3f4e8bde6ca49a4";
/// The text that stands for a value that isn't known yet.
pub const UNKNOWN: &str = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/// What whoever gets values understands; the rest is given as plain values.
#[derive(Clone, Copy, Debug)]
pub struct Accepts {
    pub secrets: bool,
    pub resources: bool,
}

impl Accepts {
    pub const ALL: Accepts = Accepts {
        secrets: true,
        resources: true,
    };
}

pub fn to_json(value: &Value, accepts: Accepts) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(yes) => Json::Bool(*yes),
        Value::Number(number) => number_to_json(*number),
        Value::String(text) => Json::String(text.clone()),
        Value::List(items) => items.iter().map(|item| to_json(item, accepts)).collect(),
        Value::Map(map) => Json::Object(map_to_json(map, accepts)),
        Value::Secret(inner) if accepts.secrets => {
            json!({ SIGNATURE: SECRET, "value": to_json(inner, accepts) })
        }
        Value::Secret(inner) => to_json(inner, accepts),
        Value::Unknown => Json::String(UNKNOWN.to_owned()),
        Value::Asset(asset) => {
            let (name, text) = match &asset.source {
                AssetSource::Text(text) => ("text", text),
                AssetSource::Path(path) => ("path", path),
                AssetSource::Uri(uri) => ("uri", uri),
            };
            hashed(json!({ SIGNATURE: ASSET, name: text }), asset.hash.as_ref())
        }
        Value::Archive(archive) => {
            let (name, content) = match &archive.source {
                ArchiveSource::Parts(parts) => {
                    ("assets", Json::Object(map_to_json(parts, accepts)))
                }
                ArchiveSource::Path(path) => ("path", json!(path)),
                ArchiveSource::Uri(uri) => ("uri", json!(uri)),
            };
            hashed(
                json!({ SIGNATURE: ARCHIVE, name: content }),
                archive.hash.as_ref(),
            )
        }
        Value::Resource(reference) if accepts.resources => {
            let mut object = json!({ SIGNATURE: RESOURCE, "urn": reference.urn.as_str() });
            if let Some(id) = &reference.id {
                object["id"] = json!(if id.is_empty() { UNKNOWN } else { id });
            }
            object
        }
        Value::Resource(reference) => match &reference.id {
            Some(id) if id.is_empty() => json!(UNKNOWN),
            Some(id) => json!(id),
            None => json!(reference.urn.as_str()),
        },
    }
}

pub fn map_to_json(map: &Properties, accepts: Accepts) -> Map<String, Json> {
    map.iter()
        .map(|(name, value)| (name.clone(), to_json(value, accepts)))
        .collect()
}

fn number_to_json(number: f64) -> Json {
    let whole = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    match whole {
        true => json!(number as i64),
        false => json!(number),
    }
}

fn hashed(mut object: Json, hash: Option<&String>) -> Json {
    if let Some(hash) = hash {
        object["hash"] = json!(hash);
    }
    object
}

/// The value of a JSON; an output value is what it holds, unknown or secret as it says.
pub fn from_json(json: Json) -> Result<Value> {
    Ok(match json {
        Json::String(text) if text == UNKNOWN => Value::Unknown,
        Json::Array(items) => Value::List(items.into_iter().map(from_json).collect::<Result<_>>()?),
        Json::Object(map) => match map.get(SIGNATURE).and_then(Json::as_str) {
            Some(signature) => {
                let signature = signature.to_owned();
                signed(&signature, map)?
            }
            None => Value::Map(map_from_json(map)?),
        },
        plain => Value::from_json(plain),
    })
}

pub fn map_from_json(map: Map<String, Json>) -> Result<Properties> {
    map.into_iter()
        .map(|(name, value)| Ok((name, from_json(value)?)))
        .collect()
}

fn signed(signature: &str, mut map: Map<String, Json>) -> Result<Value> {
    let text = |name: &str| match map.get(name) {
        Some(Json::String(text)) => Some(text.clone()),
        _ => None,
    };
    let hash = text("hash").filter(|hash| !hash.is_empty());
    match signature {
        SECRET => {
            let inner = map.remove("value");
            let inner = inner.ok_or_else(|| Error::invalid("a secret has no value"))?;
            Ok(Value::secret(from_json(inner)?))
        }
        OUTPUT => {
            let value = match map.remove("value") {
                Some(value) => from_json(value)?,
                None => Value::Unknown,
            };
            Ok(match map.get("secret") == Some(&Json::Bool(true)) {
                true => Value::secret(value),
                false => value,
            })
        }
        ASSET => {
            let source = text("path")
                .filter(|path| !path.is_empty())
                .map(AssetSource::Path)
                .or_else(|| {
                    text("uri")
                        .filter(|uri| !uri.is_empty())
                        .map(AssetSource::Uri)
                })
                .or_else(|| text("text").map(AssetSource::Text));
            let source = source.ok_or_else(|| Error::invalid("an asset has no content"))?;
            Ok(Value::Asset(Asset { source, hash }))
        }
        ARCHIVE => {
            let path = text("path").filter(|path| !path.is_empty());
            let uri = text("uri").filter(|uri| !uri.is_empty());
            let source = match (map.remove("assets"), path, uri) {
                (Some(Json::Object(parts)), ..) => ArchiveSource::Parts(map_from_json(parts)?),
                (_, Some(path), _) => ArchiveSource::Path(path),
                (_, _, Some(uri)) => ArchiveSource::Uri(uri),
                _ => return Err(Error::invalid("an archive has no content")),
            };
            Ok(Value::Archive(Archive { source, hash }))
        }
        RESOURCE => {
            let urn = text("urn").ok_or_else(|| Error::invalid("a reference has no URN"))?;
            let id = text("id").map(|id| if id == UNKNOWN { String::new() } else { id });
            Ok(Value::Resource(ResourceReference {
                urn: Urn::parse(&urn)?,
                id,
            }))
        }
        other => Err(Error::invalid(format!(
            "a value has the signature {other:?}, which isn't known: is the SDK newer than this version of foretell?"
        ))),
    }
}

/// Properties of a message.
pub fn from_struct(of: Option<prost_types::Struct>) -> Result<Properties> {
    let fields = of.unwrap_or_default().fields;
    fields
        .into_iter()
        .map(|(name, value)| Ok((name, from_json(json_of(value))?)))
        .collect()
}

pub fn from_value(of: prost_types::Value) -> Result<Value> {
    from_json(json_of(of))
}

/// Properties for a message.
pub fn to_struct(properties: &Properties, accepts: Accepts) -> prost_types::Struct {
    struct_of(map_to_json(properties, accepts))
}

fn json_of(value: prost_types::Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(yes)) => Json::Bool(yes),
        Some(Kind::NumberValue(number)) => json!(number),
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_of).collect(),
        Some(Kind::StructValue(of)) => Json::Object(
            of.fields
                .into_iter()
                .map(|(name, value)| (name, json_of(value)))
                .collect(),
        ),
    }
}

fn struct_of(map: Map<String, Json>) -> prost_types::Struct {
    let fields = map.into_iter().map(|(name, json)| (name, message_of(json)));
    prost_types::Struct {
        fields: fields.collect(),
    }
}

fn message_of(json: Json) -> prost_types::Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(yes) => Kind::BoolValue(yes),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.into_iter().map(message_of).collect(),
        }),
        Json::Object(map) => Kind::StructValue(struct_of(map)),
    };
    prost_types::Value { kind: Some(kind) }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        to_json(self, Accepts::ALL).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        from_json(Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let source = prop_oneof![
            any::<String>().prop_map(AssetSource::Text),
            "[a-z/]{1,8}".prop_map(AssetSource::Path),
            "[a-z/:]{1,8}".prop_map(AssetSource::Uri),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-1e12..1e12f64).prop_map(Value::Number),
            any::<i32>().prop_map(|number| Value::Number(number.into())),
            any::<String>().prop_map(Value::String),
            Just(Value::Unknown),
            (source, proptest::option::of("[0-9a-f]{4}"))
                .prop_map(|(source, hash)| Value::Asset(Asset { source, hash })),
            proptest::option::of("[a-z]{0,4}").prop_map(|id| Value::Resource(ResourceReference {
                urn: Urn::new("dev", "p", None, "a:b:C", "n"),
                id,
            })),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::btree_map("[a-z]{1,6}", inner.clone(), 0..4)
                    .prop_map(Value::Map),
                proptest::collection::btree_map("[a-z]{1,6}", inner.clone(), 0..4).prop_map(
                    |parts| Value::Archive(Archive {
                        source: ArchiveSource::Parts(parts),
                        hash: None
                    })
                ),
                inner.prop_map(Value::secret),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_survives_the_wire(value in any_value()) {
            let json = to_json(&value, Accepts::ALL);
            prop_assert_eq!(from_json(json.clone()).unwrap(), value.clone());
            let text = json.to_string();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value.clone());
            let properties = Properties::from([("p".to_owned(), value)]);
            let message = to_struct(&properties, Accepts::ALL);
            prop_assert_eq!(from_struct(Some(message)).unwrap(), properties);
        }
    }

    #[test]
    fn an_output_value_is_what_it_holds() {
        let check = |json: Json, expected: Value| assert_eq!(from_json(json).unwrap(), expected);
        check(
            json!({ SIGNATURE: OUTPUT, "value": 1.0 }),
            Value::Number(1.0),
        );
        check(
            json!({ SIGNATURE: OUTPUT, "secret": true }),
            Value::secret(Value::Unknown),
        );
    }

    #[test]
    fn an_unknown_signature_is_refused() {
        let error = from_json(json!({ SIGNATURE: "x" })).unwrap_err();
        assert!(error.message().contains("signature \"x\""), "{error}");
    }

    #[test]
    fn who_accepts_no_secrets_gets_the_value() {
        let value = Value::from([("k", Value::secret("v"))]);
        let accepts = Accepts {
            secrets: false,
            resources: false,
        };
        assert_eq!(to_json(&value, accepts), json!({ "k": "v" }));
    }
}
