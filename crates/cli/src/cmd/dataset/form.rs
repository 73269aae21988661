//! Files on their way in a form (RFC 7578), a piece at a time.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use foretell_types::{Error, Result};
use futures::{Stream, StreamExt, stream};

const PIECE_BYTES: usize = 1024 * 1024;

/// The parts of a form.
#[derive(Debug)]
pub struct Form {
    boundary: String,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    File(File, String),
}

impl Form {
    /// `boundary` must stand in none of the parts.
    pub fn new(boundary: String) -> Form {
        Form {
            boundary,
            pieces: Vec::new(),
        }
    }

    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub fn text(mut self, name: &str, text: String) -> Form {
        let head = format!("content-disposition: form-data; name=\"{name}\"");
        self.begin(&head);
        self.pieces.push(Piece::Bytes(text.into()));
        self
    }

    pub fn file(mut self, name: &str, path: &Path) -> Result<Form> {
        let at = path.display().to_string();
        let file =
            File::open(path).map_err(|error| Error::io(format_args!("can't read {at}"), error))?;
        let plain = |c: char| !(c.is_control() || c == '"' || c == '\\');
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let file_name: String = file_name.chars().filter(|c| plain(*c)).collect();
        self.begin(&format!(
            "content-disposition: form-data; name=\"{name}\"; filename=\"{file_name}\""
        ));
        self.pieces.push(Piece::File(file, at));
        Ok(self)
    }

    fn begin(&mut self, head: &str) {
        let end = if self.pieces.is_empty() { "" } else { "\r\n" };
        let begin = format!("{end}--{}\r\n{head}\r\n\r\n", self.boundary);
        self.pieces.push(Piece::Bytes(begin.into()));
    }

    pub fn stream(mut self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let end = format!("\r\n--{}--\r\n", self.boundary);
        self.pieces.push(Piece::Bytes(end.into()));
        stream::iter(self.pieces).flat_map(|piece| match piece {
            Piece::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Piece::File(file, at) => read(file, at).boxed(),
        })
    }
}

fn read(file: File, at: String) -> impl Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold((file, at), |(file, at)| async move {
        let work = move || {
            let mut bytes = Vec::with_capacity(PIECE_BYTES);
            let mut piece = (&file).take(PIECE_BYTES as u64);
            let read = piece.read_to_end(&mut bytes);
            read.map(|_| (bytes, file))
        };
        let read = tokio::task::spawn_blocking(work).await;
        let read = read.map_err(|error| Error::unavailable(format!("{at}: {error}")))?;
        let (bytes, file) =
            read.map_err(|error| Error::io(format_args!("can't read {at}"), error))?;
        Ok((!bytes.is_empty()).then(|| (bytes.into(), (file, at))))
    })
}
