//! One worker process: started, watched, and ended.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use foretell_types::limits::INVOCATION_OUTPUT_BYTES;
use foretell_types::{Error, Result};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, timeout};

use crate::calls::Reply;
use crate::limits::{EXIT_GRACE, START_TIMEOUT};
use crate::logs::{Level, Logs};
use crate::pipes::{Reader, ToWorker, read_stderr, write};
use crate::settings::Settings;
use crate::wire::{self, Answer, Described, Init};
use crate::worker::Worker;

/// How often calls are looked at that may be over their time.
const WATCH: Duration = Duration::from_millis(50);

/// What a process is started from.
pub(crate) struct Launch<'a> {
    pub app: &'a str,
    pub app_dir: &'a Path,
    pub work_dir: &'a Path,
    /// The interpreter of the virtual environment.
    pub python: &'a Path,
    pub script: &'a Path,
    pub settings: &'a Settings,
    pub logs: &'a Arc<Logs>,
}

/// The running process of a worker.
pub(crate) struct Process {
    child: Child,
    reader: Reader,
    stderr: JoinHandle<VecDeque<String>>,
    logs: Arc<Logs>,
}

/// Starts a process and waits until it has imported the app.
pub(crate) async fn start(launch: Launch<'_>) -> Result<(Arc<Worker>, Process)> {
    let Launch {
        app,
        settings,
        logs,
        ..
    } = launch;
    let mut child = spawn(&launch)?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::unavailable("the worker has no pipes"));
    };
    let (requests, frames) = mpsc::unbounded_channel();
    let init = Init {
        k: "init",
        threads: settings.threads,
        output_bytes: INVOCATION_OUTPUT_BYTES,
    };
    let _ = requests.send(ToWorker::Frame(wire::encode(&init, &[])?));
    tokio::spawn(write(stdin, frames));
    let mut process = Process {
        child,
        reader: Reader {
            stdout,
            buffer: BytesMut::new(),
            logs: logs.clone(),
        },
        stderr: tokio::spawn(read_stderr(stderr, logs.clone())),
        logs: logs.clone(),
    };
    match process.imported().await {
        Ok(functions) => Ok((
            Arc::new(Worker::new(app, functions, settings, requests)),
            process,
        )),
        Err(error) => {
            process.kill();
            Err(error)
        }
    }
}

fn spawn(launch: &Launch<'_>) -> Result<Child> {
    let Launch {
        app_dir,
        work_dir,
        python,
        script,
        settings,
        ..
    } = *launch;
    Command::new(python)
        .arg(script)
        .current_dir(app_dir)
        .env_clear()
        .envs(&settings.environment)
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONUTF8", "1")
        // The app's folder is only read.
        .env("PYTHONPYCACHEPREFIX", work_dir.join("pycache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // The terminal's Ctrl-C is ours to act on, and one signal reaches what the worker starts.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::io(format_args!("can't start {}", python.display()), error))
}

impl Process {
    /// Serves the worker's calls until the process ends, and says why it did.
    pub(crate) async fn run(self, worker: Arc<Worker>) -> Arc<str> {
        let Process {
            mut child,
            mut reader,
            mut stderr,
            ..
        } = self;
        let group = child.id();
        let calls = worker.calls.clone();
        let mut answers = tokio::spawn(async move { reader.serve(&calls).await });
        let mut watch = tokio::time::interval(WATCH);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut why = None;
        let mut reading = true;
        loop {
            tokio::select! {
                _ = child.wait() => break,
                () = worker.replace.notified() => kill_group(group),
                _ = watch.tick() => {
                    if let Some(reason) = worker.watch() {
                        why = Some(reason);
                    }
                }
                ended = &mut answers, if reading => {
                    reading = false;
                    // The end of the pipe is the end of the process, soon; anything else is a
                    // worker that can't be understood.
                    if let Ok(Err(error)) = ended {
                        why = Some(error.to_string());
                        kill_group(group);
                    } else if timeout(EXIT_GRACE, child.wait()).await.is_err() {
                        kill_group(group);
                    }
                }
            }
        }
        // What was answered before the end counts.
        if reading {
            let _ = timeout(EXIT_GRACE, &mut answers).await;
        }
        answers.abort();
        let status = child
            .wait()
            .await
            .map_or_else(|error| error.to_string(), |s| s.to_string());
        let last = last_lines(&mut stderr).await;
        let reason: Arc<str> = match why {
            Some(why) => why.into(),
            None => format!("the worker ended ({status}){last}").into(),
        };
        worker.calls.close(|| Reply::Lost(reason.clone()));
        reason
    }

    fn kill(&self) {
        kill_group(self.child.id());
    }

    /// Waits until the app is imported; an error says why it can't be.
    async fn imported(&mut self) -> Result<Vec<Described>> {
        let Ok(first) = timeout(START_TIMEOUT, self.reader.next()).await else {
            let seconds = START_TIMEOUT.as_secs();
            return Err(Error::unavailable(format!(
                "the app was not imported within {seconds} seconds"
            )));
        };
        match first? {
            Some((
                Answer::Ready {
                    functions,
                    python,
                    library,
                },
                _,
            )) => {
                let count = functions.len();
                self.logs.app(
                    Level::Info,
                    format!("{count} functions, Python {python}, azure-functions {library}"),
                );
                Ok(functions)
            }
            Some((Answer::Broken { e, t }, _)) => Err(Error::invalid(format!(
                "the app can't be imported: {e}\n{t}"
            ))),
            _ => {
                let reason = self.died().await;
                Err(Error::unavailable(format!(
                    "the app can't be imported: {reason}"
                )))
            }
        }
    }

    /// Why a process that closed its pipe did so.
    async fn died(&mut self) -> String {
        let status = match timeout(EXIT_GRACE, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            _ => {
                self.kill();
                "it closed its pipe".to_owned()
            }
        };
        self.logs.app(
            Level::Warn,
            format!("the worker ended ({status}) before it was ready"),
        );
        format!(
            "the worker ended ({status}){}",
            last_lines(&mut self.stderr).await
        )
    }
}

/// The last lines of standard error, as part of a message. A process that the worker left behind
/// may still hold the pipe: it isn't waited for.
async fn last_lines(stderr: &mut JoinHandle<VecDeque<String>>) -> String {
    match timeout(Duration::from_millis(500), stderr).await {
        Ok(Ok(lines)) if !lines.is_empty() => {
            format!(", its last lines:\n{}", Vec::from(lines).join("\n"))
        }
        _ => String::new(),
    }
}

fn kill_group(leader: Option<u32>) {
    let pid = leader
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}
