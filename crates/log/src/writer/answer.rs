//! The way of answers from the writer to who appends.
//!
//! Of the threads that wait for appends of one group, the first sleeps on a word of the writer's
//! and all others on a second one. The writer wakes the first, with one system call, and goes on;
//! the first wakes the others. To wake a thread costs more than to write its event, and the
//! writer's time is what everyone waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use foretell_types::{Error, Result};
use parking_lot::Mutex;

use crate::append::{Appended, Encoded};

/// Counts the groups that were answered. A thread that waits for a group sleeps at the gate of its
/// parity.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The group that takes what is appended now, unless it is full.
    taking: AtomicU32,
    gates: [Gate; 2],
}

/// Where threads sleep until a group was answered. Apart from all else in the processor's cache:
/// those who come and those who are woken are many.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Gate {
    /// The last group that was answered. The herald sleeps on it.
    last: AtomicU32,
    /// A thread is the herald: it wakes the others whenever it wakes.
    has_herald: AtomicBool,
    /// How often a herald woke. The others sleep on it.
    heralded: AtomicU32,
    /// Another may sleep.
    has_others: AtomicBool,
}

impl Gate {
    fn is_answered(&self, group: u32) -> bool {
        let last = self.last.load(Ordering::SeqCst);
        last.wrapping_sub(group).cast_signed() >= 0
    }

    /// Sleeps until something has happened, unless `ready` says that there is no need to.
    fn sleep(&self, ready: impl Fn() -> bool) {
        // Read before anything is asked: what happens after that changes them, and who is about to
        // sleep doesn't.
        let last = self.last.load(Ordering::SeqCst);
        let heralded = self.heralded.load(Ordering::SeqCst);
        // To write what is there already would cost the others, who read it.
        let raise =
            |flag: &AtomicBool| flag.load(Ordering::SeqCst) || flag.swap(true, Ordering::SeqCst);
        if raise(&self.has_herald) {
            raise(&self.has_others);
            if !ready() {
                atomic_wait::wait(&self.heralded, heralded);
            }
            return;
        }
        if !ready() {
            atomic_wait::wait(&self.last, last);
        }
        self.has_herald.store(false, Ordering::SeqCst);
        // Before it counts: who raises the flag after that is for the next herald, and who did
        // before has read the count as it was, and isn't let sleep on it.
        let has_others = self.has_others.swap(false, Ordering::SeqCst);
        self.heralded.fetch_add(1, Ordering::SeqCst);
        if has_others {
            atomic_wait::wake_all(&self.heralded);
        }
    }
}

impl Default for Answered {
    fn default() -> Answered {
        Answered {
            gates: Default::default(),
            taking: AtomicU32::new(1),
        }
    }
}

impl Answered {
    fn gate(&self, group: u32) -> &Gate {
        &self.gates[(group % 2) as usize]
    }

    /// The group that is taken together now; what comes later is for the next.
    pub fn take(&self) -> u32 {
        self.taking.fetch_add(1, Ordering::SeqCst)
    }

    /// A group was answered: wakes who waits for it.
    pub fn tell(&self, group: u32) {
        let gate = self.gate(group);
        gate.last.store(group, Ordering::SeqCst);
        if gate.has_herald.load(Ordering::SeqCst) {
            atomic_wait::wake_all(&gate.last);
        }
    }

    /// Sleeps until a group was answered, or `ready` says that there is no need to.
    fn wait(&self, group: u32, ready: impl Fn() -> bool) {
        let gate = self.gate(group);
        let no_need = || ready() || gate.is_answered(group);
        while !no_need() {
            gate.sleep(no_need);
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

/// An append and its answer. It stays where it is: to move it to the writer and back costs each
/// processor a dozen lines of the other's cache.
struct Slot {
    encoded: Encoded,
    ready: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answer: Option<Result<Appended>>,
    waker: Option<Waker>,
}

/// The writer's end. Dropped without an answer, it says that there will be none.
pub(crate) struct Request(Arc<Slot>);

impl Request {
    pub fn encoded(&self) -> &Encoded {
        &self.0.encoded
    }

    /// Who asked may be gone; the append stands all the same. A task that awaits the answer is still
    /// to be woken.
    #[must_use]
    pub fn answer(self, answer: Result<Appended>) -> Option<Waker> {
        self.put(answer)
    }

    fn put(&self, answer: Result<Appended>) -> Option<Waker> {
        let mut state = self.0.state.lock();
        if self.0.ready.load(Ordering::Relaxed) {
            return None;
        }
        state.answer = Some(answer);
        self.0.ready.store(true, Ordering::Release);
        state.waker.take()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.0.ready.load(Ordering::Relaxed)
            && let Some(waker) = self.put(Err(stopped()))
        {
            waker.wake();
        }
    }
}

/// Tasks that await what was answered. None of them sleeps for ever, whatever becomes of the writer.
#[derive(Default)]
pub(super) struct Asleep(Vec<Waker>);

impl Asleep {
    pub fn extend(&mut self, wakers: impl Iterator<Item = Waker>) {
        self.0.extend(wakers);
    }

    pub fn wake(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.wake();
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

/// An append for the writer, and the ticket for it.
pub(crate) fn request(encoded: Encoded, answered: &Arc<Answered>) -> (Request, Ticket) {
    let slot = Arc::new(Slot {
        encoded,
        ready: AtomicBool::default(),
        state: Mutex::default(),
    });
    let ticket = Ticket {
        slot: slot.clone(),
        answered: answered.clone(),
        group: answered.taking.load(Ordering::SeqCst),
    };
    (Request(slot), ticket)
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

    pub(super) fn is_ready(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Each group is told once, while some of those who wait for it sleep and others are about to:
    /// who isn't woken then, waits for ever.
    #[test]
    fn everyone_wakes() {
        const WAITING: usize = 8;
        const GROUPS: u32 = 20_000;
        let answered = Answered::default();
        let arrived = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..WAITING {
                scope.spawn(|| {
                    for group in 1..=GROUPS {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        answered.wait(group, || false);
                    }
                });
            }
            for group in 1..=GROUPS as usize {
                // From the one who comes first to the last of all: any of them may be the herald.
                let least = (group - 1) * WAITING + 1 + group % WAITING;
                while arrived.load(Ordering::SeqCst) < least {
                    std::thread::yield_now();
                }
                answered.tell(answered.take());
            }
        });
        assert_eq!(arrived.into_inner(), WAITING * GROUPS as usize);
    }
}
