use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use foretell_delivery::{Failure, FailureKind, Handler, Invocation, Outcome};

use crate::app::Inner;
use crate::calls::Reply;
use crate::logs::Level;
use crate::plan::Plan;
use crate::worker::{CallHeader, Worker};
use crate::{bindings, outputs};

/// Invokes one function of an app. It may name a function that isn't there (yet).
#[derive(Clone)]
pub(crate) struct Function {
    pub app: Arc<Inner>,
    pub name: String,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Function({}/{})",
            self.app.shared.options.name, self.name
        )
    }
}

#[async_trait]
impl Handler for Function {
    async fn handle(&self, invocation: Invocation) -> Result<Outcome, Failure> {
        let result = loop {
            let worker = self.app.worker().await?;
            // A worker that went away before it began is followed by another.
            if let Some(result) = self.invoke(&worker, &invocation).await.transpose() {
                break result;
            }
        };
        if let Err(failure) = &result {
            let (function, id) = (self.name.clone(), invocation.id.to_string());
            let message = failure.message.clone();
            self.app
                .shared
                .logs
                .write(Level::Error, Some(function), Some(id), message);
        }
        result
    }
}

impl Function {
    fn plan(&self, worker: &Worker) -> Result<Arc<Plan>, Failure> {
        let Some(plan) = worker.plans.get(&self.name.to_ascii_lowercase()) else {
            let there: Vec<_> = worker
                .plans
                .values()
                .map(|plan| plan.info.name.as_str())
                .collect();
            let app = &self.app.shared.options.name;
            let there = match there.as_slice() {
                [] => "it has no functions".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            return Err(Failure::new(
                FailureKind::NotFound,
                format!(
                    "cannot find function: '{}' in the app {app:?}: {there}",
                    self.name
                ),
            ));
        };
        match plan.failed() {
            None => Ok(plan.clone()),
            Some(reason) => Err(Failure::new(
                FailureKind::InvalidAzureFunctionDestination,
                format!("function {:?} can't be invoked: {reason}", plan.info.name),
            )),
        }
    }

    /// `None` if the worker is gone and nothing was begun.
    async fn invoke(
        &self,
        worker: &Worker,
        invocation: &Invocation,
    ) -> Result<Option<Outcome>, Failure> {
        let plan = &*self.plan(worker)?;
        let options = &self.app.shared.options;
        let inputs = bindings::read(plan, invocation, options).await?;
        let id = invocation.id.to_string();
        let event = &invocation.event.event;
        let header = CallHeader {
            invocation_id: &id,
            attempts: invocation.attempts,
            replayed: invocation.replayed,
            trace_parent: event.extension_str("traceparent"),
            trace_state: event.extension_str("tracestate"),
        };
        let aborted = |message: String| Err(Failure::new(FailureKind::Aborted, message));
        match worker.call(plan, header, inputs).await {
            Ok(Reply::Done(names, body)) => {
                outputs::collect(plan, invocation, names, body, options).map(Some)
            }
            Ok(Reply::Raised(last, traceback)) => aborted(format!("{last}\n{traceback}")),
            Ok(Reply::Refused) => Ok(None),
            Ok(Reply::Lost(reason)) => aborted(reason.to_string()),
            Ok(Reply::TimedOut) => Err(Failure::new(
                FailureKind::TimedOut,
                format!(
                    "function {:?} did not end within {:?}",
                    plan.info.name,
                    worker.time_limit()
                ),
            )),
            Err(error) => aborted(error.to_string()),
        }
    }
}
