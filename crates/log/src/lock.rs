use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foretell_types::{Error, ErrorKind, Result};
use rustix::fs::{FlockOperation, flock};

const FILE: &str = "LOCK";
/// Longer than to look whether the lock is held.
const LOOK: Duration = Duration::from_millis(100);

/// Holds a data directory: one process at a time writes to it. Released when dropped, and by the
/// operating system when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
    path: PathBuf,
}

/// Who holds a data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    pub process: u32,
    /// Where its server listens; `None` if it is no server.
    pub url: Option<String>,
}

impl DirectoryLock {
    /// Takes the lock of a directory, which is made if it isn't there. Fails with
    /// [`ErrorKind::Fenced`] if another process has it; see [`DirectoryLock::holder`].
    pub fn acquire(directory: &Path) -> Result<DirectoryLock> {
        let path = directory.join(FILE);
        let at = |error| {
            Error::io(
                format_args!("can't open data directory {}", directory.display()),
                error,
            )
        };
        fs::create_dir_all(directory).map_err(at)?;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(at)?;
        let mut taken = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let began = Instant::now();
        while taken == Err(rustix::io::Errno::WOULDBLOCK) && began.elapsed() < LOOK {
            // Somebody may only have looked whether it is held.
            std::thread::sleep(LOOK / 20);
            taken = flock(&file, FlockOperation::NonBlockingLockExclusive);
        }
        match taken {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let process = read_holder(&path).map_or("another process".to_owned(), |holder| {
                    format!("process {}", holder.process)
                });
                return Err(Error::new(
                    ErrorKind::Fenced,
                    format!(
                        "data directory {} is held by {process}",
                        directory.display()
                    ),
                ));
            }
            Err(error) => return Err(at(error.into())),
        }
        let mut lock = DirectoryLock { file, path };
        // On a disk without any room the name can't be written; the lock holds all the same.
        if let Err(error) = lock.write(None) {
            tracing::warn!(%error, "the lock file does not say who holds it");
        }
        Ok(lock)
    }

    /// Says in the lock file where this process's server listens.
    pub fn announce(&mut self, url: &str) -> Result<()> {
        self.write(Some(url))
    }

    /// Who holds the directory, if anyone does, and says so. What the lock file says counts only
    /// while it is locked: it may be left of a process that was killed, or copied from elsewhere.
    pub fn holder(directory: &Path) -> Option<Holder> {
        let path = directory.join(FILE);
        let file = File::open(&path).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => read_holder(&path),
            // Nobody; whatever else is wrong shows when it is to be taken.
            _ => None,
        }
    }

    fn write(&mut self, url: Option<&str>) -> Result<()> {
        let text = format!("{}\n{}\n", std::process::id(), url.unwrap_or(""));
        let written = self
            .file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(text.as_bytes()));
        written
            .map_err(|error| Error::io(format_args!("can't write {}", self.path.display()), error))
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Whoever holds it next is named here only a moment later.
        let _ = self.file.set_len(0);
    }
}

fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(4_096)
        .read_to_string(&mut text)
        .ok()?;
    let mut lines = text.lines();
    let process = lines.next()?.parse().ok()?;
    let url = lines
        .next()
        .filter(|url| !url.is_empty())
        .map(str::to_owned);
    Some(Holder { process, url })
}
