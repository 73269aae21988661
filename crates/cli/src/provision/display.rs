//! How a run looks: a tree that fills on a terminal, lines elsewhere; then what came of it.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foretell_provision::{
    Accepts, ChangeKind, Operation, Outcome, Phase, Properties, Report, Severity, StepReport, Urn,
    Value, to_json,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value as Json;

use crate::output::{Failure, line, note};

const SECRET: &str = "[secret]";
const UNKNOWN: &str = "[unknown]";
/// How a row shows that its step goes on. What a terminal has no room for is cut off.
const RUNNING: &str = "{wide_msg} {elapsed}";
const DONE: &str = "{wide_msg}";
/// The columns of lines, whose longest isn't known beforehand.
const WIDTHS: [usize; 2] = [49, 24];
const TICK: Duration = Duration::from_secs(1);

pub struct Display {
    as_json: bool,
    diff: bool,
    preview: bool,
    began: Instant,
    tree: Option<MultiProgress>,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    /// In the order of the tree.
    order: Vec<Urn>,
    /// Of its columns: that of the types, and that of the names.
    widths: [usize; 2],
    rows: HashMap<Urn, Row>,
    /// What is shown after the tree.
    details: Vec<String>,
    /// Before there is any.
    previewing: Option<ProgressBar>,
}

struct Row {
    depth: usize,
    began: Instant,
    bar: Option<ProgressBar>,
    cells: Cells,
}

/// What a row shows: the type, the name, and what is done.
#[derive(Default)]
struct Cells([String; 3]);

impl Cells {
    fn text(&self, [first, second]: [usize; 2]) -> String {
        let [kind, name, status] = &self.0;
        format!("{kind:<first$} {name:<second$} {status}")
            .trim_end()
            .to_owned()
    }

    fn widths(&self) -> [usize; 2] {
        [0, 1].map(|at| self.0[at].chars().count())
    }
}

impl Display {
    pub fn new(as_json: bool, diff: bool, preview: bool) -> Display {
        let terminal = std::io::stderr().is_terminal() && !as_json;
        Display {
            as_json,
            diff,
            preview,
            began: Instant::now(),
            tree: terminal.then(MultiProgress::new),
            rows: Mutex::default(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn title(&self, doing: &str, stack: &str) {
        if !self.as_json {
            note(&format!("{doing} ({stack})\n"));
        }
    }

    /// Nothing more happens: the tree stays as it is.
    pub fn leave(&self) {
        self.previewing(false);
        for row in self.rows().rows.values() {
            if let Some(bar) = &row.bar {
                bar.abandon();
            }
        }
    }

    pub fn show(&self, report: Report) {
        match report {
            Report::Step(step) => self.step(&step),
            Report::Log {
                severity: Severity::Debug,
                ..
            } => {}
            Report::Log {
                severity,
                urn,
                message,
            } => {
                let of = urn
                    .map(|urn| format!("{}: ", urn.name()))
                    .unwrap_or_default();
                let kind = match severity {
                    Severity::Error => return,
                    Severity::Warning => "warning: ",
                    _ => "",
                };
                self.say(&format!("{kind}{of}{message}"));
            }
            Report::Line(text) | Report::Note(text) => self.say(&text),
            Report::Previewing(begun) => self.previewing(begun),
        }
    }

    /// What goes before any row: on a terminal only, which would show nothing for a while.
    fn previewing(&self, begun: bool) {
        let mut rows = self.rows();
        if let Some(bar) = rows.previewing.take() {
            bar.finish_and_clear();
        }
        if let Some(tree) = self.tree.as_ref().filter(|_| begun) {
            let bar = tree.add(ProgressBar::new_spinner());
            bar.set_style(style(RUNNING));
            bar.set_message("previewing");
            bar.enable_steady_tick(TICK);
            rows.previewing = Some(bar);
        }
    }

    fn say(&self, text: &str) {
        match &self.tree {
            Some(tree) => drop(tree.println(text)),
            None => note(text),
        }
    }

    fn step(&self, step: &StepReport) {
        let mut rows = self.rows();
        let depth = step
            .parent
            .as_ref()
            .and_then(|parent| rows.rows.get(parent))
            .map_or(0, |parent| parent.depth + 1);
        if !rows.rows.contains_key(&step.urn) {
            let place = place(&rows, step.parent.as_ref(), depth);
            let bar = self
                .tree
                .as_ref()
                .map(|tree| tree.insert(place, ProgressBar::new_spinner()));
            let row = Row {
                depth,
                began: Instant::now(),
                bar,
                cells: Cells::default(),
            };
            rows.order.insert(place, step.urn.clone());
            rows.rows.insert(step.urn.clone(), row);
        }
        let (depth, took) = {
            let row = &rows.rows[&step.urn];
            (row.depth, row.began.elapsed().as_secs_f64())
        };
        self.put(&mut rows, step, self.cells(step, depth, took));
        let changed = !matches!(step.operation, Operation::Same | Operation::Read);
        if self.diff && step.phase == Phase::Done && changed {
            let details = details(step);
            rows.details.extend(details);
        }
    }

    /// Shows what a row has now.
    fn put(&self, rows: &mut Rows, step: &StepReport, cells: Cells) {
        let Some(row) = rows.rows.get_mut(&step.urn) else {
            return;
        };
        let Some(bar) = &row.bar else {
            // Each end of a step is a line, and what stays as it is takes none.
            let is_same = step.operation == Operation::Same && step.phase == Phase::Done;
            if !self.as_json && step.phase != Phase::Started && !is_same {
                note(&cells.text(WIDTHS));
            }
            return;
        };
        let running = step.phase == Phase::Started && !self.preview;
        bar.set_style(style(if running { RUNNING } else { DONE }));
        match running {
            true => bar.enable_steady_tick(TICK),
            false => bar.disable_steady_tick(),
        }
        let wanted = cells.widths();
        row.cells = cells;
        let widths = [0, 1].map(|at| rows.widths[at].max(wanted[at]));
        if widths == rows.widths {
            bar.set_message(row.cells.text(widths));
            return;
        }
        rows.widths = widths;
        for row in rows.rows.values() {
            if let Some(bar) = &row.bar {
                bar.set_message(row.cells.text(widths));
            }
        }
    }

    fn cells(&self, step: &StepReport, depth: usize, took: f64) -> Cells {
        let indent = match (depth, &self.tree) {
            (0, _) | (_, None) => String::new(),
            (depth, Some(_)) => format!("{}├─ ", "│  ".repeat(depth - 1)),
        };
        let mut status = match &step.phase {
            Phase::Skipped => "skipped".to_owned(),
            Phase::Failed(_) => "failed".to_owned(),
            Phase::Started if self.preview => String::new(),
            Phase::Started => doing(step.operation).to_owned(),
            Phase::Done if self.preview => wanted(step.operation).to_owned(),
            Phase::Done => done(step.operation).to_owned(),
        };
        if step.phase == Phase::Done && !self.preview && took >= 0.1 {
            status.push_str(&format!(" ({took:.1}s)"));
        }
        if !step.changes.is_empty() {
            status.push_str(&format!(" [diff: {}]", summary(step)));
        }
        if let Some(more) = &step.note {
            status.push_str(&format!(" ({more})"));
        }
        let mark = mark(step.operation);
        let kind = format!("{mark} {indent}{}", step.urn.token());
        Cells([kind, step.urn.name().to_owned(), status])
    }

    /// What came of it: diagnostics, outputs and numbers.
    pub fn finish(&self, outcome: &Outcome, show_secrets: bool) -> Result<(), Failure> {
        self.leave();
        let rows = self.rows();
        if self.as_json {
            return Ok(());
        }
        for detail in &rows.details {
            note(detail);
        }
        if !outcome.failures.is_empty() {
            note("\nDiagnostics:");
            for (urn, why) in &outcome.failures {
                match urn {
                    Some(urn) => note(&format!("  {} ({}):", urn.token(), urn.name())),
                    None => note("  program:"),
                }
                why.lines().for_each(|text| note(&format!("    {text}")));
            }
        }
        if outcome.refused {
            note("\nNothing was changed.");
            return Ok(());
        }
        let shown = outputs_text(&outcome.outputs, show_secrets);
        if !shown.is_empty() {
            line("\nOutputs:")?;
            shown
                .iter()
                .try_for_each(|text| line(&format!("    {text}")))?;
        }
        self.numbers(outcome);
        Ok(())
    }

    fn numbers(&self, outcome: &Outcome) {
        let changes = outcome.changes;
        note("\nResources:");
        let past =
            |done: &'static str, wanted: &'static str| if self.preview { wanted } else { done };
        for (mark, count, what) in [
            ("+", changes.create, past("created", "to create")),
            ("~", changes.update, past("updated", "to update")),
            ("+-", changes.replace, past("replaced", "to replace")),
            ("-", changes.delete, past("deleted", "to delete")),
            ("=", changes.import, past("imported", "to import")),
        ] {
            if count > 0 {
                note(&format!("    {mark} {count} {what}"));
            }
        }
        if changes.same > 0 || changes.none() {
            note(&format!("    {} unchanged", changes.same));
        }
        note(&format!(
            "\nDuration: {:.1}s",
            self.began.elapsed().as_secs_f64()
        ));
    }
}

/// Where a row goes: after all that is below its parent.
fn place(rows: &Rows, parent: Option<&Urn>, depth: usize) -> usize {
    let Some(at) = parent.and_then(|parent| rows.order.iter().position(|urn| urn == parent)) else {
        return rows.order.len();
    };
    let below = rows.order[at + 1..]
        .iter()
        .take_while(|urn| rows.rows[*urn].depth >= depth);
    at + 1 + below.count()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn mark(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "+ ",
        Operation::Update => "~ ",
        Operation::Replace => "+-",
        Operation::Delete => "- ",
        Operation::Read => "> ",
        Operation::Import => "= ",
        Operation::Same | Operation::Outputs => "  ",
    }
}

fn doing(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "creating",
        Operation::Update => "updating",
        Operation::Replace => "replacing",
        Operation::Delete => "deleting",
        Operation::Read => "reading",
        Operation::Import => "importing",
        Operation::Same | Operation::Outputs => "checking",
    }
}

fn done(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "created",
        Operation::Update => "updated",
        Operation::Replace => "replaced",
        Operation::Delete => "deleted",
        Operation::Read => "read",
        Operation::Import => "imported",
        Operation::Same | Operation::Outputs => "",
    }
}

fn wanted(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Replace => "replace",
        Operation::Delete => "delete",
        Operation::Read => "read",
        Operation::Import => "import",
        Operation::Same | Operation::Outputs => "",
    }
}

/// The properties that change, each once: `+a,-b,~c`.
fn summary(step: &StepReport) -> String {
    let mut parts: Vec<String> = Vec::new();
    for change in &step.changes {
        let nested = change.property() != change.path;
        let mark = match change.kind {
            ChangeKind::Add if !nested => '+',
            ChangeKind::Delete if !nested => '-',
            _ => '~',
        };
        let part = format!("{mark}{}", change.property());
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(",")
}

fn details(step: &StepReport) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {}: ({})",
        mark(step.operation).trim(),
        step.urn.token(),
        wanted(step.operation)
    )];
    lines.push(format!("    [urn={}]", step.urn));
    if step.changes.is_empty() {
        for (name, value) in &step.new {
            lines.push(format!("    {name}: {}", shown(value, false)));
        }
    }
    for change in &step.changes {
        let property = change.property();
        let of =
            |properties: &Properties| match foretell_provision::at_path(properties, &change.path) {
                Some(value) => shown(value, false),
                None => "[none]".to_owned(),
            };
        // A secret shows in no part of it.
        let secret = [&step.old, &step.new]
            .iter()
            .any(|all| all.get(property).is_some_and(Value::has_secret));
        let (old, new) = match secret {
            true => (SECRET.to_owned(), SECRET.to_owned()),
            false => (of(&step.old), of(&step.new)),
        };
        let replaces = if change.replace { " (replaces)" } else { "" };
        lines.push(match change.kind {
            ChangeKind::Add => format!("  + {}: {new}{replaces}", change.path),
            ChangeKind::Delete => format!("  - {}: {old}{replaces}", change.path),
            ChangeKind::Update => format!("  ~ {}: {old} => {new}{replaces}", change.path),
        });
    }
    lines
}

/// A value for people; a secret only if it was asked for.
fn shown(value: &Value, show_secrets: bool) -> String {
    masked(value, show_secrets).to_string()
}

fn masked(value: &Value, show_secrets: bool) -> Json {
    match value {
        Value::Secret(_) if !show_secrets => SECRET.into(),
        Value::Secret(inner) => masked(inner, show_secrets),
        Value::Unknown => UNKNOWN.into(),
        Value::List(items) => items
            .iter()
            .map(|item| masked(item, show_secrets))
            .collect(),
        Value::Map(map) => Json::Object(
            map.iter()
                .map(|(name, value)| (name.clone(), masked(value, show_secrets)))
                .collect(),
        ),
        other => to_json(
            other,
            Accepts {
                secrets: false,
                resources: false,
            },
        ),
    }
}

pub fn outputs_json(outputs: &Properties, show_secrets: bool) -> Json {
    masked(&Value::Map(outputs.clone()), show_secrets)
}

/// The outputs, a line each, their names as wide as the longest.
pub fn outputs_text(outputs: &Properties, show_secrets: bool) -> Vec<String> {
    let width = outputs
        .keys()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    outputs
        .iter()
        .map(|(name, value)| format!("{name:<width$}: {}", shown(value, show_secrets)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_unless_asked_for() {
        let outputs = Properties::from([
            ("key".to_owned(), Value::secret("swordfish")),
            (
                "deep".to_owned(),
                Value::from([("k", Value::secret(1.0)), ("l", Value::Unknown)]),
            ),
        ]);
        assert_eq!(
            outputs_text(&outputs, false),
            [
                r#"deep: {"k":"[secret]","l":"[unknown]"}"#,
                r#"key : "[secret]""#
            ]
        );
        assert_eq!(outputs_json(&outputs, true)["key"], "swordfish");
    }
}
