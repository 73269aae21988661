use std::fmt;
use std::sync::Arc;

use foretell_delivery::{Failure, FailureKind, Handler, Invocation, Outcome};
use foretell_types::{Instant, NewEvent, Position, RecordedEvent, Result, cloudevents, eventgrid};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::handler::Function;
use crate::logs::Logs;
use crate::slot::{Shared, Slot};
use crate::worker::Worker;
use crate::{AppOptions, FunctionInfo, LogLine, Status};

/// A running app; clones are the same app. Its workers end when the last clone and the last
/// handler are dropped; [`App::stop`] ends them in order.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub shared: Arc<Shared>,
    slots: Vec<Slot>,
    _stop: DropGuard,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "App({}: {})",
            self.inner.shared.options.name,
            self.status()
        )
    }
}

impl App {
    /// Starts an app in the background, within a tokio runtime, and returns at once. Code of the
    /// user can't make it fail: see [`App::status`].
    pub fn start(options: AppOptions) -> App {
        let stop = CancellationToken::new();
        let logs = Arc::new(Logs::open(&options.name, &options.work_dir));
        let workers = options.workers.max(1);
        let functions = Mutex::default();
        let shared = Arc::new(Shared {
            options,
            logs,
            functions,
            stop: stop.clone(),
        });
        let slots = (0..workers).map(|_| Slot::start(shared.clone())).collect();
        App {
            inner: Arc::new(Inner {
                shared,
                slots,
                _stop: stop.drop_guard(),
            }),
        }
    }

    /// The name that functions are addressed by.
    pub fn name(&self) -> &str {
        &self.inner.shared.options.name
    }

    /// Waits until the first start has succeeded or failed, and says which.
    pub async fn started(&self) -> Status {
        for slot in &self.inner.slots {
            slot.started().await;
        }
        self.status()
    }

    /// Ready as soon as one worker is.
    pub fn status(&self) -> Status {
        let mut states = self.inner.slots.iter().map(Slot::status);
        let first = states.next().unwrap_or(Status::Stopped);
        states
            .find(|status| *status == Status::Ready)
            .unwrap_or(first)
    }

    /// The functions of the app as it was last imported, in order of their names; none before the
    /// first time.
    pub fn functions(&self) -> Vec<FunctionInfo> {
        self.inner.shared.functions.lock().clone()
    }

    /// The handler for a function, whether there is such a function or not: invocations of one
    /// that isn't there fail, and say which are.
    pub fn handler(&self, function: &str) -> Arc<dyn Handler> {
        Arc::new(self.function(function))
    }

    /// The last log lines of one function, or of the whole app, oldest first.
    pub fn logs(&self, function: Option<&str>, last: usize) -> Vec<LogLine> {
        self.inner.shared.logs.last(function, last)
    }

    /// Invokes a function by hand with an event in the CloudEvents or the Event Grid schema (the
    /// latter also as an array of one). What it returns is not applied. `now` stands for the time
    /// of recording and of the attempt; the invocation's id derives from the event's.
    ///
    /// # Errors
    /// `BadRequest` for what is no event; otherwise as the handler.
    pub async fn invoke(
        &self,
        function: &str,
        event_json: &[u8],
        now: Instant,
    ) -> Result<Outcome, Failure> {
        let event = parse(event_json).map_err(|error| {
            Failure::new(
                FailureKind::BadRequest,
                format!("that is no event: {error}"),
            )
        })?;
        let identity = format!("{}\n{}", event.source, event.id);
        let invocation = Invocation {
            subscription: "invoke".into(),
            topic: "invoke".into(),
            id: Uuid::new_v5(&Uuid::NAMESPACE_URL, identity.as_bytes()),
            event: Arc::new(RecordedEvent {
                event,
                position: Position::FIRST,
                revision: None,
                recorded_time: now,
                erased: false,
            }),
            attempts: 0,
            first_attempt: now,
            replayed: false,
        };
        self.function(function).handle(invocation).await
    }

    /// Takes no more invocations, waits for those in flight (see [`AppOptions::stop_grace`]), and
    /// ends the workers.
    pub async fn stop(&self) {
        self.inner.shared.stop.cancel();
        for slot in &self.inner.slots {
            slot.stopped().await;
        }
    }

    fn function(&self, name: &str) -> Function {
        Function {
            app: self.inner.clone(),
            name: name.to_owned(),
        }
    }
}

impl Inner {
    /// The least busy worker; the first that starts if none is ready.
    pub(crate) async fn worker(&self) -> Result<Arc<Worker>, Failure> {
        let ready = self
            .slots
            .iter()
            .filter_map(|slot| Some((slot.load()?, slot)));
        match ready.min_by_key(|(load, _)| *load) {
            Some((_, slot)) => slot.worker().await,
            None => self.slots[0].worker().await,
        }
    }
}

fn parse(json: &[u8]) -> Result<NewEvent> {
    const TOPIC: &str = "/topics/invoke";
    let text = json.trim_ascii();
    let value: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(text) {
        Ok(object) => object,
        // An array, or something that the parser explains.
        Err(_) => return one(eventgrid::batch_from_json(text, TOPIC)?),
    };
    if value.contains_key("specversion") {
        return cloudevents::from_json(text);
    }
    one(eventgrid::batch_from_json(
        &[b"[", text, b"]"].concat(),
        TOPIC,
    )?)
}

fn one(mut events: Vec<NewEvent>) -> Result<NewEvent> {
    match (events.pop(), events.len()) {
        (Some(event), 0) => Ok(event),
        (_, more) => Err(foretell_types::Error::invalid(format!(
            "expected one event, found {}",
            if more == 0 { 0 } else { more + 1 }
        ))),
    }
}
