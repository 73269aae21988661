//! What of the journal is sealed, and what was known at the end of it. Each manifest takes the
//! place of the one before. Byte layout: docs/format.md.

use std::collections::BTreeMap;

use foretell_types::{Error, ErrorKind, Result};

use super::chunk::{Chunk, ChunkFile, ChunkWriter, Kind};
use super::store::SegmentStore;
use crate::bugs::{self, Bug};
use crate::codec::{
    Frame, FrameKind, Take, close_frame, encode_register, fill_frame, put_bytes, put_varint,
};
use crate::index::Catalog;
use crate::merkle::MountainRange;

const SUFFIX: &str = ".manifest";
/// While it is there, no manifest was ever durable.
const FIRST_SEGMENT: &str = "0000000000.segment";
const BLOCK_BYTES: usize = 256 * 1024;
/// How hard zstd tries.
const EFFORT: i32 = 3;

#[derive(Clone, Debug, Default)]
pub(crate) struct Manifest {
    /// One more than that of the manifest before.
    pub number: u64,
    /// Seeds the hashes of keys and identities.
    pub seed: u64,
    /// The number of the first segment that isn't sealed.
    pub next_segment: u64,
    /// Numbers of the sealed segments, in order.
    pub segments: Vec<u64>,
    /// First and last segment of each run, in order.
    pub runs: Vec<(u64, u64)>,
    /// The sealed segments that lie in the archive, and the names of their blobs.
    pub archived: BTreeMap<u64, String>,
    /// What the sealed frames say.
    pub catalog: Catalog,
    /// The hash tree over the sealed frames.
    pub range: MountainRange,
}

impl Manifest {
    pub fn name(number: u64) -> String {
        format!("{number:010}{SUFFIX}")
    }

    /// The newest manifest of a folder that is whole; `None` if there is none. A newer one that
    /// isn't was being written when the process died: what it would have replaced is all there,
    /// since that is only removed behind it.
    pub fn load(store: &SegmentStore) -> Result<Option<Manifest>> {
        let folder = store.folder.display();
        let names = store
            .files()
            .list(&store.folder)
            .map_err(|error| Error::io(format_args!("can't list {folder}"), error))?;
        let mut refused = None;
        for name in names.iter().rev().filter(|name| name.ends_with(SUFFIX)) {
            match read(store, name) {
                Ok(manifest) => {
                    if manifest.replaces(name, &names)
                        && !bugs::on(Bug::ManifestNotDurableAtOpening)
                    {
                        // Only then what it replaces may go.
                        let path = store.folder.join(name);
                        store.files().write_again(&path).map_err(|error| {
                            Error::io(format_args!("can't write {} again", path.display()), error)
                        })?;
                    }
                    return Ok(Some(manifest));
                }
                Err(error)
                    if error.kind() == ErrorKind::Damaged
                        || bugs::on(Bug::OlderManifestOnInputError) =>
                {
                    refused = refused.or(Some(error));
                }
                // It may be the one in force, though it can't be read now.
                Err(error) => return Err(error),
            }
        }
        let nothing_sealed = names.contains(&FIRST_SEGMENT.to_owned());
        refused.filter(|_| !nothing_sealed).map_or(Ok(None), Err)
    }

    /// Whether anything is there that this manifest takes the place of. If not, it was durable
    /// when that was removed.
    fn replaces(&self, name: &str, names: &[String]) -> bool {
        let first = format!("{:010}.segment", self.next_segment);
        names.iter().any(|other| {
            other.ends_with(SUFFIX) && other != name
                || other.ends_with(".segment") && *other < first
        })
    }

    /// Makes the manifest durable, behind the names of all files that it names. What it takes the
    /// place of may go then, see [`Manifest::remove_older`].
    pub fn store(&self, store: &SegmentStore) -> Result<()> {
        let (folder, files, name) = (&store.folder, store.files(), Self::name(self.number));
        let at = |error| Error::io(format_args!("can't store {name}"), error);
        // A crash may keep any of the names made since the last sync of the folder, and so the
        // manifest's alone, if it were made before this one.
        if !bugs::on(Bug::SealedNamesNotSynced) {
            files.sync_dir(folder).map_err(at)?;
        }
        let mut writer = ChunkWriter::create(store, &name, Kind::Manifest, EFFORT)?;
        let mut blocks = Vec::new();
        let mut raw = Vec::new();
        for (key, value) in &self.catalog.registers {
            let from = raw.len();
            encode_register(&mut raw, key, Some(value));
            fill_frame(&mut raw[from..], 0, 0, None, 0);
            close_frame(&mut raw[from..], false);
            if raw.len() >= BLOCK_BYTES {
                blocks.push(writer.put(&raw)?);
                raw.clear();
            }
        }
        if !raw.is_empty() {
            blocks.push(writer.put(&raw)?);
        }
        writer.finish(&self.footer(&blocks))?;
        files.sync_dir(folder).map_err(at)
    }

    /// Removes the manifests before this one, which is in force. What can't be removed now is
    /// removed behind the next one.
    pub fn remove_older(&self, store: &SegmentStore) {
        let (folder, files, name) = (&store.folder, store.files(), Self::name(self.number));
        let remove = || {
            for old in files.list(folder)? {
                if old.ends_with(SUFFIX) && old < name {
                    files.remove(&folder.join(old))?;
                }
            }
            files.sync_dir(folder)
        };
        if let Err(error) = remove() {
            tracing::warn!(%error, "an older manifest can't be removed");
        }
    }

    /// After [`Manifest::store`] failed the manifest may be durable all the same, or become it.
    /// Takes it back for certain, so that the files that it names may be made again.
    pub fn take_back(&self, store: &SegmentStore) -> Result<()> {
        let path = store.folder.join(Self::name(self.number));
        let files = store.files();
        let gone = match files.remove(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        gone.and_then(|()| files.sync_dir(&store.folder))
            .map_err(|error| Error::io(format_args!("can't remove {}", path.display()), error))
    }

    fn footer(&self, blocks: &[Chunk]) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.number);
        out.extend_from_slice(&self.seed.to_le_bytes());
        put_varint(&mut out, self.next_segment);
        put_varint(&mut out, self.segments.len() as u64);
        for number in &self.segments {
            put_varint(&mut out, *number);
        }
        put_varint(&mut out, self.runs.len() as u64);
        for (first, last) in &self.runs {
            put_varint(&mut out, *first);
            put_varint(&mut out, *last);
        }
        let mut range = Vec::new();
        self.range.put(&mut range);
        put_bytes(&mut out, &range);
        put_varint(&mut out, blocks.len() as u64);
        for block in blocks {
            block.put(&mut out);
        }
        self.catalog.put(&mut out);
        put_varint(&mut out, self.archived.len() as u64);
        for (number, blob) in &self.archived {
            put_varint(&mut out, *number);
            put_bytes(&mut out, blob.as_bytes());
        }
        out
    }
}

fn read(store: &SegmentStore, name: &str) -> Result<Manifest> {
    let file = ChunkFile::open(store, name, Kind::Manifest)?;
    file.verify()?;
    let footer = file.footer()?;
    let (mut manifest, blocks) =
        take(&mut Take(&footer)).ok_or_else(|| file.damage(0, "the footer is malformed"))?;
    for block in blocks {
        let piece = file.block(block, false)?;
        for index in 0..piece.frames() {
            let frame = Frame::read(piece.frame(index).unwrap_or(&[]))?;
            if frame.kind != FrameKind::Register {
                return Err(file.damage(block.offset, "a frame is no register"));
            }
            manifest.catalog.apply(&frame)?;
        }
    }
    Ok(manifest)
}

pub(super) fn take(take: &mut Take<'_>) -> Option<(Manifest, Vec<Chunk>)> {
    let mut manifest = Manifest {
        number: take.varint()?,
        seed: take.u64()?,
        next_segment: take.varint()?,
        ..Manifest::default()
    };
    for _ in 0..take.count()? {
        manifest.segments.push(take.varint()?);
    }
    for _ in 0..take.count()? {
        manifest.runs.push((take.varint()?, take.varint()?));
    }
    manifest.range = MountainRange::take(&mut Take(take.sized()?))?;
    let mut blocks = Vec::new();
    for _ in 0..take.count()? {
        blocks.push(Chunk::take(take)?);
    }
    manifest.catalog = Catalog::take(take)?;
    // Since version 2.
    if !take.is_empty() {
        for _ in 0..take.count()? {
            let number = take.varint()?;
            manifest.archived.insert(number, take.text()?.to_owned());
        }
    }
    take.is_empty().then_some((manifest, blocks))
}
