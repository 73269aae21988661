//! A mapping with everything filled in that the file's name and format decide.

use std::fmt::Write as _;
use std::path::Path;

use foretell_types::{Error, Result};

use crate::mapping::{Delimiter, Format, Mapping, TraceData};

/// The attribute of an XES event that names its activity; of a trace, its case.
pub(crate) const CONCEPT_NAME: &str = "concept:name";
/// The prefix of columns that are attributes of an XES trace.
pub(crate) const CASE_PREFIX: &str = "case:";

impl Mapping {
    /// The mapping that a file is read by: format, source and delimiter guessed from its name, and
    /// the columns that XES defines. Refuses what contradicts itself.
    pub fn resolve(&self, path: &Path) -> Result<Mapping> {
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut mapping = self.clone();
        let format = match self.format {
            Some(format) => format,
            None => guess_format(&name)?,
        };
        mapping.format = Some(format);
        if mapping.source.is_none() {
            mapping.source = Some(format!("/import/{}", uri_segment(&name)));
        }
        mapping.refuse_contradictions(format)?;
        match format {
            Format::Csv => mapping.resolve_csv(&name),
            Format::Xes => mapping.resolve_xes(),
            Format::Jsonl => {}
        }
        // JSON lines without any mapping are CloudEvents, which bring their type along.
        let typed = !mapping.event_type.is_empty() || mapping.type_value.is_some();
        if !typed && (format == Format::Csv || mapping.maps_columns()) {
            return Err(Error::invalid(
                "the mapping gives the events no type: name a type column or a fixed type",
            ));
        }
        Ok(mapping)
    }

    /// Whether any column is mapped; JSON lines without a mapping are CloudEvents.
    pub(crate) fn maps_columns(&self) -> bool {
        self.id.is_some()
            || !self.subject.is_empty()
            || self.subject_prefix.is_some()
            || !self.event_type.is_empty()
            || self.type_value.is_some()
            || self.time.is_some()
            || self.known_time.is_some()
            || !self.tags.is_empty()
            || !self.data.is_empty()
    }

    fn resolve_csv(&mut self, name: &str) {
        if self.delimiter.is_none() {
            let tabs = extension(name) == "tsv";
            self.delimiter = Some(Delimiter::Char(if tabs { b'\t' } else { b',' }));
        }
    }

    fn resolve_xes(&mut self) {
        if self.event_type.is_empty() && self.type_value.is_none() {
            self.event_type.push(CONCEPT_NAME.to_owned());
            if self.lifecycle {
                self.event_type.push("lifecycle:transition".to_owned());
            }
        }
        self.time.get_or_insert_with(|| "time:timestamp".to_owned());
    }

    fn refuse_contradictions(&self, format: Format) -> Result<()> {
        let refuse = |wrong: bool, why: &str| match wrong {
            true => Err(Error::invalid(format!("the mapping: {why}"))),
            false => Ok(()),
        };
        refuse(
            !self.event_type.is_empty() && self.type_value.is_some(),
            "type columns and a fixed type exclude each other",
        )?;
        refuse(
            self.lifecycle && (!self.event_type.is_empty() || self.type_value.is_some()),
            "'lifecycle' and a type of your own exclude each other",
        )?;
        refuse(
            self.subject_prefix.is_some() && self.subject.is_empty() && format != Format::Xes,
            "a subject prefix needs a subject column",
        )?;
        refuse(
            format != Format::Csv && (self.delimiter.is_some() || !self.columns.is_empty()),
            "'delimiter' and 'columns' are for CSV",
        )?;
        refuse(
            format != Format::Xes && (self.lifecycle || self.trace_data != TraceData::None),
            "'lifecycle' and 'trace data' are for XES",
        )?;
        refuse(
            format == Format::Csv && !self.header && self.columns.is_empty(),
            "a CSV file without a header needs 'columns', the names of its columns",
        )
    }
}

/// The extension of a file's name in lower case, without `.gz`.
fn extension(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((_, extension)) => extension.to_owned(),
        None => String::new(),
    }
}

fn guess_format(name: &str) -> Result<Format> {
    match extension(name).as_str() {
        "csv" | "tsv" | "txt" => Ok(Format::Csv),
        "jsonl" | "ndjson" | "json" => Ok(Format::Jsonl),
        "xes" => Ok(Format::Xes),
        _ => Err(Error::invalid(format!(
            "the name {name:?} doesn't tell the format: give it as csv, jsonl or xes"
        ))),
    }
}

/// A file's name as a segment of a URI: white space, control characters and what would end the
/// path are percent-encoded.
fn uri_segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_whitespace() || c.is_control() || matches!(c, '%' | '?' | '#') {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a string can't fail.
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_guessed() {
        for (name, expected) in [
            ("a.csv", Some(Format::Csv)),
            ("A.TSV.GZ", Some(Format::Csv)),
            ("CDNOW_master.txt.gz", Some(Format::Csv)),
            ("x.ndjson", Some(Format::Jsonl)),
            ("x.json", Some(Format::Jsonl)),
            ("Helpdesk.xes.gz", Some(Format::Xes)),
            ("x.parquet", None),
            ("gz", None),
            ("", None),
        ] {
            assert_eq!(guess_format(name).ok(), expected, "{name}");
        }
    }

    #[test]
    fn sources_are_uri_references() {
        assert_eq!(uri_segment("my log 50%.csv"), "my%20log%2050%25.csv");
        assert_eq!(uri_segment("größe.csv"), "größe.csv");
    }
}
