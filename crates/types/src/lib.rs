//! The words of Foretell: a CloudEvents 1.0 [`NewEvent`] before it is appended, a
//! [`RecordedEvent`] after, the [`Position`]s and [`Revision`]s it is given, the [`Query`]s and
//! [`AppendCondition`]s that speak about it, and the JSON that the world writes it in.
//!
//! Nothing here does I/O, reads a clock or knows a runtime.
//!
//! ```
//! use foretell_types::{cloudevents, eventgrid};
//!
//! let text = br#"{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed",
//!                 "subject":"customer/7","data":{"total":12.50}}"#;
//! let event = cloudevents::from_json(text).unwrap();
//! assert_eq!(event.subject.as_deref(), Some("customer/7"));
//! let json = eventgrid::to_json(&event, None);
//! assert!(json.contains(r#""eventType":"order.placed""#));
//! ```

pub mod cloudevents;
mod compact;
mod error;
mod event;
pub mod eventgrid;
pub mod limits;
mod members;
mod names;
mod number;
mod query;
mod timestamp;
mod validate;

pub use compact::compact_json;
pub use error::{Error, ErrorKind, Result};
pub use event::{Data, ExtensionValue, NewEvent, RecordedEvent};
pub use members::JsonMembers;
pub use names::{
    NamespaceName, SubscriptionName, TopicName, check_blob, check_container, check_container_of,
    check_function_app, check_storage_account, in_namespace, is_system_topic,
};
pub use number::{Position, Revision};
pub use query::{AppendCondition, ExpectedRevision, Query, QueryItem};
pub use timestamp::{Instant, Timestamp};
pub use validate::{
    KNOWN_TIME, NOT_BEFORE, RESERVED_ATTRIBUTES, TAGS, validate, validate_extension_name,
};
