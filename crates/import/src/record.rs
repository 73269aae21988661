//! Splits the records of CSV files (RFC 4180) into fields.

use std::str::Utf8Error;

use foretell_types::{Error, Result};

use crate::limits::{COLUMNS, RECORD_BYTES};
use crate::lines::{content, too_long};
use crate::mapping::Delimiter;

/// The fields of one record. A record takes a line, or several where a quoted field holds them.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The fields' bytes, one after the other.
    bytes: Vec<u8>,
    /// The end of each field in `bytes`.
    ends: Vec<usize>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Begin,
    Plain,
    Quoted,
    /// After a quote within a quoted field: the field's end, or the first of a pair.
    Closed,
}

/// Whether a record goes on in the next line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fed {
    Complete,
    More,
}

impl Record {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.state = State::Begin;
    }

    /// Takes one line, with its end.
    pub fn feed(&mut self, line: &[u8], delimiter: Delimiter) -> Result<Fed> {
        if self.bytes.len() + line.len() > RECORD_BYTES {
            return Err(too_long());
        }
        match delimiter {
            Delimiter::Whitespace => self.feed_blanks(line),
            Delimiter::Char(delimiter) => self.feed_fields(line, delimiter),
        }
    }

    fn feed_blanks(&mut self, line: &[u8]) -> Result<Fed> {
        let fields = content(line).split(|byte| byte.is_ascii_whitespace());
        for field in fields.filter(|field| !field.is_empty()) {
            self.bytes.extend_from_slice(field);
            self.end_field()?;
        }
        Ok(Fed::Complete)
    }

    fn feed_fields(&mut self, line: &[u8], delimiter: u8) -> Result<Fed> {
        let end = content(line).len();
        let mut at = 0;
        loop {
            match self.state {
                State::Begin if line.get(at) == Some(&b'"') => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Begin => self.state = State::Plain,
                State::Plain => {
                    let found = memchr::memchr(delimiter, &line[at..end]);
                    let stop = found.map_or(end, |found| at + found);
                    self.bytes.extend_from_slice(&line[at..stop]);
                    self.end_field()?;
                    if found.is_none() {
                        return Ok(Fed::Complete);
                    }
                    at = stop + 1;
                }
                State::Quoted => match memchr::memchr(b'"', &line[at..]) {
                    Some(found) => {
                        self.bytes.extend_from_slice(&line[at..at + found]);
                        self.state = State::Closed;
                        at += found + 1;
                    }
                    None => {
                        self.bytes.extend_from_slice(&line[at..]);
                        return Ok(Fed::More);
                    }
                },
                State::Closed if at == end => {
                    self.end_field()?;
                    return Ok(Fed::Complete);
                }
                State::Closed if line[at] == b'"' => {
                    self.bytes.push(b'"');
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Closed if line[at] == delimiter => {
                    self.end_field()?;
                    at += 1;
                }
                State::Closed => {
                    return Err(Error::invalid(format!(
                        "field {}: text after the closing quote: expected a delimiter (a quote within a quoted field is written twice)",
                        self.ends.len() + 1
                    )));
                }
            }
        }
    }

    fn end_field(&mut self) -> Result<()> {
        if self.ends.len() >= COLUMNS {
            return Err(Error::invalid(format!(
                "the record has more than {COLUMNS} fields"
            )));
        }
        self.ends.push(self.bytes.len());
        self.state = State::Begin;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The fields as text; the error has the number of the field that isn't UTF-8, and its bytes.
    pub fn text(&self) -> Result<Fields<'_>, (usize, Vec<u8>)> {
        let broken = |error: Utf8Error| {
            let field = self.ends.partition_point(|end| *end <= error.valid_up_to());
            (field, self.field_bytes(field).to_vec())
        };
        let text = std::str::from_utf8(&self.bytes).map_err(broken)?;
        // The whole can be text where a field is not, if its neighbour completes a character.
        match self
            .ends
            .iter()
            .position(|end| !text.is_char_boundary(*end))
        {
            None => Ok(Fields {
                text,
                ends: &self.ends,
            }),
            Some(field) => Err((field, self.field_bytes(field).to_vec())),
        }
    }

    fn field_bytes(&self, field: usize) -> &[u8] {
        let start = if field == 0 { 0 } else { self.ends[field - 1] };
        &self.bytes[start..self.ends[field]]
    }
}

/// The fields of a record as text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'r> {
    text: &'r str,
    ends: &'r [usize],
}

impl<'r> Fields<'r> {
    /// Empty beyond the last.
    pub fn get(&self, field: usize) -> &'r str {
        let start = match field {
            0 => 0,
            _ => self.ends.get(field - 1).copied().unwrap_or_default(),
        };
        match self.ends.get(field) {
            Some(end) => &self.text[start..*end],
            None => "",
        }
    }

    pub fn iter(self) -> impl Iterator<Item = &'r str> {
        (0..self.ends.len()).map(move |field| self.get(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, delimiter: Delimiter) -> Option<Vec<String>> {
        let mut record = Record::default();
        let mut fed = Ok(Fed::More);
        for line in text.split_inclusive('\n') {
            assert_eq!(fed.unwrap(), Fed::More);
            fed = record.feed(line.as_bytes(), delimiter);
        }
        match fed {
            Ok(Fed::Complete) => Some(record.text().unwrap().iter().map(str::to_owned).collect()),
            _ => None,
        }
    }

    #[test]
    fn records() {
        for (text, expected) in [
            ("a,b", Some(&["a", "b"][..])),
            ("a,,\r\n", Some(&["a", "", ""])),
            ("\"a,\"\"b\"\"\",c\n", Some(&["a,\"b\"", "c"])),
            ("\"a\nb\r\n\",\"\"\n", Some(&["a\nb\r\n", ""])),
            ("a \"b\" c,d\"", Some(&["a \"b\" c", "d\""])),
            ("\"a\"b,c", None),
            ("\"a,b\n", None),
        ] {
            let expected = expected.map(|fields| fields.iter().map(|f| f.to_string()).collect());
            assert_eq!(split(text, Delimiter::Char(b',')), expected, "{text:?}");
        }
        let blanks = split(" 00001  19970101\t1 \r\n", Delimiter::Whitespace);
        assert_eq!(blanks.unwrap(), ["00001", "19970101", "1"]);
    }

    #[test]
    fn names_the_field_that_is_no_text() {
        let mut record = Record::default();
        record.feed(b"a,b\xe9,c\n", Delimiter::Char(b',')).unwrap();
        assert_eq!(record.text().unwrap_err(), (1, b"b\xe9".to_vec()));
        // Halves of one character, joined by accident.
        record.clear();
        record.feed(b"\xc3,\xa9\n", Delimiter::Char(b',')).unwrap();
        assert_eq!(record.text().unwrap_err().0, 0);
    }
}
