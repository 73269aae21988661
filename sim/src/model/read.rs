use foretell_log::ReadOptions;
use foretell_types::{Instant, Position};

use super::{Event, Topic};

impl Event {
    pub fn time(&self) -> Instant {
        let recorded = Instant::from_nanos(self.recorded);
        self.event.time.map_or(recorded, |time| time.instant())
    }
}

impl Topic {
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
