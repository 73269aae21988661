//! What is sealed: full segments of the journal are rewritten, compressed and indexed, in the
//! background. [`SealedSegment`] holds the frames and takes the place of a segment; [`Run`] is a
//! part of the index over neighbouring ones; a manifest says what is in force.

mod archive;
mod build;
mod cache;
mod chunk;
mod filter;
mod gather;
mod manifest;
mod nodes;
mod postings;
mod run;
mod sealer;
mod segment;
mod store;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::codec::Take;

pub use archive::{Archive, ArchiveRule};
pub use cache::Piece;
pub(crate) use cache::PieceCache;
pub(crate) use gather::Source;
pub(crate) use manifest::Manifest;
pub(crate) use nodes::KEPT_HEIGHT;
pub(crate) use run::{Candidates, Key, Named, Run, key};
pub(crate) use sealer::{Sealer, Wake, archive, merge, prepare, seal};
pub(crate) use segment::SealedSegment;
pub(crate) use store::FullSegments;
pub use store::SegmentStore;

/// Reads metadata of sealed files from any bytes; for fuzzing.
pub(crate) fn decoders(bytes: &[u8]) {
    segment::decoders(bytes);
    let _ = manifest::take(&mut Take(bytes));
    let _ = run::RunMeta::take(&mut Take(bytes));
    let _ = nodes::Nodes::take(&mut Take(bytes));
    let _ = postings::unpack(bytes, 0, u64::MAX);
    let _ = postings::join(&[bytes.to_vec()]);
}

/// The sealed segments and the runs of the index over them, both from the oldest on. Never changed:
/// another takes its place.
#[derive(Default, Debug)]
pub(crate) struct Sealed {
    /// The manifest that says so, and the number of the first segment that isn't sealed.
    pub manifest: u64,
    pub next_segment: u64,
    pub segments: Vec<Arc<SealedSegment>>,
    pub runs: Vec<Arc<Run>>,
    /// For each topic: the segments that hold events of it, by their first position.
    places: HashMap<u32, Vec<(u64, usize)>>,
}

impl Sealed {
    pub fn new(
        manifest: &Manifest,
        segments: Vec<Arc<SealedSegment>>,
        runs: Vec<Arc<Run>>,
    ) -> Sealed {
        let mut places = HashMap::<u32, Vec<(u64, usize)>>::new();
        for (index, segment) in segments.iter().enumerate() {
            for section in segment.sections().iter().filter(|s| s.source.is_topic()) {
                let of_topic = places.entry(section.source.0).or_default();
                of_topic.push((section.first, index));
            }
        }
        Sealed {
            manifest: manifest.number,
            next_segment: manifest.next_segment,
            segments,
            runs,
            places,
        }
    }

    /// A sealed segment by its number.
    pub fn segment(&self, number: u64) -> Option<&Arc<SealedSegment>> {
        let segments = &self.segments;
        let at = segments.binary_search_by_key(&number, |segment| segment.number);
        segments.get(at.ok()?)
    }

    /// The segment that holds a position of a topic, if it is sealed.
    pub fn segment_of(&self, topic: u32, position: u64) -> Option<&Arc<SealedSegment>> {
        let places = self.places.get(&topic)?;
        let at = places
            .partition_point(|(first, _)| *first <= position)
            .checked_sub(1)?;
        let segment = &self.segments[places[at].1];
        let section = segment.section(Source(topic))?;
        (position <= section.last()).then_some(segment)
    }

    /// The run that covers a position of a topic, if it is sealed.
    pub fn run_of(&self, topic: u32, position: u64) -> Option<&Arc<Run>> {
        self.runs.iter().rev().find(|run| {
            run.covered(topic)
                .is_some_and(|covered| (covered.first..=covered.last).contains(&position))
        })
    }
}
