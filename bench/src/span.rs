//! The time in which is measured.

use crate::{Error, Result};

const NOTHING: &str = "nothing was answered within the measured time";

/// Nothing was answered within it.
pub fn nothing() -> Error {
    NOTHING.into()
}

/// What was answered within it; that it is nothing is an error.
pub fn answered<T>(answers: Vec<T>) -> Result<Vec<T>> {
    match answers.is_empty() {
        true => Err(nothing()),
        false => Ok(answers),
    }
}

/// Measures for 50 ms, and for twice as long until something is answered. While others have the
/// machine, a short time may pass without one answer.
#[cfg(test)]
pub fn that_suffices<T>(measure: impl Fn(std::time::Duration) -> Result<T>) -> Result<T> {
    let mut span = std::time::Duration::from_millis(50);
    loop {
        match measure(span) {
            Err(error) if error.to_string() == NOTHING && span.as_secs() < 60 => span *= 2,
            measured => return measured,
        }
    }
}
