//! How a row becomes an event: the mapping with its columns found and its times understood.

use std::borrow::Cow;

use foretell_types::{Error, Result, Timestamp};

use crate::clock::Clock;
use crate::mapping::Mapping;
use crate::template::{Column, Piece, Template};
use crate::typed::shown;

/// A row of any format.
pub(crate) trait Row {
    /// The text of a column; `None` if it isn't there or empty. Fails if it is no single text.
    fn text(&self, column: &Column) -> Result<Option<Cow<'_, str>>>;

    /// The subject where the mapping names none.
    fn default_subject(&self) -> Result<Option<Cow<'_, str>>> {
        Ok(None)
    }
}

/// An event without what all events of an import share.
#[derive(Debug)]
pub(crate) struct Draft {
    /// `None`: made of file and row.
    pub id: Option<String>,
    pub subject: Option<String>,
    pub event_type: String,
    pub time: Option<Timestamp>,
    pub known: Option<Timestamp>,
    /// Separated by single spaces; empty without tags.
    pub tags: String,
    /// A JSON object.
    pub data: String,
}

#[derive(Debug)]
pub(crate) struct Plan {
    id: Option<Column>,
    subject: Vec<Template>,
    prefix: String,
    types: Vec<Column>,
    type_value: Option<String>,
    time: Option<Column>,
    known: Option<Column>,
    tags: Vec<Template>,
    clock: Clock,
    allow_missing_time: bool,
}

impl Plan {
    /// `find` gives the number of a column or says that there is none of that name.
    pub fn new(mapping: &Mapping, find: impl Fn(&str) -> Result<usize>) -> Result<Plan> {
        let column = |name: &String| {
            Ok::<_, Error>(Column {
                name: name.clone(),
                index: find(name)?,
            })
        };
        let templates = |texts: &[String]| {
            let parsed = texts.iter().map(|text| Template::parse(text, &find));
            parsed.collect::<Result<Vec<_>>>()
        };
        Ok(Plan {
            id: mapping.id.as_ref().map(column).transpose()?,
            subject: templates(&mapping.subject)?,
            prefix: mapping.subject_prefix.clone().unwrap_or_default(),
            types: mapping
                .event_type
                .iter()
                .map(column)
                .collect::<Result<_>>()?,
            type_value: mapping.type_value.clone(),
            time: mapping.time.as_ref().map(column).transpose()?,
            known: mapping.known_time.as_ref().map(column).transpose()?,
            tags: templates(&mapping.tags)?,
            clock: Clock::new(mapping.time_format.as_deref(), mapping.time_zone.as_deref())?,
            allow_missing_time: mapping.allow_missing_time,
        })
    }

    /// The columns that have a part of their own.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        let templates = self.subject.iter().chain(&self.tags);
        let singles = [&self.id, &self.time, &self.known];
        templates
            .flat_map(Template::columns)
            .chain(singles.into_iter().flatten())
            .chain(&self.types)
    }

    pub fn draft(&self, row: &impl Row, data: String) -> Result<Draft> {
        let id = match &self.id {
            Some(column) => Some(required(row, column, "id")?.into_owned()),
            None => None,
        };
        let time = self.time(row, self.time.as_ref())?;
        if let (Some(column), None, false) = (&self.time, time, self.allow_missing_time) {
            return Err(Error::invalid(format!(
                "column {:?} is empty: expected the event time (or allow events without a time)",
                column.name
            )));
        }
        Ok(Draft {
            id,
            subject: self.subject(row)?,
            event_type: self.event_type(row)?,
            time,
            known: self.time(row, self.known.as_ref())?,
            tags: self.tags(row)?,
            data,
        })
    }

    fn time(&self, row: &impl Row, column: Option<&Column>) -> Result<Option<Timestamp>> {
        let Some(column) = column else {
            return Ok(None);
        };
        let Some(text) = row.text(column)? else {
            return Ok(None);
        };
        let time = self.clock.read(&text).map_err(|error| {
            error.context(format_args!(
                "column {:?}: {} is no time",
                column.name,
                shown(&text)
            ))
        })?;
        Ok(Some(time))
    }

    fn subject(&self, row: &impl Row) -> Result<Option<String>> {
        if self.subject.is_empty() {
            let subject = row.default_subject()?;
            return Ok(subject.map(|text| format!("{}{text}", self.prefix)));
        }
        let mut subject = self.prefix.clone();
        for (index, template) in self.subject.iter().enumerate() {
            if index > 0 {
                subject.push('/');
            }
            for piece in &template.0 {
                match piece {
                    Piece::Text(text) => subject.push_str(text),
                    Piece::Column(column) => subject.push_str(&required(row, column, "subject")?),
                }
            }
        }
        Ok(Some(subject))
    }

    fn event_type(&self, row: &impl Row) -> Result<String> {
        if let Some(value) = &self.type_value {
            return Ok(value.clone());
        }
        let mut joined = String::new();
        for column in &self.types {
            if let Some(text) = row.text(column)? {
                if !joined.is_empty() {
                    joined.push('+');
                }
                joined.push_str(&text);
            }
        }
        match (joined.is_empty(), self.types.first()) {
            (false, _) => Ok(joined),
            (true, Some(column)) => Err(empty(column, "type")),
            (true, None) => Err(Error::invalid(
                "the mapping gives the event no type: name a type column or a fixed type",
            )),
        }
    }

    /// A template whose columns are empty gives no tag; what is there twice is taken once.
    fn tags(&self, row: &impl Row) -> Result<String> {
        let mut tags = String::new();
        'templates: for template in &self.tags {
            let mut text = String::new();
            for piece in &template.0 {
                match piece {
                    Piece::Text(plain) => text.push_str(plain),
                    Piece::Column(column) => match row.text(column)? {
                        Some(value) => text.push_str(&value),
                        None => continue 'templates,
                    },
                }
            }
            for tag in text.split_whitespace() {
                if tags.split(' ').any(|other| other == tag) {
                    continue;
                }
                if !tags.is_empty() {
                    tags.push(' ');
                }
                tags.push_str(tag);
            }
        }
        Ok(tags)
    }
}

fn required<'r>(row: &'r impl Row, column: &Column, what: &str) -> Result<Cow<'r, str>> {
    row.text(column)?.ok_or_else(|| empty(column, what))
}

fn empty(column: &Column, what: &str) -> Error {
    Error::invalid(format!(
        "column {:?} is empty: expected the event's {what}",
        column.name
    ))
}
