//! What the HTTP server says and understands, as plain functions over parsed request parts:
//! reading published events, checking keys, signatures and tokens, answering errors, filtering, and
//! Event Grid's resource model. No I/O, no clock, no runtime: whoever calls brings them.
//!
//! The forms are those of Azure Event Grid (its documentation, its SDKs' captured requests in
//! `tests/fixtures`) and of CloudEvents 1.0.
//!
//! ```
//! use foretell_protocol::{Fill, InputSchema, TopicSchema, read_events};
//! use foretell_types::Instant;
//!
//! struct Server;
//! impl Fill for Server {
//!     fn id(&mut self) -> String {
//!         "a-generated-guid".to_owned()
//!     }
//!     fn now(&mut self) -> Instant {
//!         Instant::from_nanos(0)
//!     }
//! }
//!
//! let topic = TopicSchema { resource_id: "/topics/shop", schema: InputSchema::Any, mapping: None };
//! let body = br#"[{"id":"1","subject":"customer/7","eventType":"order.placed",
//!                  "eventTime":"2024-05-01T12:00:00Z","data":{"total":12.50},"dataVersion":"1"}]"#;
//! let events = read_events(&http::HeaderMap::new(), body, &topic, &mut Server)?;
//! assert_eq!(events[0].event_type, "order.placed");
//! assert_eq!(events[0].source, "/topics/shop");
//! # Ok::<(), foretell_types::Error>(())
//! ```

mod access;
mod config;
mod field;
mod filter;
mod publish;
mod pull;
mod reply;
mod resource;

pub use access::{
    Credentials, Grants, Key, KeySlot, MasterKey, Permission, SignedRoot, Token, TokenKeys,
    TokenRules, check_admin, check_issuer_url, check_topic, discovery_url, keys_url, parse_expiry,
    sas_token,
};
pub use config::{from_config, to_config};
pub use filter::{AdvancedFilter, Filter, Operator};
pub use publish::{
    Fill, InputMapping, InputSchema, MappedField, RequestLimits, TopicSchema, read_events,
    read_events_within,
};
pub use pull::{
    Delivery, lock_tokens, max_events, max_wait_s, received_json, release_delay_s, settled_json,
};
pub use reply::{Face, Reply, error_from_body, retry_after_s, status};
pub use resource::{
    Attribute, AttributeValue, DeliverySchema, Provisioning, Quota, SubscriptionDefinition,
    SubscriptionFacts, Target, TopicDefinition, TopicFacts, Validation, ordering,
};
