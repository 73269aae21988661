use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foretell_types::{Error, Result};

use super::evaluate::{Evaluated, Known, Names, Stop, pulumi};
use super::expression::Expression;
use super::template::{Declaration, Part, Template};
use crate::engine::{Deployment, Goal, ReadGoal};
use crate::project::Project;
use crate::urn::STACK;
use crate::{Properties, Urn, Value};

impl Template {
    /// Evaluates the program: its parts in their order, then its outputs.
    pub async fn run(&self, project: &Project, deployment: &Arc<Deployment>) -> Result<()> {
        let name = &deployment.settings().name;
        let stack = deployment
            .register(Goal {
                token: STACK.to_owned(),
                name: format!("{}-{}", name.project, name.stack),
                ..Goal::default()
            })
            .await?;
        let mut names = Names {
            known: BTreeMap::new(),
            config: self.config_values(deployment),
            pulumi: pulumi(deployment, &project.working_dir(), &project.dir),
        };
        for name in &self.order {
            let made = match &self.parts[name] {
                Part::Variable(expression) => names
                    .evaluate(expression, deployment)
                    .await
                    .map(Known::Value),
                Part::Resource(declaration) => declare(name, declaration, &names, deployment).await,
            };
            let place = match &self.parts[name] {
                Part::Variable(_) => "variables",
                Part::Resource(_) => "resources",
            };
            let known = self.told(made, &format!("{place}.{name}"), deployment);
            names.known.insert(name.clone(), known);
        }
        let mut outputs = Properties::new();
        for (name, expression) in &self.outputs {
            match names.evaluate(expression, deployment).await {
                Ok(got) => drop(outputs.insert(name.clone(), got.value)),
                // What it was stays.
                Err(Stop::Failed) => drop(outputs.insert(name.clone(), Value::Unknown)),
                Err(Stop::Wrong(error)) => {
                    deployment.fail(format!("{}: outputs.{name}: {error}", self.file));
                }
            }
        }
        deployment.register_outputs(&stack.urn, outputs).await
    }

    /// A part that is wrong fails; the others go on.
    fn told(&self, made: Result<Known, Stop>, place: &str, deployment: &Deployment) -> Known {
        match made {
            Ok(known) => known,
            Err(Stop::Failed) => Known::Failed,
            Err(Stop::Wrong(error)) => {
                deployment.fail(format!("{}: {place}: {error}", self.file));
                Known::Failed
            }
        }
    }

    fn config_values(&self, deployment: &Deployment) -> BTreeMap<String, Value> {
        let config = &deployment.settings().config;
        self.config
            .iter()
            .filter_map(|(name, (key, kind))| {
                let value = config.get(key)?;
                let typed = typed(value.as_str().unwrap_or(""), kind.as_deref());
                let typed = match value {
                    Value::Secret(_) => Value::secret(typed),
                    _ => typed,
                };
                Some((name.clone(), typed))
            })
            .collect()
    }
}

/// A value of the configuration as the kind that is declared for it.
fn typed(text: &str, kind: Option<&str>) -> Value {
    let json = || serde_json::from_str(text).map(Value::from_json).ok();
    match kind {
        Some("integer" | "number" | "boolean" | "array" | "object") => json(),
        Some(list) if list.starts_with("list") => json(),
        _ => None,
    }
    .unwrap_or_else(|| text.into())
}

async fn declare(
    name: &str,
    declaration: &Declaration,
    names: &Names,
    deployment: &Deployment,
) -> Result<Known, Stop> {
    let mut goal = goal(name, declaration, names, deployment).await?;
    let registered = match &declaration.get {
        None => deployment.register(goal).await,
        Some(get) => {
            let id = names.evaluate(&get.id, deployment).await?;
            if let Some(state) = &get.state {
                let state = names.evaluate(state, deployment).await?;
                goal.inputs = state.value.as_map().cloned().unwrap_or_default();
            }
            let read = ReadGoal {
                token: goal.token,
                name: goal.name,
                parent: goal.parent,
                id: id.value.as_str().map(str::to_owned),
                inputs: goal.inputs,
                dependencies: goal.dependencies,
                provider: goal.options.provider,
                additional_secret_outputs: goal.options.additional_secret_outputs,
            };
            deployment.read(read).await
        }
    };
    let at = |error: Error| Error::new(error.kind(), format!("line {}: {error}", declaration.line));
    let registered = registered.map_err(at)?;
    Ok(match registered.failed {
        true => Known::Failed,
        false => Known::Resource(registered),
    })
}

async fn goal(
    name: &str,
    declaration: &Declaration,
    names: &Names,
    deployment: &Deployment,
) -> Result<Goal, Stop> {
    let mut goal = Goal {
        token: declaration.token.clone(),
        name: declaration.name.clone().unwrap_or_else(|| name.to_owned()),
        custom: true,
        options: declaration.options.plain.clone(),
        ..Goal::default()
    };
    let mut needs: BTreeSet<Urn> = BTreeSet::new();
    for (property, expression) in &declaration.properties {
        let got = names.evaluate(expression, deployment).await?;
        let of: Vec<Urn> = got.needs.iter().cloned().collect();
        goal.property_dependencies.insert(property.clone(), of);
        needs.extend(got.needs);
        goal.inputs.insert(property.clone(), got.value);
    }
    let written = &declaration.options;
    for (line, name) in &written.depends_on {
        needs.insert(names.resource(*line, name)?.urn.clone());
    }
    for (line, name) in &written.replace_with {
        let urn = names.resource(*line, name)?.urn.clone();
        goal.options.replace_with.push(urn);
    }
    if let Some((line, name)) = &written.parent {
        goal.parent = Some(names.resource(*line, name)?.urn.clone());
    }
    if let Some((line, name)) = &written.deleted_with {
        goal.options.deleted_with = Some(names.resource(*line, name)?.urn.clone());
    }
    if let Some((line, name)) = &written.provider {
        goal.options.provider = Some(names.provider(*line, name)?);
    }
    let protect = optional(written.protect.as_ref(), names, deployment).await?;
    goal.options.protect = protect.is_some_and(|got| got.value.as_bool() == Some(true));
    let trigger = optional(written.trigger.as_ref(), names, deployment).await?;
    goal.options.replacement_trigger = trigger.map(|got| got.value);
    goal.dependencies = needs.into_iter().collect();
    Ok(goal)
}

async fn optional(
    expression: Option<&Expression>,
    names: &Names,
    deployment: &Deployment,
) -> Result<Option<Evaluated>, Stop> {
    match expression {
        Some(expression) => names.evaluate(expression, deployment).await.map(Some),
        None => Ok(None),
    }
}
