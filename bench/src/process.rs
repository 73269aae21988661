//! A server as a process of its own: started with a folder that goes when it ends, waited for, and
//! stopped by its id.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;

const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const LOG: &str = "server.log";
const POLL: Duration = Duration::from_millis(20);

/// Stopped, and its folder removed, when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stop_signal: &'static str,
    /// Holds the data and what the server logs; removed after the process has ended.
    folder: TempDir,
}

/// A folder for the data of a server.
pub fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new()
        .prefix("foretell-bench-")
        .tempdir()?)
}

impl Process {
    /// `stop_signal` asks the server to end in order.
    pub fn start(
        command: &mut Command,
        folder: TempDir,
        stop_signal: &'static str,
    ) -> Result<Process> {
        let log = File::create(folder.path().join(LOG))?;
        Ok(Process {
            child: spawn(command, log)?,
            stop_signal,
            folder,
        })
    }

    /// Tries until the server answers.
    pub async fn wait_until<T>(&mut self, answers: impl AsyncFn() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.log())?;
                return Err(format!("the server ended at its start: {status}\n{log}").into());
            }
            match answers().await {
                Ok(answer) => return Ok(answer),
                Err(error) if start.elapsed() > START_TIMEOUT => {
                    return Err(format!("the server did not answer in time: {error}").into());
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Kills the process as `kill -9` does, and starts another on its folder.
    pub fn restart(&mut self, command: &mut Command) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(command, File::options().append(true).open(self.log())?)?;
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join(LOG)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to stop, and kills it if it doesn't.
    fn stop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // The standard library sends SIGKILL only.
        let _ = Command::new("kill")
            .args([self.stop_signal, &self.child.id().to_string()])
            .status();
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        eprintln!(
            "the server did not stop within {STOP_TIMEOUT:?} of {}: killed",
            self.stop_signal
        );
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(command: &mut Command, log: File) -> Result<Child> {
    let spawned = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    Ok(spawned.map_err(|error| format!("{}: {error}", command.get_program().display()))?)
}

/// A port that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_at_its_start_is_told_with_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such thing >&2; exit 3"]);
        let mut process = Process::start(&mut command, folder().unwrap(), "-TERM").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let never = async || Err::<(), _>("nothing listens".into());
        let error = runtime.block_on(process.wait_until(never)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.contains("no such thing"), "{text}");
    }

    #[test]
    fn one_is_killed_and_another_takes_its_folder() {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo begun; sleep 1000"]);
        let mut process = Process::start(&mut command, folder().unwrap(), "-KILL").unwrap();
        let said = |process: &Process| std::fs::read_to_string(process.log()).unwrap();
        while said(&process).is_empty() {
            std::thread::yield_now();
        }
        let (id, path) = (process.id(), process.folder.path().to_owned());
        process.restart(&mut command).unwrap();
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
        while said(&process) != "begun\nbegun\n" {
            std::thread::yield_now();
        }
        assert!(process.id() != id && path.is_dir());
    }

    #[test]
    fn one_is_stopped_and_its_folder_removed() {
        let mut command = Command::new("sleep");
        command.arg("1000");
        let process = Process::start(&mut command, folder().unwrap(), "-TERM").unwrap();
        let (id, path) = (process.id(), process.folder.path().to_owned());
        assert!(path.is_dir());
        drop(process);
        assert!(!path.exists());
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}
