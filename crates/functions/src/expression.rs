//! Binding expressions: `segments/{data.customer_id}.json`, `%CONTAINER%/{rand-guid}`.
//! Source: "Azure Functions binding expression patterns".

use std::cell::OnceCell;

use foretell_delivery::Invocation;
use foretell_types::{Data, Error, Instant, NewEvent, Result, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::datetime;

/// A path with expressions, parsed once. App settings are resolved when it is parsed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Debug)]
enum Part {
    Text(String),
    DateTime(String),
    RandGuid(GuidForm),
    FunctionName,
    /// A property of the event, by its path.
    Field(String),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum GuidForm {
    Hyphens,
    Digits,
    Braces,
    Parentheses,
}

/// What expressions speak about: one invocation of one function.
pub(crate) struct Scope<'a> {
    function: &'a str,
    id: Uuid,
    first_attempt: Instant,
    recorded_time: Instant,
    event: &'a NewEvent,
    data: OnceCell<Value>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(function: &'a str, invocation: &'a Invocation) -> Scope<'a> {
        Scope {
            function,
            id: invocation.id,
            first_attempt: invocation.first_attempt,
            recorded_time: invocation.event.recorded_time,
            event: &invocation.event.event,
            data: OnceCell::new(),
        }
    }

    /// A property of the event by the names of the Event Grid schema (and of CloudEvents), without
    /// regard to case.
    fn field(&self, path: &str) -> Result<String> {
        let (name, rest) = path
            .split_once('.')
            .map_or((path, None), |(n, r)| (n, Some(r)));
        let event = self.event;
        let attribute = match name.to_ascii_lowercase().as_str() {
            "data" => return self.data_field(path, rest.unwrap_or("")),
            "id" => Some(event.id.clone()),
            "subject" => event.subject.clone(),
            "eventtype" | "type" => Some(event.event_type.clone()),
            "topic" | "source" => Some(event.source.clone()),
            "eventtime" | "time" => {
                let recorded = || Timestamp::from_instant(self.recorded_time);
                Some(event.time.unwrap_or_else(recorded).to_string())
            }
            "dataversion" => event.extension_str("dataversion").map(str::to_owned),
            _ => None,
        };
        match attribute.filter(|_| rest.is_none()) {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Error::invalid(format!("the event has no {{{path}}}"))),
        }
    }

    fn data_field(&self, path: &str, within: &str) -> Result<String> {
        let data = self.data.get_or_init(|| match &self.event.data {
            Data::Json(text) => serde_json::from_str(text).unwrap_or_default(),
            Data::Text(text) => Value::String(text.clone()),
            Data::None | Data::Binary(_) => Value::Null,
        });
        let mut found = Some(data);
        for name in within.split('.').filter(|name| !name.is_empty()) {
            found = found.and_then(|value| member(value, name));
        }
        match found {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(flag)) => Ok(flag.to_string()),
            Some(Value::Null) | None => Err(Error::invalid(format!("the event has no {{{path}}}"))),
            Some(_) => Err(Error::invalid(format!(
                "{{{path}}} of the event is an object or an array: expected text or a number"
            ))),
        }
    }
}

/// A member of an object: of just this name, or of one that differs in case only.
fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| {
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

impl Template {
    /// Parses a path; `setting` looks app settings up.
    pub(crate) fn parse(text: &str, setting: impl Fn(&str) -> Option<String>) -> Result<Template> {
        let text = resolve_settings(text, setting)?;
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            // Doubled braces are braces.
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let end = rest.find('}').filter(|_| brace == "{").ok_or_else(|| {
                Error::invalid(format!("{text:?} holds a brace without its counterpart"))
            })?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(part(&rest[..end])?);
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Template { parts })
    }

    /// The path for one invocation.
    pub(crate) fn resolve(&self, scope: &Scope<'_>) -> Result<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::DateTime(format) => {
                    out.push_str(&datetime::format(scope.first_attempt, format)?);
                }
                Part::RandGuid(form) => out.push_str(&form.write(scope.id)),
                Part::FunctionName => out.push_str(scope.function),
                Part::Field(path) => out.push_str(&scope.field(path)?),
            }
        }
        Ok(out)
    }
}

fn resolve_settings(text: &str, setting: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        let (name, after) = after
            .split_once('%')
            .ok_or_else(|| Error::invalid(format!("{text:?} holds a % without its counterpart")))?;
        let value = setting(name).ok_or_else(|| {
            Error::invalid(format!(
                "{text:?} names the app setting {name:?}, which is not set"
            ))
        })?;
        out.push_str(before);
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn part(expression: &str) -> Result<Part> {
    let (name, format) = match expression.split_once(':') {
        Some((name, format)) => (name, Some(format)),
        None => (expression, None),
    };
    Ok(match name.trim().to_ascii_lowercase().as_str() {
        "" => {
            return Err(Error::invalid(
                "{} names nothing: expected the name of a property",
            ));
        }
        "datetime" | "sys.utcnow" => {
            let format = format.unwrap_or(datetime::DEFAULT);
            // Refused here, when the app is loaded, not at every event.
            datetime::format(
                Instant {
                    seconds: 0,
                    nanos: 0,
                },
                format,
            )?;
            Part::DateTime(format.to_owned())
        }
        "rand-guid" | "sys.randguid" => Part::RandGuid(GuidForm::parse(format)?),
        "sys.methodname" => Part::FunctionName,
        _ if format.is_some() => {
            return Err(Error::invalid(format!(
                "{{{expression}}}: only DateTime has a format"
            )));
        }
        _ => Part::Field(name.trim().to_owned()),
    })
}

impl GuidForm {
    fn parse(format: Option<&str>) -> Result<GuidForm> {
        Ok(match format {
            None | Some("" | "D" | "d") => GuidForm::Hyphens,
            Some("N" | "n") => GuidForm::Digits,
            Some("B" | "b") => GuidForm::Braces,
            Some("P" | "p") => GuidForm::Parentheses,
            Some(other) => {
                return Err(Error::invalid(format!(
                    "{{rand-guid:{other}}}: the format must be D, N, B or P"
                )));
            }
        })
    }

    fn write(self, id: Uuid) -> String {
        match self {
            GuidForm::Hyphens => id.hyphenated().to_string(),
            GuidForm::Digits => id.simple().to_string(),
            GuidForm::Braces => format!("{{{id}}}"),
            GuidForm::Parentheses => format!("({id})"),
        }
    }
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
