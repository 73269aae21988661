//! `sim crash|run|bugs`: see docs/reliability.md.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use sim::clients::{self, Ran};
use sim::crash::{self, Counts};
use sim::random::seed_of;
use sim::{Failure, print, runner};

const USAGE: &str = "usage: sim crash --cycles N [--seed S] [--from N] [--trace]
       sim run --seeds N [--seed S] [--from N] [--trace]
       sim bugs [--seed S]
";

struct Options {
    count: u64,
    seed: u64,
    from: u64,
    trace: bool,
}

fn options(arguments: &[String]) -> Option<Options> {
    let mut options = Options {
        count: 1,
        seed: 0,
        from: 0,
        trace: false,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse::<u64>().ok());
        match &**argument {
            "--cycles" | "--seeds" => options.count = number()?,
            "--seed" => options.seed = number()?,
            "--from" => options.from = number()?,
            "--trace" => options.trace = true,
            _ => return None,
        }
    }
    Some(options)
}

/// Runs so many numbers of a simulation, sums up what they did, and says what was found.
fn many<T: Send + Default + std::fmt::Debug>(
    (command, what): (&str, &str),
    options: &Options,
    one: impl Fn(u64, bool) -> Result<T, (Failure, u64)> + Sync,
    add: impl Fn(&mut T, &T) + Sync,
) -> ExitCode {
    let sum = Mutex::new(T::default());
    let found = runner::many(
        what,
        options.from..options.from + options.count,
        |number| one(seed_of(options.seed, number), options.trace),
        |ran| {
            add(
                &mut sum.lock().unwrap_or_else(PoisonError::into_inner),
                &ran,
            )
        },
    );
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    print(&format!("{sum:#?}\n"));
    let Err(found) = found else {
        return ExitCode::SUCCESS;
    };
    print(&format!(
        "FAILED at number {}, step {}\n{}\nreplay: cargo run --release -- {command} 1 --seed {} --from {} --trace\n",
        found.number, found.step, found.failure, options.seed, found.number,
    ));
    ExitCode::FAILURE
}

#[cfg(feature = "seeded-bugs")]
fn bugs(options: &Options) -> ExitCode {
    // What panics is caught and counted; its text would only hide the table.
    std::panic::set_hook(Box::new(|_| {}));
    let bounds = sim::bugs::Bounds {
        cycles: 60_000,
        seeds: 500,
    };
    let rows = sim::bugs::all(options.seed, bounds);
    print(&format!("\n{}\n", sim::bugs::HEAD));
    for row in &rows {
        print(&format!("{}\n", sim::bugs::line(row)));
    }
    let survived = rows.iter().filter(|row| row.survived()).count();
    print(&format!("{} bugs, {survived} survived\n", rows.len()));
    if survived == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(not(feature = "seeded-bugs"))]
fn bugs(_: &Options) -> ExitCode {
    print("the bugs are only there with --features seeded-bugs\n");
    ExitCode::from(2)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = arguments
        .split_first()
        .map_or(("", &[][..]), |(c, r)| (c, r));
    match (command, options(rest)) {
        ("crash", Some(options)) => many(
            ("crash --cycles", "crash cycles"),
            &options,
            crash::cycle,
            Counts::add,
        ),
        ("run", Some(options)) => many(
            ("run --seeds", "seeds, each twice"),
            &options,
            clients::twice,
            Ran::add,
        ),
        ("bugs", Some(options)) => bugs(&options),
        _ => {
            print(USAGE);
            ExitCode::from(2)
        }
    }
}
