use async_trait::async_trait;
use foretell_types::Result;

use super::arm::AutoName;
use super::resource::{Kind, Of};
use crate::Properties;

/// An App Service plan: taken, and nothing on the server, which runs all apps itself.
pub struct AppServicePlan;

#[async_trait]
impl Kind for AppServicePlan {
    fn token(&self) -> &'static str {
        "azure-native:web:AppServicePlan"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.Web/serverfarms"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.Web/serverfarms/{name}"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("name", AutoName::Random(40))
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["kind"]
    }

    async fn put(&self, _: Of<'_>, _: &Properties, _: bool) -> Result<()> {
        Ok(())
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let group = super::arm::segment(of.id, "resourceGroups").unwrap_or("");
        let mut facts = Properties::from([
            ("provisioningState".to_owned(), "Succeeded".into()),
            ("status".to_owned(), "Ready".into()),
            ("resourceGroup".to_owned(), group.into()),
        ]);
        if !inputs.contains_key("kind") {
            facts.insert("kind".to_owned(), "functionapp".into());
        }
        Ok(Some(facts))
    }

    async fn delete(&self, _: Of<'_>, _: &Properties, _: bool) -> Result<()> {
        Ok(())
    }
}
