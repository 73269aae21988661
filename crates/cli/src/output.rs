//! What commands print: human text or JSON on the standard output, progress on the standard
//! error, and exit codes.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use foretell_types::{Error, ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command was used wrongly: exit code 2.
    Usage(String),
    /// Exit code 1, or 3 where something isn't there.
    Failed(Error),
    /// Who read the output has gone away: nothing to say.
    OutputClosed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Failed(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Failed(Error::io("can't write the output", error)),
        }
    }
}

/// Prints a failure and gives its exit code.
pub fn report(failure: &Failure, as_json: bool) -> ExitCode {
    let (code, message, exit) = match failure {
        Failure::OutputClosed => return ExitCode::SUCCESS,
        Failure::Usage(message) => ("Usage", message.as_str(), 2),
        Failure::Failed(error) => {
            let exit = if error.kind() == ErrorKind::NotFound {
                3
            } else {
                1
            };
            (error.kind().code(), error.message(), exit)
        }
    };
    if as_json {
        let _ = line(&json!({ "error": { "code": code, "message": message } }).to_string());
    } else {
        let _ = writeln!(std::io::stderr(), "error: {message}");
    }
    ExitCode::from(exit)
}

/// Prints a line to the standard output.
pub fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints a note to the standard error.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints columns, each as wide as its widest cell.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &mut dyn Iterator<Item = &str>| -> Result<(), Failure> {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        line(text.trim_end())
    };
    print(&mut header.iter().copied())?;
    rows.iter()
        .try_for_each(|row| print(&mut row.iter().map(String::as_str)))
}

/// A progress bar on the standard error; none where that is no terminal.
pub fn bar(total: u64, what: &str) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(total)
    } else {
        ProgressBar::hidden()
    };
    let style =
        ProgressStyle::with_template("{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta}");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    bar
}

/// A count with separators for thousands.
pub fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// A count and what is counted: `1 event`, `2 events`.
pub fn amount(number: u64, what: &str) -> String {
    format!(
        "{} {what}{}",
        count(number),
        if number == 1 { "" } else { "s" }
    )
}

/// A value as a person reads it.
pub fn or_dash(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON text over several lines, its numbers and strings as they stand.
pub fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut text, mut escaped) = (0usize, false, false);
    let mut rest = json.chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = rest.next() {
        if text {
            out.push(c);
            text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                text = true;
                out.push(c);
            }
            '{' | '[' if matches!(rest.peek(), Some('}' | ']')) => {
                out.push(c);
                out.extend(rest.next());
            }
            '{' | '[' => {
                depth += 1;
                out.push(c);
                newline(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_keeps_the_text_of_values() {
        let json =
            r#"{"a":[1.50,{}, []],"b\"}":"x, \\","n":12345678901234567890123,"e":{"f":null}}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let pretty = pretty(json);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&pretty).unwrap(),
            value
        );
        assert!(pretty.contains("12345678901234567890123") && pretty.contains("1.50,\n"));
        let simple = r#"{"a":[1,{}],"b":"x"}"#;
        let value: serde_json::Value = serde_json::from_str(simple).unwrap();
        assert_eq!(
            super::pretty(simple),
            serde_json::to_string_pretty(&value).unwrap()
        );
    }

    #[test]
    fn amounts() {
        assert_eq!(
            (amount(1, "row"), amount(1_000, "row")),
            ("1 row".into(), "1,000 rows".into())
        );
    }
}
