//! The real binary: commands, and a server on a free port of the loopback.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A command of the binary under test, on a data directory.
pub fn foretell(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foretell"));
    command
        .arg("--data")
        .arg(data)
        .env_remove("FORETELL_SERVER")
        .env_remove("FORETELL_CA")
        .env_remove("FORETELL_KEY");
    command
}

/// Runs a command to its end.
pub fn run(data: &Path, arguments: &[&str]) -> Output {
    foretell(data).args(arguments).output().unwrap()
}

/// Runs a command that must succeed; gives what it prints.
pub fn text(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{arguments:?}: {}{errors}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command with `--json` that must succeed.
pub fn json(data: &Path, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&text(data, &arguments)).unwrap()
}

/// The events that `read --json` prints.
pub fn read(data: &Path, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["read"], arguments, &["--json"]].concat();
    text(data, &arguments)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A server of its own; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    pub fn start(data: &Path, arguments: &[&str]) -> Server {
        let mut child = foretell(data)
            .args(["serve", "--json"])
            .args(match arguments.contains(&"--listen") {
                true => [].as_slice(),
                false => &["--listen", "127.0.0.1:0"],
            })
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let told: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("serve printed {line:?}"));
        Server {
            child,
            url: told["url"].as_str().unwrap().to_owned(),
        }
    }

    /// `kill -9`
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let process = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &process])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
