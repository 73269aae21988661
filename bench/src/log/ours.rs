//! Foretell's log in this process.

use std::path::Path;

use foretell_log::{Append, Appended, Environment, EventLog, LogOptions, ReadOptions};
use foretell_types::{Data, ExpectedRevision, NewEvent, Revision, Timestamp};

use super::engine::{Condition, Engine, Kind, Pending};
use super::event::{self, Event};
use crate::Result;

pub const TOPIC: &str = "bench";
pub const NAME: &str = match cfg!(feature = "unhashed") {
    true => UNHASHED,
    false => "Foretell",
};
/// The name in a build with the feature `unhashed`.
pub const UNHASHED: &str = "Foretell without hashes";
pub const KIND: Kind = Kind {
    name: NAME,
    open: |folder| Ok(Box::new(Ours::open(folder)?)),
};
/// Nothing is sealed: all events lie in the journal, indexed in memory.
pub const UNSEALED: Kind = Kind {
    name: NAME,
    open: |folder| {
        let options = LogOptions {
            seal_in_background: false,
            ..LogOptions::default()
        };
        Ok(Box::new(Ours::open_with(folder, &options)?))
    },
};

#[derive(Debug)]
pub struct Ours {
    log: EventLog,
    time: Timestamp,
}

impl Ours {
    pub fn open(folder: &Path) -> Result<Ours> {
        Ours::open_with(folder, &LogOptions::default())
    }

    fn open_with(folder: &Path, options: &LogOptions) -> Result<Ours> {
        let environment = Environment::real();
        let log = EventLog::open_folder_with(folder, &environment, options)?;
        if log.topics().is_empty() {
            let uuid = environment.random.uuid();
            let topic = Append::new().create_topic(TOPIC.parse()?, uuid, false);
            log.append_and_wait(topic)?;
        }
        Ok(Ours {
            log,
            time: event::TIME.parse()?,
        })
    }

    /// Seals everything in a folder but the last event, and merges the index: the log is opened
    /// with segments so small that the next one begins, then what is full is sealed.
    pub fn seal(folder: &Path) -> Result<()> {
        let options = LogOptions {
            segment_bytes: 1,
            ..LogOptions::default()
        };
        let log = EventLog::open_folder_with(folder, &Environment::real(), &options)?;
        let last = NewEvent {
            id: "the last".into(),
            source: event::SOURCE.to_owned(),
            event_type: event::TYPE.to_owned(),
            ..NewEvent::default()
        };
        log.append_and_wait(Append::new().events(TOPIC, [last]))?;
        while log.seal()? {}
        Ok(())
    }

    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// Waits until nothing is left to seal or merge.
    pub fn seal_rest(&self) -> Result<()> {
        while self.log.seal()? {}
        Ok(())
    }

    /// Appends any events as one unit, without a condition.
    pub fn append_events(&self, events: impl IntoIterator<Item = NewEvent>) -> Result<()> {
        let append = Append::new().events(TOPIC, events);
        self.log.append_and_wait(append)?;
        Ok(())
    }

    fn conditional(&self, events: &[Event], condition: Condition) -> Result<Append> {
        let mut made = Vec::with_capacity(events.len());
        for event in events {
            made.push(new_event(*event, self.time)?);
        }
        let expected = match condition.events.checked_sub(1) {
            None => ExpectedRevision::None,
            Some(last) => ExpectedRevision::Exact(Revision::new(last)),
        };
        let subject = event::subject(condition.stream)?;
        let append = Append::new().events(TOPIC, made);
        Ok(append.expect(TOPIC, &subject, expected))
    }
}

fn new_event(event: Event, time: Timestamp) -> Result<NewEvent> {
    Ok(NewEvent {
        id: event.id()?,
        source: event::SOURCE.to_owned(),
        event_type: event::TYPE.to_owned(),
        subject: Some(event.subject()?),
        time: Some(time),
        data: Data::json(event.data()?),
        ..NewEvent::default()
    })
}

impl Engine for Ours {
    fn append(&self, events: &[Event], condition: Condition) -> Result<u64> {
        let append = self.conditional(events, condition)?;
        let appended = self.log.append_and_wait(append)?;
        Ok(last_position(&appended))
    }

    fn begin(&self, events: &[Event], condition: Condition) -> Result<Pending> {
        let ticket = self.log.append(self.conditional(events, condition)?)?;
        Ok(Box::pin(async move { Ok(last_position(&ticket.await?)) }))
    }

    fn scan(&self) -> Result<u64> {
        self.count(ReadOptions::default())
    }

    fn read_stream(&self, stream: u32) -> Result<u64> {
        self.count(ReadOptions::stream(event::subject(stream)?))
    }
}

impl Ours {
    fn count(&self, options: ReadOptions) -> Result<u64> {
        let mut reader = self.log.read(TOPIC, options)?;
        let (mut events, mut bytes) = (0, 0);
        while let Some(event) = reader.next_event()? {
            events += 1;
            bytes += event.id.len() + event.subject.map_or(0, str::len);
        }
        std::hint::black_box(bytes);
        Ok(events)
    }
}

fn last_position(appended: &Appended) -> u64 {
    let last = appended.events.last();
    last.map_or(0, |event| event.position.get())
}
