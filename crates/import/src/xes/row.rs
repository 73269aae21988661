//! An event of an XES log with the trace that it lies in, as a row.

use std::borrow::Cow;

use foretell_types::{Error, Result};

use super::attribute::{Attribute, write_member, write_members};
use crate::mapping::{Mapping, TraceData};
use crate::plan::Row;
use crate::resolve::{CASE_PREFIX, CONCEPT_NAME};
use crate::template::Column;
use crate::typed::shown;

pub(super) struct XesRow<'a> {
    pub event: &'a [Attribute],
    /// `None` for an event outside of traces.
    pub trace: Option<&'a [Attribute]>,
    /// Whether it is its trace's first in the file.
    pub first: bool,
}

impl XesRow<'_> {
    /// The attribute of a column: the event's own before the trace's.
    fn find(&self, name: &str) -> Option<&Attribute> {
        let of_event = self.event.iter().find(|attribute| attribute.key == name);
        of_event.or_else(|| {
            let key = name.strip_prefix(CASE_PREFIX)?;
            self.trace?.iter().find(|attribute| attribute.key == key)
        })
    }

    /// The event's data as a JSON object.
    pub fn json(&self, mapping: &Mapping) -> Result<String> {
        let mut out = String::from("{");
        if mapping.data.is_empty() {
            write_members(&mut out, "", self.event)?;
            let with_trace = match mapping.trace_data {
                TraceData::None => false,
                TraceData::First => self.first,
                TraceData::All => true,
            };
            if let (true, Some(trace)) = (with_trace, self.trace) {
                write_members(&mut out, CASE_PREFIX, trace)?;
            }
        } else {
            for name in &mapping.data {
                if let Some(attribute) = self.find(name) {
                    let of_trace = attribute.key != *name;
                    write_member(&mut out, if of_trace { CASE_PREFIX } else { "" }, attribute)?;
                }
            }
        }
        out.push('}');
        Ok(out)
    }
}

impl Row for XesRow<'_> {
    fn text(&self, column: &Column) -> Result<Option<Cow<'_, str>>> {
        match self.find(&column.name) {
            Some(attribute) if attribute.is_nested() => Err(Error::invalid(format!(
                "the attribute {} is a list or container: expected a single value",
                shown(&attribute.key)
            ))),
            Some(attribute) if !attribute.text.is_empty() => {
                Ok(Some(Cow::Borrowed(&attribute.text)))
            }
            _ => Ok(None),
        }
    }

    fn default_subject(&self) -> Result<Option<Cow<'_, str>>> {
        let Some(trace) = self.trace else {
            return Ok(None);
        };
        let case = trace.iter().find(|attribute| attribute.key == CONCEPT_NAME);
        match case {
            Some(case) if !case.text.is_empty() => Ok(Some(Cow::Borrowed(&case.text))),
            _ => Err(Error::invalid(
                "the event's trace has no concept:name: expected the name of the case (or name a subject column)",
            )),
        }
    }
}
