use async_trait::async_trait;
use foretell_types::Result;

use super::arm::AutoName;
use super::native::{AzureOptions, Server};
use crate::{CheckFailure, Properties, Urn};

/// What a resource is about when it is made, looked at or deleted.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    pub server: Server<'a>,
    pub config: &'a Properties,
    pub id: &'a str,
}

/// What a check sees of its resource.
#[derive(Clone, Copy)]
pub struct Checked<'a> {
    pub urn: &'a Urn,
    pub options: &'a AzureOptions,
}

/// One type of resource.
#[async_trait]
pub trait Kind: Send + Sync {
    /// `azure-native:eventgrid:Topic`
    fn token(&self) -> &'static str;

    /// The type of Azure's resource manager: `Microsoft.EventGrid/topics`.
    fn arm_type(&self) -> &'static str;

    /// The id, with inputs in braces: `{group}/providers/Microsoft.EventGrid/topics/{topicName}`.
    /// `{group}` is the id of the resource group.
    fn id(&self) -> &'static str;

    /// The input that names it, and how a name is made where there is none.
    fn name(&self) -> (&'static str, AutoName);

    /// Inputs beside those in the id whose change needs a new resource.
    fn replaced_by(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it has a location.
    fn is_placed(&self) -> bool {
        true
    }

    /// What the schema doesn't say. May complete the inputs.
    fn check(&self, of: Checked<'_>, inputs: &mut Properties, failures: &mut Vec<CheckFailure>) {
        let _ = (of, inputs, failures);
    }

    /// Makes it, or brings it to these inputs. `fresh`: nothing of the same name may be there.
    async fn put(&self, of: Of<'_>, inputs: &Properties, fresh: bool) -> Result<()>;

    /// What the server says of it, to be added to its inputs; `None` if it isn't there.
    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>>;

    /// `purge`: also what is kept otherwise.
    async fn delete(&self, of: Of<'_>, inputs: &Properties, purge: bool) -> Result<()>;
}
