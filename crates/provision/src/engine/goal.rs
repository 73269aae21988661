use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Properties, Urn, Value};

/// A resource as a program declares it.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// Its type, with an API version if the program names one.
    pub token: String,
    pub name: String,
    pub parent: Option<Urn>,
    /// Made by a provider; a component otherwise.
    pub custom: bool,
    pub inputs: Properties,
    pub dependencies: Vec<Urn>,
    pub property_dependencies: BTreeMap<String, Vec<Urn>>,
    pub options: Options,
}

/// The resource options, as Pulumi has them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub protect: bool,
    /// The explicit provider: `URN::ID`.
    pub provider: Option<String>,
    pub delete_before_replace: Option<bool>,
    pub ignore_changes: Vec<String>,
    pub replace_on_changes: Vec<String>,
    pub additional_secret_outputs: Vec<String>,
    pub aliases: Vec<Alias>,
    pub import: Option<String>,
    pub timeouts: Timeouts,
    pub retain_on_delete: bool,
    pub deleted_with: Option<Urn>,
    pub replace_with: Vec<Urn>,
    pub replacement_trigger: Option<Value>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    pub create: Option<Duration>,
    pub update: Option<Duration>,
    pub delete: Option<Duration>,
}

/// Another name that a resource had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alias {
    Urn(Urn),
    /// What differs from its name of now.
    Spec {
        name: Option<String>,
        token: Option<String>,
        stack: Option<String>,
        project: Option<String>,
        parent: AliasParent,
    },
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum AliasParent {
    /// The parent that it has now.
    #[default]
    Same,
    /// The stack alone.
    None,
    Urn(Urn),
}

/// A resource that is there already and that the program only looks at.
#[derive(Clone, Debug, Default)]
pub struct ReadGoal {
    pub token: String,
    pub name: String,
    pub parent: Option<Urn>,
    /// None if it isn't known yet.
    pub id: Option<String>,
    pub inputs: Properties,
    pub dependencies: Vec<Urn>,
    pub provider: Option<String>,
    pub additional_secret_outputs: Vec<String>,
}

/// What the program gets to know of its resource.
#[derive(Clone, PartialEq, Debug)]
pub struct Registered {
    pub urn: Urn,
    /// None for components, and before it is made.
    pub id: Option<String>,
    pub outputs: Properties,
    /// It couldn't be made or changed, which was reported: what needs it must be left out.
    pub failed: bool,
}
