use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ResourceState;
use crate::{Urn, Value};

/// What a run of a program is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpdateKind {
    Up,
    Down,
}

/// What is done with one resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    Create,
    Update,
    /// Made anew, with other inputs that can't be changed in place; the old one is deleted.
    Replace,
    Delete,
    Same,
    Read,
    Import,
    /// What a component gives.
    Outputs,
}

/// How many resources were changed, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    pub create: u64,
    pub update: u64,
    pub replace: u64,
    pub delete: u64,
    pub same: u64,
    pub read: u64,
    pub import: u64,
}

/// An event of a stack's stream. The stack's state is the fold of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all_fields = "camelCase")]
pub enum StackEvent {
    /// A run begins. `config`: what flags gave, which holds from now on.
    #[serde(rename = "foretell.stack.update.started")]
    UpdateStarted {
        kind: UpdateKind,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        config: BTreeMap<String, Value>,
    },
    /// A resource is about to be made, changed or deleted.
    #[serde(rename = "foretell.stack.step.started")]
    StepStarted {
        operation: Operation,
        urn: Urn,
        /// What is to be made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<Box<ResourceState>>,
    },
    /// A resource is as `resource` says; none: it is gone.
    #[serde(rename = "foretell.stack.step.ended")]
    StepEnded {
        operation: Operation,
        urn: Urn,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<Box<ResourceState>>,
        /// The name that it went by before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        was: Option<Urn>,
        /// The id of what is gone, where that isn't the resource of that name now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A run has ended.
    #[serde(rename = "foretell.stack.update.ended")]
    UpdateEnded {
        changes: Changes,
        failed: bool,
        /// Every secret that the stack still has: what was secret before is dropped.
        #[serde(default)]
        secrets: Vec<Value>,
        /// What flags gave is forgotten too.
        #[serde(default, skip_serializing_if = "is_false")]
        purged: bool,
    },
}

fn is_false(yes: &bool) -> bool {
    !yes
}

impl StackEvent {
    /// The event's type and its data.
    pub fn parts(&self) -> (String, serde_json::Value) {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        let kind = json["type"].as_str().unwrap_or("").to_owned();
        (kind, json["data"].take())
    }

    pub fn from_parts(kind: &str, data: serde_json::Value) -> foretell_types::Result<StackEvent> {
        let json = serde_json::json!({ "type": kind, "data": data });
        serde_json::from_value(json).map_err(|error| {
            foretell_types::Error::new(
                foretell_types::ErrorKind::NewerFormat,
                format!(
                    "an event {kind:?} of the stack isn't understood ({error}): was it written by a newer version of foretell?"
                ),
            )
        })
    }
}

impl Changes {
    pub fn count(&mut self, operation: Operation) {
        match operation {
            Operation::Create => self.create += 1,
            Operation::Update => self.update += 1,
            Operation::Replace => self.replace += 1,
            Operation::Delete => self.delete += 1,
            Operation::Same => self.same += 1,
            Operation::Read => self.read += 1,
            Operation::Import => self.import += 1,
            Operation::Outputs => {}
        }
    }

    /// Whether everything stays as it is.
    pub fn none(&self) -> bool {
        self.create + self.update + self.replace + self.delete + self.import == 0
    }
}
