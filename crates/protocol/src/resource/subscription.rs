use foretell_types::limits::{
    BATCH_EVENTS, BATCH_KILOBYTES, DELIVERY_ATTEMPTS, EVENT_TTL_MINUTES, PULL_DELIVERIES,
    PULL_TTL_MINUTES, RECEIVE_LOCK_LEAST_S, RECEIVE_LOCK_MOST_S,
};
use foretell_types::{Error, Result, check_container, check_container_of, check_storage_account};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Attribute, DeliverySchema, ENVELOPE, Provisioning, Target, Validation, destination::after,
    ordering, queue,
};
use crate::field::Fields;
use crate::{Filter, InputSchema};

pub(super) const KNOWN: [&str; 14] = [
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
    "filtersConfiguration",
    // Not Event Grid's.
    "from",
];

/// What a subscription is defined to be; what is journaled of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubscriptionDefinition {
    pub target: Target,
    #[serde(default)]
    pub filter: Filter,
    /// 1 to [`DELIVERY_ATTEMPTS`], the default; [`PULL_DELIVERIES`] where events are pulled.
    pub max_delivery_attempts: u32,
    /// 1 to [`EVENT_TTL_MINUTES`], the default; [`PULL_TTL_MINUTES`] where events are pulled.
    pub event_ttl_minutes: u32,
    /// How long a received event is locked; [`RECEIVE_LOCK_LEAST_S`] unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_seconds: Option<u32>,
    /// Whether an event waits while another of its subject is under way; see
    /// [`SubscriptionDefinition::is_ordered`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<bool>,
    /// The container that takes dead letters; the server has one for those without.
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
    /// What its owners call it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// From then on nothing is delivered; milliseconds of the Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
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

/// The default storage account, in resource ids.
const DEFAULT: &str = "foretell";

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
        let (attempts, minutes) = most(&target);
        SubscriptionDefinition {
            target,
            filter: Filter::default(),
            max_delivery_attempts: attempts as u32,
            event_ttl_minutes: minutes as u32,
            lock_seconds: None,
            ordered: None,
            dead_letter: None,
            schema: None,
            validation: Validation::Auto,
            max_events_per_batch: one(),
            preferred_batch_kilobytes: usual_kilobytes(),
            attributes: Vec::new(),
            labels: Vec::new(),
            expires_ms: None,
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
            ("deliveryWithResourceIdentity", json!({})),
            ("deadLetterWithResourceIdentity", json!({})),
        ])?;
        let queue = queue::find(&properties)?;
        let push = queue::find_push(&properties)?;
        let outer = properties.object("destination")?;
        let both = outer.is_some() && push.is_some();
        let destination = match &push {
            Some(push) => push.object("destination")?,
            None => outer,
        };
        let target = match (&destination, &queue) {
            _ if both => {
                return Err(Error::invalid(
                    "properties.destination is there, and properties.deliveryConfiguration has one too: send one",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "properties.destination and properties.deliveryConfiguration are both there: events are pushed or pulled, send one",
                ));
            }
            (Some(destination), None) => Target::from_json(destination)?,
            (None, Some(_)) => Target::Pull,
            (None, None) => {
                let name = push
                    .as_ref()
                    .map_or("properties.destination".to_owned(), |push| {
                        push.name_of("destination")
                    });
                return Err(Error::invalid(format!("{name} is missing")));
            }
        };
        let (most_attempts, most_minutes) = most(&target);
        let mut definition = SubscriptionDefinition::new(target);
        if let Some(destination) = &destination
            && let Some(fields) = destination.object("properties")?
        {
            definition.take_delivery(&fields)?;
        }
        definition.take_lifetime(&properties)?;
        definition.filter = Filter::from_properties(&properties)?;
        if let Some(retry) = properties.object("retryPolicy")? {
            retry.only(&["maxDeliveryAttempts", "eventTimeToLiveInMinutes"])?;
            if let Some(attempts) = retry.count("maxDeliveryAttempts", most_attempts)? {
                definition.max_delivery_attempts = attempts;
            }
            if let Some(minutes) = retry.count("eventTimeToLiveInMinutes", most_minutes)? {
                definition.event_ttl_minutes = minutes;
            }
        }
        definition.dead_letter = dead_letter(&properties)?;
        if let Some(queue) = &queue {
            queue::read(queue, &mut definition)?;
        }
        if let Some(push) = &push {
            queue::read_push(push, &mut definition)?;
        }
        definition.schema = properties
            .text("eventDeliverySchema")?
            .map(DeliverySchema::from_arm)
            .transpose()
            .map_err(|error| error.context("properties.eventDeliverySchema"))?;
        definition.check(topic_schema)?;
        Ok(definition)
    }

    /// Where a new subscription begins, from the body of a PUT; it is not kept.
    pub fn start_from_json(value: &Value) -> Result<Option<&str>> {
        match Fields::of("", value)?.object("properties")? {
            Some(properties) => properties.text("from"),
            None => Ok(None),
        }
    }

    /// How events are delivered, from the properties of the destination.
    fn take_delivery(&mut self, fields: &Fields<'_>) -> Result<()> {
        if let Some(text) = fields.text("validation")? {
            let here = |error: Error| error.context(fields.name_of("validation"));
            self.validation = text.parse().map_err(here)?;
        }
        if let Some(text) = fields.text("ordering")? {
            let here = |error: Error| error.context(fields.name_of("ordering"));
            self.ordered = Some(ordering(text).map_err(here)?);
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

    /// Whether each subject's events are delivered in their order. Unless it was said, they are
    /// where they are pushed, and aren't where they are pulled, as in Event Grid.
    pub fn is_ordered(&self) -> bool {
        self.ordered.unwrap_or(self.target != Target::Pull)
    }

    /// Checks what was given by other ways than JSON as well.
    pub fn check(&self, topic_schema: InputSchema) -> Result<()> {
        self.filter.check()?;
        self.check_labels()?;
        let pulled = self.target == Target::Pull;
        let (most_attempts, most_minutes) = most(&self.target);
        for (name, value, max) in [
            (
                "maxDeliveryAttempts",
                self.max_delivery_attempts,
                most_attempts,
            ),
            (
                "eventTimeToLiveInMinutes",
                self.event_ttl_minutes,
                most_minutes,
            ),
        ] {
            if !(1..=max).contains(&(value as usize)) {
                return Err(Error::invalid(format!(
                    "retryPolicy.{name} is {value}: expected a whole number from 1 to {max}"
                )));
            }
        }
        if let Some(container) = &self.dead_letter {
            check_container_of(container)?;
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
        if let Some(seconds) = self.lock_seconds {
            if !pulled {
                return Err(Error::invalid(
                    "a time to lock is given, and events are pushed: only received events are locked",
                ));
            }
            if !(RECEIVE_LOCK_LEAST_S..=RECEIVE_LOCK_MOST_S).contains(&(seconds as usize)) {
                return Err(Error::invalid(format!(
                    "events are to be locked for {seconds} seconds: {RECEIVE_LOCK_LEAST_S} to {RECEIVE_LOCK_MOST_S} are possible"
                )));
            }
        }
        if pulled
            && self
                .schema
                .is_some_and(|schema| schema != DeliverySchema::CloudEvents)
        {
            return Err(Error::invalid(
                "eventDeliverySchema is not possible where events are received: they come as CloudEvents, leave it out",
            ));
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
        let schema = self.schema.or_else(|| match self.target {
            Target::Pull => Some(DeliverySchema::CloudEvents),
            _ => DeliverySchema::default_for(facts.topic_schema),
        });
        let dead_letter = self.dead_letter.as_ref().map(|container| {
            let (account, container) = container.split_once(':').unwrap_or((DEFAULT, container));
            json!({
                "endpointType": "StorageBlob",
                "properties": {
                    "resourceId": format!(
                        "{scope}/providers/Microsoft.Storage/storageAccounts/{account}"
                    ),
                    "blobContainerName": container,
                },
            })
        });
        let mut properties = json!({
            "topic": facts.topic_resource_id,
            "provisioningState": facts.provisioning.arm(),
            "filter": self.filter.to_json(),
            "eventDeliverySchema": schema.map(DeliverySchema::arm),
        });
        self.lifetime_to_json(&mut properties);
        if self.target == Target::Pull {
            if let Some(filters) = self.filter.to_namespace_json() {
                properties["filtersConfiguration"] = filters;
            }
            properties["deliveryConfiguration"] = queue::to_json(self, dead_letter);
        } else {
            let mut destination = self.target.to_json(scope);
            if let Some(properties) = destination.get_mut("properties") {
                properties["maxEventsPerBatch"] = self.max_events_per_batch.into();
                properties["preferredBatchSizeInKilobytes"] = self.preferred_batch_kilobytes.into();
                if !self.attributes.is_empty() {
                    let attributes: Vec<Value> =
                        self.attributes.iter().map(Attribute::to_json).collect();
                    properties["deliveryAttributeMappings"] = attributes.into();
                }
                if !self.is_ordered() {
                    properties["ordering"] = "none".into();
                }
                if !self.validation.is_auto() {
                    properties["validation"] = self.validation.to_string().into();
                }
            }
            properties["destination"] = destination;
            properties["retryPolicy"] = json!({
                "maxDeliveryAttempts": self.max_delivery_attempts,
                "eventTimeToLiveInMinutes": self.event_ttl_minutes,
            });
            properties["deadLetterDestination"] = dead_letter.into();
        }
        json!({
            "id": format!("{}/eventSubscriptions/{}", facts.topic_resource_id, facts.name),
            "name": facts.name,
            "type": "Microsoft.EventGrid/topics/eventSubscriptions",
            "properties": properties,
        })
    }
}

/// The most attempts, and minutes of life, of an event on its way to a target; the defaults too.
fn most(target: &Target) -> (usize, usize) {
    match target {
        Target::Pull => (PULL_DELIVERIES, PULL_TTL_MINUTES),
        _ => (DELIVERY_ATTEMPTS, EVENT_TTL_MINUTES),
    }
}

pub(super) fn dead_letter(properties: &Fields<'_>) -> Result<Option<String>> {
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
    blob.only(&["resourceId", "blobContainerName"])?;
    let id = blob.text("resourceId")?.unwrap_or("");
    let container = blob.text("blobContainerName")?.ok_or_else(missing)?;
    check_container(container).map_err(|error| error.context(&name))?;
    // Whether there is such an account is for the server to say.
    Ok(Some(match after(id, "storageAccounts") {
        Some(account) if account != DEFAULT => {
            check_storage_account(account)
                .map_err(|error| error.context(blob.name_of("resourceId")))?;
            format!("{account}:{container}")
        }
        _ => container.to_owned(),
    }))
}
