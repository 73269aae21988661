//! Runs a Pulumi program, unmodified, and makes what it declares.
//!
//! A program talks to a resource monitor. This one compares each resource with what the stack
//! had, and lets a [`Provider`] make, change or delete it.

mod diff;
mod provider;
mod urn;
mod value;

pub use diff::{Change, ChangeKind, Diff, compare};
pub use provider::{
    Check, CheckFailure, Create, Created, Delete, Invoke, Partial, Provider, Read, Resource,
    Supported, Update,
};
pub use urn::{Urn, unversioned};
pub use value::{Archive, ArchiveSource, Asset, AssetSource, Properties, ResourceReference, Value};
