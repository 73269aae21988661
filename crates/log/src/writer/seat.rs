//! Who is the writer: a thread of the log's, or whoever waits for an append while nobody is. To hand
//! an append to another thread and be woken by it costs two switches of threads.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::mpsc;

use parking_lot::{Mutex, MutexGuard};

use super::Writer;
use super::answer::{End, Request, Ticket};

/// The writer, and what waits for it.
pub(crate) struct Seat {
    /// `None` once it has ended: nothing more is written.
    writer: Mutex<Option<Box<Seated>>>,
    /// Whether the thread sleeps, and on what.
    sleeps: AtomicU32,
    closed: AtomicBool,
}

/// Dropped in this order: what was never taken is answered before everyone is woken.
struct Seated {
    writer: Writer,
    requests: mpsc::Receiver<Request>,
    _end: End,
}

impl Seat {
    pub fn new(writer: Writer, requests: mpsc::Receiver<Request>, end: End) -> Seat {
        Seat {
            writer: Mutex::new(Some(Box::new(Seated {
                writer,
                requests,
                _end: end,
            }))),
            sleeps: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Writes what waits, until the seat is closed. For the log's thread.
    pub fn run(&self) {
        loop {
            let mut taken = Taken(self.writer.lock());
            loop {
                taken.write(usize::MAX);
                // Who sends after this wakes the thread; what was sent before is looked for once
                // more.
                self.sleeps.store(1, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                if !taken.write(1) {
                    break;
                }
                self.sleeps.store(0, Ordering::SeqCst);
            }
            if self.closed.load(Ordering::SeqCst) {
                taken.0.take();
                return;
            }
            drop(taken);
            while self.sleeps.load(Ordering::SeqCst) == 1 {
                atomic_wait::wait(&self.sleeps, 1);
            }
        }
    }

    /// Whether nobody is the writer now.
    pub fn is_free(&self) -> bool {
        !self.writer.is_locked()
    }

    /// Something was sent: the thread gets to work, unless it is at it.
    pub fn call(&self) {
        fence(Ordering::SeqCst);
        if self.sleeps.load(Ordering::SeqCst) == 1 && self.sleeps.swap(0, Ordering::SeqCst) == 1 {
            atomic_wait::wake_one(&self.sleeps);
        }
    }

    /// The same, for who waits for what it has sent: it writes that itself, and what was sent before,
    /// if nobody is the writer.
    pub fn call_or_write(&self, ticket: &Ticket) {
        match self.writer.try_lock() {
            Some(writer) => {
                let mut taken = Taken(writer);
                while !ticket.is_ready() && taken.write(1) {}
            }
            None => self.call(),
        }
    }

    /// Writes one group of what waits; false if nothing does, or a thread is the writer.
    pub fn step(&self) -> bool {
        let writer = self.writer.try_lock();
        writer.is_some_and(|writer| Taken(writer).write(1))
    }

    /// Has the thread end, once it has written what waits.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.call();
    }
}

struct Taken<'a>(MutexGuard<'a, Option<Box<Seated>>>);

impl Taken<'_> {
    /// Who panics here was the last writer, and leaves nobody in the seat: what lies on the disk and
    /// what is known of it may differ.
    fn write(&mut self, groups: usize) -> bool {
        let Some(mut seated) = self.0.take() else {
            return false;
        };
        let wrote = seated.writer.write(&seated.requests, groups);
        *self.0 = Some(seated);
        wrote
    }
}
