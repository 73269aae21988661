//! Reads everything again and checks it.

use std::sync::Arc;

use foretell_types::{Error, ErrorKind, Result};
use hashbrown::HashMap;

use crate::codec::{EventRef, Frame, FrameKind};
use crate::index::{Catalog, identity_key};
use crate::journal::{JournalReader, Seq};
use crate::log::Shared;
use crate::merkle::{Hash, MountainRange, RootAt, leaf};
use crate::open;
use crate::sealed::{Run, SealedSegment};

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
#[derive(Clone, Default)]
struct Follow {
    catalog: Catalog,
    revisions: HashMap<(u32, u128), u64>,
    seed: u64,
    /// What the log must still hold, and the root over as many frames as it had then.
    earlier: Option<RootAt>,
    held: Option<Hash>,
}

impl Follow {
    /// Notes the root where the log had as many frames as it has here.
    fn note_root(&mut self, range: &MountainRange) {
        if self
            .earlier
            .is_some_and(|earlier| earlier.leaves == range.leaves())
        {
            self.held = Some(Hash(range.root()));
        }
    }

    /// Whether the log holds what it held.
    fn check_held(&self, leaves: u64) -> Result<()> {
        match (self.earlier, self.held) {
            (Some(earlier), Some(held)) => earlier.check(held),
            (Some(earlier), None) => Err(earlier.missing(leaves)),
            (None, _) => Ok(()),
        }
    }

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

/// Verifies what is sealed, then what isn't; and that it still holds what it held.
pub(crate) fn verify(
    shared: &Arc<Shared>,
    earlier: Option<RootAt>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified> {
    let mut verifying = Verifying::new(shared.seed, earlier);
    loop {
        let sealed = shared.index.read().sealed.clone();
        let journal = &*shared.journal;
        verifying.sealed(&sealed.segments, &sealed.runs, journal, progress)?;
        let found = verifying.clone().rest(journal, progress);
        // A segment that was sealed between the two was in neither: it comes next.
        let moved = shared.index.read().sealed.segments.len() != sealed.segments.len();
        if moved && !matches!(found, Ok((_, true))) {
            continue;
        }
        return found.map(|(verified, _)| verified);
    }
}

/// A verification on its way.
#[derive(Clone)]
pub(crate) struct Verifying {
    follow: Follow,
    range: MountainRange,
    /// The number of sealed segments that were read, and the bytes of all that was.
    segments: usize,
    done: u64,
    total: u64,
}

impl Verifying {
    pub fn new(seed: u64, earlier: Option<RootAt>) -> Verifying {
        let mut verifying = Verifying {
            follow: Follow {
                seed,
                earlier,
                ..Follow::default()
            },
            range: MountainRange::default(),
            segments: 0,
            done: 0,
            total: 0,
        };
        verifying.follow.note_root(&verifying.range);
        verifying
    }

    /// Verifies those of the sealed segments that it hasn't yet; the first time also the runs.
    pub fn sealed(
        &mut self,
        segments: &[Arc<SealedSegment>],
        runs: &[Arc<Run>],
        journal: &dyn JournalReader,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let new = &segments[self.segments.min(segments.len())..];
        let runs = if self.done == 0 { runs } else { &[] };
        let of_segments: u64 = new.iter().map(|segment| segment.file.bytes).sum();
        let of_runs: u64 = runs.iter().map(|run| run.file.bytes).sum();
        self.total = self.done + of_segments + of_runs + journal.size().0;
        for segment in new {
            of_segment(segment, &mut self.follow, &mut self.range)?;
            self.segments += 1;
            self.done += segment.file.bytes;
            progress(self.done, self.total);
        }
        for run in runs {
            run.file.verify().map_err(|error| {
                error.context(
                    "part of the index, which is made anew at opening if its file is removed",
                )
            })?;
            self.done += run.file.bytes;
            progress(self.done, self.total);
        }
        Ok(())
    }

    /// Verifies what a journal holds behind them. Also tells whether that begins where they end.
    pub fn rest(
        self,
        journal: &dyn JournalReader,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Verified, bool)> {
        let (mut range, done, total) = (self.range, self.done, self.total);
        let sealed = self.follow.catalog.last;
        let follow = std::cell::RefCell::new(self.follow);
        let mut first = None;
        open::walk(
            journal,
            &mut range,
            sealed,
            &mut |frame, _| follow.borrow_mut().frame(frame),
            &mut |meta, range| {
                first.get_or_insert(meta.first);
                let mut follow = follow.borrow_mut();
                follow.catalog.last = meta.last();
                follow.note_root(range);
                Ok(())
            },
            &mut |at, _| progress(done + at, total),
        )?;
        let follow = follow.into_inner();
        follow.check_held(range.leaves())?;
        let catalog = follow.catalog;
        let topics = catalog.topics.iter().filter(|topic| !topic.deleted);
        let verified = Verified {
            commits: catalog.last.0,
            frames: range.leaves(),
            events: topics.clone().map(|topic| topic.head).sum(),
            topics: topics.count() as u64,
            root: Hash(range.root()),
        };
        Ok((verified, first == Some(Seq(sealed.0 + 1))))
    }
}

fn of_segment(
    segment: &SealedSegment,
    follow: &mut Follow,
    range: &mut MountainRange,
) -> Result<()> {
    let expected = follow.catalog.last.0 + 1;
    if segment.first.0 != expected || segment.before != *range {
        let what = format!("it does not follow commit {}", expected - 1);
        return Err(segment.file.damage(0, what));
    }
    let mut leaves = Vec::new();
    segment.walk(&mut |frame| {
        leaves.push(leaf(frame));
        follow.frame(frame)
    })?;
    if let Some(earlier) = follow.earlier
        && let Some(behind) = earlier.leaves.checked_sub(range.leaves())
        && behind < leaves.len() as u64
    {
        let rest = leaves.split_off(behind as usize);
        range.extend(leaves);
        follow.note_root(range);
        leaves = rest;
    }
    range.extend(leaves);
    follow.note_root(range);
    // The frames first: what is wrong with one of them says where it is.
    segment.file.verify()?;
    if segment.after != *range {
        return Err(segment
            .file
            .damage(0, "its frames are not those it was sealed with"));
    }
    follow.catalog.last = segment.last;
    Ok(())
}
