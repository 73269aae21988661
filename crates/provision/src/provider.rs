//! The seam between the engine and what makes resources.

use async_trait::async_trait;
use foretell_types::{Error, Result};

use crate::{Diff, Properties, Urn};

/// Makes resources of a package's types.
///
/// Rules:
/// - `check`, `diff` and `identify` are pure. They also see values that are [unknown]
///   (in a preview), which are as good as any value.
/// - Inputs that `check` gave are what `diff`, `create` and `update` get, and what the stack
///   keeps. A name that `check` made is part of them.
/// - `create` and `update` hold all or nothing, or say with [`Partial`] what is there.
/// - Whatever was begun may have been cut off: `create` with [`Create::resumed`] takes over what
///   an earlier attempt with the same inputs made; `delete` of what is gone succeeds.
/// - Secrets stay wrapped in what a provider gets, and what it wraps stays secret. An output at
///   the path of a secret input is made secret by the engine.
///
/// [unknown]: crate::Value::Unknown
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it knows.
    fn supported(&self) -> Supported;

    /// Checks and completes inputs: a name that the program left out is made from
    /// `check.seed`, or kept from the old inputs. Every failure at once.
    fn check(&self, check: Check<'_>) -> Result<Properties, Vec<CheckFailure>>;

    /// What differs and what of it needs a replacement.
    fn diff(&self, resource: Resource<'_>, old: &Properties, new: &Properties) -> Diff;

    /// The id that a resource with these (checked) inputs gets, where that is known before it is
    /// made. None if something in it is unknown.
    fn identify(&self, resource: Resource<'_>, inputs: &Properties) -> Option<String>;

    async fn create(&self, create: Create<'_>) -> Result<Created, Partial>;

    /// The resource as it is now; none if there is no such. What only the program says (a tag, a
    /// price) is as the stack knows it, and left out of the inputs if that knows nothing of it.
    async fn read(
        &self,
        resource: Resource<'_>,
        id: &str,
        known: Option<Known<'_>>,
    ) -> Result<Option<Read>>;

    /// Changes it in place; gives its outputs.
    async fn update(&self, update: Update<'_>) -> Result<Properties, Partial>;

    async fn delete(&self, delete: Delete<'_>) -> Result<()>;

    /// Calls a function, such as `azure-native:storage:listStorageAccountKeys`. What it gives
    /// that is secret is wrapped.
    async fn invoke(&self, invoke: Invoke<'_>) -> Result<Properties>;
}

/// Tokens without API versions, such as `azure-native:eventgrid:Topic`.
#[derive(Clone, Debug, Default)]
pub struct Supported {
    /// The package whose types these are, such as `azure-native`.
    pub package: &'static str,
    pub types: Vec<&'static str>,
    /// Types that there aren't, for which `check` has a reason.
    pub refused: Vec<&'static str>,
    pub functions: Vec<&'static str>,
}

/// Which resource it is about.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    pub urn: &'a Urn,
    /// Its type, without an API version.
    pub token: &'a str,
    /// The settings of its provider (an explicit one's inputs, or the `azure-native:…`
    /// configuration), such as `location` and `subscriptionId`.
    pub config: &'a Properties,
}

#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    pub resource: Resource<'a>,
    /// As the program has them.
    pub inputs: &'a Properties,
    /// The checked inputs of the resource that is there already, unless it is replaced.
    pub old: Option<&'a Properties>,
    /// Random bits for names.
    pub seed: u64,
}

/// An input that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckFailure {
    /// Its path, such as `retryPolicy.maxDeliveryAttempts`; empty if it is about the whole.
    pub property: String,
    /// What is wrong with it and what to write instead.
    pub reason: String,
}

/// A resource as the stack has it.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub inputs: &'a Properties,
    pub outputs: &'a Properties,
}

#[derive(Clone, Copy, Debug)]
pub struct Create<'a> {
    pub resource: Resource<'a>,
    pub inputs: &'a Properties,
    /// An earlier attempt was cut off: it may have made this already.
    pub resumed: bool,
}

/// What was made.
#[derive(Clone, PartialEq, Debug)]
pub struct Created {
    pub id: String,
    /// All properties of the resource, inputs among them.
    pub outputs: Properties,
}

/// What is there: its inputs as a program would have them, and its outputs.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    pub id: String,
    pub inputs: Properties,
    pub outputs: Properties,
}

#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    pub resource: Resource<'a>,
    pub id: &'a str,
    pub old: &'a Properties,
    pub old_outputs: &'a Properties,
    pub inputs: &'a Properties,
}

#[derive(Clone, Copy, Debug)]
pub struct Delete<'a> {
    pub resource: Resource<'a>,
    pub id: &'a str,
    pub inputs: &'a Properties,
    pub outputs: &'a Properties,
    /// Also what is kept otherwise: a topic's log.
    pub purge: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Invoke<'a> {
    /// The function, without an API version.
    pub token: &'a str,
    pub args: &'a Properties,
    pub config: &'a Properties,
}

/// Why something wasn't made or changed, and what is there nevertheless.
#[derive(Debug)]
pub struct Partial {
    pub error: Error,
    /// The next run changes it to what the program says.
    pub made: Option<Created>,
}

impl From<Error> for Partial {
    fn from(error: Error) -> Partial {
        Partial { error, made: None }
    }
}
