//! What stands in a dataset, and which columns give the label away.

use std::path::Path;

use foretell_state::Scalar;
use foretell_types::Result;
use hashbrown::HashSet;

use crate::batch::{scalar, values};
use crate::table::Table;
use crate::threads::{cores, spread};
use crate::values::Values;

/// A feature that alone tells more than this of the label is no feature but the label itself.
const LEAK: f64 = 0.98;
/// Distinct values of a text column that are counted.
const DISTINCT: usize = 1_000_000;

/// A Parquet file's columns.
#[derive(Clone, Debug)]
pub struct Description {
    pub rows: u64,
    pub columns: Vec<ColumnDescription>,
}

#[derive(Clone, Debug)]
pub struct ColumnDescription {
    pub name: String,
    pub type_name: String,
    pub nulls: u64,
    /// Of numbers and booleans (0 and 1).
    pub distribution: Option<Distribution>,
    /// Different values of a column of text; `None` if there are too many to count.
    pub distinct: Option<u64>,
    /// How much it alone tells of the label.
    pub leak: Option<Leak>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Distribution {
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub deviation: f64,
    /// The quartiles.
    pub quartiles: [f64; 3],
}

/// How well one column alone foretells the label.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Leak {
    /// The area under the curve of a label with two values; 1 is perfect, as is 0 (told as 1).
    Auc(f64),
    /// The share of the label's variance.
    R2(f64),
}

impl Leak {
    pub fn value(self) -> f64 {
        match self {
            Leak::Auc(value) | Leak::R2(value) => value,
        }
    }

    /// Whether the column gives the label away.
    pub fn is_leak(self) -> bool {
        self.value() > LEAK
    }
}

impl Description {
    /// Describes a file. `label`: the column that is to be predicted.
    pub fn of(path: &Path, label: Option<&str>) -> Result<Description> {
        let table = Table::open(path)?;
        let label = match label {
            None => None,
            Some(name) => {
                let column = table.column(name)?;
                let numbers = numbers(&table, column)?.ok_or_else(|| {
                    let found = table.field(column).data_type();
                    table.wrong_type(name, found, "numbers or booleans, to look for leaks")
                })?;
                Some((column, numbers))
            }
        };
        let columns = spread(cores(), table.schema().fields().len(), |column| {
            let mut described = describe(&table, column)?;
            if let Some((label_column, labels)) = &label
                && *label_column != column
                && let Some(numbers) = numbers(&table, column)?
            {
                described.leak = leak(&numbers, labels);
            }
            Ok(described)
        })?;
        Ok(Description {
            rows: table.rows(),
            columns,
        })
    }
}

/// The values of a column as numbers; `None` if they are none.
fn numbers(table: &Table, column: usize) -> Result<Option<Vec<Option<f64>>>> {
    let mut all = Vec::new();
    for batch in table.read_rows(column, 0, table.rows())? {
        let batch = batch.map_err(|error| table.failed(error))?;
        let column = values(batch.column(0));
        for row in 0..batch.num_rows() {
            all.push(match column.get(row) {
                Scalar::Null => None,
                Scalar::Bool(value) => Some(f64::from(value)),
                value => match value.as_number() {
                    Some(number) => Some(number.as_f64()),
                    None => return Ok(None),
                },
            });
        }
        if matches!(column, Values::None) {
            return Ok(None);
        }
    }
    Ok(Some(all))
}

fn describe(table: &Table, column: usize) -> Result<ColumnDescription> {
    let field = table.field(column);
    let mut described = ColumnDescription {
        name: field.name().clone(),
        type_name: field.data_type().to_string(),
        nulls: 0,
        distribution: None,
        distinct: None,
        leak: None,
    };
    if let Some(numbers) = numbers(table, column)? {
        described.nulls = numbers.iter().filter(|value| value.is_none()).count() as u64;
        described.distribution = distribution(numbers.into_iter().flatten().collect());
        return Ok(described);
    }
    let mut seen = HashSet::new();
    for batch in table.read_rows(column, 0, table.rows())? {
        let batch = batch.map_err(|error| table.failed(error))?;
        for row in 0..batch.num_rows() {
            match scalar(batch.column(0), row).to_key() {
                None => described.nulls += 1,
                Some(text) if seen.len() <= DISTINCT => {
                    seen.insert(text.into_owned());
                }
                Some(_) => {}
            }
        }
    }
    described.distinct = (seen.len() <= DISTINCT).then_some(seen.len() as u64);
    Ok(described)
}

fn distribution(mut values: Vec<f64>) -> Option<Distribution> {
    values.sort_unstable_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let count = values.len() as f64;
    let mean = values.iter().map(|value| value / count).sum::<f64>();
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2) / count)
        .sum::<f64>();
    let at = |share: f64| values[((count - 1.0) * share).round() as usize];
    Some(Distribution {
        min,
        max,
        mean,
        deviation: variance.sqrt(),
        quartiles: [at(0.25), at(0.5), at(0.75)],
    })
}

/// How much a feature tells of a label, where both are there; `None` if either never changes.
fn leak(feature: &[Option<f64>], label: &[Option<f64>]) -> Option<Leak> {
    let mut pairs: Vec<(f64, f64)> = feature
        .iter()
        .zip(label)
        .filter_map(|(feature, label)| Some(((*feature)?, (*label)?)))
        .collect();
    let (low, high) = pairs
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), (_, label)| {
            (low.min(*label), high.max(*label))
        });
    if pairs.is_empty() || low == high {
        return None;
    }
    if pairs
        .iter()
        .all(|(_, label)| *label == low || *label == high)
    {
        return auc(&mut pairs, high).map(Leak::Auc);
    }
    let count = pairs.len() as f64;
    let mean =
        |value: fn(&(f64, f64)) -> f64| pairs.iter().map(|pair| value(pair) / count).sum::<f64>();
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (feature, label) in &pairs {
        let (x, y) = (feature - x, label - y);
        (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y);
    }
    (xx > 0.0).then(|| Leak::R2(xy * xy / (xx * yy)))
}

/// By the ranks of the positives; equal values share a rank.
fn auc(pairs: &mut [(f64, f64)], positive: f64) -> Option<f64> {
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut positives) = (0.0, 0.0);
    let mut before = 0.0;
    for equal in pairs.chunk_by(|a, b| a.0 == b.0) {
        let count = equal.len() as f64;
        let here = equal.iter().filter(|(_, label)| *label == positive).count() as f64;
        ranks += here * (before + (count + 1.0) / 2.0);
        positives += here;
        before += count;
    }
    let negatives = before - positives;
    let area = (ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives);
    area.is_finite().then(|| area.max(1.0 - area))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_gives_the_label_away_is_known() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        let binary = some(&[0.0, 0.0, 1.0, 1.0]);
        let check = |feature: &[f64], label: &[Option<f64>], expected: Option<Leak>| {
            assert_eq!(leak(&some(feature), label), expected);
        };
        check(&[1.0, 2.0, 3.0, 4.0], &binary, Some(Leak::Auc(1.0)));
        check(&[4.0, 3.0, 2.0, 1.0], &binary, Some(Leak::Auc(1.0)));
        check(&[1.0, 3.0, 2.0, 4.0], &binary, Some(Leak::Auc(0.75)));
        check(&[1.0, 1.0, 1.0, 1.0], &binary, Some(Leak::Auc(0.5)));
        check(
            &[2.0, 4.0, 6.0, 8.0],
            &some(&[1.0, 2.0, 3.0, 4.0]),
            Some(Leak::R2(1.0)),
        );
        check(&[1.0, 2.0, 3.0, 4.0], &some(&[5.0; 4]), None);
        assert!(Leak::Auc(0.99).is_leak() && !Leak::R2(0.98).is_leak());
    }
}
