//! Training sets out of Parquet files, beside other engines that run in Python. Each run is a
//! process of its own; `bench/dataset/engines.py` says how each engine goes about it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::results::{Goal, Results, median};

/// Peers by their name in `engines.py`. Feast needs minutes and 20 GB for one of the features.
const PEERS: [&str; 7] = [
    "polars",
    "duckdb_asof",
    "duckdb_window",
    "pandas",
    "chdb",
    "datafusion",
    "feast",
];
const SLOW: [&str; 1] = ["feast"];
const PASSES: usize = 3;
/// What `--data DIR` must have, and is made where it isn't given.
const EVENTS: &str = "events.parquet";
/// Of the fastest peer's time.
const GOAL_TIME: f64 = 0.8;
const GOAL_MB: f64 = 660.0;
/// From a log whose columns are extracted already.
const GOAL_LOG_S: f64 = 1.0;

#[derive(Deserialize)]
struct Ran {
    seconds: f64,
    peak_mb: f64,
    sums: Value,
}

/// What building out of a log took.
#[derive(Deserialize)]
struct OfLog {
    rows: u64,
    import_seconds: f64,
    extract_seconds: f64,
    columns_bytes: u64,
    seconds: Vec<f64>,
    peak_mb: f64,
}

pub fn run(
    quick: bool,
    data: Option<&Path>,
    without: &[String],
    results: &mut Results,
) -> Result<()> {
    let bin = std::env::var("FORETELL_BIN")?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("dataset");
    let python = environment(&scripts)?;
    let engines = Engines {
        python,
        script: scripts.join("engines.py"),
        bin,
    };
    let (events, entities, labels) = match quick {
        true => (1_000_000, 10_000, 100_000),
        false => (10_000_000, 100_000, 1_000_000),
    };
    let folder = tempfile::tempdir()?;
    let ties = folder.path().join("ties");
    engines.generate(&ties, [events / 10, entities / 10, labels / 10], true)?;
    compare_sums(&engines, &ties, &["duckdb_window", "duckdb_asof"])?;
    results
        .note("with events at the edges of windows and several at one time: the sums are DuckDB's");
    let made = folder.path().join("data");
    let data = match data {
        Some(data) if data.join(EVENTS).exists() => data,
        Some(data) => return Err(format!("{} has no {EVENTS}", data.display()).into()),
        None => {
            engines.generate(&made, [events, entities, labels], false)?;
            &made
        }
    };
    let left_out =
        |name: &&str| without.iter().any(|other| other == name) || (quick && SLOW.contains(name));
    let peers: Vec<&'static str> = PEERS.into_iter().filter(|name| !left_out(name)).collect();
    timed(&engines, data, &peers, results)?;
    of_log(&engines, data, results)
}

/// The same features at label tables that are new each time, out of the log of a server.
fn of_log(engines: &Engines, data: &Path, results: &mut Results) -> Result<()> {
    eprintln!("importing the events into a log");
    let mut command = Command::new(&engines.python);
    command.arg(&engines.script).arg("log").arg(data);
    command.args(["--bin", &engines.bin, "--passes", &PASSES.to_string()]);
    let out = succeed(&mut command)?;
    let told: OfLog = serde_json::from_str(out.lines().last().unwrap_or_default())?;
    let measure = format!("{} rows of a new label table, out of the log", told.rows);
    let goal = Some(Goal::AtMost(GOAL_LOG_S));
    results.add(measure.clone(), "s", median(told.seconds), None, goal);
    results.add(
        format!("{measure}: peak memory of the server since its start"),
        "MB",
        told.peak_mb,
        None,
        None,
    );
    results.add(
        "columns of the log: extracted in",
        "s",
        told.extract_seconds,
        None,
        None,
    );
    let mb = told.columns_bytes as f64 / 1e6;
    results.add("columns of the log: on disk", "MB", mb, None, None);
    results.note(format!(
        "the log was imported in {:.0} s; its datasets have the sums of those out of tables",
        told.import_seconds
    ));
    Ok(())
}

/// Measures ours and the peers alternately; all must give the same sums.
fn timed(
    engines: &Engines,
    data: &Path,
    peers: &[&'static str],
    results: &mut Results,
) -> Result<()> {
    let mut ours: Vec<Ran> = Vec::new();
    let mut theirs: Vec<Vec<Ran>> = peers.iter().map(|_| Vec::new()).collect();
    for pass in 0..PASSES {
        ours.push(engines.run("foretell", data)?);
        for (peer, ran) in peers.iter().zip(&mut theirs) {
            if !SLOW.contains(peer) {
                ran.push(engines.run(peer, data)?);
            } else if pass == 0 {
                // It may take more memory than there is.
                match engines.run(peer, data) {
                    Ok(once) => ran.push(once),
                    Err(error) => results.note(format!("no row of {error}")),
                }
            }
        }
    }
    for (peer, ran) in peers.iter().zip(&theirs) {
        for ran in ran {
            same_sums(peer, &ran.sums, &ours[0].sums)?;
        }
    }
    let ran = peers.iter().copied().zip(theirs);
    let (peers, theirs): (Vec<&str>, Vec<Vec<Ran>>) =
        ran.filter(|(_, ran)| !ran.is_empty()).unzip();
    let time = |ran: &[Ran]| median(ran.iter().map(|ran| ran.seconds).collect());
    let memory = |ran: &[Ran]| median(ran.iter().map(|ran| ran.peak_mb).collect());
    let (rows, seconds, peak) = (&ours[0].sums["rows"], time(&ours), memory(&ours));
    let measure = format!("{rows} rows, Parquet to Parquet");
    let full = |name: &str| !SLOW.contains(&name);
    let fastest = peers
        .iter()
        .zip(&theirs)
        .filter(|(peer, _)| full(peer))
        .map(|(_, ran)| time(ran))
        .fold(f64::INFINITY, f64::min);
    for (peer, ran) in peers.iter().zip(&theirs) {
        let goal = (full(peer) && time(ran) <= fastest).then_some(Goal::RatioAtMost(GOAL_TIME));
        results.add(measure.clone(), "s", seconds, Some((peer, time(ran))), goal);
    }
    results.add(
        format!("{measure}: peak memory"),
        "MB",
        peak,
        None,
        Some(Goal::AtMost(GOAL_MB)),
    );
    for (peer, ran) in peers.iter().zip(&theirs) {
        let measure = format!("{measure}: peak memory");
        results.add(measure, "MB", peak, Some((peer, memory(ran))), None);
    }
    results.note("feast: one of the eight features and the time since it, once");
    Ok(())
}

fn compare_sums(engines: &Engines, data: &Path, peers: &[&str]) -> Result<()> {
    let ours = engines.run("foretell", data)?;
    for peer in peers {
        // Which of the events at one time an ASOF join finds isn't said: that is left to the other.
        same_sums(
            peer,
            &without_ties(peer, engines.run(peer, data)?.sums),
            &ours.sums,
        )?;
    }
    Ok(())
}

fn without_ties(peer: &str, mut sums: Value) -> Value {
    if peer == "duckdb_asof"
        && let Some(sums) = sums.as_object_mut()
    {
        sums.retain(|name, _| matches!(name.as_str(), "rows" | "us_since_last"));
    }
    sums
}

/// A peer gives some of our columns, or all.
fn same_sums(peer: &str, theirs: &Value, ours: &Value) -> Result<()> {
    let theirs = theirs.as_object().filter(|sums| sums.len() > 1);
    let theirs = theirs.ok_or_else(|| format!("{peer} gave no columns"))?;
    match theirs
        .iter()
        .find(|(name, sum)| ours[name.as_str()] != **sum)
    {
        None => Ok(()),
        Some((name, sum)) => Err(format!(
            "{name}: {peer} has {sum}, Foretell has {}",
            ours[name.as_str()]
        )
        .into()),
    }
}

struct Engines {
    python: PathBuf,
    script: PathBuf,
    bin: String,
}

impl Engines {
    fn generate(&self, folder: &Path, counts: [u64; 3], ties: bool) -> Result<()> {
        eprintln!("generating {} events", counts[0]);
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg("gen").arg(folder);
        command.args(counts.map(|count| count.to_string()));
        command.args(ties.then_some("--ties"));
        succeed(&mut command).map(drop)
    }

    fn run(&self, engine: &str, data: &Path) -> Result<Ran> {
        eprintln!("running {engine}");
        let mut command = Command::new(&self.python);
        command
            .arg(&self.script)
            .args(["run", engine])
            .arg(data)
            .args(["--bin", &self.bin]);
        let out = succeed(&mut command).map_err(|error| format!("{engine}: {error}"))?;
        let line = out.lines().last().unwrap_or_default();
        Ok(serde_json::from_str(line)?)
    }
}

/// A virtual environment with the peers, made once.
fn environment(scripts: &Path) -> Result<PathBuf> {
    if let Ok(python) = std::env::var("DATASET_PYTHON") {
        return Ok(python.into());
    }
    let folder = std::env::temp_dir().join("foretell-bench-dataset-venv");
    let python = folder.join("bin/python");
    let requirements = scripts.join("requirements.txt");
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    succeed(
        Command::new(&python)
            .args(["-m", "pip", "install", "-q", "-r"])
            .arg(requirements),
    )?;
    Ok(python)
}

fn succeed(command: &mut Command) -> Result<String> {
    let out = command.stderr(Stdio::piped()).output()?;
    if out.status.success() {
        return Ok(String::from_utf8(out.stdout)?);
    }
    let error = String::from_utf8_lossy(&out.stderr);
    let told = error.lines().last().map(str::to_owned);
    Err(told.unwrap_or_else(|| out.status.to_string()).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn other_sums_are_told() {
        let ours = json!({"rows": 2, "a": [1, 0], "b": [2, 1]});
        assert!(same_sums("p", &json!({"rows": 2, "b": [2, 1]}), &ours).is_ok());
        let other = same_sums("p", &json!({"rows": 2, "b": [2, 0]}), &ours).unwrap_err();
        assert_eq!(other.to_string(), "b: p has [2,0], Foretell has [2,1]");
        assert!(same_sums("p", &json!({}), &ours).is_err());
    }
}
