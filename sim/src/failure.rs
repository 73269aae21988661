use std::fmt;

/// What a check found wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Which check, in a few words that stay the same.
    pub check: &'static str,
    pub message: String,
}

impl Failure {
    pub fn new(check: &'static str, message: impl Into<String>) -> Failure {
        let message = message.into();
        Failure { check, message }
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
