use std::path::{Path, PathBuf};
use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Result};

use super::SEGMENT_SHIFT;
use crate::bugs::{self, Bug};
use crate::files::{File, Files};
use crate::journal::{Place, Seq};
use crate::sealed::PieceCache;

/// Offset of a segment's first group; before it lies the header's sector.
pub(super) const FIRST_GROUP: u64 = 512;
pub(super) const SECTOR: usize = 512;
const MAGIC: [u8; 8] = *b"FORETELL";
const FORMAT_VERSION: u32 = 2;
/// Of a segment that holds groups. Version 2 is one that is prepared, which earlier ones don't know.
const WITH_GROUPS: u32 = 1;
/// The first commit of a segment that holds nothing.
const PREPARED: Seq = Seq(0);
const SUFFIX: &str = ".segment";
const HEADER_BYTES: usize = 64;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// One file of the journal.
pub(super) struct Segment {
    pub path: PathBuf,
    /// Consecutive from 0.
    pub number: u64,
    pub first: Seq,
    /// Seeds the checksums, so that no group of another segment passes for one of this.
    pub salt: u64,
    file: Arc<dyn File>,
    /// Its number in the cache.
    pub cached: u64,
}

/// A segment without groups: its file is there, its header says that it holds nothing, and some of
/// it is filled with zeros.
pub(super) struct Prepared {
    number: u64,
    /// How far.
    pub filled: u64,
    path: PathBuf,
    file: Arc<dyn File>,
}

impl Prepared {
    /// Makes the file, its header and its name, all durable.
    pub fn create(folder: &Path, number: u64, files: &dyn Files) -> Result<Prepared> {
        let path = folder.join(format!("{number:010}{SUFFIX}"));
        let at = |error| Error::io(format_args!("can't make {}", path.display()), error);
        let file = files.create(&path).map_err(at)?;
        let prepared = Prepared {
            number,
            filled: FIRST_GROUP,
            path,
            file,
        };
        let made = prepared.write_header(PREPARED, 0).and_then(|()| {
            match bugs::on(Bug::SegmentNameNotSynced) {
                true => Ok(()),
                false => files.sync_dir(folder),
            }
        });
        prepared.or_remove(made, files)
    }

    /// Fills it with zeros up to an offset, and makes them durable.
    pub fn fill(&mut self, to: u64) -> Result<()> {
        fill_zeros(&*self.file, self.filled, to).map_err(|error| self.failed(error))?;
        self.filled = to;
        Ok(())
    }

    /// The same without writing them, if the file system can.
    pub fn allocate(&mut self, to: u64) -> Result<()> {
        let allocated = || allocate(&*self.file, self.filled, to);
        if self.filled < to && allocated().map_err(|error| self.failed(error))? {
            self.filled = to;
        }
        Ok(())
    }

    /// The segment that begins with a commit; its header is durable.
    pub fn begin(
        self,
        first: Seq,
        salt: u64,
        (files, cache): (&dyn Files, &PieceCache),
    ) -> Result<Segment> {
        let made = match bugs::on(Bug::SegmentBegunUnsaid) {
            true => Ok(()),
            false => self.write_header(first, salt),
        };
        let prepared = self.or_remove(made, files)?;
        Ok(Segment {
            path: prepared.path,
            number: prepared.number,
            first,
            salt,
            file: prepared.file,
            cached: cache.file(),
        })
    }

    /// Removes the file.
    pub fn remove(&self, files: &dyn Files) -> std::io::Result<()> {
        files.remove(&self.path)?;
        files.sync_dir(self.path.parent().unwrap_or(&self.path))
    }

    fn write_header(&self, first: Seq, salt: u64) -> std::io::Result<()> {
        let mut sector = [0; SECTOR];
        sector[..HEADER_BYTES].copy_from_slice(&encode_header(self.number, first, salt));
        self.file.write_all_at(&sector, 0)?;
        self.file.sync_data()
    }

    /// The segment before may take another group only if this one is gone for certain: otherwise
    /// the outcome is unknown, whatever the error was.
    fn or_remove(self, made: std::io::Result<()>, files: &dyn Files) -> Result<Prepared> {
        let Err(error) = made else {
            return Ok(self);
        };
        let gone = match bugs::on(Bug::UnmadeSegmentLeft) {
            true => files.remove(&self.path),
            false => self.remove(files),
        };
        let also = gone.err().map(std::io::Error::other);
        Err(self.failed(also.unwrap_or(error)))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(format_args!("can't make {}", self.path.display()), error)
    }
}

/// The names of a folder's segments, in order.
fn names(folder: &Path, files: &dyn Files) -> Result<Vec<String>> {
    let names = files
        .list(folder)
        .map_err(|error| Error::io(format_args!("can't list {}", folder.display()), error))?;
    let segments = names.into_iter().filter(|name| name.ends_with(SUFFIX));
    Ok(segments.collect())
}

/// Removes the segments before a number: they are sealed.
pub(super) fn remove_sealed(folder: &Path, files: &dyn Files, first: u64) -> Result<()> {
    let first = format!("{first:010}{SUFFIX}");
    let mut removed = false;
    for name in names(folder, files)?
        .into_iter()
        .filter(|name| *name < first)
    {
        let path = folder.join(name);
        let at = |error| Error::io(format_args!("can't remove {}", path.display()), error);
        files.remove(&path).map_err(at)?;
        removed = true;
    }
    if removed {
        let at = |error| Error::io(format_args!("can't sync {}", folder.display()), error);
        files.sync_dir(folder).map_err(at)?;
    }
    Ok(())
}

/// Opens a folder's segments in order, from a number on. A last one that was only prepared, or whose
/// header never became durable, holds nothing and is removed.
pub(super) fn open_all(
    folder: &Path,
    files: &dyn Files,
    first: u64,
    cache: &PieceCache,
) -> Result<Vec<Arc<Segment>>> {
    let names = names(folder, files)?;
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let path = folder.join(name);
        let newest = index + 1 == names.len();
        match Segment::open(path.clone(), files, cache)? {
            Some(segment) if segment.number == first + index as u64 => {
                segments.push(Arc::new(segment));
            }
            Some(segment) => {
                let expected = first + index as u64;
                let what = format!("stands where segment {expected} must: a segment is missing");
                return Err(segment.damage(0, what));
            }
            None if newest => files
                .remove(&path)
                .and_then(|()| files.sync_dir(folder))
                .map_err(|error| {
                    Error::io(format_args!("can't remove {}", path.display()), error)
                })?,
            None => {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "{}, byte 0: the header of the segment says that it is empty, but another follows it",
                        path.display()
                    ),
                ));
            }
        }
    }
    Ok(segments)
}

impl Segment {
    /// `None` if it holds nothing: its header was never written, or says so.
    fn open(path: PathBuf, files: &dyn Files, cache: &PieceCache) -> Result<Option<Segment>> {
        let at = |error| Error::io(format_args!("can't open {}", path.display()), error);
        let file = files.open(&path).map_err(at)?;
        let mut sector = [0; SECTOR];
        let count = file.read_at(&mut sector, 0).map_err(at)?;
        let empty = sector.iter().all(|byte| *byte == 0);
        if empty && (count < SECTOR || file.len().map_err(at)? == SECTOR as u64) {
            return Ok(None);
        }
        let (number, first, salt) = decode_header(&sector)
            .map_err(|error| error.context(format_args!("{}, byte 0", path.display())))?;
        if first == PREPARED {
            return Ok(None);
        }
        Ok(Some(Segment {
            path,
            number,
            first,
            salt,
            file,
            cached: cache.file(),
        }))
    }

    pub fn place(&self, offset: u64) -> Place {
        Place(self.number << SEGMENT_SHIFT | offset)
    }

    pub fn len(&self) -> Result<u64> {
        self.file
            .len()
            .map_err(|error| self.failed("get the length of", error))
    }

    pub fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.file
            .read_at(buffer, offset)
            .map_err(|error| self.failed("read", error))
    }

    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| self.failed("write", error))
    }

    /// Writes bytes of the file over themselves.
    pub fn write_again(&self, range: std::ops::Range<u64>) -> Result<()> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let count = self.read(&mut bytes, range.start)?;
        self.write(&bytes[..count], range.start)
    }

    /// Has the disk begin with what [`Segment::sync`] waits for.
    pub fn begin_sync(&self, range: std::ops::Range<u64>) {
        self.file.begin_sync(range);
    }

    pub fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|error| self.failed("sync", error))
    }

    pub fn trim(&self, bytes: u64) -> Result<()> {
        self.file
            .set_len(bytes)
            .map_err(|error| self.failed("trim", error))
    }

    /// Writes zeros from one offset to another and makes them durable.
    pub fn fill_zeros(&self, from: u64, to: u64) -> Result<()> {
        fill_zeros(&*self.file, from, to).map_err(|error| self.failed("preallocate", error))
    }

    /// The same without writing them; false if the file system can't.
    pub fn allocate(&self, from: u64, to: u64) -> Result<bool> {
        allocate(&*self.file, from, to).map_err(|error| self.failed("preallocate", error))
    }

    /// Damage at an offset of this file.
    pub fn damage(&self, offset: u64, what: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorKind::Damaged,
            format!("{}, byte {offset}: {what}", self.path.display()),
        )
    }

    fn failed(&self, doing: &str, error: std::io::Error) -> Error {
        Error::io(format_args!("can't {doing} {}", self.path.display()), error)
    }
}

fn fill_zeros(file: &dyn File, from: u64, to: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < to {
        let count = (to - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..count as usize], at)?;
        at += count;
    }
    file.sync_data()
}

/// False if the file system can't.
fn allocate(file: &dyn File, from: u64, to: u64) -> std::io::Result<bool> {
    match file.allocate(from..to) {
        Ok(()) => file.sync_data().map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

fn encode_header(number: u64, first: Seq, salt: u64) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    let version = if first == PREPARED {
        FORMAT_VERSION
    } else {
        WITH_GROUPS
    };
    out[0..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&version.to_le_bytes());
    out[16..24].copy_from_slice(&number.to_le_bytes());
    out[24..32].copy_from_slice(&first.0.to_le_bytes());
    out[32..40].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32c::crc32c(&out[..60]);
    out[60..64].copy_from_slice(&crc.to_le_bytes());
    out
}

pub(super) fn decode_header(sector: &[u8; SECTOR]) -> Result<(u64, Seq, u64)> {
    let damaged =
        |what: &str| Error::new(ErrorKind::Damaged, format!("the segment's header {what}"));
    let u32_at = |at: usize| {
        u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]])
    };
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    if sector[..8] != MAGIC {
        return Err(damaged("does not begin with FORETELL"));
    }
    if crc32c::crc32c(&sector[..60]) != u32_at(60) {
        return Err(damaged("has a wrong checksum"));
    }
    if sector[HEADER_BYTES..].iter().any(|byte| *byte != 0) {
        return Err(damaged("is followed by bytes that must be zero"));
    }
    if u32_at(8) > FORMAT_VERSION {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "the segment has format version {}, this foretell reads up to {FORMAT_VERSION}: use a newer foretell",
                u32_at(8)
            ),
        ));
    }
    if (Seq(u64_at(24)) == PREPARED) != (u32_at(8) == FORMAT_VERSION) {
        return Err(damaged("names no first commit"));
    }
    Ok((u64_at(16), Seq(u64_at(24)), u64_at(32)))
}
