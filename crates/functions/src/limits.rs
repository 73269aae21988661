//! Limits of this crate alone; those that users see are in `foretell_types::limits`.

use std::time::Duration;

/// Time that an app may take to be imported.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that making a virtual environment may take.
pub(crate) const INSTALL_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Time that a cancelled asynchronous function has to end before its worker is replaced.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// Time that a worker has to end after its pipe was closed.
pub(crate) const EXIT_GRACE: Duration = Duration::from_secs(2);
/// Time that invocations in flight have when the app is stopped, unless configured.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);
/// A function's time limit where host.json says that there is none.
pub(crate) const UNLIMITED: Duration = Duration::from_secs(24 * 60 * 60);
/// Waiting time before the first restart of an app that failed, and the longest.
pub(crate) const RESTART_MIN: Duration = Duration::from_millis(250);
pub(crate) const RESTART_MAX: Duration = Duration::from_secs(60);
/// A worker that ran so long, or completed a call, has proven itself: its restart is the first.
pub(crate) const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// Threads for synchronous functions (Azure: the number of processors and 4).
pub(crate) const THREADS: usize = 8;
/// Asynchronous invocations that one worker has in flight.
pub(crate) const ASYNC_IN_FLIGHT: usize = 128;
/// One frame from the worker: the outputs of an invocation and their names, or a traceback.
pub(crate) const FRAME_BYTES: usize =
    foretell_types::limits::INVOCATION_OUTPUT_BYTES + 4 * 1024 * 1024;
/// Last lines of a worker's standard error that are shown when it dies.
pub(crate) const STDERR_LINES: usize = 20;
/// One line of a worker's standard error; longer ones are cut in pieces.
pub(crate) const STDERR_LINE_BYTES: usize = 32 * 1024;
/// Last bytes of pip's output that are shown when it fails.
pub(crate) const INSTALL_OUTPUT_BYTES: usize = 8 * 1024;
/// Size at which a log file is put aside; one older file is kept.
pub(crate) const LOG_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of log lines kept in memory of each function.
pub(crate) const LOG_RING_BYTES: usize = 4 * 1024 * 1024;
