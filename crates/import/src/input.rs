//! The bytes of a file: counted, hashed, unpacked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use foretell_types::{Error, Result};

use crate::limits::{BUFFER_BYTES, INPUT_BYTES};

/// The file as it lies on the disk. What is read is hashed and reported.
pub(crate) struct Raw<'p> {
    file: File,
    hasher: blake3::Hasher,
    read: u64,
    total: u64,
    progress: &'p mut dyn FnMut(u64, u64),
}

impl<'p> Raw<'p> {
    pub fn open(path: &Path, progress: &'p mut dyn FnMut(u64, u64)) -> Result<Raw<'p>> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::not_found("there is no such file"),
            _ => Error::io("can't open the file", error),
        })?;
        let about = file
            .metadata()
            .map_err(|error| Error::io("can't open the file", error))?;
        if about.is_dir() {
            return Err(Error::invalid("is a directory: name a file"));
        }
        Ok(Raw {
            file,
            hasher: blake3::Hasher::new(),
            read: 0,
            total: about.len(),
            progress,
        })
    }

    /// Reads what the parser left (after an XML document, say), so that the hash is the file's.
    pub fn drain(&mut self) -> Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(read_error(error)),
            }
        }
    }

    pub fn bytes(&self) -> u64 {
        self.read
    }

    pub fn into_hasher(self) -> blake3::Hasher {
        self.hasher
    }
}

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.hasher.update(&buffer[..count]);
        self.read += count as u64;
        (self.progress)(self.read, self.total.max(self.read));
        Ok(count)
    }
}

/// The file's text: unpacked if it begins as gzip does; `.gz` without that is refused.
pub(crate) fn unpacked<'r>(raw: &'r mut Raw<'_>, path: &Path) -> Result<Box<dyn BufRead + 'r>> {
    let mut buffered = BufReader::with_capacity(BUFFER_BYTES, raw);
    let start = buffered.fill_buf().map_err(read_error)?;
    if start.starts_with(&[0x1f, 0x8b]) {
        let capped = Capped {
            inner: MultiGzDecoder::new(buffered),
            left: INPUT_BYTES,
        };
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, capped)));
    }
    let named_gz = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if named_gz {
        return Err(Error::invalid(
            "the name ends in .gz, but the file isn't gzip: rename it, or fetch it again",
        ));
    }
    Ok(Box::new(buffered))
}

/// Fails where a text is longer than any log: what gzip can unpack to has no other end.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it unpacks to more than {INPUT_BYTES} bytes: split it"),
                ));
            }
        }
        Ok(count)
    }
}

/// An error of reading: damage of the gzip data is the input's fault, all else the system's.
pub(crate) fn read_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::invalid("the gzip data ends too early: fetch the file again").with_source(error)
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Error::invalid(format!("the data is damaged or isn't text: {error}")).with_source(error)
        }
        _ => Error::io("can't read the file", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_without_end_is_refused() {
        let mut capped = Capped {
            inner: io::repeat(b'x'),
            left: 1_000_000,
        };
        let error = io::copy(&mut capped, &mut io::sink()).unwrap_err();
        assert_eq!(read_error(error).kind(), foretell_types::ErrorKind::Invalid);
    }
}
