//! What clients asked for and what they were told, with the time of both.

use std::collections::BTreeMap;

use foretell_log::ReadOptions;
use foretell_types::{ErrorKind, RecordedEvent};

use crate::model::Placed;
use crate::request::Request;

#[derive(Clone, Debug)]
pub enum Kind {
    Append(Request),
    Read(String, ReadOptions),
    Revision(String, String),
}

#[derive(Clone, Debug)]
pub enum Outcome {
    /// The log was gone before it answered: whether it happened, nobody was told.
    Unknown,
    Appended(Vec<Placed>),
    Refused(ErrorKind),
    Events(Vec<RecordedEvent>),
    Revision(Option<u64>),
}

#[derive(Clone, Debug)]
pub struct Op {
    pub client: usize,
    pub kind: Kind,
    pub invoked: u64,
    pub returned: u64,
    pub outcome: Outcome,
}

impl Op {
    pub fn request(&self) -> Option<&Request> {
        match &self.kind {
            Kind::Append(request) => Some(request),
            _ => None,
        }
    }

    pub fn refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(_))
    }
}

/// What the log holds in the end.
#[derive(Clone, Default, Debug)]
pub struct Final {
    pub topics: BTreeMap<String, Vec<RecordedEvent>>,
    pub registers: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Default, Debug)]
pub struct History {
    pub ops: Vec<Op>,
    pub end: Final,
}
