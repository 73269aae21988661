//! The filter of a subscription, in Event Grid's JSON.
//! Source: "Understand event filtering for Event Grid subscriptions".

use foretell_types::limits::ATTRIBUTE_BYTES;
use foretell_types::{Error, NewEvent, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod advanced;
mod look;
mod namespace;
mod number;
mod pass;

pub use advanced::{AdvancedFilter, Operator};

use crate::field::Fields;
use look::Look;

/// The type that stands for all of them.
const ALL_TYPES: &str = "All";

/// Which events a subscription gets. The default lets all pass.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Event types, compared without regard to case; all if there are none, or one is `All`.
    pub included_event_types: Vec<String>,
    /// Empty lets all pass; otherwise an event without a subject doesn't.
    pub subject_begins_with: String,
    pub subject_ends_with: String,
    /// Whether the subject is compared with regard to case.
    pub subject_case_sensitive: bool,
    /// All of them must be passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advanced: Vec<AdvancedFilter>,
    /// Whether advanced filters look into arrays: one element that fits is enough, or too many
    /// for an operator with *Not*. Without it an array is as good as absent for all but
    /// `IsNullOrUndefined` and `IsNotNull`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub advanced_on_arrays: bool,
}

impl Filter {
    pub fn matches(&self, event: &NewEvent) -> bool {
        self.matches_type(&event.event_type)
            && self.matches_subject(event.subject.as_deref().unwrap_or(""))
            && self.matches_advanced(event)
    }

    fn matches_type(&self, event_type: &str) -> bool {
        self.included_event_types.is_empty()
            || self.included_event_types.iter().any(|included| {
                included.eq_ignore_ascii_case(ALL_TYPES)
                    || included == event_type
                    || folded(included.chars()).eq(folded(event_type.chars()))
            })
    }

    fn matches_subject(&self, subject: &str) -> bool {
        let (begin, end) = (&self.subject_begins_with, &self.subject_ends_with);
        if self.subject_case_sensitive {
            return subject.starts_with(begin.as_str()) && subject.ends_with(end.as_str());
        }
        begins(folded(subject.chars()), folded(begin.chars()))
            && begins(folded(subject.chars().rev()), folded(end.chars().rev()))
    }

    fn matches_advanced(&self, event: &NewEvent) -> bool {
        let look = Look::at(event);
        let mut filters = self.advanced.iter();
        filters.all(|filter| filter.matches(&look, self.advanced_on_arrays))
    }

    /// Reads Event Grid's filter object; absent or null lets all pass. An error names the field.
    pub fn from_json(value: Option<&Value>) -> Result<Filter> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Ok(Filter::default());
        };
        let filter = Fields::of("filter", value)?;
        filter.only(&[
            "includedEventTypes",
            "subjectBeginsWith",
            "subjectEndsWith",
            "isSubjectCaseSensitive",
            "advancedFilters",
            "enableAdvancedFilteringOnArrays",
        ])?;
        let advanced = filter
            .array("advancedFilters", "an array of objects")?
            .unwrap_or_default();
        let advanced = advanced.iter().enumerate().map(|(index, value)| {
            let path = filter.name_of(&format!("advancedFilters[{index}]"));
            AdvancedFilter::from_json(&path, value)
        });
        let text = |name: &str| filter.text(name).map(|text| text.unwrap_or("").to_owned());
        let read = Filter {
            included_event_types: filter.texts("includedEventTypes")?.unwrap_or_default(),
            subject_begins_with: text("subjectBeginsWith")?,
            subject_ends_with: text("subjectEndsWith")?,
            subject_case_sensitive: filter.boolean("isSubjectCaseSensitive")?.unwrap_or(false),
            advanced: advanced.collect::<Result<_>>()?,
            advanced_on_arrays: filter
                .boolean("enableAdvancedFilteringOnArrays")?
                .unwrap_or(false),
        };
        read.check()?;
        Ok(read)
    }

    /// Checks what was given by other ways than JSON as well.
    pub fn check(&self) -> Result<()> {
        if self.included_event_types.iter().any(String::is_empty) {
            return Err(Error::invalid(
                "filter.includedEventTypes holds an empty type: leave it out",
            ));
        }
        for (name, text) in [
            ("subjectBeginsWith", &self.subject_begins_with),
            ("subjectEndsWith", &self.subject_ends_with),
        ] {
            if text.len() > ATTRIBUTE_BYTES {
                return Err(Error::invalid(format!(
                    "filter.{name} has {} bytes: at most {ATTRIBUTE_BYTES} are allowed",
                    text.len()
                )));
            }
        }
        advanced::check(&self.advanced)
    }

    /// Event Grid's filter object.
    pub fn to_json(&self) -> Value {
        let types = &self.included_event_types;
        let mut filter = json!({
            "includedEventTypes": if types.is_empty() { Value::Null } else { json!(types) },
            "subjectBeginsWith": self.subject_begins_with,
            "subjectEndsWith": self.subject_ends_with,
            "isSubjectCaseSensitive": self.subject_case_sensitive,
        });
        if !self.advanced.is_empty() {
            filter["advancedFilters"] = self.advanced.iter().map(AdvancedFilter::to_json).collect();
        }
        if self.advanced_on_arrays {
            filter["enableAdvancedFilteringOnArrays"] = true.into();
        }
        filter
    }
}

fn folded(chars: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    chars.flat_map(char::to_lowercase)
}

fn begins(mut text: impl Iterator<Item = char>, prefix: impl Iterator<Item = char>) -> bool {
    let mut prefix = prefix;
    prefix.all(|wanted| text.next() == Some(wanted))
}
