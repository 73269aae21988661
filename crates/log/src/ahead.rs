//! Reading ahead: while who scans the log decodes what is there, a thread reads on, checks the
//! checksums of the journal and decompresses what is sealed.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::journal::Place;
use crate::log::Shared;
use crate::read::PLACES_AT_ONCE;
use crate::sealed::{Piece, Sealed, Source};
use crate::window::Window;

/// No further event is read at once beyond so many bytes.
const BYTES: u64 = 256 * 1024;
/// Beyond the place of the last event that is read: it may be no longer.
const LAST_BYTES: usize = 4 * 1024;
/// Stretches that are read, or wait for it.
const STRETCHES: usize = 3;

/// How many scans have a thread that reads ahead. The others read by themselves.
#[derive(Debug)]
pub(crate) struct AheadThreads {
    most: usize,
    running: AtomicUsize,
}

impl AheadThreads {
    /// None where there is one processor only: nothing is done side by side there.
    pub fn new(wanted: bool) -> Arc<AheadThreads> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(AheadThreads {
            most: if wanted { processors - 1 } else { 0 },
            running: AtomicUsize::new(0),
        })
    }

    fn enter(self: &Arc<Self>) -> Option<Running> {
        let running = Running(self.clone());
        (self.running.fetch_add(1, Ordering::Relaxed) < self.most).then_some(running)
    }
}

struct Running(Arc<AheadThreads>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Events of a topic that lie one after the other, and the bytes that they lie in: in the journal,
/// or in a sealed segment.
#[derive(Default)]
pub(crate) struct Stretch {
    /// Positions and places in the journal, the last one first.
    pub places: Vec<(u64, Place)>,
    /// All of these events are in it, and sound.
    pub window: Window,
    /// Of a sealed segment, the last one first.
    pub blocks: Vec<Block>,
}

/// Events of a topic that lie in one block of a sealed segment.
pub(crate) struct Block {
    /// The position of the first of its frames.
    pub position: u64,
    pub piece: Arc<Piece>,
    pub frames: Range<usize>,
}

/// The stretches that the thread reads. It ends where an event isn't whole and sound, no longer
/// there, or archived: who goes on from there by itself learns why.
pub(crate) struct Ahead {
    read: mpsc::Receiver<Stretch>,
    used: mpsc::Sender<Stretch>,
}

impl Ahead {
    /// Begins to read a topic's events from one position to another, both inclusive; not if too many
    /// threads do such already.
    pub fn start(shared: &Arc<Shared>, topic: u32, from: u64, until: u64) -> Option<Ahead> {
        let running = shared.ahead.enter()?;
        let (send, read) = mpsc::channel();
        let (used, unused) = mpsc::channel();
        (0..STRETCHES)
            .try_for_each(|_| used.send(Stretch::default()))
            .ok()?;
        let shared = shared.clone();
        let read_on = move || {
            let _running = running;
            let mut from = from;
            while from <= until
                && let Ok(mut stretch) = unused.recv()
                && stretch.read(&shared, topic, from, until).is_some()
            {
                from += stretch.events();
                if send.send(stretch).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("foretell-read".to_owned());
        thread.spawn(read_on).ok()?;
        Some(Ahead { read, used })
    }

    /// The next stretch, for one that is used; `None` if there is no further one.
    pub fn next(&self, used: Stretch) -> Option<Stretch> {
        let next = self.read.recv().ok()?;
        // If nobody takes it, there will be no further one either.
        let _ = self.used.send(used);
        Some(next)
    }
}

impl Stretch {
    /// The position of the first event.
    pub fn first(&self) -> Option<u64> {
        let of_journal = self.places.last().map(|(position, _)| *position);
        of_journal.or(self.blocks.last().map(|block| block.position))
    }

    pub fn events(&self) -> u64 {
        let frames = |block: &Block| block.frames.len();
        (self.places.len() + self.blocks.iter().map(frames).sum::<usize>()) as u64
    }

    /// Reads as many events as belong together, from a position on; `None` if not even one can be.
    fn read(&mut self, shared: &Shared, topic: u32, from: u64, until: u64) -> Option<()> {
        self.places.clear();
        self.blocks.clear();
        let index = shared.index.read_recursive();
        if index.catalog.topics.get(topic as usize)?.deleted {
            return None;
        }
        let Some(part) = index.recent_of(topic, from) else {
            let sealed = index.sealed.clone();
            drop(index);
            return self.read_sealed(&sealed, topic, from, until);
        };
        let until = until.min(part.last()).min(from + PLACES_AT_ONCE - 1);
        let places = (from..).zip(part.places(from, until).iter().copied());
        self.places.extend(places);
        drop(index);
        self.read_journal(shared)
    }

    fn read_journal(&mut self, shared: &Shared) -> Option<()> {
        let first = self.places.first()?.1;
        let near =
            |(_, place): &(u64, Place)| place.0.checked_sub(first.0).is_some_and(|b| b <= BYTES);
        let count = self.places.iter().take_while(|place| near(place)).count();
        self.places.truncate(count);
        let span = (self.places.last()?.1.0 - first.0) as usize;
        let journal = &*shared.journal;
        self.window.fill(journal, first, span + LAST_BYTES).ok()?;
        let places = self.places.iter().map(|(_, place)| *place);
        let count = self.window.check(places);
        self.places.truncate(count);
        self.places.reverse();
        (count > 0).then_some(())
    }

    fn read_sealed(&mut self, sealed: &Sealed, topic: u32, from: u64, until: u64) -> Option<()> {
        let segment = sealed.segment_of(topic, from)?;
        // Of what is archived the segment itself fetches several blocks at once.
        if segment.file.blob().is_some() {
            return None;
        }
        let section = segment.section(Source(topic))?;
        let until = until.min(section.last());
        let (mut position, mut bytes) = (from, 0);
        while position <= until
            && bytes < BYTES
            && let Ok((piece, index)) = segment.block(section, position, true)
        {
            let last = until.min(section.last_beside(position));
            let end = index + (last - position + 1) as usize;
            if end > piece.frames() {
                break;
            }
            bytes += piece.bytes.len() as u64;
            self.blocks.push(Block {
                position,
                piece,
                frames: index..end,
            });
            position = last + 1;
        }
        self.blocks.reverse();
        (!self.blocks.is_empty()).then_some(())
    }
}
