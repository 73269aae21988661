use std::sync::Arc;

use foretell_types::limits::COMMIT_BYTES;
use foretell_types::{Error, ErrorKind, Instant, Position, Query, RecordedEvent, Result};

use crate::codec::{EventRef, Frame, FrameKind};
use crate::journal::Place;
use crate::log::Shared;

/// Bytes read at once when reading on, and when picking single events.
const SCAN_BYTES: usize = 256 * 1024;
const PICK_BYTES: usize = 4 * 1024;
/// How many places are taken from the index at once.
const PLACES_AT_ONCE: u64 = 1_024;

/// Which events to read, and in which order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReadOptions {
    /// Inclusive bound: the first position to read (going forward) or the last (backward).
    pub from: Option<Position>,
    /// Inclusive bound: the last position to read (going forward) or the first (backward).
    pub until: Option<Position>,
    pub backward: bool,
    /// At most so many events.
    pub limit: Option<u64>,
    pub query: Query,
    /// Events that happened at this time or later.
    pub time_from: Option<Instant>,
    /// Events that happened at this time or earlier.
    pub time_until: Option<Instant>,
}

impl ReadOptions {
    /// The events of one stream, forward.
    pub fn stream(subject: impl Into<String>) -> ReadOptions {
        ReadOptions {
            query: Query::subject(subject),
            ..ReadOptions::default()
        }
    }

    /// All events after a position, forward.
    pub fn after(position: Option<Position>) -> ReadOptions {
        let from = position.map_or(Position::FIRST, Position::next);
        ReadOptions {
            from: Some(from),
            ..ReadOptions::default()
        }
    }
}

/// Reads events of a topic up to the head that it had when the reader was made. Not an iterator:
/// what [`Reader::next_event`] gives borrows from the reader.
pub struct Reader {
    shared: Arc<Shared>,
    topic_id: u32,
    topic: String,
    options: ReadOptions,
    plan: Plan,
    /// Places to visit next, the next one last.
    places: Vec<(u64, Place)>,
    left: u64,
    buffer: Vec<u8>,
    buffer_at: Place,
    chunk: usize,
}

enum Plan {
    /// All positions of a range, both ends inclusive; empty if `from > until`.
    Scan { from: u64, until: u64 },
    /// These positions, the next one last.
    Pick(Vec<u64>),
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({}, {:?})", self.topic, self.options)
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, topic: &str, options: ReadOptions) -> Result<Reader> {
        options.query.check()?;
        let (low, high) = if options.backward {
            (options.until, options.from)
        } else {
            (options.from, options.until)
        };
        let index = shared.index.read();
        let found = index.topic(topic)?;
        let from = low.map_or(1, Position::get);
        let until = high.map_or(u64::MAX, Position::get).min(found.head());
        let candidates = if from > until {
            Some(Vec::new())
        } else {
            found.candidates(&options.query, from - 1, until)
        };
        let plan = match candidates {
            None => Plan::Scan { from, until },
            Some(mut positions) => {
                if !options.backward {
                    positions.reverse();
                }
                Plan::Pick(positions)
            }
        };
        let (topic_id, left) = (found.id, options.limit.unwrap_or(u64::MAX));
        drop(index);
        let chunk = if matches!(plan, Plan::Scan { .. }) {
            SCAN_BYTES
        } else {
            PICK_BYTES
        };
        Ok(Reader {
            shared,
            topic_id,
            topic: topic.to_owned(),
            options,
            plan,
            places: Vec::new(),
            left,
            buffer: Vec::new(),
            buffer_at: Place(0),
            chunk,
        })
    }

    /// The next event, or `None` at the end.
    pub fn next_event(&mut self) -> Result<Option<EventRef<'_>>> {
        while self.left > 0 {
            let Some((position, place)) = self.next_place()? else {
                return Ok(None);
            };
            let (from, length) = self.load(position, place)?;
            let event = self.decode(position, place, from, length)?;
            if self.wants(&event) {
                self.left -= 1;
                // Decoded again: the borrow checker can't see that the loop ends here.
                return self.decode(position, place, from, length).map(Some);
            }
        }
        Ok(None)
    }

    /// As [`Reader::next_event`], with its own memory.
    pub fn next_recorded(&mut self) -> Result<Option<RecordedEvent>> {
        self.next_event()?
            .map(|event| event.to_recorded())
            .transpose()
    }

    /// All that is left.
    pub fn collect(mut self) -> Result<Vec<RecordedEvent>> {
        let mut events = Vec::new();
        while let Some(event) = self.next_recorded()? {
            events.push(event);
        }
        Ok(events)
    }

    fn wants(&self, event: &EventRef<'_>) -> bool {
        let options = &self.options;
        (options.query.is_all()
            || options
                .query
                .matches_parts(event.event_type, event.subject, event.tags()))
            && options
                .time_from
                .is_none_or(|time| event.event_time() >= time)
            && options
                .time_until
                .is_none_or(|time| event.event_time() <= time)
    }

    fn next_place(&mut self) -> Result<Option<(u64, Place)>> {
        if self.places.is_empty() {
            self.take_places()?;
        }
        Ok(self.places.pop())
    }

    fn take_places(&mut self) -> Result<()> {
        let index = self.shared.index.read();
        let topic = index
            .topics
            .get(self.topic_id as usize)
            .filter(|topic| !topic.deleted)
            .ok_or_else(|| Error::not_found(format!("topic {:?} was deleted", self.topic)))?;
        match &mut self.plan {
            Plan::Scan { from, until } if *from > *until => {}
            Plan::Scan { from, until } if self.options.backward => {
                let low = (*from).max(until.saturating_sub(PLACES_AT_ONCE - 1));
                let places = topic.places(low, *until).iter().copied();
                self.places.extend((low..).zip(places));
                *until = low - 1;
            }
            Plan::Scan { from, until } => {
                let high = (*from + PLACES_AT_ONCE - 1).min(*until);
                let places = topic.places(*from, high).iter().copied();
                self.places.extend((*from..).zip(places));
                self.places.reverse();
                *from = high + 1;
            }
            Plan::Pick(positions) => {
                let keep = positions.len().saturating_sub(PLACES_AT_ONCE as usize);
                for position in positions.drain(keep..) {
                    let place = Position::new(position).and_then(|p| topic.place(p));
                    self.places.extend(place.map(|place| (position, place)));
                }
            }
        }
        Ok(())
    }

    /// Brings a frame into the buffer; gives where it begins there and its length.
    fn load(&mut self, position: u64, place: Place) -> Result<(usize, usize)> {
        let offset = |reader: &Reader| {
            place
                .0
                .checked_sub(reader.buffer_at.0)
                .map(|at| at as usize)
        };
        let whole = |reader: &Reader, from: usize| {
            let bytes = reader.buffer.get(from..)?;
            Frame::claimed_bytes(bytes).filter(|length| *length <= bytes.len())
        };
        if let Some(from) = offset(self)
            && let Some(length) = whole(self, from)
        {
            return Ok((from, length));
        }
        // Going backward, what is read next lies before.
        let back = if self.options.backward && matches!(self.plan, Plan::Scan { .. }) {
            (place.0 & ((1 << 40) - 1)).min((self.chunk * 3 / 4) as u64)
        } else {
            0
        };
        let (mut back, mut wanted) = (back, self.chunk);
        loop {
            self.fill(Place(place.0 - back), wanted)?;
            let from = back as usize;
            if let Some(length) = whole(self, from) {
                return Ok((from, length));
            }
            let claimed = self.buffer.get(from..).and_then(Frame::claimed_bytes);
            match claimed {
                Some(length) if from + length > wanted && length <= COMMIT_BYTES => {
                    wanted = from + length;
                }
                // A journal may end a read where what lies together ends, before the frame.
                _ if back > 0 => back = 0,
                _ => return Err(self.damaged(position, place, "a frame is cut short")),
            }
        }
    }

    fn fill(&mut self, place: Place, wanted: usize) -> Result<()> {
        self.buffer.resize(wanted, 0);
        let count = self.shared.journal.read(place, &mut self.buffer)?;
        self.buffer.truncate(count);
        self.buffer_at = place;
        Ok(())
    }

    fn decode(
        &self,
        position: u64,
        place: Place,
        from: usize,
        length: usize,
    ) -> Result<EventRef<'_>> {
        let here = |error: Error| {
            error.context(format_args!(
                "position {position} of topic {:?} ({})",
                self.topic,
                self.shared.journal.describe(place)
            ))
        };
        let frame = Frame::read(&self.buffer[from..from + length]).map_err(here)?;
        let same = frame.kind == FrameKind::Event
            && (frame.topic, frame.position) == (self.topic_id, position);
        if !same {
            return Err(self.damaged(position, place, "another frame lies where this event must"));
        }
        EventRef::read(&frame).map_err(here)
    }

    fn damaged(&self, position: u64, place: Place, what: &str) -> Error {
        Error::new(
            ErrorKind::Damaged,
            format!(
                "position {position} of topic {:?} ({}): {what}",
                self.topic,
                self.shared.journal.describe(place)
            ),
        )
    }
}
