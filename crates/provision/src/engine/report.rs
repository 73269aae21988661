use std::sync::Arc;

use crate::stack::{Operation, ResourceState};
use crate::{Change, Properties, Urn};

/// Who is told what happens while a program runs.
pub type Reporter = Arc<dyn Fn(Report) + Send + Sync>;

#[derive(Clone, Debug)]
pub enum Report {
    Step(Box<StepReport>),
    /// What the program logs.
    Log {
        severity: Severity,
        urn: Option<Urn>,
        message: String,
    },
    /// A line that the program prints.
    Line(String),
    /// Whether the program runs in a preview of which nothing is shown yet.
    Previewing(bool),
    /// What goes on around the program, such as installing what it requires.
    Note(String),
}

/// What happens to a resource.
#[derive(Clone, Debug)]
pub struct StepReport {
    pub urn: Urn,
    pub parent: Option<Urn>,
    pub operation: Operation,
    pub phase: Phase,
    /// For updates and replacements.
    pub changes: Vec<Change>,
    pub old: Properties,
    pub new: Properties,
    /// What else there is to say of it.
    pub note: Option<String>,
}

impl StepReport {
    pub(super) fn of(resource: &ResourceState, operation: Operation, phase: Phase) -> StepReport {
        StepReport {
            urn: resource.urn.clone(),
            parent: resource.parent.clone(),
            operation,
            phase,
            changes: Vec::new(),
            old: Properties::new(),
            new: resource.inputs.clone(),
            note: None,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It is being done; followed by an end, unless the process is killed.
    Started,
    Done,
    /// It isn't done, since something that it needs failed.
    Skipped,
    Failed(String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    Debug,
    Info,
    Warning,
    Error,
}
