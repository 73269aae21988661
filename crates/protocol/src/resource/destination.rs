//! The `destination` of an event subscription.

use foretell_types::{Error, Result};
use serde_json::{Value, json};

use super::Target;
use crate::field::Fields;

impl Target {
    /// Reads a `destination` of Event Grid, or ours, `{"endpointType": "Pull"}`.
    pub(super) fn from_json(destination: &Fields<'_>) -> Result<Target> {
        destination.only(&["endpointType", "properties"])?;
        let named =
            |error: Error, field: &Fields<'_>, name: &str| error.context(field.name_of(name));
        let kind = destination.text("endpointType")?.unwrap_or("");
        let properties = destination.object("properties")?;
        let needed = |field: &str| -> Result<(&Fields<'_>, &str)> {
            let missing = || {
                Error::invalid(format!(
                    "{}.{field} is missing",
                    destination.name_of("properties")
                ))
            };
            let fields = properties.as_ref().ok_or_else(missing)?;
            known(fields)?;
            Ok((fields, fields.text(field)?.ok_or_else(missing)?))
        };
        match kind.to_ascii_lowercase().as_str() {
            "webhook" => {
                let (fields, url) = needed("endpointUrl")?;
                Target::webhook(url).map_err(|error| named(error, fields, "endpointUrl"))
            }
            "azurefunction" => {
                let (fields, id) = needed("resourceId")?;
                let parse = || {
                    let app = after(id, "sites")?;
                    Some((app, after(id, "functions")?))
                };
                let (app, function) = parse().ok_or_else(|| {
                    Error::invalid(format!(
                        "{} is {id:?}: expected …/sites/APP/functions/FUNCTION",
                        fields.name_of("resourceId")
                    ))
                })?;
                Target::function(app, function).map_err(|error| named(error, fields, "resourceId"))
            }
            "pull" => Ok(Target::Pull),
            _ => Err(Error::invalid(format!(
                "{} is {kind:?}: expected WebHook or AzureFunction; nothing else is delivered to here",
                destination.name_of("endpointType")
            ))),
        }
    }

    /// The `destination` of Event Grid; `scope` is what comes before `/providers/`.
    pub(super) fn to_json(&self, scope: &str) -> Value {
        match self {
            Target::WebHook(url) => json!({
                "endpointType": "WebHook",
                "properties": {
                    "endpointUrl": url,
                    "endpointBaseUrl": url.split('?').next(),
                },
            }),
            Target::Function { app, function } => json!({
                "endpointType": "AzureFunction",
                "properties": {
                    "resourceId": format!(
                        "{scope}/providers/Microsoft.Web/sites/{app}/functions/{function}"
                    ),
                },
            }),
            Target::Pull => json!({ "endpointType": "Pull" }),
        }
    }
}

/// What the properties of every destination may say beside the address.
fn known(properties: &Fields<'_>) -> Result<()> {
    properties.only(&[
        "endpointUrl",
        "endpointBaseUrl",
        "resourceId",
        "maxEventsPerBatch",
        "preferredBatchSizeInKilobytes",
        "deliveryAttributeMappings",
        "minimumTlsVersionAllowed",
        "validation",
        "ordering",
        "azureActiveDirectoryTenantId",
        "azureActiveDirectoryApplicationIdOrUri",
    ])?;
    properties.unsupported(&[
        ("azureActiveDirectoryTenantId", json!("")),
        ("azureActiveDirectoryApplicationIdOrUri", json!("")),
    ])
}

/// The segment of a resource id after the one of this name.
pub(super) fn after<'a>(id: &'a str, name: &str) -> Option<&'a str> {
    let mut segments = id.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(name))?;
    segments.next().filter(|segment| !segment.is_empty())
}
