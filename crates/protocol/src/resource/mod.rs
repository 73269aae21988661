//! Event Grid's resource model, as far as topics and event subscriptions need it: foreign JSON to
//! and from plain structs. Sources: ARM `Microsoft.EventGrid/topics` and
//! `Microsoft.EventGrid/topics/eventSubscriptions`, API version 2022-06-15; the
//! `deliveryConfiguration` of a namespace's event subscriptions, API version 2024-06-01-preview.
//!
//! A field that would change what we do, and that we don't do yet, is refused by name; one that
//! only describes the resource is accepted and not kept.

mod attribute;
mod delivery_schema;
mod destination;
mod lifetime;
mod queue;
mod quota;
mod subscription;
mod target;
mod topic;
mod update;
mod validation;

pub use attribute::{Attribute, AttributeValue};
pub use delivery_schema::DeliverySchema;
pub use queue::ordering;
pub use quota::Quota;
pub use subscription::{SubscriptionDefinition, SubscriptionFacts};
pub use target::Target;
pub use topic::{TopicDefinition, TopicFacts};
pub use validation::{Provisioning, Validation};

/// Fields of every resource.
const ENVELOPE: [&str; 12] = [
    "id",
    "name",
    "type",
    "location",
    "tags",
    "sku",
    "kind",
    "identity",
    "systemData",
    "extendedLocation",
    "etag",
    "properties",
];
