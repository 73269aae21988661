//! Event Grid's `inputSchemaMapping`, of type `Json`.
//! Source: "Map custom fields to Event Grid schema"; ARM `Microsoft.EventGrid/topics`.

use foretell_types::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::field::Fields;

/// Where the events of a custom schema hold what Event Grid needs. Source fields are property
/// names; dots lead into nested objects.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InputMapping {
    /// Source field; events without it get a generated id.
    pub id: Option<String>,
    /// Source field; events without it have the topic's resource id as their source.
    pub topic: Option<String>,
    /// Source field; events without it have the time at which they arrived.
    pub event_time: Option<String>,
    pub subject: MappedField,
    pub event_type: MappedField,
    pub data_version: MappedField,
}

/// A source field and the value of events without it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MappedField {
    pub source_field: Option<String>,
    pub default_value: Option<String>,
}

impl InputMapping {
    /// Reads `{"inputSchemaMappingType": "Json", "properties": {…}}`; an error names the field.
    pub fn from_json(value: &Value) -> Result<InputMapping> {
        let mapping = Fields::of("inputSchemaMapping", value)?;
        mapping.only(&["inputSchemaMappingType", "properties"])?;
        match mapping.text("inputSchemaMappingType")? {
            Some(kind) if kind.eq_ignore_ascii_case("Json") => {}
            other => {
                return Err(Error::invalid(format!(
                    "inputSchemaMapping.inputSchemaMappingType is {:?}: expected \"Json\"",
                    other.unwrap_or("")
                )));
            }
        }
        let Some(fields) = mapping.object("properties")? else {
            return Ok(InputMapping::default());
        };
        fields.only(&[
            "id",
            "topic",
            "eventTime",
            "subject",
            "eventType",
            "dataVersion",
        ])?;
        let source = |name: &str| -> Result<Option<String>> {
            let Some(field) = fields.object(name)? else {
                return Ok(None);
            };
            field.only(&["sourceField"])?;
            path(&field)
        };
        let defaulted = |name: &str| -> Result<MappedField> {
            let Some(field) = fields.object(name)? else {
                return Ok(MappedField::default());
            };
            field.only(&["sourceField", "defaultValue"])?;
            Ok(MappedField {
                source_field: path(&field)?,
                default_value: filled(&field, "defaultValue")?,
            })
        };
        Ok(InputMapping {
            id: source("id")?,
            topic: source("topic")?,
            event_time: source("eventTime")?,
            subject: defaulted("subject")?,
            event_type: defaulted("eventType")?,
            data_version: defaulted("dataVersion")?,
        })
    }

    /// The same form back, without what isn't mapped.
    pub fn to_json(&self) -> Value {
        let mut properties = Map::new();
        for (name, field) in [
            ("id", &self.id),
            ("topic", &self.topic),
            ("eventTime", &self.event_time),
        ] {
            if let Some(path) = field {
                properties.insert(name.to_owned(), json!({ "sourceField": path }));
            }
        }
        for (name, field) in [
            ("subject", &self.subject),
            ("eventType", &self.event_type),
            ("dataVersion", &self.data_version),
        ] {
            let mut object = Map::new();
            for (key, value) in [
                ("sourceField", &field.source_field),
                ("defaultValue", &field.default_value),
            ] {
                if let Some(text) = value {
                    object.insert(key.to_owned(), json!(text));
                }
            }
            if !object.is_empty() {
                properties.insert(name.to_owned(), Value::Object(object));
            }
        }
        json!({ "inputSchemaMappingType": "Json", "properties": properties })
    }
}

fn path(field: &Fields<'_>) -> Result<Option<String>> {
    let Some(path) = filled(field, "sourceField")? else {
        return Ok(None);
    };
    if path.split('.').any(str::is_empty) {
        return Err(Error::invalid(format!(
            "{} is {path:?}: expected property names separated by dots",
            field.name_of("sourceField")
        )));
    }
    Ok(Some(path))
}

/// A text; an empty one is as good as none.
fn filled(field: &Fields<'_>, name: &str) -> Result<Option<String>> {
    Ok(field
        .text(name)?
        .filter(|text| !text.is_empty())
        .map(str::to_owned))
}
