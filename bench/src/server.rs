//! A `foretell serve` process on a free port of the loopback and a temporary directory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;
use crate::client::Connection;
use crate::payload::Target;

const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const LOG: &str = "server.log";
const POLL: Duration = Duration::from_millis(20);

/// Stopped, and its data removed, when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    target: Target,
    /// Holds the data directory and what the server logs; removed after the process has ended.
    folder: TempDir,
}

/// Memory of a process in MB (10^6 bytes).
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub resident: f64,
    pub peak: f64,
}

impl Server {
    /// Makes a topic in a new data directory, then serves it.
    pub async fn start(topic: &str) -> Result<Server> {
        let binary = binary()?;
        let folder = tempfile::Builder::new()
            .prefix("foretell-bench-")
            .tempdir()?;
        let data = folder.path().join("data");
        command(&binary, &data, &["topic", "create", topic])?;
        let keys = command(&binary, &data, &["topic", "keys", topic, "--json"])?;
        let keys: serde_json::Value = serde_json::from_str(&keys)?;
        let key = keys["key1"].as_str().ok_or("'topic keys' gave no key1")?;
        let address = free_address()?;
        let child = Command::new(&binary)
            .args(["serve", "--listen", &address.to_string(), "--data"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join(LOG))?)
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut server = Server {
            child,
            target: Target {
                address,
                topic: topic.to_owned(),
                key: key.to_owned(),
            },
            folder,
        };
        server.wait_until_healthy().await?;
        Ok(server)
    }

    async fn wait_until_healthy(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.folder.path().join(LOG))?;
                return Err(format!("the server ended at its start: {status}\n{log}").into());
            }
            if let Ok(mut connection) = Connection::open(self.target.address).await
                && let Ok(200) = connection.get("/healthz").await
            {
                return Ok(());
            }
            if start.elapsed() > START_TIMEOUT {
                return Err("the server did not become healthy in time".into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn memory(&self) -> Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(Memory {
            resident: field(&text, "VmRSS:")?,
            peak: field(&text, "VmHWM:")?,
        })
    }

    /// Asks the process to stop (SIGTERM), and kills it if it doesn't.
    fn stop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // The standard library sends SIGKILL only.
        let _ = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        eprintln!("the server did not stop within {STOP_TIMEOUT:?} of SIGTERM: killed");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn binary() -> Result<PathBuf> {
    std::env::var_os("FORETELL_BIN")
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .ok_or_else(|| "FORETELL_BIN does not name the foretell binary".into())
}

/// Runs a command on the data directory; what it prints.
fn command(binary: &Path, data: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(binary)
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("foretell {}: {stderr}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn field(status: &str, name: &str) -> Result<f64> {
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))
        .ok_or_else(|| format!("/proc has no {name}"))?
        .parse()?;
    Ok(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_this_process() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let (resident, peak) = (field(&status, "VmRSS:"), field(&status, "VmHWM:"));
        assert!(0.0 < resident.unwrap() && peak.unwrap() < 1e6);
    }
}
