//! Benches of Foretell. `bench/run NAME` builds what is needed and runs this.

mod awake;
mod cdnow;
mod client;
mod compare;
mod dataset;
mod delivery;
mod inprocess;
mod log;
#[cfg(feature = "log-server")]
mod log_server;
mod measure;
mod memory;
mod others;
mod payload;
mod process;
mod projection;
mod publish;
mod rawsync;
mod results;
mod server;
mod span;
#[cfg(test)]
mod standin;

use std::path::PathBuf;
use std::process::ExitCode;

/// That of the `foretell` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use results::Results;

/// What goes wrong in a bench ends it with a message.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: foretell-bench publish [--quick] [--results DIR]   (FORETELL_BIN: the binary)
       foretell-bench log [--quick] [--only threads|task|batches|hashing|latency|disk|scan|streams|following] [--without PEER]... [--results DIR]
       foretell-bench delivery [--quick] [--long] [--only drain|latency|many|faults] [--results DIR]   (FORETELL_BIN too)
       foretell-bench dataset [--quick] [--data DIR] [--without PEER]... [--results DIR]   (FORETELL_BIN too)
       foretell-bench projection [--quick] [--results DIR]
       foretell-bench memory [--quick] [--results DIR]
       foretell-bench log-server [--quick] [--without PEER]... [--results DIR]   (FORETELL_BIN too)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [name, engine, pass] if name == log::pass::NAME => log::pass::run(engine, pass),
        _ => match Options::from_arguments(arguments.into_iter()) {
            Some(options) => run(&options),
            None => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match done {
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
    Memory,
    LogServer,
    Delivery,
    Dataset,
    Projection,
}

struct Options {
    bench: Bench,
    quick: bool,
    /// More events wait in each of many subscriptions.
    long: bool,
    /// One part of the bench; then no results are written.
    only: Option<String>,
    /// A folder with events and labels, in place of made ones.
    data: Option<PathBuf>,
    /// Peers that are left out.
    without: Vec<String>,
    results: PathBuf,
}

impl Options {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
        let (mut bench, mut quick, mut results) = (None, false, PathBuf::from("results"));
        let (mut without, mut data) = (Vec::new(), None);
        let (mut long, mut only) = (false, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "publish" if bench.is_none() => bench = Some(Bench::Publish),
                "log" if bench.is_none() => bench = Some(Bench::Log),
                "memory" if bench.is_none() => bench = Some(Bench::Memory),
                "log-server" if bench.is_none() => bench = Some(Bench::LogServer),
                "delivery" if bench.is_none() => bench = Some(Bench::Delivery),
                "projection" if bench.is_none() => bench = Some(Bench::Projection),
                "dataset" if bench.is_none() => bench = Some(Bench::Dataset),
                "--data" => data = Some(PathBuf::from(arguments.next()?)),
                "--long" => long = true,
                "--only" => only = Some(arguments.next()?),
                "--quick" => quick = true,
                "--without" => without.push(arguments.next()?),
                "--results" => results = arguments.next()?.into(),
                _ => return None,
            }
        }
        let bench = bench?;
        if !without.is_empty() && !matches!(bench, Bench::Log | Bench::LogServer | Bench::Dataset) {
            return None;
        }
        if data.is_some() && !matches!(bench, Bench::Dataset) {
            return None;
        }
        if long && !matches!(bench, Bench::Delivery) {
            return None;
        }
        if let Some(only) = &only {
            let known = match bench {
                Bench::Log => log::Part::from_name(only).is_some(),
                Bench::Delivery => delivery::Part::from_name(only).is_some(),
                _ => false,
            };
            if !known {
                return None;
            }
        }
        Some(Options {
            bench,
            quick,
            long,
            only,
            data,
            without,
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
            let only = options.only.as_deref().and_then(log::Part::from_name);
            log::run(options.quick, only, &options.without, &mut results)?;
            "log"
        }
        Bench::Memory => {
            memory::run(options.quick, &mut results)?;
            "memory"
        }
        #[cfg(feature = "log-server")]
        Bench::LogServer => {
            log_server::run(options.quick, &options.without, &mut results)?;
            "log-server"
        }
        #[cfg(not(feature = "log-server"))]
        Bench::LogServer => return Err("it is built without --features log-server".into()),
        Bench::Dataset => {
            dataset::run(
                options.quick,
                options.data.as_deref(),
                &options.without,
                &mut results,
            )?;
            "dataset"
        }
        Bench::Projection => {
            projecting(options.quick, &mut results)?;
            "projection"
        }
        Bench::Delivery => {
            delivering(options, &mut results)?;
            "delivery"
        }
    };
    results.print()?;
    if options.only.is_some() {
        return Ok(());
    }
    results.write(&options.results, name)
}

fn delivering(options: &Options, results: &mut Results) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (quick, long) = (options.quick, options.long);
    let only = options.only.as_deref();
    let only = only.and_then(delivery::Part::from_name);
    runtime.block_on(delivery::run(quick, long, only, results))
}

fn projecting(quick: bool, results: &mut Results) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(projection::run(quick, results))
}

fn publishing(quick: bool, results: &mut Results) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(publish::run(quick, results))?;
    inprocess::run(quick, results)?;
    runtime.block_on(cdnow::run(results))
}
