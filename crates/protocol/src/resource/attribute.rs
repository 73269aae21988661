//! Event Grid's `deliveryAttributeMappings`.
//! Source: "Custom delivery properties"; ARM `DeliveryAttributeMapping`.

use std::fmt;

use foretell_types::limits::{ATTRIBUTE_BYTES, DELIVERY_ATTRIBUTES};
use foretell_types::{Error, Result};
use http::HeaderName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::MasterKey;
use crate::field::Fields;

/// Headers that a delivery has anyway, or that say how the request is sent.
const TAKEN: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "origin",
    "expect",
];
/// Beginnings of such headers.
const TAKEN_PREFIXES: [&str; 4] = ["aeg-", "foretell-", "webhook-", "trace"];

/// A header that is added to the deliveries of a subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attribute {
    pub name: String,
    pub value: AttributeValue,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeValue {
    Static(String),
    /// As it was given; it is never written anywhere.
    #[serde(skip)]
    Secret(String),
    /// A secret as it is journaled: encrypted under a key that derives from the master key.
    Sealed(String),
    /// A field of the event.
    Dynamic(String),
}

impl fmt::Debug for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttributeValue::Static(value) => write!(f, "Static({value:?})"),
            AttributeValue::Secret(_) | AttributeValue::Sealed(_) => f.write_str("Secret(…)"),
            AttributeValue::Dynamic(field) => write!(f, "Dynamic({field:?})"),
        }
    }
}

impl AttributeValue {
    /// The same, as it can be journaled.
    pub fn sealed(self, master: &MasterKey) -> Result<AttributeValue> {
        match self {
            AttributeValue::Secret(secret) => master.seal(&secret).map(AttributeValue::Sealed),
            other => Ok(other),
        }
    }
}

impl Attribute {
    /// Reads the array; an error names the field.
    pub(super) fn all_from_json(value: &Value, path: &str) -> Result<Vec<Attribute>> {
        let Value::Array(items) = value else {
            return Err(Error::invalid(format!("{path} must be an array")));
        };
        let items = items.iter().enumerate();
        items
            .map(|(index, item)| {
                let fields = Fields::of(&format!("{path}[{index}]"), item)?;
                Attribute::from_json(&fields)
            })
            .collect()
    }

    fn from_json(fields: &Fields<'_>) -> Result<Attribute> {
        fields.only(&["name", "type", "properties"])?;
        let missing = |name: &str| Error::invalid(format!("{} is missing", fields.name_of(name)));
        let name = fields.text("name")?.ok_or_else(|| missing("name"))?;
        let properties = fields.object("properties")?;
        let properties = properties.ok_or_else(|| missing("properties"))?;
        let kind = fields.text("type")?.unwrap_or("");
        let value = match kind.to_ascii_lowercase().as_str() {
            "static" => {
                properties.only(&["value", "isSecret"])?;
                let secret = properties.boolean("isSecret")?.unwrap_or(false);
                let value = properties.text("value")?.map(str::to_owned);
                match (value, secret) {
                    (Some(value), true) => AttributeValue::Secret(value),
                    (Some(value), false) => AttributeValue::Static(value),
                    (None, true) => {
                        return Err(Error::invalid(format!(
                            "{} is missing: a secret is never shown, and has to be given again",
                            properties.name_of("value")
                        )));
                    }
                    (None, false) => return Err(missing("properties.value")),
                }
            }
            "dynamic" => {
                properties.only(&["sourceField"])?;
                let field = properties.text("sourceField")?;
                let field = field.ok_or_else(|| missing("properties.sourceField"))?;
                AttributeValue::Dynamic(field.to_owned())
            }
            _ => {
                return Err(Error::invalid(format!(
                    "{} is {kind:?}: expected Static or Dynamic",
                    fields.name_of("type")
                )));
            }
        };
        Ok(Attribute {
            name: name.to_owned(),
            value,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let (kind, properties) = match &self.value {
            AttributeValue::Static(value) => {
                ("Static", json!({ "value": value, "isSecret": false }))
            }
            AttributeValue::Secret(_) | AttributeValue::Sealed(_) => {
                ("Static", json!({ "value": null, "isSecret": true }))
            }
            AttributeValue::Dynamic(field) => ("Dynamic", json!({ "sourceField": field })),
        };
        json!({ "name": self.name, "type": kind, "properties": properties })
    }

    /// Checks all attributes of a subscription.
    pub(super) fn check_all(attributes: &[Attribute]) -> Result<()> {
        if attributes.len() > DELIVERY_ATTRIBUTES {
            return Err(Error::invalid(format!(
                "there are {} delivery attributes: at most {DELIVERY_ATTRIBUTES} are allowed",
                attributes.len()
            )));
        }
        for (index, attribute) in attributes.iter().enumerate() {
            let name = &attribute.name;
            let here = |error: Error| error.context(format_args!("delivery attribute {name:?}"));
            attribute.check().map_err(here)?;
            let twice = |other: &Attribute| other.name.eq_ignore_ascii_case(name);
            if attributes[..index].iter().any(twice) {
                return Err(here(Error::invalid("the name is there twice")));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let name = self.name.to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(Error::invalid("the name is not that of an HTTP header"));
        }
        let mut prefixes = TAKEN_PREFIXES.iter();
        if TAKEN.contains(&name.as_str()) || prefixes.any(|prefix| name.starts_with(prefix)) {
            return Err(Error::invalid(
                "a delivery has this header, or one of its kind, anyway: choose another name",
            ));
        }
        match &self.value {
            AttributeValue::Static(value) | AttributeValue::Secret(value) => {
                let fits = value.chars().all(|c| (' '..='~').contains(&c));
                if !fits || value.is_empty() || value.len() > ATTRIBUTE_BYTES {
                    return Err(Error::invalid(format!(
                        "the value must have 1 to {ATTRIBUTE_BYTES} printable ASCII characters"
                    )));
                }
            }
            AttributeValue::Dynamic(field)
                if field.is_empty() || field.split('.').any(str::is_empty) =>
            {
                return Err(Error::invalid(format!(
                    "sourceField is {field:?}: expected an attribute of the event, or data.x.y"
                )));
            }
            AttributeValue::Dynamic(_) | AttributeValue::Sealed(_) => {}
        }
        Ok(())
    }
}
