use foretell_types::{Error, Result};

use super::deployment::Deployment;
use crate::{Invoke, Properties, Urn, Value, unversioned};

/// A call of a function.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// With an API version, if the program names one.
    pub token: String,
    pub args: Properties,
    /// The explicit provider: `URN::ID`.
    pub provider: Option<String>,
}

impl Deployment {
    /// Calls a function. None if that can't be, since not all arguments are known yet.
    pub async fn invoke(&self, call: Call) -> Result<Option<Properties>> {
        if call.args.values().any(Value::has_unknown) {
            return Ok(None);
        }
        if call.token == "pulumi:pulumi:getResource" {
            return self.get_resource(&call.args).await.map(Some);
        }
        let token = unversioned(&call.token);
        let mut functions = self.provider.supported().functions;
        if !functions.contains(&token.as_str()) {
            functions.sort_unstable();
            return Err(Error::invalid(format!(
                "the function {} isn't supported here; these are: {}",
                call.token,
                functions.join(", ")
            )));
        }
        let config = self.config_of(call.provider.as_deref()).await?;
        let invoke = Invoke {
            token: &token,
            args: &call.args,
            config: &config,
        };
        let result = self.provider.invoke(invoke).await;
        result.map(Some).map_err(|error| error.context(token))
    }

    /// What a reference to a resource stands for.
    async fn get_resource(&self, args: &Properties) -> Result<Properties> {
        let text = args.get("urn").and_then(Value::as_str).unwrap_or("");
        let live = self.live(&Urn::parse(text)?).await;
        let live = live.ok_or_else(|| Error::not_found(format!("there is no resource {text}")))?;
        Ok(Properties::from([
            ("urn".to_owned(), text.into()),
            ("id".to_owned(), live.id.unwrap_or_default().into()),
            ("state".to_owned(), Value::Map(live.outputs)),
        ]))
    }
}
