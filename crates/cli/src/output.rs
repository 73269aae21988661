//! What commands print: human text or JSON on the standard output, progress on the standard
//! error, and exit codes.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use foretell_types::{Error, ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

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
