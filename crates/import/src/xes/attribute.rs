//! Typed attributes as JSON.

use foretell_types::{Error, Result};
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

use crate::typed::{is_number, shown, write_key, write_string};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Int,
    Float,
    Boolean,
    List,
    Container,
}

impl Kind {
    pub fn of(tag: &str) -> Option<Kind> {
        match tag {
            "string" | "date" | "id" => Some(Kind::Text),
            "int" => Some(Kind::Int),
            "float" => Some(Kind::Float),
            "boolean" => Some(Kind::Boolean),
            "list" => Some(Kind::List),
            "container" => Some(Kind::Container),
            _ => None,
        }
    }
}

/// An attribute with its value as JSON.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub key: String,
    /// The value as it is written; empty for lists and containers.
    pub text: String,
    kind: Kind,
    pub children: Vec<Attribute>,
    strings: bool,
}

impl Attribute {
    /// From a tag of that kind; values are checked when they are written.
    pub fn read(kind: Kind, tag: &BytesStart<'_>, strings: bool) -> Result<Attribute> {
        let (mut key, mut value) = (None, None);
        for attribute in tag.attributes().with_checks(false) {
            let attribute =
                attribute.map_err(|error| Error::invalid(format!("malformed XML: {error}")))?;
            let slot = match attribute.key.into_inner() {
                "key" => &mut key,
                "value" => &mut value,
                _ => continue,
            };
            let text = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| {
                    Error::invalid(format!(
                        "the value {}: {error}: expected only the entities that XML itself defines",
                        shown(&attribute.value)
                    ))
                })?;
            *slot = Some(text.into_owned());
        }
        let name = tag.name().into_inner().to_owned();
        let key =
            key.ok_or_else(|| Error::invalid(format!("<{name}> has no key: expected one")))?;
        let nested = matches!(kind, Kind::List | Kind::Container);
        let text = match value {
            Some(text) => text,
            None if nested => String::new(),
            None => {
                return Err(Error::invalid(format!(
                    "the attribute {} has no value: expected one",
                    shown(&key)
                )));
            }
        };
        Ok(Attribute {
            key,
            text: if nested { String::new() } else { text },
            kind,
            children: Vec::new(),
            strings,
        })
    }

    pub fn size(&self) -> usize {
        self.key.len() + self.text.len() + size_of::<Attribute>()
    }

    pub fn is_nested(&self) -> bool {
        matches!(self.kind, Kind::List | Kind::Container)
    }

    /// The value as JSON: of a list an array of objects with one key each, of a container an
    /// object; of a value with attributes of its own `{"value": …, "attributes": {…}}`.
    pub fn write(&self, out: &mut String) -> Result<()> {
        match self.kind {
            Kind::List => {
                out.push('[');
                for (index, child) in self.children.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push('{');
                    write_member(out, "", child)?;
                    out.push('}');
                }
                out.push(']');
                Ok(())
            }
            Kind::Container => write_object(out, &self.children),
            _ if self.children.is_empty() => self.write_value(out),
            _ => {
                out.push_str("{\"value\":");
                self.write_value(out)?;
                out.push_str(",\"attributes\":");
                write_object(out, &self.children)?;
                out.push('}');
                Ok(())
            }
        }
    }

    fn write_value(&self, out: &mut String) -> Result<()> {
        let text = self.text.trim();
        let json = match self.kind {
            _ if self.strings => None,
            Kind::Int => Some(int(text).ok_or_else(|| self.wrong("a whole number"))?),
            Kind::Float => match text.parse::<f64>() {
                Err(_) => return Err(self.wrong("a number")),
                Ok(_) if is_number(text) => Some(text.to_owned()),
                // JSON has no infinity and no NaN.
                Ok(number) if !number.is_finite() => None,
                Ok(number) => Some(format!("{number:?}")),
            },
            Kind::Boolean => match text {
                "1" => Some("true".to_owned()),
                "0" => Some("false".to_owned()),
                _ if text.eq_ignore_ascii_case("true") => Some("true".to_owned()),
                _ if text.eq_ignore_ascii_case("false") => Some("false".to_owned()),
                _ => return Err(self.wrong("true or false")),
            },
            Kind::Text | Kind::List | Kind::Container => None,
        };
        match json {
            Some(json) => out.push_str(&json),
            None => write_string(out, &self.text),
        }
        Ok(())
    }

    fn wrong(&self, expected: &str) -> Error {
        Error::invalid(format!(
            "the attribute {} is {}: expected {expected}",
            shown(&self.key),
            shown(&self.text)
        ))
    }

    fn same(&self, other: &Attribute) -> bool {
        let (mut a, mut b) = (String::new(), String::new());
        self.write(&mut a).is_ok() && other.write(&mut b).is_ok() && a == b
    }
}

/// A whole number as JSON writes it.
fn int(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if is_number(text) {
        return Some(text.to_owned());
    }
    text.parse::<i128>().ok().map(|number| number.to_string())
}

fn write_object(out: &mut String, attributes: &[Attribute]) -> Result<()> {
    out.push('{');
    write_members(out, "", attributes)?;
    out.push('}');
    Ok(())
}

/// Appends attributes to an open object, each key once.
pub(super) fn write_members(
    out: &mut String,
    prefix: &str,
    attributes: &[Attribute],
) -> Result<()> {
    for (index, attribute) in attributes.iter().enumerate() {
        let twin = attributes[..index]
            .iter()
            .find(|other| other.key == attribute.key);
        match twin {
            None => write_member(out, prefix, attribute)?,
            Some(twin) if twin.same(attribute) => {}
            Some(_) => {
                return Err(Error::invalid(format!(
                    "the attribute {} is there twice, with two values: expected one",
                    shown(&attribute.key)
                )));
            }
        }
    }
    Ok(())
}

/// Appends one attribute to an open object.
pub(super) fn write_member(out: &mut String, prefix: &str, attribute: &Attribute) -> Result<()> {
    if prefix.is_empty() {
        write_key(out, &attribute.key);
    } else {
        write_key(out, &format!("{prefix}{}", attribute.key));
    }
    attribute.write(out)
}
