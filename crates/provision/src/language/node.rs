use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use foretell_types::{Error, Result};
use tokio::process::Command;

use crate::engine::Deployment;
use crate::limits::{INSTALL_OUTPUT_BYTES, INSTALL_TIMEOUT, PARALLEL_STEPS};
use crate::project::{Data, Project};

const RUNNER: &str = "node_modules/@pulumi/pulumi/cmd/run";

/// Ends the program with the process that runs it, whose end of the standard input is then closed.
const LEASH: &str =
    "data:text/javascript,process.stdin.on('end', () => process.exit(1)).resume().unref()";

/// A program for Node.js, in JavaScript or TypeScript, which the SDK's own runner starts.
#[derive(Debug)]
pub struct NodeJs {
    runner: PathBuf,
    typescript: bool,
    /// It has run already: its types are checked.
    ran: AtomicBool,
}

impl NodeJs {
    pub async fn prepare(
        project: &Project,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<NodeJs> {
        let node = Command::new("node").arg("--version").output().await;
        if !node.is_ok_and(|output| output.status.success()) {
            return Err(Error::not_found(
                "this program needs Node.js, and there is no `node` on the path: install it, then run this again",
            ));
        }
        let runner = match find(project) {
            Some(runner) => runner,
            None => {
                progress("installing what package.json names (npm install)".to_owned());
                install(project).await?;
                find(project).ok_or_else(|| {
                    Error::not_found(format!(
                        "package.json of {} doesn't name @pulumi/pulumi among its dependencies",
                        project.dir.display()
                    ))
                })?
            }
        };
        let typescript = project.runtime_option("typescript").map(|node| &node.data);
        Ok(NodeJs {
            runner,
            typescript: !matches!(typescript, Some(Data::Bool(false))),
            ran: AtomicBool::new(false),
        })
    }

    pub fn command(&self, project: &Project, deployment: &Deployment, address: &str) -> Command {
        let settings = deployment.settings();
        let mut command = Command::new("node");
        command
            .args(["--import", LEASH])
            .arg(&self.runner)
            .args(["--project", &settings.name.project])
            .args(["--stack", &settings.name.stack])
            .args(["--organization", &settings.organization])
            .arg("--root-directory")
            .arg(&project.dir)
            .args(["--parallel", &PARALLEL_STEPS.to_string()])
            .arg("--pwd")
            .arg(project.working_dir())
            .env("PULUMI_NODEJS_TYPESCRIPT", self.typescript.to_string());
        command.args(["--monitor", address, "--engine", address]);
        if settings.preview {
            command.arg("--dry-run=true");
        }
        if self.ran.swap(true, Ordering::Relaxed) {
            // Checking takes longer than all else.
            command.env("PULUMI_NODEJS_TRANSPILE_ONLY", "true");
        }
        match project.main.is_file() {
            true => command.arg(&project.main),
            false => command.arg("."),
        };
        command
    }
}

/// The SDK's runner, installed beside the program or above it.
fn find(project: &Project) -> Option<PathBuf> {
    let dir = project.working_dir();
    let runners = dir.ancestors().map(|folder| folder.join(RUNNER));
    runners
        .into_iter()
        .find(|runner| runner.join("index.js").exists())
}

async fn install(project: &Project) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund"])
        .current_dir(&project.dir)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(INSTALL_TIMEOUT, npm.output())
        .await
        .map_err(|_| {
            let minutes = INSTALL_TIMEOUT.as_secs() / 60;
            Error::unavailable(format!("npm install took more than {minutes} minutes"))
        })?;
    let output = output.map_err(|error| Error::io("can't run npm", error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(INSTALL_OUTPUT_BYTES)..]);
    Err(Error::invalid(format!(
        "npm install failed ({}):\n{}",
        output.status,
        text.trim()
    )))
}
