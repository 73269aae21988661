use foretell_types::limits::{BATCH_EVENTS, BATCH_KILOBYTES, DELIVERY_ATTEMPTS, EVENT_TTL_MINUTES};
use foretell_types::{Error, Result, check_container};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Attribute, DeliverySchema, ENVELOPE, Provisioning, Target, Validation};
use crate::field::Fields;
use crate::{Filter, InputSchema};

const KNOWN: [&str; 12] = [
    "topic",
    "provisioningState",
    "labels",
    "destination",
    "filter",
    "retryPolicy",
    "deadLetterDestination",
    "eventDeliverySchema",
    "expirationTimeUtc",
    "deliveryWithResourceIdentity",
    "deadLetterWithResourceIdentity",
    "deliveryConfiguration",
];

/// What a subscription is defined to be; what is journaled of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubscriptionDefinition {
    pub target: Target,
    #[serde(default)]
    pub filter: Filter,
    /// 1 to [`DELIVERY_ATTEMPTS`], the default.
    pub max_delivery_attempts: u32,
    /// 1 to [`EVENT_TTL_MINUTES`], the default.
    pub event_ttl_minutes: u32,
    /// The container that takes dead letters; without one they are dropped.
    #[serde(default)]
    pub dead_letter: Option<String>,
    /// `None`: [`DeliverySchema::default_for`] the topic.
    #[serde(default)]
    pub schema: Option<DeliverySchema>,
    #[serde(default, skip_serializing_if = "Validation::is_auto")]
    pub validation: Validation,
    /// Events of one request to a webhook: 1, the default, to [`BATCH_EVENTS`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub max_events_per_batch: u32,
    /// The size that such a request should have: 1 to [`BATCH_KILOBYTES`].
    #[serde(
        default = "usual_kilobytes",
        skip_serializing_if = "is_usual_kilobytes"
    )]
    pub preferred_batch_kilobytes: u32,
    /// Headers that are added to what a webhook gets, at most [`DELIVERY_ATTRIBUTES`].
    ///
    /// [`DELIVERY_ATTRIBUTES`]: foretell_types::limits::DELIVERY_ATTRIBUTES
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

fn one() -> u32 {
    1
}

fn usual_kilobytes() -> u32 {
    64
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_one(value: &u32) -> bool {
    *value == one()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_usual_kilobytes(value: &u32) -> bool {
    *value == usual_kilobytes()
}

/// What the server knows of a subscription beside its definition.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionFacts<'a> {
    pub name: &'a str,
    /// The topic's resource id.
    pub topic_resource_id: &'a str,
    pub topic_schema: InputSchema,
    pub provisioning: &'a Provisioning,
}

impl SubscriptionDefinition {
    /// All events to a target, with the defaults of the service.
    pub fn new(target: Target) -> SubscriptionDefinition {
        SubscriptionDefinition {
            target,
            filter: Filter::default(),
            max_delivery_attempts: DELIVERY_ATTEMPTS as u32,
            event_ttl_minutes: EVENT_TTL_MINUTES as u32,
            dead_letter: None,
            schema: None,
            validation: Validation::Auto,
            max_events_per_batch: one(),
            preferred_batch_kilobytes: usual_kilobytes(),
            attributes: Vec::new(),
        }
    }

    /// Reads the body of a PUT for a topic of this schema; an error names the field.
    pub fn from_json(value: &Value, topic_schema: InputSchema) -> Result<SubscriptionDefinition> {
        let resource = Fields::of("", value)?;
        resource.only(&ENVELOPE)?;
        let properties = resource
            .object("properties")?
            .ok_or_else(|| Error::invalid("properties is missing"))?;
        properties.only(&KNOWN)?;
        properties.unsupported(&[
            ("expirationTimeUtc", json!("")),
            ("deliveryWithResourceIdentity", json!({})),
            ("deadLetterWithResourceIdentity", json!({})),
            ("deliveryConfiguration", json!({})),
        ])?;
        let destination = properties
            .object("destination")?
            .ok_or_else(|| Error::invalid("properties.destination is missing"))?;
        let mut definition = SubscriptionDefinition::new(Target::from_json(&destination)?);
        if let Some(fields) = destination.object("properties")? {
            definition.take_delivery(&fields)?;
        }
        definition.filter = Filter::from_json(properties.get("filter"))
            .map_err(|error| Error::invalid(format!("properties.{}", error.message())))?;
        if let Some(retry) = properties.object("retryPolicy")? {
            retry.only(&["maxDeliveryAttempts", "eventTimeToLiveInMinutes"])?;
            if let Some(attempts) = retry.count("maxDeliveryAttempts", DELIVERY_ATTEMPTS)? {
                definition.max_delivery_attempts = attempts;
            }
            if let Some(minutes) = retry.count("eventTimeToLiveInMinutes", EVENT_TTL_MINUTES)? {
                definition.event_ttl_minutes = minutes;
            }
        }
        definition.dead_letter = dead_letter(&properties)?;
        definition.schema = properties
            .text("eventDeliverySchema")?
            .map(DeliverySchema::from_arm)
            .transpose()
            .map_err(|error| error.context("properties.eventDeliverySchema"))?;
        definition.check(topic_schema)?;
        Ok(definition)
    }

    /// How events are delivered, from the properties of the destination.
    fn take_delivery(&mut self, fields: &Fields<'_>) -> Result<()> {
        if let Some(text) = fields.text("validation")? {
            let here = |error: Error| error.context(fields.name_of("validation"));
            self.validation = text.parse().map_err(here)?;
        }
        if let Some(events) = fields.count("maxEventsPerBatch", BATCH_EVENTS)? {
            self.max_events_per_batch = events;
        }
        if let Some(size) = fields.count("preferredBatchSizeInKilobytes", BATCH_KILOBYTES)? {
            self.preferred_batch_kilobytes = size;
        }
        if let Some(mappings) = fields.get("deliveryAttributeMappings") {
            let path = fields.name_of("deliveryAttributeMappings");
            self.attributes = Attribute::all_from_json(mappings, &path)?;
        }
        Ok(())
    }

    /// Checks what was given by other ways than JSON as well.
    pub fn check(&self, topic_schema: InputSchema) -> Result<()> {
        self.filter.check()?;
        for (name, value, max) in [
            (
                "maxDeliveryAttempts",
                self.max_delivery_attempts,
                DELIVERY_ATTEMPTS,
            ),
            (
                "eventTimeToLiveInMinutes",
                self.event_ttl_minutes,
                EVENT_TTL_MINUTES,
            ),
        ] {
            if !(1..=max).contains(&(value as usize)) {
                return Err(Error::invalid(format!(
                    "retryPolicy.{name} is {value}: expected a whole number from 1 to {max}"
                )));
            }
        }
        if let Some(container) = &self.dead_letter {
            check_container(container)?;
        }
        for (name, value, max) in [
            ("maxEventsPerBatch", self.max_events_per_batch, BATCH_EVENTS),
            (
                "preferredBatchSizeInKilobytes",
                self.preferred_batch_kilobytes,
                BATCH_KILOBYTES,
            ),
        ] {
            if !(1..=max).contains(&(value as usize)) {
                return Err(Error::invalid(format!(
                    "{name} is {value}: expected a whole number from 1 to {max}"
                )));
            }
        }
        if self.max_events_per_batch > 1 && !matches!(self.target, Target::WebHook(_)) {
            return Err(Error::invalid(format!(
                "maxEventsPerBatch is {}, and {} is no webhook: it gets its events one by one",
                self.max_events_per_batch, self.target
            )));
        }
        Attribute::check_all(&self.attributes)?;
        if !self.attributes.is_empty() && !matches!(self.target, Target::WebHook(_)) {
            return Err(Error::invalid(format!(
                "there are delivery attributes, and {} is no webhook: leave them out",
                self.target
            )));
        }
        if !self.validation.is_auto() && !matches!(self.target, Target::WebHook(_)) {
            return Err(Error::invalid(format!(
                "validation is {}, and {} is no webhook: leave it out",
                self.validation, self.target
            )));
        }
        match self.schema {
            Some(schema) if !schema.fits(topic_schema) => Err(Error::invalid(format!(
                "eventDeliverySchema {} is not possible for a topic that takes {}",
                schema.arm(),
                topic_schema.arm()
            ))),
            _ => Ok(()),
        }
    }

    /// The resource as it is answered.
    pub fn to_json(&self, facts: &SubscriptionFacts<'_>) -> Value {
        let scope = facts
            .topic_resource_id
            .split("/providers/")
            .next()
            .unwrap_or("");
        let schema = self
            .schema
            .or_else(|| DeliverySchema::default_for(facts.topic_schema));
        let dead_letter = self.dead_letter.as_ref().map(|container| {
            json!({
                "endpointType": "StorageBlob",
                "properties": {
                    "resourceId": format!(
                        "{scope}/providers/Microsoft.Storage/storageAccounts/foretell"
                    ),
                    "blobContainerName": container,
                },
            })
        });
        let mut destination = self.target.to_json(scope);
        if let Some(properties) = destination.get_mut("properties") {
            properties["maxEventsPerBatch"] = self.max_events_per_batch.into();
            properties["preferredBatchSizeInKilobytes"] = self.preferred_batch_kilobytes.into();
            if !self.attributes.is_empty() {
                let attributes: Vec<Value> =
                    self.attributes.iter().map(Attribute::to_json).collect();
                properties["deliveryAttributeMappings"] = attributes.into();
            }
            if !self.validation.is_auto() {
                properties["validation"] = self.validation.to_string().into();
            }
        }
        json!({
            "id": format!("{}/eventSubscriptions/{}", facts.topic_resource_id, facts.name),
            "name": facts.name,
            "type": "Microsoft.EventGrid/topics/eventSubscriptions",
            "properties": {
                "topic": facts.topic_resource_id,
                "provisioningState": facts.provisioning.arm(),
                "labels": [],
                "destination": destination,
                "filter": self.filter.to_json(),
                "retryPolicy": {
                    "maxDeliveryAttempts": self.max_delivery_attempts,
                    "eventTimeToLiveInMinutes": self.event_ttl_minutes,
                },
                "deadLetterDestination": dead_letter,
                "eventDeliverySchema": schema.map(DeliverySchema::arm),
            },
        })
    }
}

fn dead_letter(properties: &Fields<'_>) -> Result<Option<String>> {
    let Some(destination) = properties.object("deadLetterDestination")? else {
        return Ok(None);
    };
    destination.only(&["endpointType", "properties"])?;
    let kind = destination.text("endpointType")?.unwrap_or("");
    if !kind.eq_ignore_ascii_case("StorageBlob") {
        return Err(Error::invalid(format!(
            "{} is {kind:?}: expected StorageBlob",
            destination.name_of("endpointType")
        )));
    }
    let name = destination.name_of("properties.blobContainerName");
    let missing = || Error::invalid(format!("{name} is missing"));
    let blob = destination.object("properties")?.ok_or_else(missing)?;
    // There is one storage account: the resource id is read past.
    blob.only(&["resourceId", "blobContainerName"])?;
    blob.text("resourceId")?;
    let container = blob.text("blobContainerName")?.ok_or_else(missing)?;
    check_container(container).map_err(|error| error.context(&name))?;
    Ok(Some(container.to_owned()))
}
