//! Walks the elements of an XES document and hands its events on.

use foretell_types::{Error, ErrorKind, Result};
use quick_xml::events::BytesStart;

use super::attribute::{Attribute, Kind};
use super::row::XesRow;
use crate::collect::{Collector, Found};
use crate::limits::{COLUMNS, XES_ATTRIBUTES_BYTES, XML_DEPTH};
use crate::mapping::Mapping;
use crate::plan::Plan;

/// An element that is open.
enum Open {
    Log,
    Trace,
    Event,
    Attribute(Attribute),
    /// `<values>` within a list: what it holds belongs to the list.
    Values,
    /// What says nothing about events: attributes of the log, globals, extensions, classifiers;
    /// and attributes that can't be read, whose error is noted.
    Passed,
}

/// The attributes of a trace or an event, and what is wrong with them.
#[derive(Default)]
struct Holder {
    line: u64,
    attributes: Vec<Attribute>,
    count: usize,
    bytes: usize,
    error: Option<Error>,
}

impl Holder {
    fn begin(&mut self, line: u64) {
        *self = Holder {
            line,
            attributes: std::mem::take(&mut self.attributes),
            ..Holder::default()
        };
        self.attributes.clear();
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.count > COLUMNS {
            return Err(Error::invalid(format!(
                "there are more than {COLUMNS} attributes"
            )));
        }
        if self.bytes > XES_ATTRIBUTES_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the attributes have more than {XES_ATTRIBUTES_BYTES} bytes"),
            ));
        }
        Ok(())
    }
}

pub(super) struct Walk<'a> {
    mapping: &'a Mapping,
    plan: Plan,
    collector: &'a mut Collector,
    open: Vec<(Open, u64)>,
    trace: Holder,
    event: Holder,
    in_trace: bool,
    in_event: bool,
    events_of_trace: u64,
    seen_log: bool,
}

impl<'a> Walk<'a> {
    pub fn new(mapping: &'a Mapping, collector: &'a mut Collector) -> Result<Walk<'a>> {
        Ok(Walk {
            mapping,
            plan: Plan::new(mapping, |_| Ok(0))?,
            collector,
            open: Vec::new(),
            trace: Holder::default(),
            event: Holder::default(),
            in_trace: false,
            in_event: false,
            events_of_trace: 0,
            seen_log: false,
        })
    }

    pub fn open(&mut self, tag: &BytesStart<'_>, line: u64) -> Result<()> {
        if self.open.len() >= XML_DEPTH {
            return Err(Error::invalid(format!(
                "line {line}: elements nest deeper than {XML_DEPTH} levels"
            )));
        }
        let name = tag.local_name().into_inner();
        let open = match (self.open.last().map(|(open, _)| open), name) {
            (None, "log") if !self.seen_log => {
                self.seen_log = true;
                Open::Log
            }
            (None, _) => {
                return Err(Error::invalid(format!(
                    "line {line}: <{name}> is not XES: expected one <log>"
                )));
            }
            (Some(Open::Log), "trace") => {
                self.trace.begin(line);
                self.collector.begin_again();
                self.in_trace = true;
                self.events_of_trace = 0;
                Open::Trace
            }
            (Some(Open::Log | Open::Trace), "event") => {
                self.event.begin(line);
                self.in_event = true;
                Open::Event
            }
            (Some(Open::Attribute(parent)), "values") if parent.is_nested() => Open::Values,
            (Some(Open::Log | Open::Passed), _) => Open::Passed,
            (Some(_), _) if !self.in_event && self.events_of_trace > 0 => {
                let late = Error::invalid(format!(
                    "<{name}> of the trace comes after its events: expected it before them"
                ));
                self.collector.take(line, Err(late))?;
                Open::Passed
            }
            (Some(_), _) => self.attribute(name, tag, line),
        };
        self.open.push((open, line));
        Ok(())
    }

    /// An attribute of a trace or an event; what is wrong with it is noted there.
    fn attribute(&mut self, name: &str, tag: &BytesStart<'_>, line: u64) -> Open {
        let read = match Kind::of(name) {
            Some(kind) => Attribute::read(kind, tag, self.mapping.strings),
            None => Err(Error::invalid(format!(
                "<{name}> is not XES: expected an attribute (string, date, int, float, boolean, id, list, container)"
            ))),
        };
        let holder = self.holder();
        let checked = read.and_then(|attribute| {
            holder.count(attribute.size())?;
            Ok(attribute)
        });
        match checked {
            Ok(attribute) => Open::Attribute(attribute),
            Err(error) => {
                let error = match holder.line == line {
                    true => error,
                    false => error.context(format_args!("at line {line}")),
                };
                holder.error.get_or_insert(error);
                Open::Passed
            }
        }
    }

    fn holder(&mut self) -> &mut Holder {
        match self.in_event {
            true => &mut self.event,
            false => &mut self.trace,
        }
    }

    pub fn close(&mut self) -> Result<()> {
        match self.open.pop() {
            Some((Open::Attribute(attribute), _)) => {
                self.attach(attribute);
                Ok(())
            }
            Some((Open::Event, _)) => self.close_event(),
            Some((Open::Trace, _)) => self.close_trace(),
            _ => Ok(()),
        }
    }

    fn attach(&mut self, attribute: Attribute) {
        let parent = self.open.iter_mut().rev().map(|(open, _)| open);
        match parent
            .into_iter()
            .find(|open| !matches!(open, Open::Values))
        {
            Some(Open::Attribute(parent)) => parent.children.push(attribute),
            _ => self.holder().attributes.push(attribute),
        }
    }

    fn close_event(&mut self) -> Result<()> {
        self.in_event = false;
        self.events_of_trace += 1;
        let wrong = match self.in_trace {
            true => self.event.error.take().or_else(|| self.trace.error.clone()),
            false => self.event.error.take(),
        };
        let row = XesRow {
            event: &self.event.attributes,
            trace: self.in_trace.then_some(&self.trace.attributes),
            first: self.events_of_trace == 1,
        };
        let found = match wrong {
            Some(error) => Err(error),
            None => row
                .json(self.mapping)
                .and_then(|data| self.plan.draft(&row, data))
                .map(Found::Draft),
        };
        self.collector.take(self.event.line, found)
    }

    /// A trace's error is that of each of its events; without events it counts once.
    fn close_trace(&mut self) -> Result<()> {
        self.in_trace = false;
        self.collector.begin_again();
        match self.trace.error.take() {
            Some(error) if self.events_of_trace == 0 => {
                self.collector.take(self.trace.line, Err(error))
            }
            _ => Ok(()),
        }
    }

    /// The end of the text.
    pub fn end(&self, line: u64) -> Result<()> {
        match self.open.last() {
            Some((_, opened)) => Err(Error::invalid(format!(
                "line {line}: the file ends within the element that line {opened} opens: is it whole?"
            ))),
            None if !self.seen_log => Err(Error::invalid(format!(
                "line {line}: the file holds no <log>: expected XES"
            ))),
            None => Ok(()),
        }
    }
}
