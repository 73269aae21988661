//! A `foretell serve` process on a free port of the loopback and a temporary directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::client::Connection;
use crate::payload::Target;
use crate::process::{self, Process};

/// Stopped, and its data removed, when dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    target: Target,
    admin_key: String,
    arguments: Vec<OsString>,
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
        Server::start_with(topic, "").await
    }

    /// The same with a `foretell.toml`.
    pub async fn start_with(topic: &str, settings: &str) -> Result<Server> {
        let binary = binary()?;
        let folder = process::folder()?;
        let application = folder.path().join("application");
        std::fs::create_dir(&application)?;
        std::fs::write(application.join("foretell.toml"), settings)?;
        let data = folder.path().join("data");
        command(&binary, &data, &["topic", "create", topic])?;
        let topic_key = key_of(&binary, &data, &["topic", "keys", topic, "--json"], "key1")?;
        let admin_key = key_of(&binary, &data, &["keys", "--json"], "admin")?;
        let address = process::free_address()?;
        let listen = ["serve", "--listen", &address.to_string()].map(OsString::from);
        let mut arguments = Vec::from(listen);
        arguments.extend([application.into(), "--data".into(), data.into()]);
        let mut serve = Command::new(&binary);
        let process = Process::start(serve.args(&arguments), folder, "-TERM")?;
        let mut server = Server {
            process,
            target: Target {
                address,
                topic: topic.to_owned(),
                key: topic_key,
            },
            admin_key,
            arguments,
        };
        server.wait_until_healthy().await?;
        Ok(server)
    }

    /// Kills it as `kill -9` does, and serves the same data at the same address again.
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        let mut serve = Command::new(binary()?);
        self.process.restart(serve.args(&self.arguments))?;
        self.wait_until_healthy().await
    }

    async fn wait_until_healthy(&mut self) -> Result<()> {
        let address = self.target.address;
        let healthy = async || match Connection::open(address).await?.get("/healthz").await? {
            200 => Ok(()),
            status => Err(format!("the server answered {status}").into()),
        };
        self.process.wait_until(healthy).await
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The key that may do anything.
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    #[cfg(feature = "log-server")]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub fn memory(&self) -> Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        Ok(Memory {
            resident: field(&text, "VmRSS:")?,
            peak: field(&text, "VmHWM:")?,
        })
    }
}

pub fn binary() -> Result<PathBuf> {
    std::env::var_os("FORETELL_BIN")
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .ok_or_else(|| "FORETELL_BIN does not name the foretell binary".into())
}

/// A key of the data directory, as a command prints it.
fn key_of(binary: &Path, data: &Path, arguments: &[&str], name: &str) -> Result<String> {
    let keys: serde_json::Value = serde_json::from_str(&command(binary, data, arguments)?)?;
    let key = keys[name].as_str();
    Ok(key
        .ok_or_else(|| format!("'{}' gave no {name}", arguments.join(" ")))?
        .to_owned())
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

pub fn field(status: &str, name: &str) -> Result<f64> {
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
