//! Updates: a JSON Merge Patch (RFC 7396) over the resource as it is answered.
//! Sources: ARM `TopicUpdateParameters`, `EventSubscriptionUpdateParameters` (its fields stand at
//! the top) and a namespace's `SubscriptionUpdateParameters` (they stand in `properties`).

use foretell_types::{Error, Result};
use serde_json::{Map, Value, json};

use super::subscription::KNOWN;
use super::{SubscriptionDefinition, SubscriptionFacts, Target, TopicDefinition, TopicFacts};
use crate::field::Fields;

/// Of a topic's properties: what the service says, and what only a new topic can have.
const TOPIC_FIXED: [&str; 5] = [
    "erasable",
    "provisioningState",
    "endpoint",
    "metricResourceId",
    "privateEndpointConnections",
];
const SUBSCRIPTION_FIXED: [&str; 2] = ["topic", "provisioningState"];
const FIXED: [&str; 8] = [
    "id",
    "name",
    "type",
    "location",
    "kind",
    "systemData",
    "extendedLocation",
    "etag",
];
const SCHEMA: &str = "eventDeliverySchema";
const MAPPINGS: &str = "deliveryAttributeMappings";

impl TopicDefinition {
    /// The definition after an update, checked whole; an error names the field.
    pub fn updated(&self, update: &Value, facts: &TopicFacts<'_>) -> Result<TopicDefinition> {
        let fields = Fields::of("", update)?;
        changeable(update, &fields, &FIXED)?;
        fields.only(&["tags", "sku", "identity", "properties"])?;
        if let Some(properties) = fields.object("properties")? {
            changeable(&update["properties"], &properties, &TOPIC_FIXED)?;
        }
        let mut resource = self.to_json(facts);
        merge(&mut resource, update);
        TopicDefinition::from_json(&resource)
    }
}

impl SubscriptionDefinition {
    /// The definition after an update, checked whole; an error names the field. Secrets among
    /// the delivery attributes stay unless the update gives others.
    pub fn updated(
        &self,
        update: &Value,
        facts: &SubscriptionFacts<'_>,
    ) -> Result<SubscriptionDefinition> {
        let fields = Fields::of("", update)?;
        changeable(update, &fields, &FIXED)?;
        let (update, fields) = match fields.object("properties")? {
            Some(properties) => {
                fields.only(&["properties"])?;
                (&update["properties"], properties)
            }
            None => (update, fields),
        };
        changeable(update, &fields, &SUBSCRIPTION_FIXED)?;
        fields.only(&KNOWN)?;
        let mut properties = self.to_json(facts)["properties"].take();
        self.make_way(&mut properties, update);
        let keeps_attributes = self.keeps_attributes(update, &properties);
        merge(&mut properties, update);
        if keeps_attributes {
            destination_properties(&mut properties).map(|fields| fields.remove(MAPPINGS));
        }
        let resource = json!({ "properties": properties });
        let mut updated = SubscriptionDefinition::from_json(&resource, facts.topic_schema)?;
        if keeps_attributes {
            updated.attributes.clone_from(&self.attributes);
            updated.check(facts.topic_schema)?;
        }
        Ok(updated)
    }

    /// Takes out what the update replaces as a whole: a destination of one kind is nothing to
    /// merge one of another kind with.
    fn make_way(&self, properties: &mut Value, update: &Value) {
        let Value::Object(fields) = properties else {
            return;
        };
        if self.schema.is_none() {
            fields.remove(SCHEMA);
        }
        // One filter is there in two forms; the update says which it means.
        match update.get("filtersConfiguration") {
            Some(_) => fields.remove("filter"),
            None => fields.remove("filtersConfiguration"),
        };
        let is_there = |name: &str| update.get(name).is_some_and(|value| !value.is_null());
        if self.target == Target::Pull && is_there("destination") {
            let queue = fields.remove("deliveryConfiguration").unwrap_or_default();
            let letters = "/queue/deadLetterDestinationWithResourceIdentity/deadLetterDestination";
            if let Some(letters) = queue.pointer(letters) {
                fields.insert("deadLetterDestination".to_owned(), letters.clone());
            }
            fields.remove(SCHEMA);
        } else if self.target != Target::Pull && is_there("deliveryConfiguration") {
            for name in ["destination", "retryPolicy", SCHEMA] {
                fields.remove(name);
            }
        }
        let kind = |value: Option<&Value>| {
            let kind = value?.get("endpointType")?.as_str()?;
            Some(kind.to_ascii_lowercase())
        };
        let named = kind(update.get("destination"));
        if named.is_some() && named != kind(fields.get("destination")) {
            fields.remove("destination");
        }
    }

    /// Whether the headers that are there go on as they are.
    fn keeps_attributes(&self, update: &Value, properties: &Value) -> bool {
        let destination = update.get("destination");
        let given = destination.and_then(|destination| destination.get("properties"));
        let is_given = given.is_some_and(|given| given.is_null() || given.get(MAPPINGS).is_some());
        let is_removed = destination.is_some_and(Value::is_null);
        !self.attributes.is_empty()
            && properties.get("destination").is_some()
            && !is_given
            && !is_removed
    }
}

/// Refuses by name what can't be changed.
fn changeable(update: &Value, fields: &Fields<'_>, fixed: &[&str]) -> Result<()> {
    match fixed.iter().find(|name| update.get(**name).is_some()) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "{} can't be changed: leave it out",
            fields.name_of(name)
        ))),
    }
}

fn destination_properties(properties: &mut Value) -> Option<&mut Map<String, Value>> {
    let destination = properties.get_mut("destination")?;
    destination.get_mut("properties")?.as_object_mut()
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}
