use foretell_lake::{LogRow, Topic};
use foretell_log::{EventLog, ReadOptions};
use foretell_projections::LogEvent;
use foretell_types::{Error, Position, Result};
use uuid::Uuid;

use super::count;
use crate::node::erase::ERASURES;

/// A topic of the log, as columns are made of it.
#[derive(Debug)]
pub(super) struct LogTopic {
    log: EventLog,
    name: String,
    pub(super) uuid: Uuid,
    /// How many erasures there were, if it can be erased from.
    erasures: u64,
    head: u64,
    until: u64,
}

impl LogTopic {
    pub(super) fn open(log: &EventLog, name: &str) -> Result<LogTopic> {
        let topic = log.topic(name)?;
        let erasures = match topic.erasable {
            true => count(log.head(ERASURES)?),
            false => 0,
        };
        Ok(LogTopic {
            log: log.clone(),
            name: topic.name,
            uuid: topic.uuid,
            erasures,
            head: count(topic.head),
            until: count(topic.head),
        })
    }

    /// Reads up to this position only.
    pub(super) fn read_until(&mut self, position: u64) -> Result<()> {
        if position > self.head {
            return Err(Error::invalid(format!(
                "topic {:?} has no position {position} yet: its head is {}",
                self.name, self.head
            )));
        }
        self.until = position;
        Ok(())
    }

    pub(super) fn until(&self) -> u64 {
        self.until
    }

    pub(super) fn is_at_head(&self) -> bool {
        self.until == self.head
    }

    /// The hash of the last event that is read, as it is stored; empty if there is none.
    pub(super) fn hash(&self) -> Result<String> {
        match Position::new(self.until) {
            None => Ok(String::new()),
            Some(position) => {
                let proof = self.log.prove(&self.name, position)?;
                Ok(blake3::hash(&proof.frame).to_hex().to_string())
            }
        }
    }
}

impl Topic for LogTopic {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> String {
        format!("{}-{}", self.uuid, self.erasures)
    }

    fn read(
        &self,
        from: u64,
        until: u64,
        take: &mut dyn FnMut(&LogRow<'_>) -> Result<()>,
    ) -> Result<()> {
        let options = ReadOptions {
            from: Position::new(from),
            until: Position::new(until),
            ..ReadOptions::default()
        };
        let mut reader = self.log.read(&self.name, options)?;
        while let Some(event) = reader.next_event()? {
            let event = LogEvent(event);
            take(&LogRow {
                position: event.0.position.get(),
                recorded: event.0.recorded_time().as_nanos(),
                declared: event.0.declared_known_time().map(|known| known.as_nanos()),
                erased: event.0.erased,
                event: &event,
            })?;
        }
        Ok(())
    }
}
