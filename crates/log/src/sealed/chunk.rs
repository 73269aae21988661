//! Files that are written once: a header, chunks one behind the other, a footer, a trailer. Every
//! byte is under a checksum. Byte layout: docs/format.md, "Sealed files".

use std::cell::RefCell;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foretell_types::{Error, ErrorKind, Result};

use super::archive::unreadable;
use super::cache::{Piece, PieceCache};
use super::store::SegmentStore;
use crate::blobs::Blobs;
use crate::bugs::{self, Bug};
use crate::codec::{Frame, Take, put_varint};
use crate::files::File;

const HEADER_BYTES: u64 = 32;
const TRAILER_BYTES: u64 = 32;
const TRAILER_MAGIC: [u8; 8] = *b"FTsealed";
/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 1024 * 1024;
/// What a chunk may claim to be decompressed.
const CHUNK_BYTES: usize = 64 * 1024 * 1024;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Segment,
    Run,
    Manifest,
}

impl Kind {
    fn magic(self) -> [u8; 8] {
        match self {
            Kind::Segment => *b"FTsegmnt",
            Kind::Run => *b"FTindexr",
            Kind::Manifest => *b"FTmanfst",
        }
    }

    /// The newest version of the format that is read; the one that is written.
    fn version(self) -> u32 {
        match self {
            Kind::Run | Kind::Manifest => 2,
            Kind::Segment => 1,
        }
    }
}

/// Where a chunk lies in its file: its bytes there, its checksum included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chunk {
    pub offset: u64,
    pub bytes: u32,
}

impl Chunk {
    pub fn put(self, out: &mut Vec<u8>) {
        put_varint(out, self.offset);
        put_varint(out, u64::from(self.bytes));
    }

    pub fn take(take: &mut Take<'_>) -> Option<Chunk> {
        Some(Chunk {
            offset: take.varint()?,
            bytes: u32::try_from(take.varint()?).ok()?,
        })
    }
}

/// Writes such a file. It is durable once [`ChunkWriter::finish`] returns and its folder is synced.
pub(crate) struct ChunkWriter {
    path: PathBuf,
    file: Arc<dyn File>,
    salt: u64,
    cache: Arc<PieceCache>,
    /// Set when the work is to be given up.
    stop: Option<Arc<AtomicBool>>,
    /// Bytes that are in the file already.
    written: u64,
    buffer: Vec<u8>,
    /// Over all bytes so far.
    crc: u32,
    compressor: zstd::bulk::Compressor<'static>,
}

impl ChunkWriter {
    /// Begins a file in the store; what a crash left of that name is removed. `effort` is zstd's
    /// level.
    pub fn create(
        store: &SegmentStore,
        name: &str,
        kind: Kind,
        effort: i32,
    ) -> Result<ChunkWriter> {
        let path = store.fresh(name)?;
        let salt = store.environment.random.next();
        let file = store
            .files()
            .create(&path)
            .map_err(|error| failed("make", &path, error))?;
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend_from_slice(&kind.magic());
        header.extend_from_slice(&kind.version().to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&salt.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        let compressor = zstd::bulk::Compressor::new(effort)
            .map_err(|error| Error::io("can't compress", error))?;
        let mut writer = ChunkWriter {
            path,
            file,
            salt,
            cache: store.cache.clone(),
            stop: None,
            written: 0,
            buffer: Vec::with_capacity(WRITE_BYTES * 2),
            crc: 0,
            compressor,
        };
        writer.push(&header)?;
        Ok(writer)
    }

    /// Makes it end with an error once this is set.
    pub fn until(mut self, stop: &Arc<AtomicBool>) -> ChunkWriter {
        self.stop = Some(stop.clone());
        self
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends a chunk, compressed if that makes it smaller.
    pub fn put(&mut self, payload: &[u8]) -> Result<Chunk> {
        let compressed = self
            .compressor
            .compress(payload)
            .map_err(|error| failed("compress a chunk of", &self.path, error))?;
        if compressed.len() + 4 < payload.len() {
            self.put_body(payload.len() as u64 + 1, &compressed)
        } else {
            self.put_body(0, payload)
        }
    }

    /// Appends a chunk that can't be compressed.
    pub fn put_as_is(&mut self, payload: &[u8]) -> Result<Chunk> {
        self.put_body(0, payload)
    }

    fn put_body(&mut self, unpacked: u64, body: &[u8]) -> Result<Chunk> {
        let stop = self.stop.as_ref();
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::unavailable("the log is being closed"));
        }
        let offset = self.bytes();
        let mut head = Vec::with_capacity(8);
        put_varint(&mut head, unpacked);
        let crc = crc32c::crc32c_append(seed(self.salt, offset), &head);
        let crc = crc32c::crc32c_append(crc, body);
        self.push(&head)?;
        self.push(body)?;
        self.push(&crc.to_le_bytes())?;
        let bytes = self.bytes() - offset;
        Ok(Chunk {
            offset,
            bytes: u32::try_from(bytes).map_err(|_| too_large(&self.path))?,
        })
    }

    /// Appends footer and trailer and makes the file's content durable.
    pub fn finish(mut self, footer: &[u8]) -> Result<ChunkFile> {
        let footer = self.put(footer)?;
        let before = self.crc;
        let mut trailer = Vec::with_capacity(TRAILER_BYTES as usize);
        trailer.extend_from_slice(&footer.offset.to_le_bytes());
        trailer.extend_from_slice(&footer.bytes.to_le_bytes());
        trailer.extend_from_slice(&before.to_le_bytes());
        trailer.extend_from_slice(&[0; 4]);
        let crc = crc32c::crc32c_append(seed(self.salt, footer.offset), &trailer);
        trailer.extend_from_slice(&crc.to_le_bytes());
        trailer.extend_from_slice(&TRAILER_MAGIC);
        self.push(&trailer)?;
        self.flush()?;
        if !bugs::on(Bug::SealedFileNotSynced) {
            self.file
                .sync_data()
                .map_err(|error| failed("sync", &self.path, error))?;
        }
        Ok(ChunkFile {
            number: self.cache.file(),
            cache: self.cache,
            body: Body::File(self.path, self.file),
            salt: self.salt,
            bytes: self.written,
            footer,
            crc: before,
        })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file
            .write_all_at(&self.buffer, self.written)
            .map_err(|error| failed("write", &self.path, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Where the bytes of a file are.
enum Body {
    File(PathBuf, Arc<dyn File>),
    /// In the archive, if there is one at hand, under this name.
    Blob(Option<Arc<dyn Blobs>>, String),
}

impl Display for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::File(path, _) => write!(f, "{}", path.display()),
            Body::Blob(Some(blobs), name) => f.write_str(&blobs.describe(name)),
            Body::Blob(None, name) => write!(f, "blob {name}"),
        }
    }
}

impl Body {
    fn local(store: &SegmentStore, name: &str) -> Result<Body> {
        let path = store.folder.join(name);
        match store.files().open(&path) {
            Ok(file) => Ok(Body::File(path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(damaged(path.display(), 0, "the file is missing"))
            }
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    fn blob(store: &SegmentStore, name: &str) -> Body {
        let blobs = store.archive.as_ref().map(|archive| archive.blobs.clone());
        Body::Blob(blobs, name.to_owned())
    }

    fn bytes(&self) -> Result<u64> {
        match self {
            Body::File(path, file) => file.len().map_err(|error| failed("open", path, error)),
            Body::Blob(blobs, name) => {
                let blobs = blobs.as_deref();
                let found = blobs.map_or(Ok(None), |blobs| blobs.bytes(name));
                let found = found.map_err(|error| unreadable(blobs, name, Some(error)))?;
                found.ok_or_else(|| unreadable(blobs, name, None))
            }
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        match self {
            Body::File(path, file) => file.read_at(buffer, offset).map_err(|error| {
                // Of a file that is a blob.
                match error.kind() {
                    std::io::ErrorKind::NotFound => damaged(path.display(), 0, "it is missing"),
                    _ => failed("read", path, error),
                }
            }),
            Body::Blob(blobs, name) => {
                let blobs = blobs.as_deref();
                let read = blobs.map_or(Ok(None), |blobs| blobs.read(name, offset, buffer));
                let read = read.map_err(|error| unreadable(blobs, name, Some(error)))?;
                read.ok_or_else(|| unreadable(blobs, name, None))
            }
        }
    }
}

/// Such a file, open for reading.
pub(crate) struct ChunkFile {
    /// Its number in the cache.
    number: u64,
    cache: Arc<PieceCache>,
    body: Body,
    salt: u64,
    pub bytes: u64,
    footer: Chunk,
    /// Of all bytes before the trailer.
    crc: u32,
}

impl std::fmt::Debug for ChunkFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.body)
    }
}

impl ChunkFile {
    /// Opens a file and checks header and trailer.
    pub fn open(store: &SegmentStore, name: &str, kind: Kind) -> Result<ChunkFile> {
        ChunkFile::of(store, Body::local(store, name)?, kind)
    }

    /// As [`ChunkFile::open`], a file that lies in the archive.
    pub fn open_blob(store: &SegmentStore, name: &str, kind: Kind) -> Result<ChunkFile> {
        ChunkFile::of(store, Body::blob(store, name), kind)
    }

    fn of(store: &SegmentStore, body: Body, kind: Kind) -> Result<ChunkFile> {
        let bytes = body.bytes()?;
        let mut header = [0; HEADER_BYTES as usize];
        let count = body.read_at(&mut header, 0)?;
        let salt = read_header(&body, &header[..count], kind)?;
        let begin = bytes.saturating_sub(TRAILER_BYTES);
        let mut trailer = [0; TRAILER_BYTES as usize];
        let count = body.read_at(&mut trailer, begin)?;
        let Some((footer, crc)) = read_trailer(&trailer[..count], salt, begin) else {
            return Err(damaged(body, begin, "the trailer is wrong"));
        };
        Ok(ChunkFile {
            number: store.cache.file(),
            cache: store.cache.clone(),
            body,
            salt,
            bytes,
            footer,
            crc,
        })
    }

    /// Opens a file that lies in the archive by its stub: header, footer and trailer as they are
    /// there. Gives the footer too.
    pub fn open_stub(
        store: &SegmentStore,
        (stub, blob): (&str, &str),
        kind: Kind,
    ) -> Result<(ChunkFile, Vec<u8>)> {
        let stub = Body::local(store, stub)?;
        let wrong = |at: usize| damaged(&stub, at as u64, "the stub is wrong");
        let mut bytes = vec![0; stub.bytes()? as usize];
        let count = stub.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        let (header, rest) = bytes
            .split_at_checked(HEADER_BYTES as usize)
            .ok_or_else(|| wrong(0))?;
        let salt = read_header(&stub, header, kind)?;
        let (raw, trailer) = rest
            .len()
            .checked_sub(TRAILER_BYTES as usize)
            .and_then(|at| rest.split_at_checked(at))
            .ok_or_else(|| wrong(header.len()))?;
        let begin = Take(trailer)
            .u64()
            .unwrap_or(0)
            .saturating_add(raw.len() as u64);
        let read = read_trailer(trailer, salt, begin);
        let (footer, crc) = read.ok_or_else(|| wrong(header.len() + raw.len()))?;
        let content = unpack(&stub, salt, footer, raw)?;
        let file = ChunkFile {
            number: store.cache.file(),
            cache: store.cache.clone(),
            body: Body::blob(store, blob),
            salt,
            bytes: begin + TRAILER_BYTES,
            footer,
            crc,
        };
        Ok((file, content))
    }

    /// Writes the file's stub; it is durable once its folder is synced.
    pub fn write_stub(&self, store: &SegmentStore, name: &str) -> Result<()> {
        let behind = self.bytes - self.footer.offset;
        let mut bytes = vec![0; (HEADER_BYTES + behind) as usize];
        let (header, rest) = bytes.split_at_mut(HEADER_BYTES as usize);
        let count = self.read_at(header, 0)? + self.read_at(rest, self.footer.offset)?;
        if count < bytes.len() {
            return Err(self.damage(0, "the file is cut short"));
        }
        let path = store.fresh(name)?;
        let write = || {
            let file = store.files().create(&path)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_data()
        };
        write().map_err(|error| failed("write", &path, error))
    }

    /// Whether it lies in the archive, and then the name of its blob.
    pub fn blob(&self) -> Option<&str> {
        match &self.body {
            Body::File(..) => None,
            Body::Blob(_, name) => Some(name),
        }
    }

    pub fn salt(&self) -> u64 {
        self.salt
    }

    pub fn footer(&self) -> Result<Vec<u8>> {
        self.read(self.footer)
    }

    /// Bytes as they lie in the file; fewer than the buffer takes only at its end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.body.read_at(buffer, offset)
    }

    /// A chunk's content, from the file.
    pub fn read(&self, chunk: Chunk) -> Result<Vec<u8>> {
        if chunk.offset.saturating_add(u64::from(chunk.bytes)) > self.bytes {
            return Err(self.damage(chunk.offset, "a chunk lies beyond the end of the file"));
        }
        let mut buffer = vec![0; chunk.bytes as usize];
        let count = self.read_at(&mut buffer, chunk.offset)?;
        unpack(&self.body, self.salt, chunk, &buffer[..count])
    }

    /// A chunk's content, from the cache if it is there.
    pub fn piece(&self, chunk: Chunk) -> Result<Arc<Piece>> {
        if let Some(piece) = self.cache.get(self.number, chunk.offset) {
            return Ok(piece);
        }
        let piece = Arc::new(Piece {
            bytes: self.read(chunk)?,
            starts: Vec::new(),
        });
        self.cache.insert(self.number, chunk.offset, &piece);
        Ok(piece)
    }

    /// A block of frames; from the cache, and kept there, only if `keep` says so.
    pub fn block(&self, chunk: Chunk, keep: bool) -> Result<Arc<Piece>> {
        if let Some(piece) = self.cache.get(self.number, chunk.offset) {
            return Ok(piece);
        }
        let piece = self.frames(chunk, self.read(chunk)?)?;
        if keep {
            self.cache.insert(self.number, chunk.offset, &piece);
        }
        Ok(piece)
    }

    /// How many bytes the cache holds, of all files.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.capacity()
    }

    /// Whether a chunk is in the cache.
    pub fn is_held(&self, chunk: Chunk) -> bool {
        self.cache.get(self.number, chunk.offset).is_some()
    }

    /// Brings blocks of frames that lie side by side into the cache, by one read.
    pub fn fetch(&self, blocks: &[Chunk]) -> Result<()> {
        let first = blocks.first();
        if first.is_some_and(|first| self.cache.get(self.number, first.offset).is_some()) {
            return Ok(());
        }
        self.read_side_by_side(blocks, &mut |chunk, bytes| {
            let piece = self.frames(chunk, bytes)?;
            self.cache.insert(self.number, chunk.offset, &piece);
            Ok(())
        })
    }

    /// The contents of chunks that lie side by side, from the file by one read.
    pub fn read_side_by_side(
        &self,
        chunks: &[Chunk],
        take: &mut dyn FnMut(Chunk, Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else {
            return Ok(());
        };
        let end = last.offset.saturating_add(u64::from(last.bytes));
        let Some(bytes) = end.checked_sub(first.offset).filter(|_| end <= self.bytes) else {
            return Err(self.damage(first.offset, "a chunk lies beyond the end of the file"));
        };
        let mut buffer = vec![0; bytes as usize];
        let count = self.read_at(&mut buffer, first.offset)?;
        buffer.truncate(count);
        for chunk in chunks {
            let from = chunk.offset.saturating_sub(first.offset) as usize;
            let raw = buffer.get(from..from.saturating_add(chunk.bytes as usize));
            take(
                *chunk,
                unpack(&self.body, self.salt, *chunk, raw.unwrap_or(&[]))?,
            )?;
        }
        Ok(())
    }

    /// A block of frames, decompressed.
    fn frames(&self, chunk: Chunk, bytes: Vec<u8>) -> Result<Arc<Piece>> {
        let mut starts = Vec::with_capacity(bytes.len() / 128 + 2);
        let mut at = 0;
        while at < bytes.len() {
            starts.push(at as u32);
            let length = Frame::claimed_bytes(&bytes[at..]);
            match length.filter(|length| at + length <= bytes.len()) {
                Some(length) => at += length,
                None => return Err(self.damage(chunk.offset, "a frame is cut short")),
            }
        }
        starts.push(at as u32);
        Ok(Arc::new(Piece { bytes, starts }))
    }

    /// Reads every byte and checks the checksum over all of them.
    pub fn verify(&self) -> Result<()> {
        let end = self.bytes.saturating_sub(TRAILER_BYTES);
        let mut buffer = vec![0; WRITE_BYTES];
        let (mut at, mut crc) = (0, 0);
        while at < end {
            let wanted = (end - at).min(WRITE_BYTES as u64) as usize;
            let count = self.read_at(&mut buffer[..wanted], at)?;
            if count == 0 {
                return Err(self.damage(at, "the file is cut short"));
            }
            crc = crc32c::crc32c_append(crc, &buffer[..count]);
            at += count as u64;
        }
        if crc != self.crc {
            return Err(self.damage(0, "the checksum over the file is wrong"));
        }
        Ok(())
    }

    pub fn damage(&self, offset: u64, what: impl Display) -> Error {
        damaged(&self.body, offset, what)
    }
}

/// Reads a header; gives the salt.
fn read_header(body: &Body, header: &[u8], kind: Kind) -> Result<u64> {
    let mut take = Take(header);
    let magic: Option<[u8; 8]> = take.array();
    let (version, zero) = (take.u32(), take.u32());
    let salt = take.u64();
    let (also_zero, crc) = (take.u32(), take.u32());
    let sound = magic == Some(kind.magic())
        && (zero, also_zero) == (Some(0), Some(0))
        && crc == header.get(..28).map(crc32c::crc32c);
    let Some(salt) = salt.filter(|_| sound) else {
        return Err(damaged(body, 0, "the header is wrong"));
    };
    if version.is_none_or(|version| version > kind.version()) {
        let message = format!(
            "{body} has a newer format than this foretell reads ({}): use a newer foretell",
            kind.version()
        );
        return Err(Error::new(ErrorKind::NewerFormat, message));
    }
    Ok(salt)
}

/// The content of a chunk as it was read from its file, checked.
fn unpack(body: &Body, salt: u64, chunk: Chunk, raw: &[u8]) -> Result<Vec<u8>> {
    let wrong = |what| damaged(body, chunk.offset, what);
    let whole = raw.len() == chunk.bytes as usize;
    let split = whole.then(|| raw.split_last_chunk::<4>()).flatten();
    let (payload, crc) = split.ok_or_else(|| wrong("a chunk is cut short"))?;
    let expected = crc32c::crc32c_append(seed(salt, chunk.offset), payload);
    if *crc != expected.to_le_bytes() {
        return Err(wrong("the checksum of a chunk is wrong"));
    }
    let mut take = Take(payload);
    match take.varint() {
        Some(0) => Ok(take.0.to_vec()),
        Some(size) if size - 1 <= CHUNK_BYTES as u64 => {
            let size = (size - 1) as usize;
            let unpacked = decompress(take.0, size);
            let unpacked = unpacked.ok().filter(|bytes| bytes.len() == size);
            unpacked.ok_or_else(|| wrong("a chunk can't be decompressed"))
        }
        _ => Err(wrong("a chunk's size is wrong")),
    }
}

thread_local! {
    /// It has tables of its own, which take longer to make than a chunk takes to decompress.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(bytes: &[u8], size: usize) -> std::io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress(bytes, size)
    })
}

fn read_trailer(bytes: &[u8], salt: u64, begin: u64) -> Option<(Chunk, u32)> {
    let mut take = Take(bytes);
    let footer = Chunk {
        offset: take.u64()?,
        bytes: take.u32()?,
    };
    let (crc, zero, own, magic) = (take.u32()?, take.u32()?, take.u32()?, take.array::<8>()?);
    let sound = own == crc32c::crc32c_append(seed(salt, footer.offset), &bytes[..20])
        && (zero, magic) == (0, TRAILER_MAGIC)
        && footer.offset.checked_add(u64::from(footer.bytes)) == Some(begin);
    sound.then_some((footer, crc))
}

/// A chunk's checksum depends on its file and place: none passes for another.
fn seed(salt: u64, offset: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &offset.to_le_bytes())
}

fn damaged(place: impl Display, offset: u64, what: impl Display) -> Error {
    Error::new(
        ErrorKind::Damaged,
        format!("{place}, byte {offset}: {what}"),
    )
}

fn failed(doing: &str, path: &Path, error: std::io::Error) -> Error {
    Error::io(format_args!("can't {doing} {}", path.display()), error)
}

fn too_large(path: &Path) -> Error {
    let message = format!("a chunk of {} is too large", path.display());
    Error::new(ErrorKind::TooLarge, message)
}
