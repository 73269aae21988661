//! CSV and its kin: a record a row, the columns named by a header or by the mapping.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::BufRead;

use foretell_types::{Error, Result};

use crate::collect::{Collector, Found};
use crate::lines::{Lines, Next, content, too_long};
use crate::mapping::{Delimiter, Empty, Mapping};
use crate::plan::{Plan, Row};
use crate::record::{Fed, Fields, Record};
use crate::template::Column;
use crate::typed::{shown, write_guessed, write_key, write_string};

/// Reads the whole text.
pub(crate) fn read(
    reader: &mut dyn BufRead,
    mapping: &Mapping,
    collector: &mut Collector,
) -> Result<()> {
    let mut records = Records {
        lines: Lines::new(reader)?,
        line: Vec::new(),
        record: Record::default(),
        start: 0,
        delimiter: mapping.delimiter.unwrap_or(Delimiter::Char(b',')),
    };
    let mut names = mapping.columns.clone();
    if mapping.header {
        match records.next()? {
            None => {
                return Err(Error::invalid(
                    "line 1: the file is empty: expected a header with the names of the columns",
                ));
            }
            Some(header) => {
                let place = format!("line {}, the header", records.start);
                header.map_err(|error| error.context(&place))?;
                let header = header_names(&records.record).map_err(|e| e.context(&place))?;
                if names.is_empty() {
                    names = header;
                }
            }
        }
    }
    let table = Table::new(names, mapping)?;
    while let Some(record) = records.next()? {
        let found = record.and_then(|()| table.row(&records.record));
        collector.take(records.start, found)?;
    }
    Ok(())
}

struct Records<'r> {
    lines: Lines<'r>,
    line: Vec<u8>,
    record: Record,
    /// The line that the record begins at.
    start: u64,
    delimiter: Delimiter,
}

impl Records<'_> {
    /// The next record, into `record`. The outer error is the file's, the inner the record's.
    fn next(&mut self) -> Result<Option<Result<()>>> {
        self.record.clear();
        let mut begun = false;
        loop {
            let next = self.lines.next(&mut self.line)?;
            if !begun {
                self.start = self.lines.number;
            }
            match next {
                Next::TooLong => return Ok(Some(Err(too_long()))),
                Next::End if begun => {
                    return Ok(Some(Err(Error::invalid(
                        "a quoted field is not closed before the end of the file: expected a quote",
                    ))));
                }
                Next::End => return Ok(None),
                Next::Line => {}
            }
            let blank = match self.delimiter {
                Delimiter::Whitespace => self.line.trim_ascii().is_empty(),
                Delimiter::Char(_) => content(&self.line).is_empty(),
            };
            if blank && !begun {
                continue;
            }
            begun = true;
            match self.record.feed(&self.line, self.delimiter) {
                Ok(Fed::More) => {}
                Ok(Fed::Complete) => return Ok(Some(Ok(()))),
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }
}

/// The names of a header; a column without one (pandas writes its index so) is `column_N`.
fn header_names(record: &Record) -> Result<Vec<String>> {
    let fields = record
        .text()
        .map_err(|(field, bytes)| not_text(&format!("column {}", field + 1), &bytes))?;
    let names = fields
        .iter()
        .enumerate()
        .map(|(index, name)| match name.trim() {
            "" => format!("column_{}", index + 1),
            name => name.to_owned(),
        });
    Ok(names.collect())
}

fn not_text(column: &str, bytes: &[u8]) -> Error {
    Error::invalid(format!(
        "{column}: {} is not UTF-8: convert the file first (for Western European text: iconv -f WINDOWS-1252 -t UTF-8)",
        shown(&String::from_utf8_lossy(bytes))
    ))
}

/// The columns and what becomes of them.
struct Table {
    names: Vec<String>,
    plan: Plan,
    /// The columns that are kept as data.
    data: Vec<usize>,
    strings: bool,
    empty: Empty,
}

impl Table {
    fn new(names: Vec<String>, mapping: &Mapping) -> Result<Table> {
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(Error::invalid(format!(
                "the column {} is there twice: give the columns names of your own",
                shown(twice)
            )));
        }
        let find = |name: &str| {
            let found = names.iter().position(|other| other == name);
            found.ok_or_else(|| unknown_column(name, &names))
        };
        let plan = Plan::new(mapping, find)?;
        let data = if mapping.data.is_empty() {
            let used: HashSet<usize> = plan.columns().map(|column| column.index).collect();
            (0..names.len())
                .filter(|index| !used.contains(index))
                .collect()
        } else {
            let found = mapping.data.iter().map(|name| find(name));
            found.collect::<Result<Vec<_>>>()?
        };
        Ok(Table {
            plan,
            data,
            strings: mapping.strings,
            empty: mapping.empty,
            names,
        })
    }

    fn row(&self, record: &Record) -> Result<Found> {
        if record.len() != self.names.len() {
            return Err(Error::invalid(format!(
                "the row has {} fields: expected {}, one for each column",
                record.len(),
                self.names.len()
            )));
        }
        let fields = record.text().map_err(|(field, bytes)| {
            not_text(&format!("column {:?}", self.names[field]), &bytes)
        })?;
        let draft = self.plan.draft(&CsvRow(fields), self.json(fields))?;
        Ok(Found::Draft(draft))
    }

    fn json(&self, fields: Fields<'_>) -> String {
        let mut out = String::from("{");
        for &index in &self.data {
            let text = fields.get(index);
            if text.is_empty() && self.empty == Empty::Omit {
                continue;
            }
            write_key(&mut out, &self.names[index]);
            match (text, self.strings) {
                ("", _) => out.push_str("null"),
                (text, true) => write_string(&mut out, text),
                (text, false) => write_guessed(&mut out, text),
            }
        }
        out.push('}');
        out
    }
}

fn unknown_column(name: &str, names: &[String]) -> Error {
    let mut listed: Vec<String> = names.iter().take(30).map(|name| shown(name)).collect();
    if names.len() > listed.len() {
        listed.push("…".to_owned());
    }
    let hint = match names {
        [only] if only.contains([';', '\t', '|']) => " (is the delimiter another one?)",
        _ => "",
    };
    Error::invalid(format!(
        "there is no column {}: the file has {}{hint}",
        shown(name),
        listed.join(", ")
    ))
}

struct CsvRow<'r>(Fields<'r>);

impl Row for CsvRow<'_> {
    fn text(&self, column: &Column) -> Result<Option<Cow<'_, str>>> {
        let text = self.0.get(column.index);
        Ok((!text.is_empty()).then_some(Cow::Borrowed(text)))
    }
}
