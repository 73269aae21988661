//! What an event has under the key of an advanced filter.

use std::borrow::Cow;
use std::cell::OnceCell;

use foretell_types::{
    Data, Error, ExtensionValue, JsonMembers, KNOWN_TIME, NewEvent, RESERVED_ATTRIBUTES, Result,
    validate_extension_name,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::number::Number;

/// A value that isn't null.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Found<'e> {
    Text(Cow<'e, str>),
    Number(Number),
    Boolean(bool),
    /// JSON text.
    Array(&'e str),
    /// An object, or what can't be read.
    Other,
}

impl<'e> Found<'e> {
    /// Reads compact JSON text; null is as good as absent.
    fn read(text: &'e str) -> Option<Found<'e>> {
        Some(match text.bytes().next()? {
            b'n' => return None,
            b't' => Found::Boolean(true),
            b'f' => Found::Boolean(false),
            b'"' => serde_json::from_str(text).map_or(Found::Other, |Text(text)| Found::Text(text)),
            b'[' => Found::Array(text),
            b'{' => Found::Other,
            _ => Number::from_text(text).map_or(Found::Other, Found::Number),
        })
    }

    /// The elements of an array.
    pub fn elements(array: &'e str) -> impl Iterator<Item = Found<'e>> {
        let elements: Vec<&RawValue> = serde_json::from_str(array).unwrap_or_default();
        elements
            .into_iter()
            .filter_map(|raw| Found::read(raw.get()))
    }
}

/// An event to look things up in. Its data is read when a key asks for it, at its top once for
/// all keys, and further down only where a key leads.
pub(super) struct Look<'e> {
    event: &'e NewEvent,
    data: OnceCell<Object<'e>>,
}

impl<'e> Look<'e> {
    pub fn at(event: &'e NewEvent) -> Look<'e> {
        Look {
            event,
            data: OnceCell::new(),
        }
    }

    /// What is under a key; `None` if nothing or null is.
    pub fn get(&self, key: &str) -> Option<Found<'e>> {
        if let Some((_, path)) = key.split_once('.') {
            return self.member(path);
        }
        let event = self.event;
        let text = |text: &'e str| Some(Found::Text(Cow::Borrowed(text)));
        match key.to_ascii_lowercase().as_str() {
            "id" => text(&event.id),
            "source" | "topic" => text(&event.source),
            "type" | "eventtype" => text(&event.event_type),
            "subject" => text(event.subject.as_deref()?),
            "specversion" => text("1.0"),
            "datacontenttype" => text(event.datacontenttype.as_deref()?),
            "dataschema" => text(event.dataschema.as_deref()?),
            "data" => Found::read(self.json()?),
            name => match event.extension(name)? {
                ExtensionValue::Boolean(value) => Some(Found::Boolean(*value)),
                ExtensionValue::Integer(value) => {
                    Some(Found::Number(Number::Whole((*value).into())))
                }
                ExtensionValue::String(value) => text(value),
            },
        }
    }

    fn json(&self) -> Option<&'e str> {
        match &self.event.data {
            Data::Json(text) => Some(text),
            Data::None | Data::Text(_) | Data::Binary(_) => None,
        }
    }

    fn member(&self, path: &str) -> Option<Found<'e>> {
        let json = self.json()?;
        let mut names = path.split('.');
        let top = self.data.get_or_init(|| Object::read(json));
        let mut found = top.get(names.next()?)?;
        for name in names {
            found = Object::read(found).get(name)?;
        }
        Found::read(found)
    }
}

/// Checks the field `key`; the error says what is possible.
pub(super) fn check_key(key: &str) -> Result<()> {
    let name = key.to_ascii_lowercase();
    let possible = match name.split_once('.') {
        Some((data, path)) => data == "data" && !path.split('.').any(str::is_empty),
        None => match name.as_str() {
            "id" | "source" | "topic" | "type" | "eventtype" | "subject" | "specversion"
            | "datacontenttype" | "dataschema" | "data" | KNOWN_TIME => true,
            "eventtime" | "metadataversion" => false,
            name => !RESERVED_ATTRIBUTES.contains(&name) && validate_extension_name(name).is_ok(),
        },
    };
    match possible {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "key is {key:?}: expected id, source or topic, type or eventType, subject, dataVersion, specversion, datacontenttype, dataschema, the name of an extension, data, or a field of it as data.x.y"
        ))),
    }
}

/// A JSON string, borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of a JSON object as text. What isn't an object has none.
#[derive(Default)]
struct Object<'a>(JsonMembers<'a>);

impl<'a> Object<'a> {
    fn read(text: &'a str) -> Object<'a> {
        Object(serde_json::from_str(text).unwrap_or_default())
    }

    /// The member of just this name, or else of one that differs in case only. Of several the
    /// last counts, as everywhere.
    fn get(&self, name: &str) -> Option<&'a str> {
        let find = |same: fn(&str, &str) -> bool| {
            let mut members = self.0.0.iter().rev();
            members.find(|(key, _)| same(key, name))
        };
        find(|a, b| a == b)
            .or_else(|| find(|a, b| a.eq_ignore_ascii_case(b)))
            .map(|(_, raw)| raw.get())
    }
}
