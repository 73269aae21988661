//! Benches of Foretell. `bench/run publish` builds what is needed and runs this.

mod awake;
mod cdnow;
mod client;
mod inprocess;
mod measure;
mod payload;
mod publish;
mod rawsync;
mod results;
mod server;
#[cfg(test)]
mod standin;

use std::path::PathBuf;
use std::process::ExitCode;

use results::Results;

/// What goes wrong in a bench ends it with a message.
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const USAGE: &str =
    "usage: foretell-bench publish [--quick] [--results DIR]   (FORETELL_BIN: the binary)";

fn main() -> ExitCode {
    let Some(options) = Options::from_arguments(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench failed: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    quick: bool,
    results: PathBuf,
}

impl Options {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
        let mut options = Options {
            quick: false,
            results: PathBuf::from("results"),
        };
        let mut publish = false;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "publish" => publish = true,
                "--quick" => options.quick = true,
                "--results" => options.results = arguments.next()?.into(),
                _ => return None,
            }
        }
        publish.then_some(options)
    }
}

fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut results = Results::default();
    runtime.block_on(publish::run(options.quick, &mut results))?;
    inprocess::run(options.quick, &mut results)?;
    runtime.block_on(cdnow::run(&mut results))?;
    results.print()?;
    results.write(&options.results, "publish")
}
