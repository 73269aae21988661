//! The decoders of stored bytes, for fuzzing: any bytes are read or refused, never more.

use std::io;
use std::sync::Arc;

use foretell_types::cloudevents::recorded_to_json;

use crate::codec::{EventRef, Frame, Take, register_parts, topic_parts};
use crate::files::File;
use crate::index::Catalog;
use crate::journal::disk_decoders;
use crate::merkle::{Hash, MountainRange};
use crate::proof::Proof;
use crate::sealed;

/// A frame and the body that it claims to have, its checksum put right.
pub fn frame(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= crate::codec::FRAME_HEADER {
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        let last = bytes[9] & 1 != 0;
        crate::codec::close_frame(&mut bytes, last);
    }
    let Ok(frame) = Frame::read(&bytes) else {
        return;
    };
    if let Ok(event) = EventRef::read(&frame) {
        let _ = (event.tags(), event.json(), event.event_time());
        let mut json = Vec::new();
        let written = event.write_json(&mut json).map(|()| json);
        let owned = event
            .to_recorded()
            .map(|event| recorded_to_json(&event).into_bytes());
        assert_eq!(written.ok(), owned.ok(), "both ways write the same");
    }
    let _ = register_parts(frame.body);
    let _ = topic_parts(frame.body);
    let _ = Catalog::default().apply(&frame);
}

/// Headers of segments and groups.
pub fn headers(bytes: &[u8]) {
    disk_decoders(bytes);
}

/// Footers of sealed files, and what else in them is no frame.
pub fn sealed_metadata(bytes: &[u8]) {
    sealed::decoders(bytes);
    let _ = Catalog::take(&mut Take(bytes));
    let _ = MountainRange::take(&mut Take(bytes));
}

/// A key store of any nodes.
pub fn keys(nodes: &[u8]) {
    crate::erasure::decoder(nodes, |bytes| Arc::new(Bytes(bytes)));
}

/// The description of a backup.
pub fn backup(bytes: &[u8]) {
    crate::backup::decoder(bytes);
}

/// A file that is only read.
struct Bytes(Vec<u8>);

impl File for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A proof over any frame.
pub fn proof(frame: &[u8], leaf: u64, leaves: u64, hashes: &[[u8; 32]]) {
    let at = (leaf as usize) % (hashes.len() + 1);
    let of = |hashes: &[[u8; 32]]| hashes.iter().copied().map(Hash).collect();
    let proof = Proof {
        frame: frame.to_vec(),
        leaf,
        leaves,
        path: of(&hashes[..at]),
        peaks: of(&hashes[at..]),
    };
    let _ = proof.check();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Decoder = fn(&[u8]);

    const DECODERS: [(&str, &[Decoder]); 4] = [
        ("log_frame", &[frame]),
        ("log_files", &[headers, sealed_metadata]),
        ("log_keys", &[keys]),
        ("backup", &[backup]),
    ];

    /// What the fuzz targets begin with, and what they once found, which is kept there.
    fn seeds() -> Vec<(&'static [Decoder], Vec<u8>)> {
        let all = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        let of = |(target, decoders)| {
            let entries = std::fs::read_dir(all.join(target)).unwrap();
            entries.map(move |entry| (decoders, std::fs::read(entry.unwrap().path()).unwrap()))
        };
        DECODERS.into_iter().flat_map(of).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn real_bytes_are_read_or_refused_whatever_changed(
            seed in prop::sample::select(seeds()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let (decoders, mut bytes) = seed;
            for (at, change) in changes {
                let at = at.index(bytes.len());
                bytes[at] ^= change;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            decoders.iter().for_each(|decode| decode(&bytes));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..200),
            leaf in any::<u64>(),
            leaves in any::<u64>(),
        ) {
            frame(&bytes);
            headers(&bytes);
            sealed_metadata(&bytes);
            keys(&bytes);
            backup(&bytes);
            let hashes: Vec<[u8; 32]> = bytes.as_chunks().0.to_vec();
            proof(&bytes, leaf, leaves, &hashes);
            proof(&bytes, leaf % 8, 1 << hashes.len().min(3), &hashes);
        }
    }
}
