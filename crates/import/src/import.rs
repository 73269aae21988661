use std::path::Path;

use foretell_types::{Error, Result};

use crate::collect::{BadRow, Collector};
use crate::held::Events;
use crate::input::{Raw, unpacked};
use crate::mapping::{Format, Mapping};
use crate::{csv, jsonl, xes};

/// Hex digits of the file's hash that ids begin with.
const ID_HASH_CHARS: usize = 16;

/// What a file gave.
#[derive(Debug)]
pub struct Import {
    /// Names file and mapping: the BLAKE3 hash, in hex, of the file's bytes followed by the JSON of
    /// the resolved mapping. Two imports of the same name give the same events in the same order.
    pub import_id: String,
    /// The mapping that the file was read by, nothing left to be guessed.
    pub mapping: Mapping,
    /// The events, in the order to append them in.
    pub events: Events,
    /// Rows of the file: events, skipped ones and duplicates.
    pub rows: u64,
    /// Rows that couldn't be read, under [`crate::OnBadRow::Skip`].
    pub skipped: u64,
    /// Rows left out since one of the same id and the same content came before.
    pub duplicates: u64,
    /// The first skipped rows, at most [`crate::limits::BAD_ROWS_REPORTED`].
    pub bad_rows: Vec<BadRow>,
    /// The size of the file as it lies on the disk.
    pub bytes: u64,
}

/// Reads a whole file of events. `progress` is told the bytes read and the bytes there are.
///
/// **Order**: events are ordered by (known time, event time, row). The known time is that of the
/// mapping's column, or else the event time; either way the event declares it in `knowntime`. An
/// event without an event time takes its place, but no time, from the row before it (in XES from
/// the event before it in its trace); if there is none, it comes before all that have one.
///
/// **Identity**: an event's id is the value of the id column, or else the first 16 hex digits of
/// the file's BLAKE3 hash, `-`, and the row (from 1, skipped rows counted). Rows with the same id
/// and the same content are one event; with other content the second is a bad row.
///
/// **Errors** name the file and the line. What is wrong with one row follows
/// [`Mapping::on_bad_row`]; what is wrong with the file (not readable, not gzip, not XML, no such
/// column) always fails.
pub fn read(
    path: impl AsRef<Path>,
    mapping: &Mapping,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Import> {
    let path = path.as_ref();
    read_named(path, mapping, progress).map_err(|error| error.context(path.display()))
}

fn read_named(
    path: &Path,
    mapping: &Mapping,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Import> {
    let mapping = mapping.resolve(path)?;
    let mut raw = Raw::open(path, progress)?;
    let mut collector = Collector::new(&mapping);
    {
        let mut reader = unpacked(&mut raw, path)?;
        match mapping.format {
            Some(Format::Jsonl) => jsonl::read(&mut *reader, &mapping, &mut collector)?,
            Some(Format::Xes) => xes::read(&mut *reader, &mapping, &mut collector)?,
            Some(Format::Csv) | None => csv::read(&mut *reader, &mapping, &mut collector)?,
        }
    }
    raw.drain()?;
    collector.finish()?;
    let bytes = raw.bytes();
    let mut hasher = raw.into_hasher();
    let file = hasher.finalize().to_hex();
    let canonical = serde_json::to_vec(&mapping)
        .map_err(|error| Error::invalid(format!("the mapping can't be written: {error}")))?;
    hasher.update(&canonical);
    Ok(Import {
        import_id: hasher.finalize().to_hex().to_string(),
        events: Events {
            held: collector.held.into_iter(),
            source: mapping.source.clone().unwrap_or_default(),
            file: file.as_str()[..ID_HASH_CHARS].to_owned(),
        },
        mapping,
        rows: collector.rows,
        skipped: collector.skipped,
        duplicates: collector.duplicates,
        bad_rows: collector.bad_rows,
        bytes,
    })
}
