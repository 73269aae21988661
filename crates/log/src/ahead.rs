//! Reading ahead: while who scans the journal decodes what is there, a thread reads on and checks
//! the checksums.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::journal::Place;
use crate::log::Shared;
use crate::read::PLACES_AT_ONCE;
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

/// Events of a topic that lie one after the other in the journal, and the bytes that they lie in.
#[derive(Default)]
pub(crate) struct Stretch {
    /// Positions and places, the last one first.
    pub places: Vec<(u64, Place)>,
    /// All of these events are in it, and sound.
    pub window: Window,
}

/// The stretches that the thread reads. It ends where an event isn't whole and sound in the journal,
/// or no longer there: who goes on from there by itself learns why.
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
                from += stretch.places.len() as u64;
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
        self.places.last().map(|(position, _)| *position)
    }

    /// Reads as many events as belong together, from a position on; `None` if not even one can be.
    fn read(&mut self, shared: &Shared, topic: u32, from: u64, until: u64) -> Option<()> {
        self.places.clear();
        {
            let index = shared.index.read_recursive();
            if index.catalog.topics.get(topic as usize)?.deleted {
                return None;
            }
            let part = index.recent_of(topic, from)?;
            let until = until.min(part.last()).min(from + PLACES_AT_ONCE - 1);
            let places = (from..).zip(part.places(from, until).iter().copied());
            self.places.extend(places);
        }
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
}
