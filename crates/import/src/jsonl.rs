//! JSON lines: an object a line; without a mapping, a CloudEvents object a line.

use std::borrow::Cow;
use std::io::BufRead;

use foretell_types::cloudevents::{Reserved, from_json_with};
use foretell_types::{Error, JsonMembers, Result, compact_json};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::collect::{Collector, Found};
use crate::lines::{Lines, Next, too_long};
use crate::mapping::Mapping;
use crate::plan::{Plan, Row};
use crate::template::Column;
use crate::typed::{shown, write_key};

/// Attributes that reading adds to an event: not part of what was published.
const ADDED_WHEN_READING: [&str; 4] = ["position", "revision", "recordedtime", "erased"];

/// Reads the whole text.
pub(crate) fn read(
    reader: &mut dyn BufRead,
    mapping: &Mapping,
    collector: &mut Collector,
) -> Result<()> {
    let plan = match mapping.maps_columns() {
        true => Some(Plan::new(mapping, |_| Ok(0))?),
        false => None,
    };
    let mut lines = Lines::new(reader)?;
    let mut line = Vec::new();
    loop {
        let found = match lines.next(&mut line)? {
            Next::End => return Ok(()),
            Next::TooLong => Err(too_long()),
            Next::Line if line.trim_ascii().is_empty() => continue,
            Next::Line => event(&line, mapping, plan.as_ref()),
        };
        collector.take(lines.number, found)?;
    }
}

fn event(line: &[u8], mapping: &Mapping, plan: Option<&Plan>) -> Result<Found> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to();
        Error::invalid(format!(
            "byte {} is not UTF-8: convert the file first",
            at + 1
        ))
    })?;
    let text = text.trim_ascii();
    if text.starts_with('[') {
        return Err(Error::invalid(
            "an array: expected JSON lines, an object a line (jq -c '.[]' makes them of an array)",
        ));
    }
    let object: Object<'_> = serde_json::from_str(text).map_err(|error| {
        Error::invalid(format!("{}: expected a JSON object: {error}", shown(text)))
    })?;
    match plan {
        Some(plan) => {
            let data = if mapping.data.is_empty() {
                compact_json(text)?.into_owned()
            } else {
                object.pick(&mapping.data)?
            };
            Ok(Found::Draft(plan.draft(&object, data)?))
        }
        None => object.cloud_event(),
    }
}

/// An object with its values as they are written.
#[derive(Deserialize)]
#[serde(transparent)]
struct Object<'a>(#[serde(borrow)] JsonMembers<'a>);

impl<'a> Object<'a> {
    fn get(&self, key: &str) -> Option<&'a RawValue> {
        // As JSON readers do, the last of two.
        let found = self.0.0.iter().rev().find(|(other, _)| other == key);
        found.map(|(_, value)| *value)
    }

    /// The value at a path: a key as it is, or else keys separated by dots.
    fn find(&self, path: &str) -> Option<&'a RawValue> {
        if let Some(value) = self.get(path) {
            return Some(value);
        }
        for (at, _) in path.match_indices('.') {
            let Some(inner) = self.get(&path[..at]) else {
                continue;
            };
            let inner = serde_json::from_str::<Object<'a>>(inner.get()).ok();
            if let Some(value) = inner.and_then(|inner| inner.find(&path[at + 1..])) {
                return Some(value);
            }
        }
        None
    }

    fn pick(&self, paths: &[String]) -> Result<String> {
        let mut out = String::from("{");
        for path in paths {
            if let Some(value) = self.find(path) {
                write_key(&mut out, path);
                out.push_str(&compact_json(value.get())?);
            }
        }
        out.push('}');
        Ok(out)
    }

    fn cloud_event(&self) -> Result<Found> {
        if self.get("specversion").is_none() {
            return Err(Error::invalid(
                "the object has no 'specversion', so it is no CloudEvents event: expected one, or a mapping (name at least the type)",
            ));
        }
        let mut out = String::from("{");
        for (key, value) in &self.0.0 {
            if !ADDED_WHEN_READING.contains(&key.as_ref()) {
                write_key(&mut out, key);
                out.push_str(value.get());
            }
        }
        out.push('}');
        let event = from_json_with(out.as_bytes(), Reserved::AdmitKnownTime)?;
        Ok(Found::CloudEvent(Box::new(event)))
    }
}

impl Row for Object<'_> {
    fn text(&self, column: &Column) -> Result<Option<Cow<'_, str>>> {
        let Some(value) = self.find(&column.name) else {
            return Ok(None);
        };
        let raw = value.get();
        let text: Cow<'_, str> = match raw.as_bytes().first() {
            Some(b'n') | None => return Ok(None),
            Some(b'"') => {
                Cow::Owned(serde_json::from_str(raw).map_err(|error| {
                    Error::invalid(format!("column {:?}: {error}", column.name))
                })?)
            }
            Some(b'{' | b'[') => {
                return Err(Error::invalid(format!(
                    "column {:?}: {} is no single value: expected a string, a number or a boolean",
                    column.name,
                    shown(raw)
                )));
            }
            Some(_) => Cow::Borrowed(raw),
        };
        Ok((!text.is_empty()).then_some(text))
    }
}
