use foretell_types::{Error, Result};

use super::deployment::Deployment;
use super::goal::{Goal, Options, ReadGoal, Registered};
use super::register::resource_of;
use super::report::Phase;
use super::secret;
use super::step::registered;
use crate::stack::{Operation, StackName, StackState};
use crate::{Properties, Resource, Urn, Value, unversioned};

const STACK_REFERENCE: &str = "pulumi:pulumi:StackReference";

impl Deployment {
    /// Looks at a resource that isn't the stack's: `.get()` of a program, or another stack.
    pub async fn read(&self, goal: ReadGoal) -> Result<Registered> {
        let urn = self.claim(&goal.token, &goal.name, goal.parent.as_ref())?;
        let mut state = resource_of(
            urn.clone(),
            &Goal {
                parent: goal.parent.clone().or_else(|| self.root()),
                custom: true,
                dependencies: goal.dependencies.clone(),
                options: Options {
                    provider: goal.provider.clone(),
                    ..Options::default()
                },
                ..Goal::default()
            },
        );
        state.external = true;
        state.inputs.clone_from(&goal.inputs);
        let id = match goal.id {
            Some(id) => id,
            // Only in a preview.
            None => {
                state.outputs = goal.inputs;
                return Ok(registered(&state));
            }
        };
        if goal.token == STACK_REFERENCE {
            state.outputs = self.read_stack(&id, &goal.inputs).await?;
            state.id = Some(id);
        } else {
            let token = unversioned(urn.token());
            if !self.provider.supported().types.contains(&token.as_str()) {
                return Err(Error::invalid(self.unsupported(urn.token())));
            }
            let config = self.config_of(goal.provider.as_deref()).await?;
            let resource = Resource {
                urn: &urn,
                token: &token,
                config: &config,
            };
            let read = self
                .provider
                .read(resource, &id, None)
                .await?
                .ok_or_else(|| {
                    Error::not_found(format!(
                        "there is no {token} {id:?}, which the program looks for"
                    ))
                })?;
            state.id = Some(read.id);
            state.outputs = read.outputs;
            secret::mark_names(&mut state.outputs, &goal.additional_secret_outputs);
        }
        self.step(&state, Operation::Read, Phase::Started);
        self.keep(Operation::Read, state.clone()).await?;
        self.step(&state, Operation::Read, Phase::Done);
        Ok(registered(&state))
    }

    /// Whether there is a resource of this id.
    pub async fn exists(&self, token: &str, id: &str, provider: Option<String>) -> Result<bool> {
        let unversioned = unversioned(token);
        if !self
            .provider
            .supported()
            .types
            .contains(&unversioned.as_str())
        {
            return Err(Error::invalid(self.unsupported(token)));
        }
        let name = &self.settings.name;
        let urn = Urn::new(&name.stack, &name.project, None, token, "exists");
        let config = self.config_of(provider.as_deref()).await?;
        let resource = Resource {
            urn: &urn,
            token: &unversioned,
            config: &config,
        };
        Ok(self.provider.read(resource, id, None).await?.is_some())
    }

    /// The outputs of another stack, named `STACK`, `PROJECT/STACK` or `ORG/PROJECT/STACK`.
    async fn read_stack(&self, id: &str, inputs: &Properties) -> Result<Properties> {
        let text = inputs.get("name").and_then(Value::as_str).unwrap_or(id);
        let parts: Vec<&str> = text.split('/').collect();
        let name = match parts.as_slice() {
            [stack] => StackName::new(&self.settings.name.project, stack)?,
            [project, stack] | [_, project, stack] => StackName::new(project, stack)?,
            _ => {
                return Err(Error::invalid(format!(
                    "{text:?} is not the name of a stack"
                )));
            }
        };
        let history = self.store.load(&name).await?;
        let state = StackState::fold(history.events)?;
        let outputs = state.outputs().cloned().ok_or_else(|| {
            Error::not_found(format!(
                "there is no stack {name}: run `foretell up` of it first"
            ))
        })?;
        let secret: Vec<Value> = outputs
            .iter()
            .filter(|(_, value)| value.has_secret())
            .map(|(name, _)| name.as_str().into())
            .collect();
        Ok(Properties::from([
            ("name".to_owned(), text.into()),
            ("outputs".to_owned(), Value::Map(outputs)),
            ("secretOutputNames".to_owned(), Value::List(secret)),
        ]))
    }
}
