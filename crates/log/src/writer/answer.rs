//! The way of answers from the writer to who appends.
//!
//! Threads that wait for appends of one group all sleep on one word, so that the writer wakes them
//! with one system call: a call for each would cost more than everything else that it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use foretell_types::{Error, Result};
use parking_lot::Mutex;

use crate::append::{Appended, Encoded};

/// Counts the groups that were answered. A thread that waits for a group sleeps on the word of its
/// parity.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The last group of each parity.
    last: [AtomicU32; 2],
    sleeping: [AtomicU32; 2],
    /// The group that takes what is appended now, unless it is full.
    taking: AtomicU32,
}

impl Default for Answered {
    fn default() -> Answered {
        Answered {
            last: [AtomicU32::new(0), AtomicU32::new(0)],
            sleeping: [AtomicU32::new(0), AtomicU32::new(0)],
            taking: AtomicU32::new(1),
        }
    }
}

impl Answered {
    /// The group that is taken together now; what comes later is for the next.
    pub fn take(&self) -> u32 {
        self.taking.fetch_add(1, Ordering::SeqCst)
    }

    /// A group was answered: wakes who waits for it.
    pub fn tell(&self, group: u32) {
        let parity = (group % 2) as usize;
        self.last[parity].store(group, Ordering::SeqCst);
        // Who is about to sleep sees the word changed and doesn't.
        if self.sleeping[parity].load(Ordering::SeqCst) > 0 {
            atomic_wait::wake_all(&self.last[parity]);
        }
    }

    /// Sleeps until a group was answered, or `ready` says that there is no need to.
    fn wait(&self, group: u32, ready: impl Fn() -> bool) {
        let parity = (group % 2) as usize;
        loop {
            let seen = self.last[parity].load(Ordering::SeqCst);
            if ready() || seen.wrapping_sub(group).cast_signed() >= 0 {
                return;
            }
            self.sleeping[parity].fetch_add(1, Ordering::SeqCst);
            atomic_wait::wait(&self.last[parity], seen);
            self.sleeping[parity].fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Wakes everyone when the writer has ended, however it did: nothing more is answered.
pub(crate) struct End(pub Arc<Answered>);

impl Drop for End {
    fn drop(&mut self) {
        for _ in 0..2 {
            self.0.tell(self.0.take());
        }
    }
}

#[derive(Default)]
struct Slot {
    ready: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answer: Option<Result<Appended>>,
    waker: Option<Waker>,
    /// What was appended, given back so that the writer need not free it.
    spent: Option<Encoded>,
}

/// The writer's end. Dropped without an answer, it says that there will be none.
pub(crate) struct Reply(Arc<Slot>);

impl Reply {
    pub fn send(self, answer: Result<Appended>, spent: Encoded) {
        self.put(answer, Some(spent));
    }

    fn put(&self, answer: Result<Appended>, spent: Option<Encoded>) {
        let waker = {
            let mut state = self.0.state.lock();
            if self.0.ready.load(Ordering::Relaxed) {
                return;
            }
            state.answer = Some(answer);
            state.spent = spent;
            self.0.ready.store(true, Ordering::Release);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.0.ready.load(Ordering::Relaxed) {
            self.put(Err(stopped()), None);
        }
    }
}

/// An append that the writer has taken. Await it, or [`Ticket::wait`] for it. Dropping it doesn't
/// take the append back.
pub struct Ticket {
    slot: Arc<Slot>,
    answered: Arc<Answered>,
    /// The group that the append is in at the earliest.
    group: u32,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

/// A ticket and where its answer is to be sent.
pub(crate) fn ticket(answered: &Arc<Answered>) -> (Ticket, Reply) {
    let slot = Arc::<Slot>::default();
    let ticket = Ticket {
        slot: slot.clone(),
        answered: answered.clone(),
        group: answered.taking.load(Ordering::SeqCst),
    };
    (ticket, Reply(slot))
}

impl Ticket {
    /// Blocks the thread until the append is durable or has failed; not for async code.
    pub fn wait(self) -> Result<Appended> {
        let mut group = self.group;
        while !self.is_ready() {
            self.answered.wait(group, || self.is_ready());
            // A group that was full leaves it to the next.
            group = group.wrapping_add(1);
        }
        self.slot
            .state
            .lock()
            .answer
            .take()
            .unwrap_or_else(|| Err(stopped()))
    }

    fn is_ready(&self) -> bool {
        self.slot.ready.load(Ordering::Acquire)
    }
}

impl Future for Ticket {
    type Output = Result<Appended>;

    fn poll(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.state.lock();
        if !self.is_ready() {
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(state.answer.take().unwrap_or_else(|| Err(stopped())))
    }
}

fn stopped() -> Error {
    Error::unavailable(
        "the log's writer has stopped: whether the append happened is only known after the log is opened anew",
    )
}
