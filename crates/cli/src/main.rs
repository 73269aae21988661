//! The `foretell` binary: one file per command in `cmd`, all of them clients of the HTTP
//! interface, see `client`.

mod client;
mod cmd;
mod demo;
mod explained;
mod local;
mod output;
mod provision;
mod root;
mod trust;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::output::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Event sourcing for AI-driven applications: every change is an event, the state of anything
/// can be asked for at any time.
#[derive(Parser, Debug)]
#[command(name = "foretell", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Args, Debug, Clone)]
pub struct Globals {
    /// The data directory. A server that holds it is found and used.
    #[arg(
        long,
        global = true,
        env = "FORETELL_DATA",
        default_value = "foretell-data",
        value_name = "DIR"
    )]
    pub data: PathBuf,
    /// Work on this server in place of a data directory.
    #[arg(
        long,
        global = true,
        env = "FORETELL_SERVER",
        value_name = "URL",
        value_parser = client::server_option
    )]
    pub server: Option<String>,
    /// For --server with https: trust the certificates of this PEM file, in place of those that
    /// the system trusts.
    #[arg(long, global = true, env = "FORETELL_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The key for --server, or a bearer token.
    #[arg(
        long,
        global = true,
        env = "FORETELL_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub key: Option<String>,
    /// Output for machines: JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the server: topics, functions, the store API, on one port.
    Serve(cmd::serve::Serve),
    /// See it all work: real events, a Python function, its results, states at past dates.
    Demo(demo::Demo),
    /// Make what a Pulumi program declares, on this machine.
    Up(cmd::up::Up),
    /// Show what `up` would change.
    Preview(cmd::preview::Preview),
    /// Delete what `up` made.
    Down(cmd::down::Down),
    /// What Pulumi programs made: their outputs, and which there are.
    Stack(cmd::stack::Stack),
    /// Make, list, show or delete topics, and show their keys.
    Topic(cmd::topic::Topic),
    /// Publish events to a topic.
    Publish(cmd::publish::Publish),
    /// Turn a log (CSV, JSON lines, XES) into events of a topic.
    Import(cmd::import::Import),
    /// Read events of a topic.
    Read(cmd::read::Read),
    /// The state of a subject, now or at any past time.
    State(cmd::state::State),
    /// Training sets that are correct at every instant.
    Dataset(cmd::dataset::Dataset),
    /// Make, list, show or delete subscriptions of a topic.
    Subscription(cmd::subscription::Subscription),
    /// Events that a subscription gave up on.
    Deadletter(cmd::deadletter::Deadletter),
    /// Projections: events folded into the states of keys.
    Projection(cmd::projection::Projection),
    /// Functions that run on events.
    Function(cmd::function::Function),
    /// Read everything again and check every byte of it.
    Verify(cmd::verify::Verify),
    /// Prove that an event is in the log, or check such a proof.
    Prove(cmd::prove::Prove),
    /// Erase the data of subjects for good.
    Erase(cmd::erase::Erase),
    /// Copy the log into a folder or a container, while it is in use.
    Backup(cmd::backup::Backup),
    /// Bring a log back from a backup.
    Restore(cmd::restore::Restore),
    /// The admin key of a data directory.
    Keys(cmd::keys::Keys),
    /// All limits, by name.
    Limits(cmd::limits::Limits),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    let level = match &cli.command {
        Command::Serve(_) => "info",
        // What it says of certificates is told by the command that failed.
        _ => "error,foretell_log=warn,rustls_platform_verifier=off",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("FORETELL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // A provider that is installed already serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return output::report(
                &Failure::from(foretell_types::Error::io("can't start", error)),
                cli.globals.json,
            );
        }
    };
    let json = cli.globals.json;
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output::report(&failure, json),
    }
}

/// What clap found wrong, or the help that was asked for.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    let as_json = std::env::args_os().any(|argument| argument == "--json");
    if error.exit_code() == 2 && as_json {
        let text = error.render().to_string();
        let message = text.trim().trim_start_matches("error: ").to_owned();
        return output::report(&Failure::Usage(message), true);
    }
    // There is nothing else to do if the terminal is gone.
    let _ = error.print();
    ExitCode::from(error.exit_code() as u8)
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let globals = &cli.globals;
    match cli.command {
        Command::Serve(command) => command.run(globals).await,
        Command::Demo(command) => command.run(globals).await,
        Command::Up(command) => Box::pin(command.run(globals)).await,
        Command::Preview(command) => Box::pin(command.run(globals)).await,
        Command::Down(command) => Box::pin(command.run(globals)).await,
        Command::Stack(command) => command.run(globals).await,
        Command::Topic(command) => command.run(globals).await,
        Command::Publish(command) => command.run(globals).await,
        Command::Import(command) => command.run(globals).await,
        Command::Read(command) => command.run(globals).await,
        Command::State(command) => command.run(globals).await,
        Command::Dataset(command) => command.run(globals).await,
        Command::Subscription(command) => command.run(globals).await,
        Command::Deadletter(command) => command.run(globals).await,
        Command::Projection(command) => command.run(globals).await,
        Command::Function(command) => command.run(globals).await,
        Command::Verify(command) => command.run(globals).await,
        Command::Prove(command) => command.run(globals).await,
        Command::Erase(command) => command.run(globals).await,
        Command::Backup(command) => command.run(globals).await,
        Command::Restore(command) => command.run(globals).await,
        Command::Keys(command) => command.run(globals),
        Command::Limits(command) => command.run(globals),
    }
}
