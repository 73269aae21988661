//! What a projection reads of an event: attributes, and places in its data.

use std::borrow::Cow;
use std::fmt;

use foretell_types::{Data, ExtensionValue, RecordedEvent, cloudevents};

use crate::{Scalar, ValueType};

/// A value that expressions read. Its number is its place in [`Definition::inputs`].
///
/// [`Definition::inputs`]: crate::Definition::inputs
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// When it happened.
    Time,
    /// A context attribute or extension, by name. Where events are rows of a table, a column.
    Attribute(String),
    /// A place in the JSON data; without steps the whole of it. Where events are rows of a table,
    /// the first step is a column.
    Data(Vec<Step>),
    /// The whole event, as CloudEvents JSON; null if its data was erased. Where events are rows of
    /// a table, its data are the columns.
    Event,
}

/// A step down into JSON.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    Member(String),
    /// An element of an array, from 0.
    Element(usize),
}

impl Input {
    /// The type of its values in a log. In a table it is the column's.
    pub fn value_type(&self) -> ValueType {
        match self {
            Input::Time => ValueType::Time,
            Input::Attribute(name) => match name.as_str() {
                "type" | "subject" | "source" | "id" | "datacontenttype" | "dataschema" => {
                    ValueType::Text
                }
                _ => ValueType::Any,
            },
            Input::Data(_) | Input::Event => ValueType::Any,
        }
    }

    /// The column that it names where events are rows of a table, and the steps into its values.
    pub fn column(&self) -> Option<(&str, &[Step])> {
        match self {
            Input::Time | Input::Event => None,
            Input::Attribute(name) => Some((name, &[])),
            Input::Data(steps) => match steps.split_first() {
                Some((Step::Member(name), rest)) => Some((name, rest)),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Time => f.write_str("time"),
            Input::Event => f.write_str("event"),
            Input::Attribute(name) => f.write_str(name),
            Input::Data(steps) => {
                f.write_str("data")?;
                for step in steps {
                    match step {
                        Step::Member(name) => write!(f, ".{name}")?,
                        Step::Element(index) => write!(f, "[{index}]")?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// Where the values of one event come from.
pub trait Source {
    /// When it happened, in nanoseconds since the epoch.
    fn time(&self) -> i64;
    /// A context attribute or extension.
    fn attribute(&self, name: &str) -> Scalar<'_>;
    /// Its data, if that is JSON: compact and valid.
    fn json(&self) -> Option<&str>;
    /// All of it, as CloudEvents JSON; none if its data was erased.
    fn event(&self) -> Option<String>;
}

impl Source for RecordedEvent {
    fn time(&self) -> i64 {
        self.event_time().as_nanos()
    }

    fn attribute(&self, name: &str) -> Scalar<'_> {
        let text = |text: &Option<String>| match text {
            Some(text) => Scalar::Text(Cow::Owned(text.clone())),
            None => Scalar::Null,
        };
        match name {
            "type" => Scalar::text(&self.event_type),
            "subject" => text(&self.subject),
            "source" => Scalar::text(&self.source),
            "id" => Scalar::text(&self.id),
            "datacontenttype" => text(&self.datacontenttype),
            "dataschema" => text(&self.dataschema),
            _ => match self.extension(name) {
                None => Scalar::Null,
                Some(ExtensionValue::Boolean(value)) => Scalar::Bool(*value),
                Some(ExtensionValue::Integer(value)) => Scalar::Int(i128::from(*value)),
                Some(ExtensionValue::String(text)) => Scalar::text(text),
            },
        }
    }

    fn json(&self) -> Option<&str> {
        match &self.data {
            Data::Json(text) => Some(text),
            _ => None,
        }
    }

    fn event(&self) -> Option<String> {
        (!self.erased).then(|| cloudevents::recorded_to_json(self))
    }
}
