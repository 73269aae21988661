//! `filtersConfiguration`, the form of filters in Event Grid's namespaces.
//! Source: ARM `FiltersConfiguration`, API version 2024-06-01-preview.

use foretell_types::{Error, Result};
use serde_json::{Value, json};

use super::{AdvancedFilter, Filter};
use crate::field::Fields;

const NAME: &str = "filtersConfiguration";

impl Filter {
    /// The filter among a subscription's properties, in whichever form; in both if they say the
    /// same.
    pub(crate) fn from_properties(properties: &Fields<'_>) -> Result<Filter> {
        let filter = Filter::from_json(properties.get("filter"))
            .map_err(|error| Error::invalid(format!("properties.{}", error.message())))?;
        let Some(configuration) = properties.object(NAME)? else {
            return Ok(filter);
        };
        configuration.only(&["includedEventTypes", "filters"])?;
        let filters = configuration
            .array("filters", "an array of objects")?
            .unwrap_or_default();
        let filters = filters.iter().enumerate().map(|(index, value)| {
            let path = configuration.name_of(&format!("filters[{index}]"));
            AdvancedFilter::from_json(&path, value)
        });
        let types = configuration.texts("includedEventTypes")?;
        let read = Filter {
            included_event_types: types.unwrap_or_default(),
            advanced: filters.collect::<Result<_>>()?,
            ..Filter::default()
        };
        if properties.get("filter").is_some() && filter != read {
            return Err(Error::invalid(format!(
                "properties.filter and {} are both there and differ: send one",
                properties.name_of(NAME)
            )));
        }
        read.check()?;
        Ok(read)
    }

    /// The same as a namespace has it; `None` if it has no word for it.
    pub(crate) fn to_namespace_json(&self) -> Option<Value> {
        let plain = Filter {
            included_event_types: self.included_event_types.clone(),
            advanced: self.advanced.clone(),
            ..Filter::default()
        };
        if *self != plain {
            return None;
        }
        let types = &self.included_event_types;
        let filters: Vec<Value> = self.advanced.iter().map(AdvancedFilter::to_json).collect();
        Some(json!({
            "includedEventTypes": if types.is_empty() { Value::Null } else { json!(types) },
            "filters": filters,
        }))
    }
}
