use std::path::{Path, PathBuf};

use foretell_types::{Error, Result};
use tokio::process::Command;

use super::Cache;
use crate::project::{Node, Project};

const LAUNCHER: &str = include_str!("python/launcher.py");
const HINTS: &str = include_str!("python/hints.json");

/// A Python program and the interpreter of its virtual environment.
#[derive(Debug)]
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// Uses the virtual environment that Pulumi.yaml names, else `venv` or `.venv` beside it,
    /// else one that is made from requirements.txt.
    pub async fn prepare(
        project: &Project,
        cache: &Cache,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Python> {
        if let Some(named) = project.runtime_option("virtualenv").and_then(Node::text) {
            let interpreter = interpreter(&project.dir.join(named));
            if interpreter.exists() {
                return Ok(Python { interpreter });
            }
            progress(format!(
                "the virtual environment {named:?} that Pulumi.yaml names isn't there: another is made"
            ));
        } else if let Some(found) = ["venv", ".venv"]
            .iter()
            .map(|name| interpreter(&project.dir.join(name)))
            .find(|interpreter| interpreter.exists())
        {
            return Ok(Python { interpreter: found });
        }
        if !project.dir.join("requirements.txt").exists() {
            return Err(Error::not_found(format!(
                "{} has neither a virtual environment (venv or .venv) nor a requirements.txt to make one from",
                project.dir.display()
            )));
        }
        let made = foretell_functions::environment(&cache.0, &project.dir, "pulumi", progress);
        Ok(Python {
            interpreter: made.await?,
        })
    }

    pub fn command(&self, project: &Project) -> Command {
        let main = match project.main.is_file() {
            true => project.main.clone(),
            false => project.main.join("__main__.py"),
        };
        let mut command = Command::new(&self.interpreter);
        command
            .args(["-u", "-c", LAUNCHER])
            .arg(main)
            .env("FORETELL_HINTS", HINTS);
        command
    }
}

fn interpreter(environment: &Path) -> PathBuf {
    environment.join("bin").join("python")
}
