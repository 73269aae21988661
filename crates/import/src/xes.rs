//! XES (IEEE 1849): the eXtensible Event Stream of process mining, a log of traces of events.

mod attribute;
mod row;
mod text;
mod walk;

use std::io::BufRead;

use foretell_types::{Error, Result};
use quick_xml::events::Event;

use crate::collect::Collector;
use crate::mapping::Mapping;
use text::Text;
use walk::Walk;

/// Reads the whole text.
pub(crate) fn read(
    reader: &mut dyn BufRead,
    mapping: &Mapping,
    collector: &mut Collector,
) -> Result<()> {
    let mut xml = text::reader(reader)?;
    let mut walk = Walk::new(mapping, collector)?;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let line = xml.get_mut().begin_token();
        let here = |error: Error| error.context(format_args!("line {line}"));
        let token = xml
            .read_event_into(&mut buffer)
            .map_err(|error| here(text::xml_error(error)))?;
        match token {
            Event::Start(tag) => walk.open(&tag, line)?,
            Event::Empty(tag) => {
                walk.open(&tag, line)?;
                walk.close()?;
            }
            Event::End(_) => walk.close()?,
            Event::Eof => return walk.end(line),
            // Comments, declarations and the text between elements say nothing about events.
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

/// The tokens of the text.
type Xml<'r> = quick_xml::Reader<Text<'r>>;
