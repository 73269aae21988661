use std::fmt;

/// What a check found wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Which check, in a few words that stay the same.
    pub check: &'static str,
    pub message: String,
    /// The log said so itself, by an error: it gave no wrong answer.
    pub said: bool,
}

impl Failure {
    pub fn new(check: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            check,
            message: message.into(),
            said: false,
        }
    }

    /// An error of the log where there must be none.
    pub fn said(check: &'static str, error: &foretell_types::Error) -> Failure {
        Failure {
            said: true,
            ..Failure::new(check, format!("{error} ({:?})", error.kind()))
        }
    }

    /// Says where it was.
    pub fn at(mut self, place: impl fmt::Display) -> Failure {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.message)
    }
}

/// Fails unless two things are the same.
pub fn same<T: PartialEq + fmt::Debug>(
    check: &'static str,
    what: impl FnOnce() -> String,
    found: &T,
    expected: &T,
) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    let message = format!("{}: found {found:?}, expected {expected:?}", what());
    Err(Failure::new(check, message))
}
