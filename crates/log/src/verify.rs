//! Reads everything again and checks it.

use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Result};
use hashbrown::HashMap;

use crate::codec::{EventRef, Frame, FrameKind};
use crate::index::{Catalog, identity_key};
use crate::log::Shared;
use crate::merkle::{Hash, MountainRange, leaf};
use crate::open;
use crate::sealed::SealedSegment;

/// What [`EventLog::verify`] found sound.
///
/// [`EventLog::verify`]: crate::EventLog::verify
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    pub commits: u64,
    /// Frames of all kinds: the leaves of the hash tree.
    pub frames: u64,
    /// Events of the topics that aren't deleted.
    pub events: u64,
    pub topics: u64,
    /// Root of the Merkle mountain range over all frames.
    pub root: Hash,
}

/// Follows the frames of a log: positions by the catalog, revisions by a hash of each stream.
#[derive(Default)]
struct Follow {
    catalog: Catalog,
    revisions: HashMap<(u32, u128), u64>,
    seed: u64,
}

impl Follow {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<()> {
        self.catalog.apply(frame)?;
        if frame.kind != FrameKind::Event {
            return Ok(());
        }
        let event = EventRef::read(frame)?;
        let expected = event.subject.map(|subject| {
            let stream = (frame.topic, identity_key("", subject, self.seed));
            let next = self.revisions.entry(stream).or_insert(0);
            *next += 1;
            *next - 1
        });
        if expected != frame.revision {
            let topic = &self.catalog.topics[frame.topic as usize].name;
            let message = format!(
                "position {} of topic {topic:?} has a wrong revision",
                frame.position
            );
            return Err(Error::new(ErrorKind::Damaged, message));
        }
        Ok(())
    }
}

/// The parts that a verification reads: what is sealed when it begins, then the journal.
pub(crate) fn verify(shared: &Arc<Shared>, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified> {
    // Again from the start if a segment was sealed between the two: it was in neither.
    loop {
        let sealed = shared.index.read().sealed.clone();
        let bytes = |segment: &Arc<SealedSegment>| segment.file.bytes;
        let of_segments: u64 = sealed.segments.iter().map(bytes).sum();
        let of_runs: u64 = sealed.runs.iter().map(|run| run.file.bytes).sum();
        let total = of_segments + of_runs + shared.journal.size().0;
        let mut follow = Follow {
            seed: shared.seed,
            ..Follow::default()
        };
        let mut range = MountainRange::default();
        let mut done = 0;
        for segment in &sealed.segments {
            of_segment(segment, &mut follow, &mut range)?;
            done += segment.file.bytes;
            progress(done, total);
        }
        for run in &sealed.runs {
            run.file.verify()?;
            done += run.file.bytes;
            progress(done, total);
        }
        let sealed_commits = follow.catalog.last.0;
        let follow = std::cell::RefCell::new(follow);
        let mut first = None;
        let walked = open::walk(
            &*shared.journal,
            &mut range,
            &mut |frame, _| follow.borrow_mut().frame(frame),
            &mut |meta| {
                first.get_or_insert(meta.first.0);
                follow.borrow_mut().catalog.last = meta.last();
                Ok(())
            },
            &mut |at, _| progress(done + at, total),
        );
        let moved = shared.index.read().sealed.segments.len() != sealed.segments.len();
        if moved && (walked.is_err() || first != Some(sealed_commits + 1)) {
            continue;
        }
        walked?;
        let catalog = follow.into_inner().catalog;
        let topics = catalog.topics.iter().filter(|topic| !topic.deleted);
        return Ok(Verified {
            commits: catalog.last.0,
            frames: range.leaves(),
            events: topics.clone().map(|topic| topic.head).sum(),
            topics: topics.count() as u64,
            root: Hash(range.root()),
        });
    }
}

fn of_segment(
    segment: &SealedSegment,
    follow: &mut Follow,
    range: &mut MountainRange,
) -> Result<()> {
    segment.file.verify()?;
    let expected = follow.catalog.last.0 + 1;
    if segment.first.0 != expected || segment.before != *range {
        let what = format!("it does not follow commit {}", expected - 1);
        return Err(segment.file.damage(0, what));
    }
    segment.walk(&mut |frame| {
        range.push(leaf(frame));
        follow.frame(frame)
    })?;
    if segment.after != *range {
        return Err(segment
            .file
            .damage(0, "its frames are not those it was sealed with"));
    }
    follow.catalog.last = segment.last;
    Ok(())
}
