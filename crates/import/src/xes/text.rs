//! The text of an XML document: decoded, its lines counted, its tokens bounded.

use std::io::{self, BufRead, Read};

use foretell_types::{Error, Result};
use quick_xml::encoding::DecodingReader;
use quick_xml::events::BytesDecl;

use super::Xml;
use crate::input::read_error;
use crate::limits::XML_TOKEN_BYTES;
use crate::typed::shown;

/// UTF-8, counted.
pub(super) struct Text<'r> {
    inner: Box<dyn BufRead + 'r>,
    line: u64,
    /// Bytes of the token so far.
    token: usize,
}

/// What a declaration may take to name another encoding.
const DECLARATION_BYTES: usize = 256;

/// An encoding other than UTF-8 is decoded, if the document begins by naming it.
pub(super) fn reader<'r>(mut inner: &'r mut dyn BufRead) -> Result<Xml<'r>> {
    let mut start = Vec::new();
    let mut head = (&mut inner).take(DECLARATION_BYTES as u64);
    head.read_to_end(&mut start).map_err(read_error)?;
    let encoding = encoding(&start);
    let whole = io::Cursor::new(start).chain(inner);
    let inner: Box<dyn BufRead + 'r> = match encoding {
        Encoding::Utf8 => Box::new(whole),
        Encoding::Utf16 => Box::new(DecodingReader::new(whole)),
        Encoding::Named(name) => {
            let declaration = BytesDecl::new("1.0", Some(&name), None);
            let known = declaration.encoder().ok_or_else(|| {
                Error::invalid(format!(
                    "line 1: the encoding {} isn't known: convert the file to UTF-8 first",
                    shown(&name)
                ))
            })?;
            let mut decoding = DecodingReader::new(whole);
            decoding.set_encoding(known);
            Box::new(decoding)
        }
    };
    Ok(quick_xml::Reader::from_reader(Text {
        inner,
        line: 1,
        token: 0,
    }))
}

#[derive(PartialEq, Eq, Debug)]
enum Encoding {
    Utf8,
    /// Told by its first bytes.
    Utf16,
    Named(String),
}

fn encoding(start: &[u8]) -> Encoding {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'<', ..] | [b'<', 0, ..] = start {
        return Encoding::Utf16;
    }
    let start = String::from_utf8_lossy(start);
    let declaration = start.split_once("?>").map_or("", |(before, _)| before);
    let value = declaration.split_once("encoding").map(|(_, value)| value);
    let name = value.and_then(|value| value.split(['"', '\'']).nth(1));
    match name {
        Some(name) if !name.eq_ignore_ascii_case("utf-8") => Encoding::Named(name.to_owned()),
        _ => Encoding::Utf8,
    }
}

impl Text<'_> {
    /// The line that the next token begins at.
    pub fn begin_token(&mut self) -> u64 {
        self.token = 0;
        self.line
    }
}

impl Read for Text<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Text<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.token > XML_TOKEN_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a tag or text has more than {XML_TOKEN_BYTES} bytes"),
            ));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // What is consumed was filled before, so nothing is read here.
        if let Ok(chunk) = self.inner.fill_buf() {
            let passed = &chunk[..count.min(chunk.len())];
            self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
        }
        self.token = self.token.saturating_add(count);
        self.inner.consume(count);
    }
}

pub(super) fn xml_error(error: quick_xml::Error) -> Error {
    match error {
        quick_xml::Error::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Error::new(foretell_types::ErrorKind::TooLarge, error.to_string())
        }
        quick_xml::Error::Io(error) => {
            let plain = match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            };
            read_error(plain)
        }
        quick_xml::Error::Encoding(error) => Error::invalid(format!(
            "the text isn't in the encoding that it declares (UTF-8 by default): {error}"
        )),
        other => Error::invalid(format!("malformed XML: {other}")),
    }
}
