//! Making, changing and taking over one resource.

use std::future::Future;
use std::time::Duration;

use foretell_types::{Error, ErrorKind, Result};

use super::custom::{Stop, Work};
use super::deployment::Deployment;
use super::goal::Registered;
use super::report::Phase;
use super::secret;
use crate::limits::STEP_TIMEOUT;
use crate::stack::{Operation, ResourceState, StackEvent};
use crate::{ChangeKind, Create, Created, Delete, Diff, Partial, Properties, Update};

impl Deployment {
    /// Nothing differs: only what the program says of it beside its properties is kept.
    pub(super) async fn leave(
        &self,
        mut work: Work,
        live: ResourceState,
    ) -> Result<Registered, Stop> {
        work.next.id = live.id;
        work.next.outputs = live.outputs;
        secret::mark_names(
            &mut work.next.outputs,
            &work.goal.options.additional_secret_outputs,
        );
        self.step(&work.next, Operation::Same, Phase::Started);
        self.keep(Operation::Same, work.next.clone()).await?;
        self.step(&work.next, Operation::Same, Phase::Done);
        Ok(registered(&work.next))
    }

    pub(super) async fn create(
        &self,
        mut work: Work,
        inputs: &Properties,
        gone: bool,
    ) -> Result<Registered, Stop> {
        let anew = self.run().replaced.contains(&work.next.urn);
        let operation = match anew {
            true => Operation::Replace,
            false => Operation::Create,
        };
        let mut report = work.report(operation, Phase::Started, &Diff::default());
        if gone {
            report.note = Some("was gone: is made again".to_owned());
        }
        self.step_with(report.clone());
        self.make(&mut work, operation, &mut report, inputs).await
    }

    /// Makes what `work.next` says; as a replacement it takes the place of what is live.
    pub(super) async fn make(
        &self,
        work: &mut Work,
        operation: Operation,
        report: &mut super::StepReport,
        inputs: &Properties,
    ) -> Result<Registered, Stop> {
        if self.settings.preview {
            // As little is known as on a machine where making it takes its time.
            work.next.outputs.clone_from(inputs);
            self.keep(operation, work.next.clone()).await?;
            report.phase = Phase::Done;
            self.step_with(report.clone());
            return Ok(registered(&work.next));
        }
        let id = self.provider.identify(work.resource(), &work.next.inputs);
        let resumed = self.resume(work, id.as_ref()).await?;
        let mut begun = work.next.clone();
        begun.id = id;
        self.record(StackEvent::StepStarted {
            operation,
            urn: begun.urn.clone(),
            resource: Some(Box::new(begun)),
        })
        .await?;
        let create = self.provider.create(Create {
            resource: work.resource(),
            inputs: &work.next.inputs,
            resumed,
        });
        let failed = match within(work.goal.options.timeouts.create, create).await {
            Ok(created) => {
                self.made(work, created, false);
                None
            }
            Err(partial) => Some(partial),
        };
        self.end(work, operation, failed, report).await
    }

    /// Takes up what an earlier run began. What it began with another id is deleted first.
    async fn resume(&self, work: &Work, id: Option<&String>) -> Result<bool, Stop> {
        let Some(pending) = &work.pending else {
            return Ok(false);
        };
        if pending.id.as_ref() == id {
            return Ok(true);
        }
        self.delete_state(pending).await.map_err(|error| {
            work.stop(format!(
                "what an earlier run began can't be deleted: {error}"
            ))
        })?;
        self.record(StackEvent::StepEnded {
            operation: Operation::Delete,
            urn: pending.urn.clone(),
            resource: None,
            was: None,
            id: None,
            error: None,
        })
        .await?;
        Ok(false)
    }

    pub(super) async fn update(
        &self,
        mut work: Work,
        live: ResourceState,
        diff: Diff,
    ) -> Result<Registered, Stop> {
        let operation = Operation::Update;
        let mut report = work.report(operation, Phase::Started, &diff);
        if diff.is_empty() {
            report.note = Some("an earlier run didn't end it".to_owned());
        }
        self.step_with(report.clone());
        work.next.id.clone_from(&live.id);
        if self.settings.preview {
            work.next.outputs.clone_from(&live.outputs);
            for change in &diff.changes {
                if let Some(value) = work.next.inputs.get(change.property()) {
                    work.next
                        .outputs
                        .insert(change.property().to_owned(), value.clone());
                }
            }
            self.keep(operation, work.next.clone()).await?;
            report.phase = Phase::Done;
            self.step_with(report);
            return Ok(registered(&work.next));
        }
        self.record(StackEvent::StepStarted {
            operation,
            urn: work.next.urn.clone(),
            resource: None,
        })
        .await?;
        let id = live.id.clone().unwrap_or_default();
        let update = self.provider.update(Update {
            resource: work.resource(),
            id: &id,
            old: &live.inputs,
            old_outputs: &live.outputs,
            inputs: &work.next.inputs,
        });
        let failed = match within(work.goal.options.timeouts.update, update).await {
            Ok(outputs) => {
                self.made(&mut work, Created { id, outputs }, false);
                None
            }
            Err(mut partial) => {
                // What isn't said to be changed is as it was, but for what isn't known.
                partial.made.get_or_insert_with(|| {
                    work.next.inputs.clone_from(&live.inputs);
                    Created {
                        id,
                        outputs: live.outputs.clone(),
                    }
                });
                Some(partial)
            }
        };
        self.end(&mut work, operation, failed, &mut report).await
    }

    fn made(&self, work: &mut Work, created: Created, incomplete: bool) {
        let next = &mut work.next;
        next.id = Some(created.id);
        next.outputs = created.outputs;
        next.incomplete = incomplete;
        secret::mark_like(&mut next.outputs, &next.inputs);
        secret::mark_names(
            &mut next.outputs,
            &work.goal.options.additional_secret_outputs,
        );
    }

    /// Records and reports how a step ended.
    async fn end(
        &self,
        work: &mut Work,
        operation: Operation,
        failed: Option<Partial>,
        report: &mut super::StepReport,
    ) -> Result<Registered, Stop> {
        let Some(partial) = failed else {
            self.keep(operation, work.next.clone()).await?;
            report.phase = Phase::Done;
            self.step_with(report.clone());
            return Ok(registered(&work.next));
        };
        let why = partial.error.to_string();
        let known = partial.made.is_some() || is_certain(partial.error.kind());
        if let Some(made) = partial.made {
            self.made(work, made, true);
        }
        // Where it isn't known what was made, that stays pending.
        if known {
            self.record(StackEvent::StepEnded {
                operation,
                urn: work.next.urn.clone(),
                resource: work.next.id.is_some().then(|| Box::new(work.next.clone())),
                was: None,
                id: None,
                error: Some(why.clone()),
            })
            .await?;
        }
        report.phase = Phase::Failed(why);
        self.step_with(report.clone());
        self.run().failed.insert(work.next.urn.clone());
        Ok(Registered {
            failed: true,
            ..registered(&work.next)
        })
    }

    /// Takes a resource that is there already into the stack.
    pub(super) async fn import(
        &self,
        mut work: Work,
        inputs: Properties,
        id: &str,
    ) -> Result<Registered, Stop> {
        if work.live.is_some() {
            return Err(work.stop(format!(
                "the stack has another resource of this name: {id:?} can't be imported"
            )));
        }
        let read = self.provider.read(work.resource(), id, None).await;
        let read = read.map_err(|error| work.stop(error.to_string()))?;
        let read = read.ok_or_else(|| work.stop(format!("there is no {id:?} to be imported")))?;
        let inputs = work.ignoring(inputs, Some(&read.inputs))?;
        let checked = self.check(&work, &inputs, Some(&read.inputs))?;
        let diff = self.provider.diff(work.resource(), &read.inputs, &checked);
        // What the program leaves out may be as it is, and what can't be read is as it says.
        let differs = diff.changes.iter().filter(|change| {
            change.kind != ChangeKind::Delete && read.inputs.contains_key(change.property())
        });
        let paths: Vec<_> = differs.map(|change| change.path.as_str()).collect();
        if !paths.is_empty() {
            return Err(work.stop(format!(
                "what is to be imported differs from the program in {}: write there what it is, then change it in another run",
                paths.join(", ")
            )));
        }
        work.next.inputs = checked;
        let created = Created {
            id: read.id,
            outputs: read.outputs,
        };
        self.made(&mut work, created, false);
        self.step(&work.next, Operation::Import, Phase::Started);
        self.keep(Operation::Import, work.next.clone()).await?;
        self.step(&work.next, Operation::Import, Phase::Done);
        Ok(registered(&work.next))
    }

    /// Has the provider delete a resource of the stack.
    pub(super) async fn delete_state(&self, state: &ResourceState) -> Result<()> {
        let untouched = !state.custom || state.external || state.retain_on_delete;
        let (Some(id), false, false) = (&state.id, untouched, self.settings.preview) else {
            return Ok(());
        };
        let token = state.token();
        if token.starts_with("pulumi:") {
            return Ok(());
        }
        let config = self.config_of(state.provider.as_deref()).await?;
        let delete = self.provider.delete(Delete {
            resource: crate::Resource {
                urn: &state.urn,
                token: &token,
                config: &config,
            },
            id,
            inputs: &state.inputs,
            outputs: &state.outputs,
            purge: self.settings.purge,
        });
        within(state.delete_timeout_ms.map(Duration::from_millis), delete).await
    }
}

pub(super) fn registered(state: &ResourceState) -> Registered {
    Registered {
        urn: state.urn.clone(),
        id: state.id.clone(),
        outputs: state.outputs.clone(),
        failed: false,
    }
}

/// Whether an error of this kind says that nothing was done.
fn is_certain(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Io | ErrorKind::Unavailable)
}

async fn within<T, E: From<Error>>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let limit = limit.unwrap_or(STEP_TIMEOUT);
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Error::unavailable(format!("it took more than {limit:?}")).into()))
}
