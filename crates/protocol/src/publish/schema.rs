use std::fmt;
use std::str::FromStr;

use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};

/// The schema of the events that a topic takes. Text: `any`, `eventgrid`, `cloudevents`,
/// `custom`; in Event Grid's resource model see [`InputSchema::arm`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputSchema {
    /// Event Grid and CloudEvents, told apart by content type and shape.
    #[default]
    Any,
    EventGrid,
    CloudEvents,
    Custom,
}

const ALL: [(InputSchema, &str, &str); 4] = [
    (InputSchema::Any, "any", "Any"),
    (InputSchema::EventGrid, "eventgrid", "EventGridSchema"),
    (
        InputSchema::CloudEvents,
        "cloudevents",
        "CloudEventSchemaV1_0",
    ),
    (InputSchema::Custom, "custom", "CustomEventSchema"),
];

impl InputSchema {
    /// As Event Grid's resource model has it; `Any` is ours.
    pub fn arm(self) -> &'static str {
        ALL.iter()
            .find(|row| row.0 == self)
            .map_or("Any", |row| row.2)
    }

    /// Reads [`InputSchema::arm`], without regard to case.
    pub fn from_arm(text: &str) -> Option<InputSchema> {
        ALL.iter()
            .find(|row| row.2.eq_ignore_ascii_case(text))
            .map(|row| row.0)
    }
}

impl fmt::Display for InputSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            ALL.iter()
                .find(|row| row.0 == *self)
                .map_or("any", |row| row.1),
        )
    }
}

impl FromStr for InputSchema {
    type Err = Error;

    fn from_str(text: &str) -> Result<InputSchema> {
        ALL.iter()
            .find(|row| row.1.eq_ignore_ascii_case(text))
            .map(|row| row.0)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{text:?} is not an input schema: expected any, eventgrid, cloudevents or custom"
                ))
            })
    }
}
