use foretell_types::Result;

use super::deployment::Deployment;
use super::goal::{Goal, Registered};
use super::register::resource_of;
use super::report::{Phase, StepReport};
use super::step::registered;
use super::{assets, ignore, secret};
use crate::stack::{Operation, ResourceState, StackEvent};
use crate::{Check, CheckFailure, Diff, Known, Properties, Resource, Urn, Value, unversioned};

/// A declared resource, and what the stack has of it.
pub(super) struct Work {
    pub goal: Goal,
    /// As it will be, but for what its provider gives.
    pub next: ResourceState,
    pub token: String,
    pub config: Properties,
    /// It is there.
    pub live: Option<ResourceState>,
    /// It was begun to be made: it may be there.
    pub pending: Option<ResourceState>,
}

impl Work {
    pub fn resource(&self) -> Resource<'_> {
        Resource {
            urn: &self.next.urn,
            token: &self.token,
            config: &self.config,
        }
    }

    pub fn report(&self, operation: Operation, phase: Phase, diff: &Diff) -> StepReport {
        StepReport {
            urn: self.next.urn.clone(),
            parent: self.next.parent.clone(),
            operation,
            phase,
            changes: diff.changes.clone(),
            old: self
                .live
                .as_ref()
                .map(|live| live.inputs.clone())
                .unwrap_or_default(),
            new: self.next.inputs.clone(),
            note: None,
        }
    }
}

impl Deployment {
    pub(super) async fn register_custom(&self, urn: Urn, goal: Goal) -> Result<Registered> {
        let next = resource_of(urn.clone(), &goal);
        if !self.settings.preview && self.is_orphaned(&next, &goal) {
            return Ok(self.leave_out(next));
        }
        let token = unversioned(urn.token());
        let supported = self.provider.supported();
        if ![supported.types, supported.refused]
            .concat()
            .contains(&&*token)
        {
            return self.refused(&next, self.unsupported(urn.token())).await;
        }
        let (live, pending) = self
            .journal
            .with(|state| {
                let live = state.resources.get(&urn).cloned();
                (live, state.pending.get(&urn).cloned())
            })
            .await;
        let config = self.config_of(goal.options.provider.as_deref()).await?;
        let work = Work {
            goal,
            next,
            token,
            config,
            live: live.filter(|live| !live.external),
            pending,
        };
        let _permit = self.steps.acquire().await;
        match self.settle(work).await {
            Ok(registered) => Ok(registered),
            Err(Stop::Journal(error)) => Err(error),
            Err(Stop::Resource(next, why)) => self.refused(&next, why).await,
        }
    }

    /// Whether something that it needs failed. The program then gives values that aren't known.
    fn is_orphaned(&self, next: &ResourceState, goal: &Goal) -> bool {
        let run = self.run();
        next.needs().any(|need| run.failed.contains(&need))
            || goal.inputs.values().any(Value::has_unknown)
    }

    /// It stays as it is in this run.
    fn leave_out(&self, next: ResourceState) -> Registered {
        self.run().failed.insert(next.urn.clone());
        let mut report = StepReport::of(&next, Operation::Same, Phase::Skipped);
        report.note = Some("left out, since what it needs failed".to_owned());
        self.step_with(report);
        Registered {
            failed: true,
            ..registered(&next)
        }
    }

    async fn settle(&self, mut work: Work) -> Result<Registered, Stop> {
        let mut inputs = work.goal.inputs.clone();
        let root = self.settings.root.clone();
        let resolved = tokio::task::spawn_blocking(move || {
            assets::resolve(&mut inputs, &root).map(|()| inputs)
        });
        let inputs = match resolved.await {
            Ok(resolved) => resolved.map_err(|error| work.stop(error.to_string()))?,
            Err(error) => return Err(work.stop(format!("its files can't be read: {error}"))),
        };
        if let Some(id) = work.goal.options.import.clone().filter(|id| !id.is_empty())
            && work.live.as_ref().and_then(|live| live.id.as_ref()) != Some(&id)
        {
            return self.import(work, inputs, &id).await;
        }
        let gone = self.look(&mut work).await?;
        let base = work
            .live
            .as_ref()
            .or(gone.as_ref())
            .or(work.pending.as_ref());
        let base = base.map(|base| base.inputs.clone());
        let inputs = work.ignoring(inputs, base.as_ref())?;
        let checked = self.check(&work, &inputs, base.as_ref())?;
        let Some(live) = work.live.clone() else {
            work.next.inputs = checked;
            return self.create(work, &inputs, gone.is_some()).await;
        };
        let diff = self.diff(&work, &live, &checked)?;
        work.next.inputs = checked;
        if diff.replaces() {
            return self.replace(work, live, inputs, diff).await;
        }
        if diff.is_empty() && !live.incomplete {
            return self.leave(work, live).await;
        }
        self.update(work, live, diff).await
    }

    /// Looks whether the resource is still there, and takes its outputs as they are now: others
    /// than this program may change them, or the server's address. Gives what is gone.
    async fn look(&self, work: &mut Work) -> Result<Option<ResourceState>, Stop> {
        let Some(live) = &mut work.live else {
            return Ok(None);
        };
        let id = live.id.clone().unwrap_or_default();
        let resource = Resource {
            urn: &live.urn,
            token: &work.token,
            config: &work.config,
        };
        let known = Known {
            inputs: &live.inputs,
            outputs: &live.outputs,
        };
        let read = self.provider.read(resource, &id, Some(known)).await;
        let read =
            read.map_err(|error| Stop::Resource(Box::new(work.next.clone()), error.to_string()))?;
        if let Some(read) = read {
            let before = std::mem::replace(&mut live.outputs, read.outputs);
            secret::mark_like(&mut live.outputs, &before);
            if self.settings.refresh {
                let before = std::mem::replace(&mut live.inputs, read.inputs);
                secret::mark_like(&mut live.inputs, &before);
            }
            return Ok(None);
        }
        self.record(StackEvent::StepEnded {
            operation: Operation::Delete,
            urn: live.urn.clone(),
            resource: None,
            was: None,
            id: Some(id),
            error: None,
        })
        .await?;
        Ok(work.live.take())
    }

    /// Has the provider check inputs and complete them.
    pub(super) fn check(
        &self,
        work: &Work,
        inputs: &Properties,
        old: Option<&Properties>,
    ) -> Result<Properties, Stop> {
        let check = Check {
            resource: work.resource(),
            inputs,
            old,
            seed: self.seed(),
        };
        let mut checked = self
            .provider
            .check(check)
            .map_err(|failures| work.stop(told(&failures)))?;
        secret::mark_like(&mut checked, inputs);
        Ok(checked)
    }

    fn diff(&self, work: &Work, live: &ResourceState, checked: &Properties) -> Result<Diff, Stop> {
        let mut diff = self.provider.diff(work.resource(), &live.inputs, checked);
        let options = &work.goal.options;
        for path in &options.replace_on_changes {
            let pattern = ignore::parse(path).map_err(|error| work.stop(error.to_string()))?;
            for change in &mut diff.changes {
                change.replace |= ignore::touches(&pattern, &change.path);
            }
        }
        let triggered = match (&live.replacement_trigger, &options.replacement_trigger) {
            (Some(old), Some(new)) => old.revealed() != new.revealed(),
            _ => false,
        };
        let with = options
            .replace_with
            .iter()
            .any(|urn| self.run().replaced.contains(urn));
        for (holds, path) in [(triggered, "replacementTrigger"), (with, "replaceWith")] {
            if holds {
                diff.changes.push(crate::Change {
                    path: path.to_owned(),
                    kind: crate::ChangeKind::Update,
                    replace: true,
                });
            }
        }
        Ok(diff)
    }
}

impl Work {
    pub fn stop(&self, why: String) -> Stop {
        Stop::Resource(Box::new(self.next.clone()), why)
    }

    /// The inputs, but for what the program wants to be left as it is.
    pub fn ignoring(
        &self,
        mut inputs: Properties,
        old: Option<&Properties>,
    ) -> Result<Properties, Stop> {
        let Some(old) = old else { return Ok(inputs) };
        for path in &self.goal.options.ignore_changes {
            let path = ignore::parse(path).map_err(|error| self.stop(error.to_string()))?;
            ignore::keep(&path, old, &mut inputs);
        }
        Ok(inputs)
    }
}

/// Why a resource isn't settled.
pub(super) enum Stop {
    /// The run must end: nothing can be recorded.
    Journal(foretell_types::Error),
    /// This resource failed; the others go on.
    Resource(Box<ResourceState>, String),
}

impl From<foretell_types::Error> for Stop {
    fn from(error: foretell_types::Error) -> Stop {
        Stop::Journal(error)
    }
}

fn told(failures: &[CheckFailure]) -> String {
    let all = failures
        .iter()
        .map(|failure| match failure.property.as_str() {
            "" => failure.reason.clone(),
            property => format!("{property}: {}", failure.reason),
        });
    all.collect::<Vec<_>>().join("; ")
}
