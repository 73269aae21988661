//! The rows of a bench: an aligned table for people, JSON for machines.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::Result;

/// What a measure should reach.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
    /// Of ours to the peer's.
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

impl Goal {
    fn value(self) -> f64 {
        match self {
            Goal::AtLeast(value)
            | Goal::AtMost(value)
            | Goal::Below(value)
            | Goal::RatioAtLeast(value)
            | Goal::RatioAtMost(value) => value,
        }
    }

    /// Without a peer there is no ratio, and no goal for one is met.
    fn met(self, ours: f64, ratio: Option<f64>) -> bool {
        match self {
            Goal::AtLeast(value) => ours >= value,
            Goal::AtMost(value) => ours <= value,
            Goal::Below(value) => ours < value,
            Goal::RatioAtLeast(value) => ratio.is_some_and(|ratio| ratio >= value),
            Goal::RatioAtMost(value) => ratio.is_some_and(|ratio| ratio <= value),
        }
    }
}

#[derive(Serialize, Debug)]
struct Row {
    measure: String,
    unit: &'static str,
    ours: f64,
    peer: Option<f64>,
    peer_name: Option<&'static str>,
    ratio: Option<f64>,
    goal: Option<f64>,
    met: Option<bool>,
}

#[derive(Default, Debug)]
pub struct Results {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Results {
    /// Adds a row. The ratio is ours to the peer's.
    pub fn add(
        &mut self,
        measure: impl Into<String>,
        unit: &'static str,
        ours: f64,
        peer: Option<(&'static str, f64)>,
        goal: Option<Goal>,
    ) {
        let ratio = peer.map(|(_, value)| ours / value);
        self.rows.push(Row {
            measure: measure.into(),
            unit,
            ours: rounded(ours),
            peer: peer.map(|(_, value)| rounded(value)),
            peer_name: peer.map(|(name, _)| name),
            ratio: ratio.map(rounded),
            goal: goal.map(Goal::value),
            met: goal.map(|goal| goal.met(ours, ratio)),
        });
    }

    /// Adds a line below the table: how it was measured.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub fn print(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let wide = self.rows.iter().map(|row| row.measure.len()).max();
        let wide = wide.unwrap_or(0).max("measure".len());
        writeln!(
            out,
            "{:wide$}  {:>8}  {:>12}  {:>12}  {:>6}  {:>9}  {:3}  peer",
            "measure", "unit", "ours", "peer", "ratio", "goal", "met"
        )?;
        for row in &self.rows {
            let met = row.met.map_or("-", |met| if met { "yes" } else { "NO" });
            writeln!(
                out,
                "{:wide$}  {:>8}  {:>12}  {:>12}  {:>6}  {:>9}  {met:3}  {}",
                row.measure,
                row.unit,
                shown(Some(row.ours)),
                shown(row.peer),
                row.ratio
                    .map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
                shown(row.goal),
                row.peer_name.unwrap_or("-"),
            )?;
        }
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        Ok(())
    }

    /// Writes `NAME.json` into the folder.
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut text = serde_json::to_string_pretty(&self.rows)?;
        text.push('\n');
        std::fs::write(folder.join(format!("{name}.json")), text)?;
        Ok(())
    }
}

/// The middle one; of an even number, the lower of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn shown(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 1000.0 => format!("{value:.3}"),
        Some(value) => grouped(&format!("{value:.0}")),
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(shown(Some(1_234_567.4)), "1,234,567");
        assert_eq!(shown(Some(12.3456)), "12.346");
        assert_eq!(shown(None), "-");
    }

    #[test]
    fn the_pinned_form() {
        let mut results = Results::default();
        results.add(
            "a",
            "events/s",
            10.0,
            Some(("peer", 4.0)),
            Some(Goal::AtLeast(11.0)),
        );
        results.add("b", "MB", 10.0, None, Some(Goal::Below(11.0)));
        let json = serde_json::to_value(&results.rows).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {"measure": "a", "unit": "events/s", "ours": 10.0, "peer": 4.0,
                 "peer_name": "peer", "ratio": 2.5, "goal": 11.0, "met": false},
                {"measure": "b", "unit": "MB", "ours": 10.0, "peer": null,
                 "peer_name": null, "ratio": null, "goal": 11.0, "met": true},
            ])
        );
    }

    #[test]
    fn goals_of_ratios() {
        assert!(Goal::RatioAtLeast(0.9).met(9.0, Some(0.9)));
        assert!(!Goal::RatioAtLeast(0.9).met(9.0, Some(0.89)));
        assert!(Goal::RatioAtMost(1.15).met(9.0, Some(1.15)));
        assert!(!Goal::RatioAtMost(1.15).met(1.0, None));
        assert!(Goal::AtMost(1.0).met(1.0, None));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.0);
    }
}
