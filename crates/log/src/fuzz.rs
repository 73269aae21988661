//! The decoders of stored bytes, for fuzzing: any bytes are read or refused, never more.

use foretell_types::cloudevents::recorded_to_json;

use crate::codec::{EventRef, Frame, Take, register_parts, topic_parts};
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
            let hashes: Vec<[u8; 32]> = bytes.as_chunks().0.to_vec();
            proof(&bytes, leaf, leaves, &hashes);
            proof(&bytes, leaf % 8, 1 << hashes.len().min(3), &hashes);
        }
    }
}
