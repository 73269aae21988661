//! The functions of Pulumi YAML.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_types::Result;

use super::options::reference_name;
use crate::limits::PROJECT_BYTES;
use crate::project::Node;
use crate::wire::{self, Accepts};
use crate::{Archive, ArchiveSource, Asset, AssetSource, Value};

#[derive(Clone, Debug)]
pub enum Builtin {
    Invoke {
        function: String,
        /// The one property of its result that is wanted.
        wanted: Option<String>,
        /// The resource that is its provider.
        provider: Option<(usize, String)>,
    },
    ToJson,
    Join,
    Split,
    Select,
    Secret,
    ToBase64,
    FromBase64,
    FileAsset,
    StringAsset,
    RemoteAsset,
    FileArchive,
    RemoteArchive,
    AssetArchive,
    ReadFile,
}

const NAMES: &str = "invoke, toJSON, join, split, select, secret, toBase64, fromBase64, fileAsset, stringAsset, remoteAsset, fileArchive, remoteArchive, assetArchive, readFile";

impl Builtin {
    /// The function of a key `fn::NAME`; a type token calls that function of its package.
    pub fn of(name: &str, argument: &Node) -> Result<Builtin> {
        if name.contains(':') {
            return Ok(Builtin::Invoke {
                function: name.to_owned(),
                wanted: None,
                provider: None,
            });
        }
        Ok(match name.to_lowercase().as_str() {
            "invoke" => return Builtin::invoke(argument),
            "tojson" => Builtin::ToJson,
            "join" => Builtin::Join,
            "split" => Builtin::Split,
            "select" => Builtin::Select,
            "secret" => Builtin::Secret,
            "tobase64" => Builtin::ToBase64,
            "frombase64" => Builtin::FromBase64,
            "fileasset" => Builtin::FileAsset,
            "stringasset" => Builtin::StringAsset,
            "remoteasset" => Builtin::RemoteAsset,
            "filearchive" => Builtin::FileArchive,
            "remotearchive" => Builtin::RemoteArchive,
            "assetarchive" => Builtin::AssetArchive,
            "readfile" => Builtin::ReadFile,
            _ => {
                return Err(argument.wrong(format_args!(
                    "there is no function fn::{name}; there are {NAMES}"
                )));
            }
        })
    }

    fn invoke(argument: &Node) -> Result<Builtin> {
        let known = ["function", "arguments", "options", "return"];
        argument.only("fn::invoke", &known)?;
        let text = |name: &str| argument.get(name).and_then(Node::text).map(str::to_owned);
        let function =
            text("function").ok_or_else(|| argument.wrong("fn::invoke names no function"))?;
        let mut provider = None;
        if let Some(options) = argument.get("options") {
            options.only(
                "options of fn::invoke",
                &[
                    "provider",
                    "parent",
                    "version",
                    "pluginDownloadURL",
                    "dependsOn",
                ],
            )?;
            if let Some(node) = options.get("provider") {
                provider = Some((node.line, reference_name(node)?));
            }
        }
        Ok(Builtin::Invoke {
            function,
            wanted: text("return"),
            provider,
        })
    }

    pub fn references(&self, found: &mut Vec<(usize, String)>) {
        if let Builtin::Invoke { provider, .. } = self {
            found.extend(provider.clone());
        }
    }

    /// What it makes of its argument, which has no secret and nothing unknown at its top; paths
    /// begin in `root`. An error says what is wrong. `Invoke` isn't evaluated here.
    pub fn apply(&self, argument: &Value, root: &Path) -> Result<Value, String> {
        match self {
            Builtin::ToJson => Ok(wire::to_json(
                argument,
                Accepts {
                    secrets: false,
                    resources: false,
                },
            )
            .to_string()
            .into()),
            Builtin::Join => {
                let (separator, items) = pair(argument, "fn::join", "[separator, [texts]]")?;
                let items = items.as_list().ok_or("fn::join joins a list of texts")?;
                let texts: Option<Vec<String>> = items.iter().map(text_of).collect();
                let texts = texts.ok_or("fn::join joins texts, numbers and booleans alone")?;
                let separator = separator
                    .as_str()
                    .ok_or("the separator of fn::join is a text")?;
                Ok(texts.join(separator).into())
            }
            Builtin::Split => {
                let (separator, text) = pair(argument, "fn::split", "[separator, text]")?;
                let separator = separator
                    .as_str()
                    .ok_or("the separator of fn::split is a text")?;
                let text = text.as_str().ok_or("fn::split splits a text")?;
                Ok(Value::List(
                    text.split(separator).map(Value::from).collect(),
                ))
            }
            Builtin::Select => {
                let (at, items) = pair(argument, "fn::select", "[index, [values]]")?;
                let items = items.as_list().ok_or("fn::select selects from a list")?;
                let at = at
                    .as_i64()
                    .ok_or("the index of fn::select is a whole number")?;
                let found = usize::try_from(at).ok().and_then(|at| items.get(at));
                found.cloned().ok_or_else(|| {
                    format!("fn::select asks for item {at} of a list of {}", items.len())
                })
            }
            Builtin::Secret => Ok(Value::secret(argument.clone())),
            Builtin::ToBase64 => Ok(STANDARD.encode(text(argument, "fn::toBase64")?).into()),
            Builtin::FromBase64 => {
                let bytes = STANDARD
                    .decode(text(argument, "fn::fromBase64")?)
                    .map_err(|error| format!("fn::fromBase64: this is no base64: {error}"))?;
                let text = String::from_utf8(bytes);
                text.map(Value::from)
                    .map_err(|_| "fn::fromBase64: what it holds is no text".to_owned())
            }
            Builtin::FileAsset => asset(AssetSource::Path(text(argument, "fn::fileAsset")?)),
            Builtin::StringAsset => asset(AssetSource::Text(text(argument, "fn::stringAsset")?)),
            Builtin::RemoteAsset => asset(AssetSource::Uri(text(argument, "fn::remoteAsset")?)),
            Builtin::FileArchive => {
                archive(ArchiveSource::Path(text(argument, "fn::fileArchive")?))
            }
            Builtin::RemoteArchive => {
                archive(ArchiveSource::Uri(text(argument, "fn::remoteArchive")?))
            }
            Builtin::AssetArchive => {
                let parts = argument
                    .as_map()
                    .ok_or("fn::assetArchive is a map of assets and archives")?;
                let fits =
                    |part: &Value| matches!(part.plain(), Value::Asset(_) | Value::Archive(_));
                match parts.iter().find(|(_, part)| !fits(part)) {
                    Some((name, part)) => Err(format!(
                        "fn::assetArchive: {name:?} is {}: it is an asset or an archive",
                        part.kind()
                    )),
                    None => archive(ArchiveSource::Parts(parts.clone())),
                }
            }
            Builtin::ReadFile => {
                let path = root.join(text(argument, "fn::readFile")?);
                let at = |error| format!("fn::readFile: can't read {}: {error}", path.display());
                let length = std::fs::metadata(&path).map_err(at)?.len();
                if length > PROJECT_BYTES {
                    return Err(format!(
                        "fn::readFile: {} has more than {PROJECT_BYTES} bytes",
                        path.display()
                    ));
                }
                std::fs::read_to_string(&path).map(Value::from).map_err(at)
            }
            Builtin::Invoke { function, .. } => Err(format!("{function} is called elsewhere")),
        }
    }
}

fn asset(source: AssetSource) -> Result<Value, String> {
    Ok(Value::Asset(Asset { source, hash: None }))
}

fn archive(source: ArchiveSource) -> Result<Value, String> {
    Ok(Value::Archive(Archive { source, hash: None }))
}

fn text(value: &Value, function: &str) -> Result<String, String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| format!("{function} takes a text, and this is {}", value.kind()))
}

fn pair<'a>(
    value: &'a Value,
    function: &str,
    form: &str,
) -> Result<(&'a Value, &'a Value), String> {
    match value.as_list() {
        Some([first, second]) => Ok((first, second)),
        _ => Err(format!("{function} takes {form}")),
    }
}

/// How a value shows within a text.
pub fn text_of(value: &Value) -> Option<String> {
    match value.plain() {
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Number(_) => Some(wire::to_json(value.plain(), Accepts::ALL).to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn apply(builtin: Builtin, argument: serde_json::Value) -> Result<Value, String> {
        builtin.apply(&Value::from_json(argument), Path::new("/nowhere"))
    }

    #[test]
    fn functions() {
        let check = |builtin, argument, expected: serde_json::Value| {
            assert_eq!(
                apply(builtin, argument).unwrap(),
                Value::from_json(expected)
            );
        };
        check(
            Builtin::Join,
            json!([",", ["a", 1, true]]),
            json!("a,1,true"),
        );
        check(Builtin::Split, json!([",", "a,b"]), json!(["a", "b"]));
        check(Builtin::Select, json!([1, ["a", "b"]]), json!("b"));
        check(
            Builtin::ToJson,
            json!({"a": [1, 2.5, null]}),
            json!(r#"{"a":[1,2.5,null]}"#),
        );
        check(Builtin::ToBase64, json!("hi"), json!("aGk="));
        check(Builtin::FromBase64, json!("aGk="), json!("hi"));
        assert_eq!(
            apply(Builtin::Secret, json!(1)).unwrap(),
            Value::secret(1.0)
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |builtin, argument, expected: &str| {
            let why = apply(builtin, argument).unwrap_err();
            assert!(why.contains(expected), "{why}");
        };
        check(
            Builtin::Join,
            json!("x"),
            "fn::join takes [separator, [texts]]",
        );
        check(Builtin::Select, json!([5, ["a"]]), "item 5 of a list of 1");
        check(
            Builtin::FileAsset,
            json!(1),
            "takes a text, and this is a number",
        );
        check(Builtin::AssetArchive, json!({"a": 1}), "\"a\" is a number");
        check(Builtin::ReadFile, json!("x"), "can't read /nowhere/x");
    }
}
