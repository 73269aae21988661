//! Benches of Foretell. `bench/run NAME` builds what is needed and runs this.

mod awake;
mod cdnow;
mod client;
mod inprocess;
mod log;
mod measure;
mod others;
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
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: foretell-bench publish [--quick] [--results DIR]   (FORETELL_BIN: the binary)
       foretell-bench log [--quick] [--results DIR]";

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

#[derive(Clone, Copy)]
enum Bench {
    Publish,
    Log,
}

struct Options {
    bench: Bench,
    quick: bool,
    results: PathBuf,
}

impl Options {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
        let (mut bench, mut quick, mut results) = (None, false, PathBuf::from("results"));
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "publish" if bench.is_none() => bench = Some(Bench::Publish),
                "log" if bench.is_none() => bench = Some(Bench::Log),
                "--quick" => quick = true,
                "--results" => results = arguments.next()?.into(),
                _ => return None,
            }
        }
        Some(Options {
            bench: bench?,
            quick,
            results,
        })
    }
}

fn run(options: &Options) -> Result<()> {
    let mut results = Results::default();
    let name = match options.bench {
        Bench::Publish => {
            publishing(options.quick, &mut results)?;
            "publish"
        }
        Bench::Log => {
            log::run(options.quick, &mut results)?;
            "log"
        }
    };
    results.print()?;
    results.write(&options.results, name)
}

fn publishing(quick: bool, results: &mut Results) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(publish::run(quick, results))?;
    inprocess::run(quick, results)?;
    runtime.block_on(cdnow::run(results))
}
