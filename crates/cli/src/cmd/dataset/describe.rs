use std::path::PathBuf;

use clap::Args;
use foretell_lake::{ColumnDescription, Description, Leak};
use serde_json::{Value, json};

use crate::output::{Failure, amount, line, note, table};

#[derive(Args, Debug)]
pub struct Describe {
    /// A Parquet file.
    file: PathBuf,
    /// The column that is to be predicted: features that give it away are named.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
}

impl Describe {
    pub fn run(self, json: bool) -> Result<(), Failure> {
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
