//! What clients asked for and what they were told, with the time of both.

use std::collections::BTreeSet;

use foretell_log::ReadOptions;
use foretell_types::{ErrorKind, RecordedEvent};
use uuid::Uuid;

use crate::model::Placed;
use crate::request::{Create, Entry, Request};

#[derive(Clone, Debug)]
pub enum Kind {
    Append(Request),
    Read(String, ReadOptions),
    Revision(String, String),
    Topic(String),
}

#[derive(Clone, Debug)]
pub enum Outcome {
    /// The log was gone before it answered, or couldn't tell: whether it happened, nobody was told.
    Unknown,
    Appended(Vec<Placed>),
    Refused(ErrorKind),
    Events(Vec<RecordedEvent>),
    Revision(Option<u64>),
    Topic(Facts),
}

/// What is said of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    pub uuid: Uuid,
    pub head: u64,
    pub streams: u64,
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

    /// When it was over for certain: what stayed unknown may show later than anyone was told.
    pub fn over(&self) -> u64 {
        match self.outcome {
            Outcome::Unknown => u64::MAX,
            _ => self.returned,
        }
    }

    /// The names of topics in it.
    pub fn names(&self) -> BTreeSet<&str> {
        let request = match &self.kind {
            Kind::Append(request) => request,
            Kind::Read(name, _) | Kind::Revision(name, _) | Kind::Topic(name) => {
                return [&**name].into();
            }
        };
        let entries = request.entries.iter().filter_map(|entry| match entry {
            Entry::Event(name, _) | Entry::Create(Create { name, .. }) | Entry::Delete(name) => {
                Some(&**name)
            }
            Entry::Register(..) => None,
        });
        let expectations = request.expectations.iter().map(|(name, ..)| &**name);
        let conditions = request.conditions.iter().map(|(name, _)| &**name);
        entries.chain(expectations).chain(conditions).collect()
    }
}

/// A topic that was there, whether or not another had its name before or has it now.
#[derive(Clone, Debug)]
pub struct Lived {
    pub name: String,
    pub uuid: Uuid,
    /// It was made at a point from one time to another.
    pub made: (u64, u64),
    /// Likewise.
    pub deleted: Option<(u64, u64)>,
    /// Everything that it held in the end.
    pub events: Vec<RecordedEvent>,
}

#[derive(Clone, Default, Debug)]
pub struct History {
    pub ops: Vec<Op>,
    /// Those of a name in their order: never two at once.
    pub lived: Vec<Lived>,
    /// What the registers say in the end.
    pub registers: Vec<(String, Vec<u8>)>,
}
