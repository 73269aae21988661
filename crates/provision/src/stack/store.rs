use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use foretell_types::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

use super::StackEvent;

/// A stack of a project: `PROJECT/STACK`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StackName {
    pub project: String,
    pub stack: String,
}

impl StackName {
    pub fn new(project: &str, stack: &str) -> Result<StackName> {
        for (what, name) in [("project", project), ("stack", stack)] {
            let plain = !name.is_empty()
                && name.len() <= 100
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if !plain {
                return Err(Error::invalid(format!(
                    "{name:?} is not the name of a {what}: letters, digits, hyphens, underscores and periods, at most 100, are one"
                )));
            }
        }
        Ok(StackName {
            project: project.to_owned(),
            stack: stack.to_owned(),
        })
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.stack)
    }
}

/// All events of a stack, and how many there are.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub events: Vec<StackEvent>,
}

/// Where stacks are kept: each is a stream of events.
///
/// Rules:
/// - An append is durable when it returns, and holds all of its events or none.
/// - It fails with [`ErrorKind::ConditionFailed`] unless the stream has `length` events: whoever
///   else runs the stack has written. So one of two runs of a stack ends, and none is undone.
/// - What is secret lies nowhere in the log in plain text, and comes back from `load` as it was.
#[async_trait]
pub trait StackStore: Send + Sync {
    /// The events of a stack; none if there is no such.
    async fn load(&self, stack: &StackName) -> Result<History>;

    async fn append(&self, stack: &StackName, length: u64, events: &[StackEvent]) -> Result<()>;

    async fn list(&self) -> Result<Vec<StackName>>;
}

/// Stacks in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryStore {
    stacks: Mutex<BTreeMap<StackName, Vec<StackEvent>>>,
}

#[async_trait]
impl StackStore for MemoryStore {
    async fn load(&self, stack: &StackName) -> Result<History> {
        let events = self.stacks.lock().await.get(stack).cloned();
        Ok(History {
            events: events.unwrap_or_default(),
        })
    }

    async fn append(&self, stack: &StackName, length: u64, events: &[StackEvent]) -> Result<()> {
        let mut stacks = self.stacks.lock().await;
        let stream = stacks.entry(stack.clone()).or_default();
        if stream.len() as u64 != length {
            return Err(Error::new(
                ErrorKind::ConditionFailed,
                format!("stack {stack} has other events"),
            ));
        }
        stream.extend_from_slice(events);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<StackName>> {
        Ok(self.stacks.lock().await.keys().cloned().collect())
    }
}
