//! A YAML document, each of its values with its line.

use std::path::Path;

use foretell_types::{Error, ErrorKind, Result};
use saphyr::{LoadableYamlNode, MarkedYamlOwned, ScalarOwned, YamlDataOwned};

use crate::Value;
use crate::limits::{PROJECT_BYTES, YAML_DEPTH};

#[derive(Clone, Debug)]
pub struct Node {
    /// From 1.
    pub line: usize,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub enum Data {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(String, Node)>),
}

/// Reads a file that must be there.
pub fn read(path: &Path) -> Result<Node> {
    let at = |error| Error::io(format_args!("can't read {}", path.display()), error);
    let length = std::fs::metadata(path).map_err(at)?.len();
    if length > PROJECT_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "{} has {length} bytes: {PROJECT_BYTES} are the limit",
                path.display()
            ),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(at)?;
    parse(&text).map_err(|error| error.context(path.display()))
}

pub fn parse(text: &str) -> Result<Node> {
    let documents = MarkedYamlOwned::load_from_str(text)
        .map_err(|error| Error::invalid(format!("this is no YAML: {error}")))?;
    match documents.into_iter().next() {
        Some(document) => Node::of(document, 0),
        None => Ok(Node {
            line: 1,
            data: Data::Map(Vec::new()),
        }),
    }
}

impl Node {
    fn of(yaml: MarkedYamlOwned, depth: usize) -> Result<Node> {
        let line = yaml.span.start.line();
        if depth > YAML_DEPTH {
            return Err(Error::invalid(format!(
                "line {line}: values lie in each other more than {YAML_DEPTH} deep"
            )));
        }
        let data = match yaml.data {
            YamlDataOwned::Value(scalar) => match scalar {
                ScalarOwned::Null => Data::Null,
                ScalarOwned::Boolean(yes) => Data::Bool(yes),
                ScalarOwned::Integer(number) => Data::Number(number as f64),
                ScalarOwned::FloatingPoint(number) => Data::Number(number.into_inner()),
                ScalarOwned::String(text) => Data::Text(text),
            },
            YamlDataOwned::Representation(text, ..) => Data::Text(text),
            YamlDataOwned::Sequence(items) => Data::List(
                items
                    .into_iter()
                    .map(|item| Node::of(item, depth + 1))
                    .collect::<Result<_>>()?,
            ),
            YamlDataOwned::Mapping(entries) => {
                let mut map = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = Node::of(key, depth + 1)?;
                    map.push((key.key()?, Node::of(value, depth + 1)?));
                }
                Data::Map(map)
            }
            YamlDataOwned::Tagged(_, inner) => return Node::of(*inner, depth),
            YamlDataOwned::Alias(_) | YamlDataOwned::BadValue => {
                return Err(Error::invalid(format!(
                    "line {line}: this value isn't understood"
                )));
            }
        };
        Ok(Node { line, data })
    }

    fn key(&self) -> Result<String> {
        match &self.data {
            Data::Text(text) => Ok(text.clone()),
            Data::Bool(yes) => Ok(yes.to_string()),
            Data::Number(number) => Ok(number.to_string()),
            Data::Null => Ok("null".to_owned()),
            _ => Err(self.wrong("a key is a text")),
        }
    }

    /// An error about this value.
    pub fn wrong(&self, why: impl std::fmt::Display) -> Error {
        Error::invalid(format!("line {}: {why}", self.line))
    }

    pub fn get(&self, name: &str) -> Option<&Node> {
        let Data::Map(entries) = &self.data else {
            return None;
        };
        let found = entries.iter().find(|(key, _)| key == name)?;
        Some(&found.1).filter(|node| !matches!(node.data, Data::Null))
    }

    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn entries(&self, what: &str) -> Result<&[(String, Node)]> {
        match &self.data {
            Data::Map(entries) => Ok(entries),
            Data::Null => Ok(&[]),
            _ => Err(self.wrong(format_args!("{what} is a map"))),
        }
    }

    pub fn items(&self, what: &str) -> Result<&[Node]> {
        match &self.data {
            Data::List(items) => Ok(items),
            _ => Err(self.wrong(format_args!("{what} is a list"))),
        }
    }

    /// Fails unless every key is one of `known`.
    pub fn only(&self, what: &str, known: &[&str]) -> Result<()> {
        for (key, value) in self.entries(what)? {
            if !known.contains(&key.as_str()) {
                let known = known.join(", ");
                return Err(value.wrong(format_args!("{what} has no {key:?}; it has {known}")));
            }
        }
        Ok(())
    }

    pub fn value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(yes) => Value::Bool(*yes),
            Data::Number(number) => Value::Number(*number),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => Value::List(items.iter().map(Node::value).collect()),
            Data::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.value()))
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_lines_and_an_order() {
        let node = parse("b: 1\na:\n  - x\n  - y: true\nc: ~\n").unwrap();
        let keys: Vec<_> = node
            .entries("it")
            .unwrap()
            .iter()
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(keys, ["b", "a", "c"]);
        let list = node.get("a").unwrap().items("a").unwrap();
        assert_eq!(list[1].get("y").unwrap().line, 4);
        assert!(node.get("c").is_none());
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        let error = parse("a: [1\nb: 2\n").unwrap_err();
        assert!(
            error.message().contains("this is no YAML") && error.message().contains("line"),
            "{error}"
        );
    }

    #[test]
    fn json_is_yaml() {
        assert_eq!(
            parse(r#"{"a": {"b": [1, "2"]}}"#)
                .unwrap()
                .get("a")
                .unwrap()
                .get("b")
                .unwrap()
                .value(),
            Value::List(vec![Value::Number(1.0), "2".into()])
        );
    }
}
