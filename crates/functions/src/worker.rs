//! A worker as its callers see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foretell_types::{Error, Result};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use crate::calls::{Calls, Overdue, Refused, Reply};
use crate::limits::{ASYNC_IN_FLIGHT, EXIT_GRACE};
use crate::pipes::ToWorker;
use crate::plan::Plan;
use crate::settings::Settings;
use crate::wire::{self, Cancel, Described, Invoke};

/// A worker that has imported its app.
pub(crate) struct Worker {
    /// Functions by their names in lower case.
    pub plans: BTreeMap<String, Arc<Plan>>,
    pub calls: Arc<Calls>,
    /// Bounded by the permits: a call holds one until it is answered.
    requests: mpsc::UnboundedSender<ToWorker>,
    sync_permits: Arc<Semaphore>,
    async_permits: Arc<Semaphore>,
    time_limit: Duration,
    /// The process is to be killed; another takes its place.
    pub replace: Notify,
}

/// What one call takes to the worker beside its inputs.
pub(crate) struct CallHeader<'a> {
    pub invocation_id: &'a str,
    pub attempts: u32,
    pub replayed: bool,
    pub trace_parent: Option<&'a str>,
    pub trace_state: Option<&'a str>,
}

impl Worker {
    /// A worker that has these functions.
    pub(crate) fn new(
        app: &str,
        functions: Vec<Described>,
        settings: &Settings,
        requests: mpsc::UnboundedSender<ToWorker>,
    ) -> Worker {
        let plans = functions.into_iter().map(|function| {
            let plan = Plan::new(app, function, settings);
            (plan.info.name.to_ascii_lowercase(), Arc::new(plan))
        });
        Worker {
            plans: plans.collect(),
            calls: Arc::default(),
            requests,
            sync_permits: Arc::new(Semaphore::new(settings.threads)),
            async_permits: Arc::new(Semaphore::new(ASYNC_IN_FLIGHT)),
            time_limit: settings.timeout,
            replace: Notify::new(),
        }
    }

    /// Calls a function and waits for its end.
    pub(crate) async fn call(
        &self,
        plan: &Plan,
        header: CallHeader<'_>,
        inputs: Vec<Option<Bytes>>,
    ) -> Result<Reply> {
        let is_async = plan.info.is_async;
        let permits = if is_async {
            &self.async_permits
        } else {
            &self.sync_permits
        };
        let closed = |_| Error::unavailable("the worker is gone");
        let permit = permits.clone().acquire_owned().await.map_err(closed)?;
        let deadline = Instant::now() + self.time_limit;
        let begun = self
            .calls
            .begin(&plan.info.name, is_async, deadline, permit);
        let (number, answer) = match begun {
            Ok(begun) => begun,
            Err(Refused) => return Ok(Reply::Refused),
        };
        let sizes: Vec<_> = inputs
            .iter()
            .map(|input| input.as_ref().map(Bytes::len))
            .collect();
        let parts: Vec<_> = inputs.into_iter().flatten().collect();
        let invoke = Invoke {
            k: "invoke",
            n: number,
            f: &plan.info.name,
            i: header.invocation_id,
            a: header.attempts,
            r: header.replayed,
            tp: header.trace_parent,
            ts: header.trace_state,
            p: &sizes,
        };
        match wire::encode(&invoke, &parts) {
            // A writer that is gone has closed the calls, or is about to.
            Ok(frame) => drop(self.requests.send(ToWorker::Frame(frame))),
            Err(error) => {
                self.calls.end(number, Reply::Refused);
                return Err(error);
            }
        }
        answer
            .await
            .map_err(|_| Error::unavailable("the worker is gone"))
    }

    pub(crate) fn time_limit(&self) -> Duration {
        self.time_limit
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Whether it completed a call, ever.
    pub(crate) fn has_served(&self) -> bool {
        self.calls.has_served()
    }

    /// It can take no more calls.
    pub(crate) fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    /// Waits for the calls in flight, then lets the process end, at last by force.
    pub(crate) async fn finish(&self, grace: Duration) {
        // What is left after the grace is lost when the process ends.
        let _ = timeout(grace, self.calls.none_left()).await;
        let _ = self.requests.send(ToWorker::Close);
        tokio::time::sleep(EXIT_GRACE).await;
        self.replace.notify_one();
    }

    /// Ends what takes too long; the reason if the process must be replaced for it.
    pub(crate) fn watch(&self) -> Option<String> {
        let mut reason = None;
        for overdue in self.calls.overdue(Instant::now()) {
            match overdue {
                Overdue::Cancel(n) => {
                    if let Ok(frame) = wire::encode(&Cancel { k: "cancel", n }, &[]) {
                        let _ = self.requests.send(ToWorker::Frame(frame));
                    }
                }
                Overdue::Replace(function) => {
                    let why = format!(
                        "the worker was replaced: function {function:?} did not end within {:?}",
                        self.time_limit
                    );
                    // Which call is to blame is known: the others begin anew elsewhere.
                    self.calls.close(|| Reply::Refused);
                    self.replace.notify_one();
                    reason = Some(why);
                }
            }
        }
        reason
    }
}
