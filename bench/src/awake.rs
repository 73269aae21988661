//! Keeps the processors awake: on an idle machine a sync of 0.1 ms takes 4 ms, because the
//! processor has to wake from a deep sleep for it, and then that is what is measured.

use std::process::{Child, Command, Stdio};

/// A process for each processor that spins, and gets only time that nobody else wants. They end
/// when this is dropped, or with this process.
#[derive(Debug)]
pub struct Awake(Vec<Child>);

impl Awake {
    pub fn start() -> Awake {
        let spin = format!("while [ -d /proc/{} ]; do :; done", std::process::id());
        let idle = ["chrt", "--idle", "0", "sh", "-c", &spin];
        let nice = ["nice", "-n", "19", "sh", "-c", &spin];
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let started = (0..processors).filter_map(|_| spawn(&idle).or_else(|| spawn(&nice)));
        Awake(started.collect())
    }

    /// How this was done, for the reader of the results.
    pub fn note(&self, what: &str) -> String {
        format!(
            "{} spinning processes of idle priority kept the processors awake while {what} was measured",
            self.0.len()
        )
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(command: &[&str]) -> Option<Child> {
    let (program, arguments) = command.split_first()?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}
