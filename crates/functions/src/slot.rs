//! A place for one worker process: keeps one running, as long as the app runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foretell_delivery::{Failure, FailureKind};
use foretell_types::limits::DELIVERY_TIMEOUT_MS;
use foretell_types::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::limits::PROVEN_AFTER;
use crate::logs::{Level, Logs};
use crate::process::{self, Launch, Process};
use crate::settings::Settings;
use crate::worker::Worker;
use crate::{AppOptions, FunctionInfo, Status, interpreter, requirements, runtime, venv};

/// What all parts of an app share.
pub(crate) struct Shared {
    pub options: AppOptions,
    pub logs: Arc<Logs>,
    /// As the app was last imported; kept while it restarts.
    pub functions: Mutex<Vec<FunctionInfo>>,
    pub stop: CancellationToken,
}

#[derive(Clone)]
enum State {
    Starting,
    Ready(Arc<Worker>),
    Failed {
        reason: Arc<str>,
        retry_at: Instant,
    },
    /// Takes no more invocations; some may be in flight.
    Stopping,
    Stopped,
}

/// The handle of a slot; its supervisor is a task.
pub(crate) struct Slot {
    state: watch::Receiver<State>,
    retry: Arc<Notify>,
}

impl Slot {
    pub(crate) fn start(shared: Arc<Shared>) -> Slot {
        let (sender, state) = watch::channel(State::Starting);
        let retry = Arc::new(Notify::new());
        tokio::spawn(
            Supervisor {
                shared,
                state: sender,
                retry: retry.clone(),
            }
            .run(),
        );
        Slot { state, retry }
    }

    pub(crate) fn status(&self) -> Status {
        match &*self.state.borrow() {
            State::Starting => Status::Starting,
            State::Ready(_) => Status::Ready,
            State::Failed { reason, .. } => Status::Failed {
                reason: reason.to_string(),
            },
            State::Stopping | State::Stopped => Status::Stopped,
        }
    }

    /// Waits until the first start has succeeded or failed.
    pub(crate) async fn started(&self) {
        let mut state = self.state.clone();
        let _ = state
            .wait_for(|state| !matches!(state, State::Starting))
            .await;
    }

    pub(crate) async fn stopped(&self) {
        let mut state = self.state.clone();
        let _ = state
            .wait_for(|state| matches!(state, State::Stopped))
            .await;
    }

    /// Calls in flight of a worker that takes more; `None` if there is no such worker now.
    pub(crate) fn load(&self) -> Option<usize> {
        match &*self.state.borrow() {
            State::Ready(worker) if !worker.is_closed() => Some(worker.in_flight()),
            _ => None,
        }
    }

    /// The worker, waited for while it starts; a failed one is tried again when that is due.
    pub(crate) async fn worker(&self) -> Result<Arc<Worker>, Failure> {
        let patience = Duration::from_millis(DELIVERY_TIMEOUT_MS as u64);
        timeout(patience, self.wait_for_worker())
            .await
            .unwrap_or_else(|_| {
                Err(Failure::new(
                    FailureKind::Busy,
                    "the app is still starting: see its logs",
                ))
            })
    }

    async fn wait_for_worker(&self) -> Result<Arc<Worker>, Failure> {
        let mut state = self.state.clone();
        loop {
            match state.borrow_and_update().clone() {
                State::Ready(worker) if !worker.is_closed() => return Ok(worker),
                State::Ready(_) | State::Starting => {}
                State::Failed { reason, retry_at } => {
                    let wait = retry_at.saturating_duration_since(Instant::now());
                    if !wait.is_zero() {
                        let kind = FailureKind::InvalidAzureFunctionDestination;
                        let mut failure = Failure::new(kind, &*reason);
                        failure.wait = Some(wait);
                        return Err(failure);
                    }
                    self.retry.notify_one();
                }
                State::Stopping | State::Stopped => return Err(stopping()),
            }
            if state.changed().await.is_err() {
                return Err(stopping());
            }
        }
    }
}

fn stopping() -> Failure {
    Failure::new(FailureKind::Aborted, "the app is stopping")
}

struct Supervisor {
    shared: Arc<Shared>,
    state: watch::Sender<State>,
    retry: Arc<Notify>,
}

impl Supervisor {
    async fn run(self) {
        let stop = self.shared.stop.clone();
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            self.state.send_replace(State::Starting);
            let started = tokio::select! {
                started = start(&self.shared) => started,
                () = stop.cancelled() => break,
            };
            match started {
                Ok((worker, process)) => self.serve(worker, process, &mut backoff).await,
                Err(error) => self.failed(&error, &mut backoff).await,
            }
        }
        self.state.send_replace(State::Stopped);
    }

    /// Serves until the process ends, then waits until it may be started again.
    async fn serve(&self, worker: Arc<Worker>, process: Process, backoff: &mut Backoff) {
        let begun = Instant::now();
        self.state.send_replace(State::Ready(worker.clone()));
        let stop = &self.shared.stop;
        let mut running = std::pin::pin!(process.run(worker.clone()));
        let reason = tokio::select! {
            reason = &mut running => reason,
            () = stop.cancelled() => {
                self.state.send_replace(State::Stopping);
                tokio::select! {
                    _ = &mut running => return,
                    () = worker.finish(self.shared.options.stop_grace) => {}
                }
                // Ended by itself, or by force.
                running.await;
                return;
            }
        };
        self.shared.logs.app(Level::Error, &*reason);
        if worker.has_served() || begun.elapsed() >= PROVEN_AFTER {
            backoff.reset();
        }
        self.state.send_replace(State::Starting);
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Says why, and waits until an invocation asks for another attempt.
    async fn failed(&self, error: &Error, backoff: &mut Backoff) {
        let name = &self.shared.options.name;
        let reason: Arc<str> = format!("app {name:?} is not running: {error}").into();
        self.shared.logs.app(Level::Error, &*reason);
        let retry_at = Instant::now() + backoff.next();
        self.state.send_replace(State::Failed { reason, retry_at });
        tokio::select! {
            () = self.retry.notified() => {}
            () = self.shared.stop.cancelled() => {}
        }
    }
}

/// Reads the app's files, makes what they ask for, and starts a worker.
async fn start(shared: &Shared) -> Result<(Arc<Worker>, Process)> {
    let options = &shared.options;
    let work_dir = absolute(&options.work_dir)?;
    let app_dir = absolute(&options.dir)?;
    if !app_dir.is_dir() {
        return Err(Error::not_found(format!(
            "there is no folder {}",
            app_dir.display()
        )));
    }
    std::fs::create_dir_all(&work_dir).map_err(|error| Error::io(work_dir.display(), error))?;
    let settings = Settings::read(options)?;
    let version = options.python_version.as_deref();
    let interpreter = interpreter::find(options.python.as_deref(), version).await?;
    if let Some(version) = version.filter(|version| *version != interpreter.version) {
        let message = format!(
            "there is no Python {version} on this machine: {} is used, which is {}",
            interpreter.path.display(),
            interpreter.version
        );
        shared.logs.app(Level::Warn, message);
    }
    let requirements = requirements::read(&app_dir, requirements::LIBRARY)?;
    let cache = match &options.venv_cache {
        Some(cache) => absolute(cache)?,
        None => work_dir.join("venvs"),
    };
    let progress = |message| shared.logs.app(Level::Info, message);
    let python = venv::prepare(&cache, &app_dir, &interpreter, &requirements, progress).await?;
    let script = runtime::write(&work_dir)?;
    let (worker, process) = process::start(Launch {
        app: &options.name,
        app_dir: &app_dir,
        work_dir: &work_dir,
        python: &python,
        script: &script,
        settings: &settings,
        logs: &shared.logs,
    })
    .await?;
    *shared.functions.lock() = worker
        .plans
        .values()
        .map(|plan| plan.info.clone())
        .collect();
    for plan in worker.plans.values() {
        if let Some(reason) = plan.failed() {
            let function = Some(plan.info.name.clone());
            shared
                .logs
                .write(Level::Warn, function, None, reason.to_string());
        }
    }
    Ok((worker, process))
}

fn absolute(path: &Path) -> Result<std::path::PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io(path.display(), error))
}
