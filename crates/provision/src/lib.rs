//! Runs a Pulumi program, unmodified, and makes what it declares.
//!
//! A program talks to a resource monitor. This one compares each resource with what the stack
//! had, and lets a [`Provider`] make, change or delete it.

pub mod azure;
mod control;
mod diff;
mod engine;
mod language;
mod limits;
mod monitor;
mod project;
mod provider;
mod run;
mod stack;
mod urn;
mod value;
mod wire;

#[allow(missing_debug_implementations)]
mod proto {
    tonic::include_proto!("pulumirpc");
}

pub use control::{Body, Control, Method};
pub use diff::{Change, ChangeKind, Diff, at_path, compare};
pub use engine::{
    Alias, AliasParent, Call, Deployment, Goal, Options, Phase, ReadGoal, Registered, Report,
    Reporter, Settings, Severity, StepReport, Timeouts,
};
pub use project::{Flags, Project};
pub use provider::{
    Check, CheckFailure, Create, Created, Delete, Invoke, Known, Partial, Provider, Read, Resource,
    Supported, Update,
};
pub use run::{MakeProvider, Outcome, Runner, outputs};
pub use stack::{
    Changes, History, MemoryStore, Operation, ResourceState, StackEvent, StackName, StackState,
    StackStore, UpdateKind,
};
pub use urn::{Urn, unversioned};
pub use value::{Archive, ArchiveSource, Asset, AssetSource, Properties, ResourceReference, Value};
pub use wire::{Accepts, to_json};
