//! A pass of appending, in a process of its own: else an engine that grows would be given the
//! memory that another one took from the system before, and not pay for it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::drive::{Load, Measured, fill_each, one_task, threads};
use super::engine::Kind;
use super::lane::Streams;
use super::{fjall, ours, raw, tephra, umadb};
use crate::Result;

/// The argument by which this program is told to do one.
pub const NAME: &str = "log-pass";

const KINDS: [Kind; 5] = [
    ours::KIND,
    tephra::KIND,
    raw::KIND,
    umadb::KIND,
    fjall::KIND,
];

/// What an engine is asked for, on a folder of its own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Pass {
    /// One task keeps the appends in flight, rather than a thread each.
    pub one_task: bool,
    pub writers: usize,
    pub batch: usize,
    pub streams: u32,
    /// Each stream has an event before the measure.
    pub fill: bool,
    pub warm_up: Duration,
    pub measured: Duration,
}

impl Pass {
    pub fn apart(&self, engine: &str) -> Result<Measured> {
        let program = match engine {
            ours::UNHASHED => unhashed().ok_or("there is no build without hashes")?,
            _ => std::env::current_exe()?,
        };
        let pass = Command::new(program)
            .args([NAME, engine, &serde_json::to_string(self)?])
            .stderr(Stdio::inherit())
            .output()?;
        if !pass.status.success() {
            return Err(format!("the pass ended with {}", pass.status).into());
        }
        Ok(serde_json::from_slice(&pass.stdout)?)
    }

    fn here(&self, engine: &str) -> Result<Measured> {
        let kind = KINDS.into_iter().find(|kind| kind.name == engine);
        let kind = kind.ok_or_else(|| format!("there is no engine {engine:?}"))?;
        let folder = tempfile::tempdir()?;
        let engine = (kind.open)(folder.path())?;
        let streams = match self.fill {
            true => fill_each(&*engine, self.streams)?,
            false => Streams::empty(self.streams),
        };
        let load = Load {
            writers: self.writers,
            batch: self.batch,
            streams,
            warm_up: self.warm_up,
            measured: self.measured,
        };
        match self.one_task {
            true => one_task(&*engine, load),
            false => threads(&*engine, load),
        }
    }
}

/// This program, built with the feature `unhashed`.
pub fn unhashed() -> Option<PathBuf> {
    std::env::var_os("FORETELL_BENCH_UNHASHED").map(PathBuf::from)
}

/// Does a pass that another process asked for, and prints what it gave.
pub fn run(engine: &str, pass: &str) -> Result<()> {
    let pass: Pass = serde_json::from_str(pass)?;
    serde_json::to_writer(std::io::stdout(), &pass.here(engine)?)?;
    Ok(())
}
