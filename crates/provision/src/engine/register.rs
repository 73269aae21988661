use foretell_types::{Error, Result};

use super::alias::aliases;
use super::deployment::Deployment;
use super::goal::{Goal, Registered};
use super::report::Phase;
use crate::stack::{Operation, ResourceState, StackEvent};
use crate::urn::STACK;
use crate::{Properties, Urn, Value};

const PROVIDERS: &str = "pulumi:providers:";

impl Deployment {
    /// Takes what a program declares to where it should be. An error is about the call; what
    /// went wrong with the resource is reported, and told by [`Registered::failed`].
    pub async fn register(&self, mut goal: Goal) -> Result<Registered> {
        let urn = self.claim(&goal.token, &goal.name, goal.parent.as_ref())?;
        self.adopt(&urn, &goal).await?;
        if goal.token == STACK {
            self.set_root(urn.clone());
        } else if goal.parent.is_none() {
            goal.parent = self.root();
        }
        if let Some(package) = goal.token.strip_prefix(PROVIDERS) {
            let package = package.to_owned();
            return self.register_provider(urn, goal, &package).await;
        }
        match goal.custom {
            true => self.register_custom(urn, goal).await,
            false => self.register_component(urn, goal).await,
        }
    }

    /// Gives a declared resource its name, which no other of the program may have.
    pub(super) fn claim(&self, token: &str, name: &str, parent: Option<&Urn>) -> Result<Urn> {
        if name.is_empty() || token.split(':').count() != 3 {
            return Err(Error::invalid(format!(
                "a resource has a name and a type like package:module:Type; here they are {name:?} and {token:?}"
            )));
        }
        let stack = &self.settings.name;
        let urn = Urn::new(&stack.stack, &stack.project, parent, token, name);
        if !self.run().seen.insert(urn.unversioned()) {
            return Err(Error::invalid(format!(
                "the program declares {urn} twice: give one of the two another name"
            )));
        }
        Ok(urn)
    }

    /// The name that a resource had in the stack until now becomes its name of now.
    async fn adopt(&self, urn: &Urn, goal: &Goal) -> Result<()> {
        let of_parent = match &goal.parent {
            Some(parent) => self.run().aliases.get(parent).cloned().unwrap_or_default(),
            None => Vec::new(),
        };
        let names = aliases(urn, goal, &of_parent);
        let former = self
            .journal
            .with(|state| {
                if state.resources.contains_key(urn) {
                    return None;
                }
                let unversioned = urn.unversioned();
                let by_version = state
                    .resources
                    .keys()
                    .find(|known| known.unversioned() == unversioned);
                let by_alias = || {
                    names.iter().find_map(|name| {
                        let name = name.unversioned();
                        state
                            .resources
                            .keys()
                            .find(|known| known.unversioned() == name)
                    })
                };
                let known = by_version.or_else(by_alias)?;
                state.resources.get(known).cloned()
            })
            .await;
        self.run().aliases.insert(urn.clone(), names);
        let Some(mut resource) = former else {
            return Ok(());
        };
        let was = resource.urn.clone();
        if self.run().seen.contains(&was.unversioned()) && was.unversioned() != urn.unversioned() {
            return Err(Error::invalid(format!(
                "{urn} has the alias {was}, which is another resource of the program"
            )));
        }
        resource.rename(&|name| (*name == was).then(|| urn.clone()));
        resource.parent.clone_from(&goal.parent);
        self.record(StackEvent::StepEnded {
            operation: Operation::Same,
            urn: urn.clone(),
            resource: Some(Box::new(resource)),
            was: Some(was),
            id: None,
            error: None,
        })
        .await
    }

    async fn register_component(&self, urn: Urn, goal: Goal) -> Result<Registered> {
        let live = self.live(&urn).await;
        let operation = match live {
            Some(_) => Operation::Same,
            None => Operation::Create,
        };
        let mut resource = resource_of(urn.clone(), &goal);
        resource.inputs = goal.inputs;
        // What it gives comes later.
        resource.outputs = live.map(|live| live.outputs).unwrap_or_default();
        self.step(&resource, operation, Phase::Started);
        self.keep(operation, resource.clone()).await?;
        self.step(&resource, operation, Phase::Done);
        Ok(Registered {
            urn,
            id: None,
            outputs: Properties::new(),
            failed: false,
        })
    }

    /// An explicit provider holds settings for the resources that name it.
    async fn register_provider(&self, urn: Urn, goal: Goal, package: &str) -> Result<Registered> {
        let live = self.live(&urn).await;
        let mut resource = resource_of(urn.clone(), &goal);
        resource.inputs = goal.inputs;
        if package != self.provider.supported().package {
            return self.refused(&resource, self.unsupported(urn.token())).await;
        }
        resource.outputs = resource.inputs.clone();
        let operation = match &live {
            None => Operation::Create,
            Some(live) if crate::compare(&live.inputs, &resource.inputs).is_empty() => {
                Operation::Same
            }
            Some(_) => Operation::Update,
        };
        resource.id = match live {
            Some(live) => live.id,
            None => Some(format!("{:016x}{:016x}", self.seed(), self.seed())),
        };
        self.step(&resource, operation, Phase::Started);
        self.keep(operation, resource.clone()).await?;
        self.step(&resource, operation, Phase::Done);
        Ok(Registered {
            urn,
            id: resource.id,
            outputs: resource.outputs,
            failed: false,
        })
    }

    /// What a component, or the program as a whole, gives.
    pub async fn register_outputs(&self, urn: &Urn, outputs: Properties) -> Result<()> {
        let live = self.live(urn).await;
        let mut resource = live.ok_or_else(|| {
            Error::not_found(format!(
                "outputs are given for {urn}, which isn't registered"
            ))
        })?;
        if !self.settings.preview && outputs.values().any(Value::has_unknown) {
            // Something that they come from failed. What is known is told, the rest stays.
            for (name, value) in outputs {
                if !value.has_unknown() {
                    resource.outputs.insert(name, value);
                }
            }
        } else {
            resource.outputs = outputs;
        }
        self.keep(Operation::Outputs, resource).await
    }

    /// What to say of a type that no provider makes.
    pub(super) fn unsupported(&self, token: &str) -> String {
        let mut types = self.provider.supported().types;
        types.sort_unstable();
        format!(
            "{token} isn't supported here; these types are: {}",
            types.join(", ")
        )
    }

    pub(super) async fn refused(
        &self,
        resource: &ResourceState,
        why: String,
    ) -> Result<Registered> {
        let operation = match self.live(&resource.urn).await {
            Some(_) => Operation::Update,
            None => Operation::Create,
        };
        self.step(resource, operation, Phase::Failed(why));
        self.run().failed.insert(resource.urn.clone());
        Ok(Registered {
            urn: resource.urn.clone(),
            id: None,
            outputs: Properties::new(),
            failed: true,
        })
    }
}

/// The state that a declared resource gets, without its properties.
pub(super) fn resource_of(urn: Urn, goal: &Goal) -> ResourceState {
    let options = &goal.options;
    ResourceState {
        urn,
        custom: goal.custom,
        id: None,
        inputs: Properties::new(),
        outputs: Properties::new(),
        parent: goal.parent.clone(),
        provider: options
            .provider
            .clone()
            .filter(|reference| !reference.is_empty()),
        dependencies: goal.dependencies.clone(),
        property_dependencies: goal
            .property_dependencies
            .iter()
            .filter(|(_, urns)| !urns.is_empty())
            .map(|(name, urns)| (name.clone(), urns.clone()))
            .collect(),
        deleted_with: options.deleted_with.clone(),
        protect: options.protect,
        retain_on_delete: options.retain_on_delete,
        external: false,
        incomplete: false,
        delete_timeout_ms: options
            .timeouts
            .delete
            .map(|limit| limit.as_millis().try_into().unwrap_or(u64::MAX)),
        replacement_trigger: options.replacement_trigger.clone(),
    }
}
