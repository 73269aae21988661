use async_trait::async_trait;
use foretell_types::Result;

use super::arm::AutoName;
use super::resource::{Kind, Of};
use crate::{Properties, Value};

/// A resource group: part of the ids of others, and nothing on the server.
pub struct ResourceGroup;

#[async_trait]
impl Kind for ResourceGroup {
    fn token(&self) -> &'static str {
        "azure-native:resources:ResourceGroup"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.Resources/resourceGroups"
    }

    fn id(&self) -> &'static str {
        "{group}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("resourceGroupName", AutoName::Random(90))
    }

    async fn put(&self, _: Of<'_>, _: &Properties, _: bool) -> Result<()> {
        Ok(())
    }

    async fn look(&self, _: Of<'_>, _: &Properties) -> Result<Option<Properties>> {
        let state = Value::from([("provisioningState", "Succeeded".into())]);
        Ok(Some(Properties::from([("properties".to_owned(), state)])))
    }

    async fn delete(&self, _: Of<'_>, _: &Properties, _: bool) -> Result<()> {
        Ok(())
    }
}
