use std::sync::Arc;

use foretell_log::ReadOptions;
use foretell_types::{AppendCondition, Instant, Position, RecordedEvent};

use super::{Event, Topic};

impl Event {
    pub fn time(&self) -> Instant {
        let recorded = Instant::from_nanos(self.recorded);
        self.event.time.map_or(recorded, |time| time.instant())
    }
}

impl Topic {
    /// A topic made of events, in the order of their positions.
    pub fn replayed(events: &[RecordedEvent]) -> Topic {
        let mut topic = Topic::default();
        for recorded in events {
            topic.push(Event {
                event: Arc::new(recorded.event.clone()),
                revision: None,
                recorded: recorded.recorded_time.as_nanos(),
                key: None,
                erased: false,
            });
        }
        topic
    }

    /// The last revision of a stream when the topic had this head.
    pub fn revision_at(&self, subject: &str, head: u64) -> Option<u64> {
        let events = self.events[..head as usize].iter().rev();
        let mut of_stream = events.filter(|e| e.event.subject.as_deref() == Some(subject));
        of_stream.next().and_then(|event| event.revision)
    }

    /// The positions that refuse the condition.
    pub fn matches(&self, condition: &AppendCondition) -> Vec<u64> {
        let after = Position::as_count(condition.after);
        let query = &condition.fail_if_events_match;
        (after + 1..=self.head())
            .filter(|position| query.matches(&self.events[*position as usize - 1].event))
            .collect()
    }

    /// The positions that a read must give, of the events up to a head.
    pub fn read(&self, options: &ReadOptions, head: u64) -> Vec<u64> {
        let (low, high) = match options.backward {
            true => (options.until, options.from),
            false => (options.from, options.until),
        };
        let last = high.map_or(u64::MAX, Position::get).min(head);
        let wanted = |position: &u64| {
            let event = &self.events[*position as usize - 1];
            options.query.matches(&event.event)
                && options.time_from.is_none_or(|from| event.time() >= from)
                && options.time_until.is_none_or(|until| event.time() <= until)
        };
        let all = (low.map_or(1, Position::get)..=last).filter(wanted);
        let mut positions: Vec<u64> = all.collect();
        if options.backward {
            positions.reverse();
        }
        let limit = options.limit.unwrap_or(u64::MAX) as usize;
        positions.truncate(limit);
        positions
    }
}
