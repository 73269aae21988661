use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::InputSchema;

/// The schema in which events are delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliverySchema {
    EventGrid,
    CloudEvents,
    /// As it was sent to a topic of a custom schema.
    Custom,
}

impl DeliverySchema {
    /// What a topic's subscriptions deliver unless they say otherwise: what was sent. `None` where
    /// a topic takes any: each event goes out as it came in.
    pub fn default_for(input: InputSchema) -> Option<DeliverySchema> {
        match input {
            InputSchema::Any => None,
            InputSchema::EventGrid => Some(DeliverySchema::EventGrid),
            InputSchema::CloudEvents => Some(DeliverySchema::CloudEvents),
            InputSchema::Custom => Some(DeliverySchema::Custom),
        }
    }

    /// Whether a topic can deliver it. Source: the schema matrix of "Event schemas".
    pub fn fits(self, input: InputSchema) -> bool {
        match input {
            InputSchema::Any | InputSchema::EventGrid => self != DeliverySchema::Custom,
            InputSchema::CloudEvents => self == DeliverySchema::CloudEvents,
            InputSchema::Custom => true,
        }
    }

    /// As Event Grid's resource model has it.
    pub fn arm(self) -> &'static str {
        match self {
            DeliverySchema::EventGrid => "EventGridSchema",
            DeliverySchema::CloudEvents => "CloudEventSchemaV1_0",
            DeliverySchema::Custom => "CustomInputSchema",
        }
    }

    /// Reads [`DeliverySchema::arm`], without regard to case.
    pub fn from_arm(text: &str) -> Result<DeliverySchema> {
        [
            DeliverySchema::EventGrid,
            DeliverySchema::CloudEvents,
            DeliverySchema::Custom,
        ]
        .into_iter()
        .find(|schema| schema.arm().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            Error::invalid(format!(
                "{text:?} is not a delivery schema: expected EventGridSchema, CloudEventSchemaV1_0 or CustomInputSchema"
            ))
        })
    }
}

/// By the words that topics have for what they take.
impl std::str::FromStr for DeliverySchema {
    type Err = Error;

    fn from_str(text: &str) -> Result<DeliverySchema> {
        match text {
            "eventgrid" => Ok(DeliverySchema::EventGrid),
            "cloudevents" => Ok(DeliverySchema::CloudEvents),
            "custom" => Ok(DeliverySchema::Custom),
            _ => Err(Error::invalid(format!(
                "{text:?} is not a delivery schema: expected eventgrid, cloudevents or custom"
            ))),
        }
    }
}
