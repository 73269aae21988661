//! The end of the journal after a crash.
//!
//! A group is written by one write and one sync. A crash between them may leave any of its
//! sectors unwritten, that is zero, as preallocated; the encoding never yields a sector that is
//! all zero. So the end is *torn*, and cut, only if one of the group's sectors is zero and no
//! valid group of this segment follows. All else is damage.

use std::path::{Path, PathBuf};

use foretell_types::{Error, Result};

use super::scan::{Scanner, is_damage};
use super::segment::{SECTOR, Segment};
use crate::bugs::{self, Bug};
use crate::files::Files;
use crate::journal::Seq;
use crate::journal::group::{HEADER_BYTES, MAGIC, decode_header, encoded_bytes};

/// Bytes that recovery cut off the end of the journal: a group that was never acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutTail {
    pub segment: PathBuf,
    pub offset: u64,
    pub bytes: u64,
    /// Where the cut bytes are kept.
    pub kept_in: PathBuf,
}

/// Where cut ends are kept.
const ASIDE: &str = "cut";

/// The cut ends that are kept in a journal's folder.
pub(super) fn cut_ends(folder: &Path, files: &dyn Files) -> Result<Vec<PathBuf>> {
    let aside = folder.join(ASIDE);
    match files.list(&aside) {
        Ok(names) => Ok(names.into_iter().map(|name| aside.join(name)).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(
            format_args!("can't read {}", aside.display()),
            error,
        )),
    }
}

pub(super) struct Recovered {
    /// The segment's last commit; `None` if it has none.
    pub last: Option<Seq>,
    pub offset: u64,
    /// Where the last whole group lies.
    pub last_group: Option<std::ops::Range<u64>>,
    pub cut: Option<CutTail>,
}

/// Finds the end of the last segment, and cuts off a torn group.
pub(super) fn recover(segment: &Segment, folder: &Path, files: &dyn Files) -> Result<Recovered> {
    let mut scanner = Scanner::new(segment)?;
    let (mut last, mut last_group) = (None, None);
    // The scanner moves on before it checks a body: remember where the group began.
    let mut offset = scanner.offset;
    let damage = loop {
        match scanner.next_group() {
            Ok(Some(found)) => last = Some(found.meta.last()),
            Ok(None) => break None,
            Err(error) if is_damage(&error) => break Some(error),
            Err(error) => return Err(error),
        }
        last_group = Some(offset..scanner.offset);
        offset = scanner.offset;
    };
    scanner.offset = offset;
    let end = last_nonzero(&mut scanner, offset, segment.len()?)?;
    let cut = match (damage, end) {
        (None, None) => {
            clear_again(segment, offset, folder, files)?;
            None
        }
        (damage, end) => {
            let end = end.map_or(offset, |at| at + 1);
            let torn = is_torn(&mut scanner, segment, offset, end)?;
            if !torn {
                return Err(damage.unwrap_or_else(|| {
                    segment.damage(offset, "a group is missing in front of others")
                }));
            }
            Some(cut(&mut scanner, segment, offset, end, folder, files)?)
        }
    };
    Ok(Recovered {
        last,
        offset,
        last_group,
        cut,
    })
}

fn last_nonzero(scanner: &mut Scanner<'_>, from: u64, bytes: u64) -> Result<Option<u64>> {
    let (mut found, mut at) = (None, from);
    while let Some(nonzero) = scanner.first_nonzero(at)? {
        found = Some(nonzero);
        // Step by what the window holds: its last byte that isn't zero.
        let piece = scanner.window(nonzero, 64 * 1024)?;
        let last = piece.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
        found = found.map(|at| at + last);
        at = nonzero + piece.len() as u64;
        if at >= bytes {
            break;
        }
    }
    Ok(found)
}

/// Whether what lies from `offset` to `end` is a group that was never whole.
fn is_torn(scanner: &mut Scanner<'_>, segment: &Segment, offset: u64, end: u64) -> Result<bool> {
    if valid_group_follows(scanner, segment, offset, end)? {
        return Ok(false);
    }
    let header = scanner.window(offset, HEADER_BYTES)?;
    let extent = match decode_header(header, segment.salt) {
        Some((_, body_bytes)) => offset + encoded_bytes(body_bytes) as u64,
        None => offset + HEADER_BYTES as u64,
    };
    if extent > segment.len()? {
        // Space is preallocated before a group is written: a file that ends within one was cut.
        return Ok(false);
    }
    let mut at = offset;
    while at < extent {
        let sector_end = (at / SECTOR as u64 + 1) * SECTOR as u64;
        let part = scanner.window(at, (sector_end.min(extent) - at) as usize)?;
        if part.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        at = sector_end;
    }
    Ok(false)
}

fn valid_group_follows(
    scanner: &mut Scanner<'_>,
    segment: &Segment,
    offset: u64,
    end: u64,
) -> Result<bool> {
    let mut at = offset + 8;
    while at < end {
        let piece = scanner.window(at, 1024 * 1024)?;
        let candidates: Vec<u64> = memchr::memmem::find_iter(piece, &MAGIC)
            .map(|found| at + found as u64)
            .filter(|place| place % 8 == 0)
            .collect();
        let step = piece.len().saturating_sub(MAGIC.len()).max(1) as u64;
        for place in candidates {
            let header = scanner.window(place, HEADER_BYTES)?;
            if decode_header(header, segment.salt)
                .is_some_and(|(meta, _)| meta.first >= scanner.next)
            {
                return Ok(true);
            }
        }
        at += step;
    }
    Ok(false)
}

/// An opening before this one may have cut the end here and died before its zeros were durable, or
/// their sync failed: the torn bytes would come back behind later groups. What it kept aside tells.
fn clear_again(segment: &Segment, offset: u64, folder: &Path, files: &dyn Files) -> Result<()> {
    let here = format!("{:010}-{offset}-", segment.number);
    let mut end = offset;
    for path in cut_ends(folder, files)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&here) {
            let at = |error| Error::io(format_args!("can't read {}", path.display()), error);
            let file = files.open(&path).map_err(at)?;
            end = end.max(offset + file.len().map_err(at)?);
        }
    }
    if end == offset || bugs::on(Bug::TornTailNotClearedAgain) {
        return Ok(());
    }
    segment.fill_zeros(offset, end.min(segment.len()?))
}

/// Copies the torn bytes aside, then makes them zero again.
fn cut(
    scanner: &mut Scanner<'_>,
    segment: &Segment,
    offset: u64,
    end: u64,
    folder: &Path,
    files: &dyn Files,
) -> Result<CutTail> {
    let aside = folder.join(ASIDE);
    files
        .create_dir_all(&aside)
        .and_then(|()| files.sync_dir(folder))
        .map_err(|error| Error::io(format_args!("can't make {}", aside.display()), error))?;
    // A name that is taken holds what an earlier recovery kept: it stays.
    let taken = files.list(&aside).unwrap_or_default();
    let name = (0u64..)
        .map(|n| format!("{:010}-{offset}-{n}", segment.number))
        .find(|name| !taken.contains(name))
        .unwrap_or_default();
    let kept_in = aside.join(name);
    let at = |error| {
        Error::io(
            format_args!("can't keep the cut end in {}", kept_in.display()),
            error,
        )
    };
    let file = files.create(&kept_in).map_err(at)?;
    let mut from = offset;
    while from < end {
        let piece = scanner.window(from, (end - from).min(1024 * 1024) as usize)?;
        if piece.is_empty() {
            break;
        }
        file.write_all_at(piece, from - offset).map_err(at)?;
        from += piece.len() as u64;
    }
    file.sync_data()
        .and_then(|()| files.sync_dir(&aside))
        .map_err(at)?;
    if !bugs::on(Bug::TornTailNotCleared) {
        segment.fill_zeros(offset, end)?;
    }
    let bytes = end - offset;
    tracing::warn!(
        segment = %segment.path.display(), offset, bytes, kept_in = %kept_in.display(),
        "cut a torn group off the end of the journal: it was never acknowledged, unless the disk lost some of it"
    );
    Ok(CutTail {
        segment: segment.path.clone(),
        offset,
        bytes,
        kept_in,
    })
}
