use std::collections::BTreeMap;

use foretell_types::{Error, Result};

use super::file::{Declared, Project, full_key};
use super::node::{Data, Node, read};
use super::sealed::{Opener, is_sealed};
use crate::Value;
use crate::wire::{self, Accepts};

/// What the command line gives: key and value, secrets wrapped.
pub type Flags = Vec<(String, Value)>;

/// The configuration of a stack by full key, each value a text, as programs get it.
///
/// What the command line gives comes first, then what it gave in earlier runs (`kept`), then
/// the stack's file, whose sealed values `passphrase` opens, then the defaults of Pulumi.yaml.
pub fn configuration(
    project: &Project,
    stack: &str,
    kept: &BTreeMap<String, Value>,
    flags: &BTreeMap<String, Value>,
    passphrase: Option<&str>,
) -> Result<BTreeMap<String, Value>> {
    let mut config = BTreeMap::new();
    let declared = project
        .declared()
        .map_err(|error| error.context(project.file.display()))?;
    for key in &declared {
        if let Some(default) = &key.default {
            config.insert(key.key.clone(), text_of(default, key.secret));
        }
    }
    let given = |key: &str| flags.contains_key(key) || kept.contains_key(key);
    let file = project.stack_file(stack);
    if file.is_file() {
        let node = read(&file)?;
        let of_file = from_file(project, &node, given, passphrase);
        config.extend(of_file.map_err(|error| error.context(file.display()))?);
    }
    config.extend(kept.clone());
    config.extend(flags.clone());
    for key in &declared {
        check(project, key, &mut config)?;
    }
    Ok(config)
}

/// The keys of flags with their namespaces.
pub fn full_flags(project: &Project, flags: Flags) -> BTreeMap<String, Value> {
    flags
        .into_iter()
        .map(|(key, value)| (full_key(&project.name, &key), value))
        .collect()
}

fn from_file(
    project: &Project,
    file: &Node,
    given: impl Fn(&str) -> bool,
    passphrase: Option<&str>,
) -> Result<BTreeMap<String, Value>> {
    let mut config = BTreeMap::new();
    let Some(node) = file.get("config") else {
        return Ok(config);
    };
    let mut opener = Opener::new(file, passphrase);
    for (key, node) in node.entries("config")? {
        let key = full_key(&project.name, key);
        if given(&key) {
            continue;
        }
        let value = match is_sealed(node) {
            false => text_of(node, false),
            true => match opener.open(node) {
                Ok(opened) => text_of(&opened, true),
                Err(error) => {
                    let why = error.message();
                    return Err(node.wrong(format_args!(
                        "{key} can't be opened: {why}; or give it with --config-secret {key}=VALUE"
                    )));
                }
            },
        };
        config.insert(key, value);
    }
    Ok(config)
}

fn text_of(node: &Node, secret: bool) -> Value {
    let text = match &node.data {
        Data::Text(text) => text.clone(),
        Data::Null => String::new(),
        _ => wire::to_json(&node.value(), Accepts::ALL).to_string(),
    };
    match secret {
        true => Value::secret(text),
        false => Value::String(text),
    }
}

/// Checks a declared key: that it is there, and of its kind.
fn check(
    project: &Project,
    declared: &Declared,
    config: &mut BTreeMap<String, Value>,
) -> Result<()> {
    let key = &declared.key;
    let at = project.file.display();
    let line = declared.line;
    let Some(value) = config.get_mut(key) else {
        return Err(Error::invalid(format!(
            "{at}: line {line}: configuration key {key} has no value: give it with --config {key}=VALUE"
        )));
    };
    if declared.secret {
        *value = Value::secret(std::mem::take(value));
    }
    let text = value.as_str().unwrap_or("");
    let json = || serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    let fits = match declared.kind.as_deref() {
        Some("integer") => text.parse::<i64>().is_ok(),
        Some("number") => text.parse::<f64>().is_ok(),
        Some("boolean") => matches!(text, "true" | "false"),
        Some("array") => json().is_array(),
        Some("object") => json().is_object(),
        _ => true,
    };
    if !fits {
        let kind = declared.kind.as_deref().unwrap_or("");
        let shown = match value {
            Value::Secret(_) => "its secret value isn't".to_owned(),
            _ => format!("{text:?} isn't"),
        };
        return Err(Error::invalid(format!(
            "{at}: line {line}: configuration key {key} is of type {kind}; {shown}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(
        project: &str,
        stack: &str,
        kept: &[(&str, &str)],
        flags: &[(&str, &str)],
    ) -> Result<BTreeMap<String, Value>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Pulumi.yaml"), project).unwrap();
        std::fs::write(dir.path().join("Pulumi.dev.yaml"), stack).unwrap();
        let project = Project::find(dir.path()).unwrap();
        let map = |of: &[(&str, &str)]| {
            let flags = of
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).into()));
            full_flags(&project, flags.collect())
        };
        configuration(&project, "dev", &map(kept), &map(flags), Some("password"))
    }

    const PROJECT: &str = "name: shop\nruntime: yaml\nconfig:\n  size: {type: integer, default: 3}\n  key: {type: string, secret: true}\n  azure-native:location: westeurope\n";

    #[test]
    fn who_comes_first() {
        let stack = "config:\n  shop:size: 5\n  shop:key: file\n  shop:list: [1, {a: b}]\n";
        let config = got(PROJECT, stack, &[("key", "kept")], &[]).unwrap();
        assert_eq!(config["shop:size"], "5".into());
        assert_eq!(config["shop:key"], Value::secret("kept"));
        assert_eq!(config["shop:list"], r#"[1,{"a":"b"}]"#.into());
        assert_eq!(config["azure-native:location"], "westeurope".into());
        let config = got(PROJECT, stack, &[("key", "kept")], &[("key", "flag")]).unwrap();
        assert_eq!(config["shop:key"], Value::secret("flag"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |stack: &str, expected: &str| {
            let error = got(PROJECT, stack, &[], &[]).unwrap_err();
            assert!(error.message().contains(expected), "{error}");
        };
        check(
            "config: {}\n",
            "line 5: configuration key shop:key has no value: give it with --config shop:key=",
        );
        check(
            "config:\n  shop:key: a\n  shop:size: b\n",
            "shop:size is of type integer; \"b\" isn't",
        );
        check(
            "config:\n  shop:key:\n    secure: AAA\n",
            "--config-secret shop:key=VALUE",
        );
    }

    #[test]
    fn what_is_sealed_is_secret() {
        let stack =
            "encryptionsalt: v1:fozI5u6B030=:v1:F+6ZduKKd8G0/V7L:PGMFeIzwobWRKmEAzUdaQHqC5mMRIQ==
config:
  shop:list: [1, {secure: 'v1:MTIzNDU2Nzg5MDEy:GwNskiR2mAZ9NXhFXEZUchTHE4ED+a9a1Q=='}]
  shop:key: plain
";
        let config = got(PROJECT, stack, &[], &[]).unwrap();
        assert_eq!(config["shop:list"], Value::secret(r#"[1,"swordfish"]"#));
    }

    #[test]
    fn what_is_sealed_can_be_given() {
        let stack = "config:\n  shop:key:\n    secure: AAA\n";
        let config = got(PROJECT, stack, &[], &[("key", "plain")]).unwrap();
        assert_eq!(config["shop:key"], Value::secret("plain"));
    }
}
