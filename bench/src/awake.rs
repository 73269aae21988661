//! Keeps the processors awake: one that sleeps deeply takes a while to wake for the end of a sync,
//! and then that is what is measured.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// While it is held, the kernel lets no processor sleep more deeply than so many microseconds of
/// waking take. Source: the kernel's "PM Quality Of Service Interface".
const LATENCY: &str = "/dev/cpu_dma_latency";

/// Ends when this is dropped, or with this process.
#[derive(Debug)]
pub enum Awake {
    Asked(#[expect(dead_code, reason = "the kernel forgets the request when it is closed")] File),
    /// Processes that spin, and get only time that nobody else wants. Yet where the kernel
    /// doesn't preempt, its own threads wait for them: a sync that changes metadata takes a tick
    /// of 4 ms instead of 0.2 ms. So a peer that lets its file grow seems slow.
    Spinning(Vec<Child>),
}

impl Awake {
    pub fn start() -> Awake {
        Awake::asked().unwrap_or_else(Awake::spinning)
    }

    /// Without spinning processes, where the system allows that.
    pub fn asked() -> Option<Awake> {
        let mut file = OpenOptions::new().write(true).open(LATENCY).ok()?;
        file.write_all(&0_i32.to_ne_bytes()).ok()?;
        Some(Awake::Asked(file))
    }

    /// A process for each processor.
    fn spinning() -> Awake {
        let spin = format!("while [ -d /proc/{} ]; do :; done", std::process::id());
        let idle = ["chrt", "--idle", "0", "sh", "-c", &spin];
        let nice = ["nice", "-n", "19", "sh", "-c", &spin];
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let started = (0..processors).filter_map(|_| spawn(&idle).or_else(|| spawn(&nice)));
        Awake::Spinning(started.collect())
    }

    /// How this was done, for the reader of the results.
    pub fn note(&self, what: &str) -> String {
        match self {
            Awake::Asked(_) => {
                format!("{LATENCY} at 0 kept the processors awake while {what} was measured")
            }
            Awake::Spinning(processes) => format!(
                "{} spinning processes of idle priority kept the processors awake while {what} was measured",
                processes.len()
            ),
        }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        if let Awake::Spinning(processes) = self {
            for child in processes {
                let _ = child.kill();
                let _ = child.wait();
            }
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
