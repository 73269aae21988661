//! The resources of `azure-native` that there are here, as parts of a Foretell server.
//!
//! Each type is a file. What they have in common (names, ids, checks by the schema, what differs,
//! outputs) is in `native.rs`.

mod arm;
mod blob;
mod code;
mod event_subscription;
mod functions;
mod group;
mod json;
mod namespace;
mod native;
mod pack;
mod plan;
mod refused;
mod resource;
mod sas;
mod schema;
mod storage;
mod subscription;
mod topic;
mod web_app;
mod web_settings;

pub use native::{AzureNative, AzureOptions};
