//! The calls that a worker has in flight.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::limits::CANCEL_GRACE;

/// Deadlines of calls that have ended, before they are cleared away.
const DEADLINES_SPARE: usize = 1_024;

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Outputs: name, kind and size of each, and their bytes.
    Done(Vec<(String, String, usize)>, Bytes),
    /// An exception: its last line and its traceback.
    Raised(String, String),
    TimedOut,
    /// Not begun, or broken off for the sake of another call that hung: it begins anew on the
    /// worker that takes this one's place.
    Refused,
    /// The worker died: this call may be why.
    Lost(Arc<str>),
}

/// What must be done about calls that took too long.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Overdue {
    /// Ask the worker to cancel this call.
    Cancel(u64),
    /// The worker can't be talked out of it: replace it. The function's name.
    Replace(String),
}

/// The worker takes no more calls.
#[derive(Debug)]
pub(crate) struct Refused;

/// The table of calls. An entry lives until the worker has answered, even if nobody waits for the
/// answer any more: its permit is what bounds the work that a worker has.
#[derive(Default)]
pub(crate) struct Calls {
    table: Mutex<Table>,
    ended: Notify,
}

#[derive(Default)]
struct Table {
    last: u64,
    open: HashMap<u64, Call>,
    /// All have the same time limit, so the order of their beginning is that of their deadlines.
    deadlines: VecDeque<(Instant, u64)>,
    cancelled: VecDeque<(Instant, u64)>,
    closed: bool,
    /// One call at least completed.
    served: bool,
}

struct Call {
    function: String,
    is_async: bool,
    /// Taken when the call timed out.
    answer: Option<oneshot::Sender<Reply>>,
    _permit: OwnedSemaphorePermit,
}

impl Calls {
    /// Enters a call and returns its number; an error if the worker is gone.
    pub(crate) fn begin(
        &self,
        function: &str,
        is_async: bool,
        deadline: Instant,
        permit: OwnedSemaphorePermit,
    ) -> Result<(u64, oneshot::Receiver<Reply>), Refused> {
        let mut table = self.table.lock();
        if table.closed {
            return Err(Refused);
        }
        let (answer, receiver) = oneshot::channel();
        table.last += 1;
        let number = table.last;
        table.deadlines.push_back((deadline, number));
        // A call that takes long must not make the queue behind it grow.
        if table.deadlines.len() > 2 * table.open.len() + DEADLINES_SPARE {
            let Table {
                deadlines, open, ..
            } = &mut *table;
            deadlines.retain(|(_, number)| open.contains_key(number));
            deadlines.push_back((deadline, number));
        }
        let function = function.to_owned();
        let call = Call {
            function,
            is_async,
            answer: Some(answer),
            _permit: permit,
        };
        table.open.insert(number, call);
        Ok((number, receiver))
    }

    pub(crate) fn end(&self, number: u64, reply: Reply) {
        let call = {
            let mut table = self.table.lock();
            table.served |= matches!(reply, Reply::Done(..));
            table.open.remove(&number)
        };
        if let Some(answer) = call.and_then(|call| call.answer) {
            // Nobody waits any more: the handler was dropped.
            let _ = answer.send(reply);
        }
        self.ended.notify_waiters();
    }

    /// Ends all calls, and those to come, for this reason.
    pub(crate) fn close(&self, reply: impl Fn() -> Reply) {
        let open = {
            let mut table = self.table.lock();
            table.closed = true;
            std::mem::take(&mut table.open)
        };
        for answer in open.into_values().filter_map(|call| call.answer) {
            let _ = answer.send(reply());
        }
        self.ended.notify_waiters();
    }

    /// Ends the calls that are over their time; says what else must be done.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<Overdue> {
        let mut table = self.table.lock();
        let table = &mut *table;
        let mut found = Vec::new();
        while let Some((deadline, number)) = table.deadlines.front().copied() {
            match table.open.get_mut(&number) {
                Some(_) if deadline > now => break,
                Some(call) => {
                    if let Some(answer) = call.answer.take() {
                        let _ = answer.send(Reply::TimedOut);
                    }
                    if call.is_async {
                        table.cancelled.push_back((now + CANCEL_GRACE, number));
                        found.push(Overdue::Cancel(number));
                    } else {
                        found.push(Overdue::Replace(call.function.clone()));
                    }
                }
                None => {}
            }
            table.deadlines.pop_front();
        }
        while let Some((deadline, number)) = table.cancelled.front().copied() {
            match table.open.get(&number) {
                Some(_) if deadline > now => break,
                Some(call) => found.push(Overdue::Replace(call.function.clone())),
                None => {}
            }
            table.cancelled.pop_front();
        }
        found
    }

    pub(crate) fn len(&self) -> usize {
        self.table.lock().open.len()
    }

    /// Whether a call completed, ever.
    pub(crate) fn has_served(&self) -> bool {
        self.table.lock().served
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.table.lock().closed
    }

    /// Returns when no call is in flight.
    pub(crate) async fn none_left(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, so that no end is missed.
            ended.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            ended.await;
        }
    }
}
