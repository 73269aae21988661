//! What `up`, `preview`, `down` and `stack` have in common: where the stack is kept, and how a
//! run is shown.

mod display;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use foretell_provision::azure::{AzureNative, AzureOptions};
use foretell_provision::{Flags, Outcome, Project, Runner, StackName, Value};
use foretell_types::{Error, Result};
use serde_json::json;

pub use display::{outputs_json, outputs_text};
pub use server::Server;

use crate::Globals;
use crate::client::Client;
use crate::cmd::serve::stop_signal;
use crate::output::{Failure, line, note};
use display::Display;

/// What is run, and on which stack of it.
#[derive(Args, Debug, Clone)]
pub struct Program {
    /// The folder of the Pulumi program: that of Pulumi.yaml, or below it.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// The stack, as Pulumi.STACK.yaml names it.
    #[arg(long, short, default_value = "dev", value_name = "STACK")]
    pub stack: String,
}

/// How a program is run.
#[derive(Args, Debug, Clone)]
pub struct Running {
    /// A value of the configuration, which later runs keep. Repeatable.
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// The same for a secret.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config_secret: Vec<(String, String)>,
    /// The organization that the program sees.
    #[arg(long, default_value = "organization", value_name = "NAME")]
    organization: String,
    /// First take over what others changed, so that it is changed back.
    #[arg(long)]
    refresh: bool,
    /// Show what changes in each property.
    #[arg(long)]
    diff: bool,
    /// Show secret outputs.
    #[arg(long)]
    show_secrets: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    Up { skip_preview: bool },
    Preview,
    Down { purge: bool },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    match key {
        "" => Err("the key is missing: expected KEY=VALUE".to_owned()),
        key => Ok((key.to_owned(), value.to_owned())),
    }
}

impl Program {
    pub fn find(&self) -> Result<(Project, StackName)> {
        let project = Project::find(&self.dir)?;
        let name = StackName::new(&project.name, &self.stack)?;
        Ok((project, name))
    }
}

/// Runs a program and shows what it does and what became of it.
pub async fn run(
    program: &Program,
    running: &Running,
    what: Run,
    client: Client,
    globals: &Globals,
) -> Result<(), Failure> {
    let server = Arc::new(Server::new(client));
    let done = run_on(program, running, what, server.clone(), globals).await;
    if let Some(server) = Arc::into_inner(server) {
        server.close().await;
    }
    done
}

async fn run_on(
    program: &Program,
    running: &Running,
    what: Run,
    server: Arc<Server>,
    globals: &Globals,
) -> Result<(), Failure> {
    let (project, name) = program.find()?;
    let title = match what {
        Run::Up { .. } => "Updating",
        Run::Preview => "Previewing",
        Run::Down { .. } => "Deleting",
    };
    let display = Arc::new(Display::new(
        globals.json,
        running.diff,
        what == Run::Preview,
    ));
    display.title(title, &name.to_string());
    let control = server.clone();
    let runner = Runner {
        project,
        name,
        organization: running.organization.clone(),
        store: server,
        provider: Box::new(move |config, root| {
            let code = config
                .get("foretell:code")
                .and_then(Value::as_str)
                .map(str::to_owned);
            Arc::new(AzureNative::new(
                control.clone(),
                AzureOptions { root, code },
            ))
        }),
        cache: cache(&globals.data),
        random,
        reporter: {
            let display = display.clone();
            Arc::new(move |report| display.show(report))
        },
        flags: flags(running),
        passphrase: passphrase()?,
        refresh: running.refresh,
        skip_preview: what == Run::Up { skip_preview: true },
        purge: what == Run::Down { purge: true },
    };
    let stopped = stop_signal()?;
    let work = async {
        match what {
            Run::Up { .. } => runner.up().await,
            Run::Preview => runner.preview().await,
            Run::Down { .. } => runner.down().await,
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = stopped => Err(interrupted(what)),
    };
    let outcome = outcome.inspect_err(|_| display.leave())?;
    display.finish(&outcome, running.show_secrets)?;
    end(&outcome, running, globals, what)
}

/// What was begun is recorded, and the program ends with us.
fn interrupted(what: Run) -> Error {
    let next = match what {
        Run::Up { .. } => ": the next `foretell up` goes on from there",
        Run::Preview => "",
        Run::Down { .. } => ": the next `foretell down` goes on from there",
    };
    Error::unavailable(format!("interrupted{next}"))
}

fn end(outcome: &Outcome, running: &Running, globals: &Globals, what: Run) -> Result<(), Failure> {
    if !outcome.failures.is_empty() {
        let told: Vec<String> = outcome
            .failures
            .iter()
            .map(|(urn, why)| match urn {
                Some(urn) => format!("{} {}: {why}", urn.token(), urn.name()),
                None => why.clone(),
            })
            .collect();
        let what = match what {
            Run::Up { .. } => "the update",
            Run::Preview => "the preview",
            Run::Down { .. } => "deleting",
        };
        let message = match globals.json {
            true => format!("{what} failed: {}", told.join("; ")),
            false => format!("{what} failed; run it again once that is mended"),
        };
        return Err(Error::invalid(message).into());
    }
    if globals.json {
        let result = json!({
            "changes": outcome.changes,
            "outputs": outputs_json(&outcome.outputs, running.show_secrets),
        });
        line(&result.to_string())?;
    }
    Ok(())
}

fn flags(running: &Running) -> Flags {
    let plain = running.config.iter();
    let plain = plain.map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    let secret = running.config_secret.iter();
    let secret = secret.map(|(key, value)| (key.clone(), Value::secret(value.as_str())));
    plain.chain(secret).collect()
}

/// What Pulumi's passphrase provider asks for.
fn passphrase() -> Result<Option<String>> {
    if let Ok(text) = std::env::var("PULUMI_CONFIG_PASSPHRASE") {
        return Ok(Some(text));
    }
    let Some(file) = std::env::var_os("PULUMI_CONFIG_PASSPHRASE_FILE") else {
        return Ok(None);
    };
    let failed = |error| {
        let file = Path::new(&file).display();
        Error::io(
            format_args!("can't read {file}, which PULUMI_CONFIG_PASSPHRASE_FILE names"),
            error,
        )
    };
    let text = std::fs::read_to_string(&file).map_err(failed)?;
    Ok(Some(text.trim().to_owned()))
}

/// Virtual environments lie with those of functions; beside the data directory of another
/// machine's server there may be none.
fn cache(data: &Path) -> PathBuf {
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    data.join("programs")
}

fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|error| {
        note(&format!(
            "the system gives no random numbers ({error}): names derive from the time"
        ));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| since.as_nanos() as u64)
    })
}
