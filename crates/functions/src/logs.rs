use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::SystemTime;

use foretell_types::limits::FUNCTION_LOG_LINES;
use foretell_types::{Instant, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::limits::LOG_RING_BYTES;
use crate::logs_file::{LogFile, read_logs};

/// How serious a log line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// A line that a function wrote, or that was written about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogLine {
    #[serde(with = "timestamp_text")]
    pub time: Timestamp,
    /// `None` for what concerns the app as a whole.
    pub function: Option<String>,
    /// The id of the invocation that wrote it, where that is known.
    pub invocation: Option<String>,
    pub level: Level,
    /// May hold several lines, as tracebacks do.
    pub message: String,
}

/// The log of an app: a bounded number of lines of each function in memory, and a file.
pub(crate) struct Logs {
    app: String,
    kept: Mutex<Kept>,
}

struct Kept {
    rings: HashMap<Option<String>, Ring>,
    /// Lines so far; orders the lines of different rings.
    count: u64,
    file: LogFile,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<(u64, LogLine)>,
    bytes: usize,
}

impl Logs {
    /// Begins with what the file of an earlier run holds.
    pub(crate) fn open(app: &str, work_dir: &Path) -> Logs {
        let earlier = read_logs(work_dir, None, usize::MAX);
        let mut kept = Kept {
            rings: HashMap::new(),
            count: 0,
            file: LogFile::new(work_dir),
        };
        for line in earlier {
            kept.keep(line);
        }
        Logs {
            app: app.to_owned(),
            kept: Mutex::new(kept),
        }
    }

    /// A line about the app as a whole.
    pub(crate) fn app(&self, level: Level, message: impl Into<String>) {
        self.write(level, None, None, message.into());
    }

    pub(crate) fn write(
        &self,
        level: Level,
        function: Option<String>,
        invocation: Option<String>,
        message: String,
    ) {
        self.trace(level, function.as_deref(), invocation.as_deref(), &message);
        let time = Timestamp::from_instant(now());
        let line = LogLine {
            time,
            function,
            invocation,
            level,
            message,
        };
        let mut kept = self.kept.lock();
        kept.file.append(&line);
        kept.keep(line);
    }

    /// The last lines of one function, or of the whole app, oldest first.
    pub(crate) fn last(&self, function: Option<&str>, count: usize) -> Vec<LogLine> {
        let kept = self.kept.lock();
        let wanted = |key: &Option<String>| match function {
            None => true,
            Some(name) => key
                .as_deref()
                .is_some_and(|key| key.eq_ignore_ascii_case(name)),
        };
        let rings = kept.rings.iter().filter(|(key, _)| wanted(key));
        let mut found: Vec<&(u64, LogLine)> = rings
            .flat_map(|(_, ring)| ring.lines.iter().rev().take(count))
            .collect();
        found.sort_by_key(|(number, _)| *number);
        let skipped = found.len().saturating_sub(count);
        found[skipped..]
            .iter()
            .map(|(_, line)| line.clone())
            .collect()
    }

    fn trace(&self, level: Level, function: Option<&str>, invocation: Option<&str>, text: &str) {
        let (app, function) = (self.app.as_str(), function.unwrap_or(""));
        let invocation = invocation.unwrap_or("");
        match level {
            Level::Debug => tracing::debug!(app, function, invocation, "{text}"),
            Level::Info => tracing::info!(app, function, invocation, "{text}"),
            Level::Warn => tracing::warn!(app, function, invocation, "{text}"),
            Level::Error => tracing::error!(app, function, invocation, "{text}"),
        }
    }
}

impl Kept {
    fn keep(&mut self, line: LogLine) {
        self.count += 1;
        let ring = self.rings.entry(line.function.clone()).or_default();
        ring.bytes += line.message.len();
        ring.lines.push_back((self.count, line));
        while ring.lines.len() > FUNCTION_LOG_LINES || ring.bytes > LOG_RING_BYTES {
            let Some((_, gone)) = ring.lines.pop_front() else {
                break;
            };
            ring.bytes -= gone.message.len();
        }
    }
}

/// The time of a log line; nothing that an invocation returns depends on it.
fn now() -> Instant {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // Microseconds are enough to read.
    Instant {
        seconds: since.as_secs() as i64,
        nanos: since.subsec_micros() * 1_000,
    }
}

mod timestamp_text {
    use foretell_types::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_and_come_back_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open("shop", dir.path());
        for number in 0..10 {
            let function = (number % 2 == 0).then(|| "even".to_owned());
            logs.write(Level::Info, function, None, format!("line {number}"));
        }
        let messages = |logs: &Logs, function, count| {
            let lines = logs.last(function, count);
            lines
                .into_iter()
                .map(|line| line.message)
                .collect::<Vec<_>>()
        };
        assert_eq!(messages(&logs, None, 3), ["line 7", "line 8", "line 9"]);
        assert_eq!(messages(&logs, Some("EVEN"), 2), ["line 6", "line 8"]);
        assert!(messages(&logs, Some("odd"), 2).is_empty());
        drop(logs);
        let logs = Logs::open("shop", dir.path());
        assert_eq!(messages(&logs, Some("even"), 2), ["line 6", "line 8"]);
        assert_eq!(read_logs(dir.path(), None, 2).len(), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open("shop", dir.path());
        let long = "x".repeat(LOG_RING_BYTES / 4);
        for _ in 0..20 {
            logs.app(Level::Warn, long.clone());
        }
        assert!(logs.last(None, usize::MAX).len() <= 4);
    }
}
