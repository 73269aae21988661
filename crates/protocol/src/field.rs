use foretell_types::{Error, Result};
use serde_json::{Map, Number, Value};

/// A foreign JSON object, whose errors name the field by its whole path. Null is as good as
/// absent everywhere, as Azure's resource manager has it.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub fn of(path: &str, value: &'a Value) -> Result<Fields<'a>> {
        match value {
            Value::Object(object) => Ok(Fields {
                path: path.to_owned(),
                object,
            }),
            other => Err(Error::invalid(format!(
                "{} must be an object, not {}",
                if path.is_empty() { "the body" } else { path },
                kind(other)
            ))),
        }
    }

    /// The whole path of a field.
    pub fn name_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        self.get(name)
            .map(|value| Fields::of(&self.name_of(name), value))
            .transpose()
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a string", other)),
        }
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(name, "a boolean", other)),
        }
    }

    /// A whole number from 1 to `max`; Pulumi sends `30.0` for 30.
    pub fn count(&self, name: &str, max: usize) -> Result<Option<u32>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|n| n.fract() == 0.0);
        match number {
            Some(n) if n >= 1.0 && n <= max as f64 => Ok(Some(n as u32)),
            _ => Err(Error::invalid(format!(
                "{} is {value}: expected a whole number from 1 to {max}",
                self.name_of(name)
            ))),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<Number>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number.clone())),
            Some(other) => Err(self.wrong(name, "a number", other)),
        }
    }

    pub fn array(&self, name: &str, expected: &str) -> Result<Option<&'a [Value]>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(name, expected, other)),
        }
    }

    /// An array of what `read` reads, as `expected` says.
    pub fn items<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(items) = self.array(name, expected)? else {
            return Ok(None);
        };
        let item = |(index, item): (usize, &Value)| {
            read(item).ok_or_else(|| {
                let name = self.name_of(name);
                Error::invalid(format!(
                    "{name} must be {expected}, but item {index} doesn't fit"
                ))
            })
        };
        items
            .iter()
            .enumerate()
            .map(item)
            .collect::<Result<_>>()
            .map(Some)
    }

    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        self.items(name, "an array of strings", text)
    }

    /// Refuses fields that nobody knows, by name.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self
            .object
            .keys()
            .find(|key| !known.contains(&key.as_str()))
        {
            None => Ok(()),
            Some(key) => Err(Error::invalid(format!(
                "{} is not known: expected {}",
                self.name_of(key),
                known.join(", ")
            ))),
        }
    }

    /// Refuses fields that would change what we do and that we don't do yet, by name, unless they
    /// are empty or say what is the case anyway.
    pub fn unsupported(&self, names: &[(&str, Value)]) -> Result<()> {
        for (name, harmless) in names {
            let Some(value) = self.get(name) else {
                continue;
            };
            let empty = match value {
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                other => same(other, harmless),
            };
            if !empty {
                return Err(Error::invalid(format!(
                    "{} is not supported yet: leave it out",
                    self.name_of(name)
                )));
            }
        }
        Ok(())
    }

    fn wrong(&self, name: &str, expected: &str, found: &Value) -> Error {
        Error::invalid(format!(
            "{} must be {expected}, not {}",
            self.name_of(name),
            kind(found)
        ))
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.eq_ignore_ascii_case(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
