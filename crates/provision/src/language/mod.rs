//! How programs of each language are run.

mod node;
mod process;
mod python;
mod yaml;

use std::path::PathBuf;
use std::sync::Arc;

use foretell_types::{Error, Result};
use tokio::process::Command;

use crate::engine::Deployment;
use crate::monitor::Listening;
use crate::project::Project;

/// A program that is ready to run, as often as it takes.
#[derive(Debug)]
pub enum Program {
    Python(python::Python),
    Node(node::NodeJs),
    Yaml(Box<yaml::Template>),
}

/// Where what programs require is installed once.
#[derive(Clone, Debug)]
pub struct Cache(pub PathBuf);

impl Program {
    /// Makes a program ready: what it requires is installed.
    pub async fn prepare(
        project: &Project,
        cache: &Cache,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Program> {
        match project.runtime.as_str() {
            "python" => Ok(Program::Python(
                python::Python::prepare(project, cache, progress).await?,
            )),
            "nodejs" => Ok(Program::Node(
                node::NodeJs::prepare(project, progress).await?,
            )),
            "yaml" => Ok(Program::Yaml(Box::new(yaml::Template::read(project)?))),
            other => Err(Error::invalid(format!(
                "{}: programs of the runtime {other:?} can't be run here: python, nodejs and yaml can",
                project.file.display()
            ))),
        }
    }

    /// Runs it to its end. What went wrong is among the deployment's failures; an error means
    /// that it couldn't be run.
    pub async fn run(&self, project: &Project, deployment: &Arc<Deployment>) -> Result<()> {
        let command: &(dyn Fn(&str) -> Command + Send + Sync) = match self {
            Program::Yaml(template) => return template.run(project, deployment).await,
            Program::Python(python) => &|_| python.command(project),
            Program::Node(node) => &|address| node.command(project, deployment, address),
        };
        let listening = Listening::start(deployment.clone()).await?;
        let address = listening.address.to_string();
        let ended = process::run(command(&address), &address, project, deployment).await;
        listening.close().await;
        ended
    }
}
