//! Lines of text, numbered, of bounded length.

use std::io::BufRead;

use foretell_types::{Error, ErrorKind, Result};

use crate::input::read_error;
use crate::limits::RECORD_BYTES;

pub(crate) struct Lines<'r> {
    reader: &'r mut dyn BufRead,
    /// The number of the line read last, from 1.
    pub number: u64,
}

/// What [`Lines::next`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    Line,
    /// The line had more than [`RECORD_BYTES`]; it was passed over.
    TooLong,
    End,
}

impl<'r> Lines<'r> {
    /// A byte order mark of UTF-8 is left out; UTF-16 is refused.
    pub fn new(reader: &'r mut dyn BufRead) -> Result<Lines<'r>> {
        let start = reader.fill_buf().map_err(read_error)?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(Error::invalid(
                "line 1: the text is UTF-16, expected UTF-8: convert it first (iconv -f UTF-16 -t UTF-8)",
            ));
        }
        if start.starts_with(&[0xef, 0xbb, 0xbf]) {
            reader.consume(3);
        }
        Ok(Lines { reader, number: 0 })
    }

    /// Puts the next line, with its end, in place of what `line` held.
    pub fn next(&mut self, line: &mut Vec<u8>) -> Result<Next> {
        line.clear();
        let mut length = 0usize;
        loop {
            let number = self.number + 1;
            let chunk = self
                .reader
                .fill_buf()
                .map_err(|error| read_error(error).context(format_args!("line {number}")))?;
            let end = memchr::memchr(b'\n', chunk).map(|at| at + 1);
            let count = end.unwrap_or(chunk.len());
            length = length.saturating_add(count);
            if length <= RECORD_BYTES {
                line.extend_from_slice(&chunk[..count]);
            }
            let last = end.is_some() || chunk.is_empty();
            self.reader.consume(count);
            if last && length > 0 {
                self.number = number;
            }
            match (last, length) {
                (false, _) => {}
                (true, 0) => return Ok(Next::End),
                (true, 1..=RECORD_BYTES) => return Ok(Next::Line),
                (true, _) => return Ok(Next::TooLong),
            }
        }
    }
}

/// A line without its end.
pub(crate) fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

pub(crate) fn too_long() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("the record has more than {RECORD_BYTES} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_numbers_and_a_limit() {
        let text = [
            b"a\r\n".to_vec(),
            vec![b'x'; RECORD_BYTES + 1],
            b"\n\nlast".to_vec(),
        ]
        .concat();
        let mut reader = std::io::BufReader::with_capacity(1000, &text[..]);
        let mut lines = Lines::new(&mut reader).unwrap();
        let mut line = Vec::new();
        for (expected, number, text) in [
            (Next::Line, 1, "a"),
            (Next::TooLong, 2, ""),
            (Next::Line, 3, ""),
            (Next::Line, 4, "last"),
            (Next::End, 4, ""),
        ] {
            assert_eq!(lines.next(&mut line).unwrap(), expected);
            assert_eq!(lines.number, number);
            if expected == Next::Line {
                assert_eq!(content(&line), text.as_bytes());
            }
        }
        assert!(line.capacity() <= 2 * RECORD_BYTES);
    }
}
