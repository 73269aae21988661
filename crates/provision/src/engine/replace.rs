use std::collections::BTreeSet;

use foretell_types::Result;

use super::custom::{Stop, Work};
use super::deployment::Deployment;
use super::goal::Registered;
use super::report::Phase;
use crate::stack::{Operation, ResourceState, StackEvent, dependents, ordered};
use crate::{Diff, Properties, Resource, Urn, Value};

impl Deployment {
    /// Makes a resource anew. The old one goes after the program has ended, or first if both
    /// can't be there at once; then all goes first that would have to be replaced without it.
    pub(super) async fn replace(
        &self,
        mut work: Work,
        live: ResourceState,
        inputs: Properties,
        diff: Diff,
    ) -> Result<Registered, Stop> {
        if live.protect {
            return Err(work.stop(format!(
                "it is protected, and {} can't be changed in place: remove `protect` first if it may be replaced",
                paths(&diff)
            )));
        }
        // Another name is made for it, unless an earlier run made one.
        let old = work.pending.as_ref().map(|pending| pending.inputs.clone());
        work.next.inputs = self.check(&work, &inputs, old.as_ref())?;
        let same_id = self.provider.identify(work.resource(), &work.next.inputs);
        // Both can't be there at once, or may not.
        let first = work.goal.options.delete_before_replace == Some(true)
            || (same_id.is_some() && same_id == live.id);
        let mut report = work.report(Operation::Replace, Phase::Started, &diff);
        if first {
            self.delete_first(&work, &live).await?;
            report.note = Some("the old one is deleted first".to_owned());
        }
        self.run().replaced.insert(work.next.urn.clone());
        self.step_with(report.clone());
        self.make(&mut work, Operation::Replace, &mut report, &inputs)
            .await
    }

    async fn delete_first(&self, work: &Work, live: &ResourceState) -> Result<(), Stop> {
        for urn in self.must_follow(live).await? {
            let Some(dependent) = self.live(&urn).await else {
                continue;
            };
            if dependent.protect {
                return Err(work.stop(format!(
                    "{urn} needs it and would be replaced too, but it is protected"
                )));
            }
            self.remove(work, &dependent).await?;
            self.run().replaced.insert(urn);
        }
        self.remove(work, live).await
    }

    async fn remove(&self, work: &Work, state: &ResourceState) -> Result<(), Stop> {
        self.delete_state(state)
            .await
            .map_err(|error| work.stop(format!("{} can't be deleted: {error}", state.urn)))?;
        let event = StackEvent::StepEnded {
            operation: Operation::Delete,
            urn: state.urn.clone(),
            resource: None,
            was: None,
            id: state.id.clone(),
            error: None,
        };
        Ok(self.record(event).await?)
    }

    /// All that would be replaced if nothing were known of `root` any more, last needed first.
    async fn must_follow(&self, root: &ResourceState) -> Result<Vec<Urn>, Stop> {
        let state = self.state().await;
        let mut found = BTreeSet::new();
        let mut left = vec![root.urn.clone()];
        while let Some(urn) = left.pop() {
            for dependent in dependents(&state.resources, &urn) {
                let known = found.contains(&dependent.urn);
                if known || !dependent.custom || dependent.external {
                    continue;
                }
                if self.is_replaced_without(dependent, &urn).await? {
                    found.insert(dependent.urn.clone());
                    left.push(dependent.urn.clone());
                }
            }
        }
        let mut order = ordered(&state.resources);
        order.reverse();
        order.retain(|urn| found.contains(urn));
        Ok(order)
    }

    async fn is_replaced_without(&self, resource: &ResourceState, urn: &Urn) -> Result<bool, Stop> {
        if resource.deleted_with.as_ref() == Some(urn) {
            return Ok(true);
        }
        let mut inputs = resource.inputs.clone();
        for (name, needs) in &resource.property_dependencies {
            if needs.contains(urn) {
                inputs.insert(name.clone(), Value::Unknown);
            }
        }
        let config = self.config_of(resource.provider.as_deref()).await?;
        let token = resource.token();
        let of = Resource {
            urn: &resource.urn,
            token: &token,
            config: &config,
        };
        Ok(self.provider.diff(of, &resource.inputs, &inputs).replaces())
    }
}

fn paths(diff: &Diff) -> String {
    let replacing = diff.changes.iter().filter(|change| change.replace);
    let paths: Vec<_> = replacing.map(|change| change.path.as_str()).collect();
    paths.join(", ")
}
