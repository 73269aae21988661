use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;

use foretell_types::{Error, Result};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::Value;
use crate::engine::{Deployment, Report};
use crate::project::Project;

/// An exit code by which a program says that it has told the error already.
const TOLD: i32 = 32;

/// Runs a program in a process of its own until it ends. What it prints is reported by line. Its
/// standard input is a pipe into which nothing is written: its end tells the program that this
/// process has ended, however that came.
pub async fn run(
    mut command: Command,
    address: &str,
    project: &Project,
    deployment: &Arc<Deployment>,
) -> Result<()> {
    let settings = deployment.settings();
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let config: BTreeMap<_, _> = settings
        .config
        .iter()
        .map(|(key, value)| (key, text(value)))
        .collect();
    let secret = settings
        .config
        .iter()
        .filter(|(_, value)| value.has_secret());
    let secret: Vec<_> = secret.map(|(key, _)| key).collect();
    command
        .env("PULUMI_CONFIG", json!(config).to_string())
        .env("PULUMI_CONFIG_SECRET_KEYS", json!(secret).to_string())
        .env("PULUMI_MONITOR", address)
        .env("PULUMI_ENGINE", address)
        .env("PULUMI_PROJECT", &settings.name.project)
        .env("PULUMI_STACK", &settings.name.stack)
        .env("PULUMI_ORGANIZATION", &settings.organization)
        .env("PULUMI_ROOT_DIRECTORY", &project.dir)
        .env("PULUMI_DRY_RUN", settings.preview.to_string())
        .current_dir(project.working_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        Error::io(format_args!("can't run {program}"), error)
    })?;
    // To wait for a child closes it.
    let _leash = child.stdin.take();
    let out = child
        .stdout
        .take()
        .map(|out| lines(out, deployment.clone()));
    let errors = child
        .stderr
        .take()
        .map(|errors| lines(errors, deployment.clone()));
    let (status, ..) = tokio::join!(child.wait(), maybe(out), maybe(errors));
    let status = status.map_err(|error| Error::io("can't wait for the program", error))?;
    let told = status.code() == Some(TOLD) && !deployment.failures().is_empty();
    if !status.success() && !told {
        deployment.fail(format!("the program failed ({status})"));
    }
    Ok(())
}

async fn maybe(reading: Option<impl Future<Output = ()>>) {
    if let Some(reading) = reading {
        reading.await;
    }
}

async fn lines(stream: impl AsyncRead + Unpin, deployment: Arc<Deployment>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    // A stream that can't be read any more has ended as well.
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line);
        deployment.report(Report::Line(text.trim_end().to_owned()));
        line.clear();
    }
}
