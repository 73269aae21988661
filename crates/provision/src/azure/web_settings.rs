use async_trait::async_trait;
use foretell_types::{Error, Result};
use serde_json::json;

use super::arm::{AutoName, text};
use super::resource::{Kind, Of};
use super::web_app::path;
use crate::{Properties, Value};

/// The settings of a function app, as a resource of their own: in place of all that it has.
pub struct WebAppApplicationSettings;

impl WebAppApplicationSettings {
    async fn set(
        &self,
        of: Of<'_>,
        inputs: &Properties,
        settings: serde_json::Value,
    ) -> Result<()> {
        let path = path(inputs);
        let app = of.server.get(&path).await?.ok_or_else(|| {
            Error::not_found(format!(
                "there is no function app {:?}",
                text(inputs, "name")
            ))
        })?;
        let definition = json!({ "python": app["python"], "settings": settings });
        of.server.put(&path, definition).await.map(|_| ())
    }
}

#[async_trait]
impl Kind for WebAppApplicationSettings {
    fn token(&self) -> &'static str {
        "azure-native:web:WebAppApplicationSettings"
    }

    fn arm_type(&self) -> &'static str {
        "Microsoft.Web/sites/config"
    }

    fn id(&self) -> &'static str {
        "{group}/providers/Microsoft.Web/sites/{name}/config/appsettings"
    }

    fn name(&self) -> (&'static str, AutoName) {
        ("name", AutoName::Given)
    }

    fn is_placed(&self) -> bool {
        false
    }

    async fn put(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        let settings = inputs.get("properties").and_then(Value::as_map);
        let settings = settings.map(super::json::object).unwrap_or_default();
        self.set(of, inputs, settings.into()).await
    }

    async fn look(&self, of: Of<'_>, inputs: &Properties) -> Result<Option<Properties>> {
        let found = of.server.get(&path(inputs)).await?;
        Ok(found.map(|_| Properties::new()))
    }

    async fn delete(&self, of: Of<'_>, inputs: &Properties, _: bool) -> Result<()> {
        if of.server.get(&path(inputs)).await?.is_none() {
            return Ok(());
        }
        self.set(of, inputs, json!({})).await
    }
}
