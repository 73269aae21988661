use std::path::PathBuf;

use clap::{Args, Subcommand};
use foretell_lake::{Built, ColumnDescription, Description, Files, Leak};
use foretell_state::Definition;
use foretell_types::Error;
use serde_json::{Value, json};

use crate::Globals;
use crate::output::{Failure, amount, bar, line, note, table};

/// Training sets that are correct at every instant.
#[derive(Args, Debug)]
pub struct Dataset {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Adds the columns of a projection to a table of instants: each row sees what was known then.
    Build(Build),
    /// Shows the columns of a Parquet file: types, nulls, distributions.
    Describe(Describe),
}

#[derive(Args, Debug)]
struct Build {
    /// Parquet files of events, in this order where times are equal.
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    events: Vec<PathBuf>,
    /// The column of the events with the key: integers or text.
    #[arg(long, value_name = "COLUMN")]
    key: String,
    /// The column with the event times: timestamps, dates, or int64 with microseconds since 1970.
    #[arg(long, value_name = "COLUMN")]
    time: String,
    /// The column that says when an event became known, if that was later than it happened.
    #[arg(long, value_name = "COLUMN")]
    known_time: Option<String>,
    /// The table of keys and instants: Parquet, or CSV with a header. Its rows are the dataset's.
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Its column with the key, if that has another name than the events'.
    #[arg(long, value_name = "COLUMN")]
    label_key: Option<String>,
    /// Its column with the instants, if that has another name than the events'.
    #[arg(long, value_name = "COLUMN")]
    label_time: Option<String>,
    /// The projection: a file with CREATE PROJECTION.
    #[arg(long, value_name = "FILE")]
    projection: PathBuf,
    /// The Parquet file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args, Debug)]
struct Describe {
    /// A Parquet file.
    file: PathBuf,
    /// The column that is to be predicted: features that give it away are named.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
}

impl Dataset {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let json = globals.json;
        let done = match self.command {
            Command::Build(build) => tokio::task::spawn_blocking(move || build.run(json)).await,
            Command::Describe(command) => {
                tokio::task::spawn_blocking(move || command.run(json)).await
            }
        };
        done.unwrap_or_else(|error| {
            let message = format!("the work was broken off: {error}");
            Err(Error::unavailable(message).into())
        })
    }
}

impl Build {
    fn run(self, json: bool) -> Result<(), Failure> {
        let file = self.projection.display().to_string();
        let text = std::fs::read_to_string(&self.projection)
            .map_err(|error| Error::io(format_args!("can't read {file}"), error))?;
        let definition = Definition::parse(&text, &file)?;
        let files = Files {
            events: &self.events,
            key: &self.key,
            time: &self.time,
            known_time: self.known_time.as_deref(),
            labels: &self.labels,
            label_key: self.label_key.as_deref().unwrap_or(&self.key),
            label_time: self.label_time.as_deref().unwrap_or(&self.time),
            definition: &definition,
        };
        let progress = bar(0, "");
        let built = files.build(&self.out, &|step, done, total| {
            progress.set_message(step.to_owned());
            progress.set_length(total);
            progress.set_position(done);
            Ok(())
        });
        progress.finish_and_clear();
        self.tell(&built?, json)
    }

    fn tell(&self, built: &Built, json: bool) -> Result<(), Failure> {
        let out = self.out.display();
        if json {
            let built = json!({
                "out": out.to_string(),
                "rows": built.rows,
                "columns": built.columns,
                "events": built.events,
                "bytes": built.bytes,
            });
            return line(&built.to_string());
        }
        line(&format!(
            "{out}: {}, {}, out of {}",
            amount(built.rows, "row"),
            amount(built.columns as u64, "column"),
            amount(built.events, "event"),
        ))
    }
}

impl Describe {
    fn run(self, json: bool) -> Result<(), Failure> {
        let described = Description::of(&self.file, self.label.as_deref())?;
        if json {
            let columns: Vec<Value> = described.columns.iter().map(column_json).collect();
            return line(&json!({ "rows": described.rows, "columns": columns }).to_string());
        }
        line(&amount(described.rows, "row"))?;
        let number = |value: f64| {
            let text = format!("{value:.6}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let rows: Vec<Vec<String>> = described
            .columns
            .iter()
            .map(|column| {
                let mut row = vec![
                    column.name.clone(),
                    column.type_name.clone(),
                    column.nulls.to_string(),
                ];
                match &column.distribution {
                    Some(found) => {
                        let [low, median, high] = found.quartiles;
                        let all = [found.min, low, median, high, found.max, found.mean];
                        row.extend(all.map(number));
                    }
                    None => row.extend(["", "", "", "", "", ""].map(str::to_owned)),
                }
                row.push(
                    column
                        .distinct
                        .map_or_else(String::new, |count| count.to_string()),
                );
                row
            })
            .collect();
        table(
            &[
                "COLUMN", "TYPE", "NULLS", "MIN", "25%", "MEDIAN", "75%", "MAX", "MEAN", "DISTINCT",
            ],
            &rows,
        )?;
        for column in &described.columns {
            if let Some(leak) = column.leak.filter(|leak| leak.is_leak()) {
                note(&format!(
                    "warning: column {:?} alone foretells the label ({}): is it known only afterwards?",
                    column.name,
                    leak_text(leak)
                ));
            }
        }
        Ok(())
    }
}

fn leak_text(leak: Leak) -> String {
    match leak {
        Leak::Auc(value) => format!("AUC {value:.4}"),
        Leak::R2(value) => format!("R² {value:.4}"),
    }
}

fn column_json(column: &ColumnDescription) -> Value {
    let distribution = column.distribution.map(|found| {
        json!({
            "min": found.min,
            "max": found.max,
            "mean": found.mean,
            "deviation": found.deviation,
            "quartiles": found.quartiles,
        })
    });
    let leak = column.leak.map(|leak| {
        let measure = match leak {
            Leak::Auc(_) => "auc",
            Leak::R2(_) => "r2",
        };
        json!({ "measure": measure, "value": leak.value(), "leaks": leak.is_leak() })
    });
    json!({
        "name": column.name,
        "type": column.type_name,
        "nulls": column.nulls,
        "distribution": distribution,
        "distinct": column.distinct,
        "leak": leak,
    })
}
