//! The three pipes of a worker process.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use foretell_types::{Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc;

use crate::calls::{Calls, Reply};
use crate::limits::{STDERR_LINE_BYTES, STDERR_LINES};
use crate::logs::{Level, Logs};
use crate::wire::{self, Answer};

const READ_BYTES: usize = 64 * 1024;

/// What goes to the writer of the worker's pipe.
pub(crate) enum ToWorker {
    Frame(Bytes),
    /// Close the pipe: the worker ends.
    Close,
}

/// The worker's answers.
pub(crate) struct Reader {
    pub stdout: ChildStdout,
    pub buffer: BytesMut,
    pub logs: Arc<Logs>,
}

impl Reader {
    /// The next frame that is no log line; `None` at the end of the pipe.
    pub(crate) async fn next(&mut self) -> Result<Option<(Answer, Bytes)>> {
        loop {
            match wire::decode(&mut self.buffer)? {
                Some((Answer::Log { l, m, f, i }, _)) => self.logs.write(l, f, i, m),
                Some(frame) => return Ok(Some(frame)),
                None => {
                    self.buffer.reserve(READ_BYTES);
                    let read = self.stdout.read_buf(&mut self.buffer).await;
                    if read.map_err(|error| Error::io("the worker's pipe", error))? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    pub(crate) async fn serve(&mut self, calls: &Calls) -> Result<()> {
        while let Some((answer, body)) = self.next().await? {
            match answer {
                Answer::Done { n, o } => calls.end(n, Reply::Done(o, body)),
                Answer::Failed { n, e, t } => calls.end(n, Reply::Raised(e, t)),
                other => {
                    return Err(Error::invalid(format!(
                        "the worker sent out of turn: {other:?}"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Writes all that waits in one go.
pub(crate) async fn write(mut stdin: ChildStdin, mut frames: mpsc::UnboundedReceiver<ToWorker>) {
    const AT_A_TIME: usize = 64;
    let mut waiting = Vec::with_capacity(AT_A_TIME);
    let mut out = Vec::new();
    while frames.recv_many(&mut waiting, AT_A_TIME).await > 0 {
        for message in waiting.drain(..) {
            match message {
                ToWorker::Frame(frame) => out.extend_from_slice(&frame),
                ToWorker::Close => return,
            }
        }
        // A worker that is gone: its reader says so.
        if stdin.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
        out.shrink_to(1 << 20);
    }
}

/// Logs what the process writes past Python's streams, and keeps the last lines.
pub(crate) async fn read_stderr(mut stderr: ChildStderr, logs: Arc<Logs>) -> VecDeque<String> {
    let mut last = VecDeque::new();
    let mut buffer = BytesMut::new();
    let mut keep = |bytes: &[u8]| {
        let line = String::from_utf8_lossy(bytes).trim_end().to_owned();
        if !line.is_empty() {
            logs.app(Level::Info, line.clone());
            last.push_back(line);
            if last.len() > STDERR_LINES {
                last.pop_front();
            }
        }
    };
    while matches!(stderr.read_buf(&mut buffer).await, Ok(count) if count > 0) {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            keep(&buffer.split_to(end + 1));
        }
        if buffer.len() > STDERR_LINE_BYTES {
            keep(&buffer.split());
        }
    }
    keep(&buffer);
    last
}
