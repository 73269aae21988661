use std::collections::BTreeMap;

use foretell_types::Result;

use super::{Operation, ResourceState, StackEvent};
use crate::wire::{Accepts, to_json};
use crate::{ArchiveSource, Properties, Urn, Value};

/// What a stack has: the fold of its events.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StackState {
    /// The resources there are, by name.
    pub resources: BTreeMap<Urn, ResourceState>,
    /// Those that were begun to be made and of which it isn't known whether they are there.
    pub pending: BTreeMap<Urn, ResourceState>,
    /// Those that were replaced and are still there.
    pub replaced: Vec<ResourceState>,
    /// What flags of earlier runs gave.
    pub config: BTreeMap<String, Value>,
    /// A run has begun and not ended.
    pub running: bool,
}

impl StackState {
    pub fn fold(events: impl IntoIterator<Item = StackEvent>) -> Result<StackState> {
        let mut state = StackState::default();
        for event in events {
            state.apply(event);
        }
        Ok(state)
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.pending.is_empty() && self.replaced.is_empty()
    }

    pub fn apply(&mut self, event: StackEvent) {
        match event {
            StackEvent::UpdateStarted { config, .. } => {
                self.running = true;
                self.config.extend(config);
            }
            StackEvent::StepStarted {
                operation,
                urn,
                resource,
            } => self.begin(operation, &urn, resource),
            StackEvent::StepEnded {
                operation,
                urn,
                resource,
                was,
                id,
                ..
            } => {
                if let Some(was) = was {
                    self.rename(&was, &urn);
                }
                match resource {
                    Some(resource) => self.put(operation, *resource),
                    None => self.remove(&urn, id.as_deref()),
                }
            }
            StackEvent::UpdateEnded { purged, .. } => {
                self.running = false;
                if purged {
                    self.config.clear();
                }
            }
        }
    }

    fn begin(&mut self, operation: Operation, urn: &Urn, resource: Option<Box<ResourceState>>) {
        match operation {
            Operation::Create | Operation::Replace => {
                if let Some(resource) = resource {
                    self.pending.insert(urn.clone(), *resource);
                }
            }
            Operation::Update => {
                if let Some(live) = self.resources.get_mut(urn) {
                    live.incomplete = true;
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, operation: Operation, resource: ResourceState) {
        let urn = resource.urn.clone();
        if matches!(operation, Operation::Create | Operation::Replace) {
            self.pending.remove(&urn);
        }
        let live = self.resources.insert(urn, resource);
        if operation == Operation::Replace {
            self.replaced.extend(live);
        }
    }

    /// Without an id it is the resource of that name that is gone, or what was begun of it.
    fn remove(&mut self, urn: &Urn, id: Option<&str>) {
        let Some(id) = id else {
            if self.pending.remove(urn).is_none() {
                self.resources.remove(urn);
            }
            return;
        };
        let place = self
            .replaced
            .iter()
            .position(|old| old.urn == *urn && old.id.as_deref() == Some(id));
        match place {
            Some(at) => drop(self.replaced.remove(at)),
            None if self.resources.get(urn).and_then(|live| live.id.as_deref()) == Some(id) => {
                self.resources.remove(urn);
            }
            None => drop(self.pending.remove(urn)),
        }
    }

    /// Has a resource, and all that refers to it, go by its new name.
    fn rename(&mut self, was: &Urn, urn: &Urn) {
        let to = |name: &Urn| (name == was).then(|| urn.clone());
        for map in [&mut self.resources, &mut self.pending] {
            let all = std::mem::take(map);
            map.extend(all.into_values().map(|mut resource| {
                resource.rename(&to);
                (resource.urn.clone(), resource)
            }));
        }
        for old in &mut self.replaced {
            old.rename(&to);
        }
    }

    /// All that is secret in it, each value once.
    pub fn secrets(&self) -> Vec<Value> {
        let live = self.resources.values().chain(self.pending.values());
        let mut found = BTreeMap::new();
        for resource in live.chain(&self.replaced) {
            for properties in [&resource.inputs, &resource.outputs] {
                properties
                    .values()
                    .for_each(|value| collect(value, &mut found));
            }
            if let Some(trigger) = &resource.replacement_trigger {
                collect(trigger, &mut found);
            }
        }
        self.config
            .values()
            .for_each(|value| collect(value, &mut found));
        found.into_values().collect()
    }

    /// What the program exports.
    pub fn outputs(&self) -> Option<&Properties> {
        let stack = self
            .resources
            .values()
            .find(|resource| resource.urn.token() == crate::urn::STACK)?;
        Some(&stack.outputs)
    }
}

/// Takes the secrets of a value, by their text.
fn collect(value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Secret(_) => {
            into.insert(to_json(value, Accepts::ALL).to_string(), value.clone());
        }
        Value::List(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Map(map) => map.values().for_each(|item| collect(item, into)),
        Value::Archive(archive) => {
            if let ArchiveSource::Parts(parts) = &archive.source {
                parts.values().for_each(|part| collect(part, into));
            }
        }
        _ => {}
    }
}
