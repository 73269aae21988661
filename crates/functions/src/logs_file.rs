use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::LogLine;
use crate::limits::LOG_FILE_BYTES;

const NAME: &str = "logs.jsonl";
const OLDER: &str = "logs.1.jsonl";

/// The last log lines of an app that lie in its work directory, oldest first; for when no server
/// runs the app. A line that can't be read is left out.
pub fn read_logs(work_dir: &Path, function: Option<&str>, last: usize) -> Vec<LogLine> {
    let mut found = VecDeque::new();
    for name in [OLDER, NAME] {
        let Ok(file) = File::open(work_dir.join(name)) else {
            continue;
        };
        for text in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            let Ok(line) = serde_json::from_slice::<LogLine>(&text) else {
                continue;
            };
            let of_function = |name: &str| {
                line.function
                    .as_deref()
                    .is_some_and(|of| of.eq_ignore_ascii_case(name))
            };
            if function.is_none_or(of_function) {
                found.push_back(line);
                if found.len() > last {
                    found.pop_front();
                }
            }
        }
    }
    found.into()
}

/// Appends JSON lines to a file; at its limit the file takes the place of the older one. A disk
/// that refuses costs lines, not invocations.
pub(crate) struct LogFile {
    dir: PathBuf,
    open: Option<(File, u64)>,
    /// The last attempt failed; said once.
    failing: bool,
}

impl LogFile {
    pub(crate) fn new(work_dir: &Path) -> LogFile {
        LogFile {
            dir: work_dir.to_owned(),
            open: None,
            failing: false,
        }
    }

    pub(crate) fn append(&mut self, line: &LogLine) {
        match self.try_append(line) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                let path = self.dir.join(NAME);
                tracing::warn!("log lines are lost: {}: {error}", path.display());
            }
            Err(_) => {}
        }
    }

    fn try_append(&mut self, line: &LogLine) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let path = self.dir.join(NAME);
        if self
            .open
            .as_ref()
            .is_some_and(|(_, bytes)| *bytes >= LOG_FILE_BYTES)
        {
            self.open = None;
            std::fs::rename(&path, self.dir.join(OLDER))?;
        }
        let (mut file, bytes) = match self.open.take() {
            Some(open) => open,
            None => {
                let file = OpenOptions::new().append(true).create(true).open(&path)?;
                let bytes = file.metadata()?.len();
                (file, bytes)
            }
        };
        file.write_all(&text)?;
        self.open = Some((file, bytes + text.len() as u64));
        Ok(())
    }
}
