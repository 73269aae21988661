use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ENVELOPE;
use crate::field::Fields;
use crate::{InputMapping, InputSchema};

const KNOWN: [&str; 15] = [
    // Not Event Grid's.
    "erasable",
    "inputSchema",
    "inputSchemaMapping",
    "provisioningState",
    "endpoint",
    "metricResourceId",
    "privateEndpointConnections",
    "dataResidencyBoundary",
    "minimumTlsVersionAllowed",
    "eventTypeInfo",
    "publicNetworkAccess",
    "inboundIpRules",
    "disableLocalAuth",
    "keyExpirationInfo",
    "encryption",
];

/// What a topic is defined to be; what is journaled of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicDefinition {
    pub input_schema: InputSchema,
    /// Only with [`InputSchema::Custom`].
    pub mapping: Option<InputMapping>,
    /// The data of its events is encrypted under keys of their subjects, which can be destroyed.
    /// Of a new topic; one that is there stays as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub erasable: bool,
}

/// What the server knows of a topic beside its definition.
#[derive(Clone, Copy, Debug)]
pub struct TopicFacts<'a> {
    pub name: &'a str,
    /// `/subscriptions/…/providers/Microsoft.EventGrid/topics/NAME`.
    pub resource_id: &'a str,
    /// Where events are published, with `/api/events`.
    pub endpoint: &'a str,
    pub metric_resource_id: &'a str,
}

impl TopicDefinition {
    /// Reads the body of a PUT; an error names the field. Everything may be left out.
    pub fn from_json(value: &Value) -> Result<TopicDefinition> {
        let resource = Fields::of("", value)?;
        resource.only(&ENVELOPE)?;
        let Some(properties) = resource.object("properties")? else {
            return Ok(TopicDefinition::default());
        };
        properties.only(&KNOWN)?;
        properties.unsupported(&[
            ("disableLocalAuth", json!(false)),
            ("publicNetworkAccess", json!("Enabled")),
            ("inboundIpRules", json!([])),
            ("encryption", json!({})),
        ])?;
        let input_schema = match properties.text("inputSchema")? {
            None => InputSchema::default(),
            Some(text) => InputSchema::from_arm(text).ok_or_else(|| {
                Error::invalid(format!(
                    "properties.inputSchema is {text:?}: expected EventGridSchema, CloudEventSchemaV1_0, CustomEventSchema or Any"
                ))
            })?,
        };
        let mapping = properties
            .get("inputSchemaMapping")
            .map(InputMapping::from_json)
            .transpose()
            .map_err(|error| error.context("properties"))?;
        let definition = TopicDefinition {
            input_schema,
            mapping,
            erasable: properties.boolean("erasable")?.unwrap_or(false),
        };
        definition.check()?;
        Ok(definition)
    }

    /// Checks what was given by other ways than JSON as well.
    pub fn check(&self) -> Result<()> {
        if self.mapping.is_some() && self.input_schema != InputSchema::Custom {
            return Err(Error::invalid(format!(
                "properties.inputSchemaMapping needs properties.inputSchema CustomEventSchema, not {}",
                self.input_schema.arm()
            )));
        }
        Ok(())
    }

    /// The resource as it is answered.
    pub fn to_json(&self, facts: &TopicFacts<'_>) -> Value {
        let mut properties = json!({
            "provisioningState": "Succeeded",
            "endpoint": facts.endpoint,
            "metricResourceId": facts.metric_resource_id,
            "inputSchema": self.input_schema.arm(),
            "publicNetworkAccess": "Enabled",
        });
        if let Some(mapping) = &self.mapping {
            properties["inputSchemaMapping"] = mapping.to_json();
        }
        if self.erasable {
            properties["erasable"] = true.into();
        }
        json!({
            "id": facts.resource_id,
            "name": facts.name,
            "type": "Microsoft.EventGrid/topics",
            "location": "local",
            "properties": properties,
        })
    }
}
