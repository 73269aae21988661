use std::collections::BTreeMap;

use foretell_types::limits::{TOPIC_TAG_CHARS, TOPIC_TAG_NAME_CHARS, TOPIC_TAGS};
use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ENVELOPE, Quota};
use crate::field::Fields;
use crate::{InputMapping, InputSchema};

const KNOWN: [&str; 16] = [
    // Not Event Grid's.
    "erasable",
    "quota",
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
    /// What its owners note about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Quota::is_none")]
    pub quota: Quota,
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
        let tags = tags(&resource)?;
        let Some(properties) = resource.object("properties")? else {
            let definition = TopicDefinition {
                tags,
                ..TopicDefinition::default()
            };
            definition.check()?;
            return Ok(definition);
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
            tags,
            quota: Quota::from_json(&properties)?,
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
        self.check_tags()?;
        self.quota.check()
    }

    fn check_tags(&self) -> Result<()> {
        if self.tags.len() > TOPIC_TAGS {
            return Err(Error::invalid(format!(
                "there are {} tags: at most {TOPIC_TAGS} are allowed",
                self.tags.len()
            )));
        }
        for (name, value) in &self.tags {
            let (of_name, of_value) = (name.chars().count(), value.chars().count());
            if name.is_empty() || of_name > TOPIC_TAG_NAME_CHARS || of_value > TOPIC_TAG_CHARS {
                return Err(Error::invalid(format!(
                    "tag {name:?} has a name of {of_name} and a value of {of_value} characters: 1 to {TOPIC_TAG_NAME_CHARS} and at most {TOPIC_TAG_CHARS} are allowed"
                )));
            }
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
        if !self.quota.is_none() {
            properties["quota"] = self.quota.to_json();
        }
        let mut resource = json!({
            "id": facts.resource_id,
            "name": facts.name,
            "type": "Microsoft.EventGrid/topics",
            "location": "local",
            "properties": properties,
        });
        if !self.tags.is_empty() {
            resource["tags"] = json!(self.tags);
        }
        resource
    }
}

fn tags(resource: &Fields<'_>) -> Result<BTreeMap<String, String>> {
    let Some(Value::Object(tags)) = resource.object("tags")?.and(resource.get("tags")) else {
        return Ok(BTreeMap::new());
    };
    let tag = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        _ => Err(Error::invalid(format!("tags.{name} must be a string"))),
    };
    tags.iter().map(tag).collect()
}
