use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foretell_types::limits::COMMIT_BYTES;
use foretell_types::{Error, ErrorKind, Instant, Position, Query, RecordedEvent, Result};

use crate::ahead::{Ahead, Block, Stretch};
use crate::bugs::{self, Bug};
use crate::codec::{EventRef, Frame, FrameKind, is_sealed};
use crate::erasure::Context;
use crate::journal::Place;
use crate::log::Shared;
use crate::sealed::{Candidates, Piece, Run, Sealed, SealedSegment, Source};
use crate::window::Window;

/// Bytes read at once when reading on, and when picking single events.
const SCAN_BYTES: usize = 128 * 1024;
const PICK_BYTES: usize = 4 * 1024;
/// How many places are taken from the index in memory at once.
pub(crate) const PLACES_AT_ONCE: u64 = 1_024;
/// Who has read so many stretches whole, forward, with so many positions left at the least, is read
/// ahead for.
const STRETCHES_BEFORE_AHEAD: u32 = 4;
const LEFT_FOR_AHEAD: u64 = 4 * PLACES_AT_ONCE;
/// With no more events wanted than this, blocks are read one by one.
const FEW: u64 = 16;
/// Positions that one look into a run of the index covers.
const WINDOW: u64 = 1_000_000;

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
///
/// It goes through the topic in stretches: each lies in one part of the index, in memory or on
/// disk. What is sealed while it reads, it finds there.
pub struct Reader {
    shared: Arc<Shared>,
    topic_id: u32,
    topic: String,
    options: ReadOptions,
    /// The positions that no plan was made for yet, both inclusive; empty if `from > until`.
    from: u64,
    until: u64,
    plan: Plan,
    left: u64,
    held: Held,
    window: Window,
    /// Bytes of the journal that are read at once.
    chunk: usize,
    /// How many stretches were read whole.
    stretches: u32,
    ahead: Option<Ahead>,
    /// Single events are picked, rather than all of a stretch read.
    picking: bool,
    /// The topic's identity, from which the keys of its subjects derive.
    uuid: uuid::Uuid,
    /// The data of the present event, if it is stored encrypted; `None` if it is erased.
    data: Option<Vec<u8>>,
}

/// Where the events of the present stretch are.
enum Plan {
    Nothing,
    /// In the journal: positions and their places, the next one last.
    Places(Vec<(u64, Place)>),
    /// In a sealed segment: all positions from one to another, both inclusive.
    Sealed(Arc<SealedSegment>, u64, u64),
    /// In blocks of a sealed segment that were read ahead, the next one last.
    Blocks(Vec<Block>),
    /// In sealed segments: these positions, the next one last.
    Picks(Arc<Sealed>, Vec<u64>),
    /// In the run of an index: these ordinals, the next one last.
    Ordinals(Arc<Run>, Vec<u64>),
    /// In the run of an index: these ordinals, which are one stream.
    Stream(Arc<Run>, Range<u64>),
}

impl Plan {
    /// Holds the next frame of what is sealed; gives its position.
    fn next(&mut self, held: &mut Held, topic: u32, backward: bool) -> Result<Option<u64>> {
        match self {
            Plan::Nothing | Plan::Places(_) => Ok(None),
            Plan::Sealed(segment, from, until) => {
                if from > until {
                    return Ok(None);
                }
                let position = if backward { *until } else { *from };
                if backward {
                    *until -= 1;
                } else {
                    *from += 1;
                }
                hold(held, segment, topic, position)?;
                Ok(Some(position))
            }
            Plan::Blocks(blocks) => {
                while let Some(block) = blocks.last_mut() {
                    let Some(index) = block.frames.next() else {
                        blocks.pop();
                        continue;
                    };
                    match held {
                        Held::Piece(piece, at) if Arc::ptr_eq(piece, &block.piece) => *at = index,
                        _ => *held = Held::Piece(block.piece.clone(), index),
                    }
                    block.position += 1;
                    return Ok(Some(block.position - 1));
                }
                Ok(None)
            }
            Plan::Picks(sealed, positions) => {
                let Some(position) = positions.pop() else {
                    return Ok(None);
                };
                let Some(segment) = sealed.segment_of(topic, position) else {
                    let message = format!("position {position} lies in no sealed segment");
                    return Err(Error::new(ErrorKind::Damaged, message));
                };
                hold(held, segment, topic, position)?;
                Ok(Some(position))
            }
            Plan::Stream(run, ordinals) => {
                let next = if backward {
                    ordinals.next_back()
                } else {
                    ordinals.next()
                };
                next.map(|ordinal| hold_ordinal(held, run, ordinal))
                    .transpose()
            }
            Plan::Ordinals(run, ordinals) => {
                let next = ordinals.pop();
                next.map(|ordinal| hold_ordinal(held, run, ordinal))
                    .transpose()
            }
        }
    }
}

/// Where the bytes of the present frame are.
enum Held {
    Window(Range<usize>),
    Page(Arc<Piece>, Range<usize>),
    Piece(Arc<Piece>, usize),
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
        // The writer may hold the index for reading already, while the sealer waits for it.
        let index = shared.index.read_recursive();
        let (topic_id, found) = index.catalog.topic(topic)?;
        let until = high.map_or(u64::MAX, Position::get).min(found.head);
        let uuid = found.uuid;
        drop(index);
        Ok(Reader {
            shared,
            topic_id,
            topic: topic.to_owned(),
            from: low.map_or(1, Position::get),
            until,
            plan: Plan::Nothing,
            left: options.limit.unwrap_or(u64::MAX),
            options,
            held: Held::Window(0..0),
            window: Window::default(),
            chunk: SCAN_BYTES,
            stretches: 0,
            ahead: None,
            picking: false,
            uuid,
            data: None,
        })
    }

    /// The next event, or `None` at the end.
    pub fn next_event(&mut self) -> Result<Option<EventRef<'_>>> {
        let Some((position, checked)) = self.advance()? else {
            return Ok(None);
        };
        if is_sealed(self.held()) {
            return self.decrypted(position, checked).map(Some);
        }
        // In place: to move what was written just now the processor waits until it has come to
        // rest.
        match self.decode(position, checked) {
            Ok(event) => Ok(Some(event)),
            Err(error) => Err(error),
        }
    }

    fn decrypted(&mut self, position: u64, checked: bool) -> Result<EventRef<'_>> {
        self.data = self.decrypt(&self.decode(position, checked)?)?;
        let event = self.decode(position, true)?;
        Ok(event.with_data(self.data.as_deref()))
    }

    /// As [`Reader::next_event`], with the data as it is stored.
    pub(crate) fn next_stored(&mut self) -> Result<Option<EventRef<'_>>> {
        match self.advance()? {
            Some((position, checked)) => self.decode(position, checked).map(Some),
            None => Ok(None),
        }
    }

    /// Goes on to the next event that is wanted: its position, and whether the checksum of its
    /// frame was looked at.
    fn advance(&mut self) -> Result<Option<(u64, bool)>> {
        if self.left == 0 {
            return Ok(None);
        }
        let options = &self.options;
        let all = options.query.is_all() && (options.time_from, options.time_until) == (None, None);
        while let Some(position) = match self.next_frame() {
            Err(_) if bugs::on(Bug::ReadErrorIsEnd) => None,
            next => next?,
        } {
            // Decoded twice if there is something to filter by: the borrow checker can't see that
            // the loop ends here.
            if all || self.wants(&self.decode(position, false)?) {
                self.left -= 1;
                return Ok(Some((position, !all)));
            }
        }
        Ok(None)
    }

    /// The data of an event that is stored encrypted; `None` if its key is destroyed.
    fn decrypt(&self, event: &EventRef<'_>) -> Result<Option<Vec<u8>>> {
        let position = event.position.get();
        let (Some(generation), Some(subject)) = (event.sealed(), event.subject) else {
            return Err(self.damaged(position, "an encrypted event has no subject"));
        };
        let key = self.shared.keys()?.key(self.uuid, subject, generation)?;
        let Some(key) = key else {
            return Ok(None);
        };
        let context = Context {
            topic: self.uuid,
            id: event.id,
            source: event.source,
            subject,
            form: event.form(),
        };
        let data = key.open(&context, &event.stored_data());
        match data {
            Some(data) => Ok(Some(data)),
            None => Err(self.damaged(position, "its data can't be decrypted")),
        }
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

    /// Brings the next frame of the plan into reach, planning on where it ends; gives its position.
    fn next_frame(&mut self) -> Result<Option<u64>> {
        loop {
            let next = match &mut self.plan {
                Plan::Places(places) => {
                    let next = places.pop();
                    match next.map(|(position, place)| self.load(position, place)) {
                        None => None,
                        Some(Ok(held)) => {
                            self.held = held;
                            next.map(|(position, _)| position)
                        }
                        Some(Err(error)) if error.kind() == ErrorKind::NotFound => {
                            if let Some((position, place)) = next {
                                self.plan_again(position, place)?;
                            }
                            None
                        }
                        Some(Err(error)) => return Err(error),
                    }
                }
                plan => plan.next(&mut self.held, self.topic_id, self.options.backward)?,
            };
            if next.is_some() {
                return Ok(next);
            }
            if !self.plan_on()? {
                return Ok(None);
            }
        }
    }

    /// The segment that held a position was sealed meanwhile: its part is planned again. A segment
    /// goes only after the index says where else its events are.
    fn plan_again(&mut self, position: u64, place: Place) -> Result<()> {
        let index = self.shared.index.read_recursive();
        let part = index.recent_of(self.topic_id, position);
        let still = part.and_then(|part| part.place(position)) == Some(place);
        drop(index);
        if still {
            return Err(self.damaged(position, "the segment that holds it is missing"));
        }
        self.plan = Plan::Nothing;
        if self.options.backward {
            self.until = position;
        } else {
            self.from = position;
        }
        Ok(())
    }

    /// Plans the next stretch; false if there is none.
    fn plan_on(&mut self) -> Result<bool> {
        if self.from > self.until {
            return Ok(false);
        }
        if self.read_ahead() {
            return Ok(true);
        }
        let backward = self.options.backward;
        let at = if backward { self.until } else { self.from };
        let shared = self.shared.clone();
        let index = shared.index.read_recursive();
        let deleted = index
            .catalog
            .topics
            .get(self.topic_id as usize)
            .is_none_or(|topic| topic.deleted);
        if deleted {
            let message = format!("topic {:?} was deleted", self.topic);
            return Err(Error::not_found(message));
        }
        if let Some(part) = index.recent_of(self.topic_id, at) {
            let (mut from, mut until) = self.stretch(part.first, part.last());
            let picked = part.candidates(&self.options.query, from, until);
            let mut places: Vec<(u64, Place)> = match &picked {
                Some(positions) => positions
                    .iter()
                    .filter_map(|position| Some((*position, part.place(*position)?)))
                    .collect(),
                None => {
                    if backward {
                        from = from.max(until.saturating_sub(PLACES_AT_ONCE - 1));
                    } else {
                        until = until.min(from + PLACES_AT_ONCE - 1);
                    }
                    (from..)
                        .zip(part.places(from, until).iter().copied())
                        .collect()
                }
            };
            if !backward {
                places.reverse();
            }
            self.picking = picked.is_some();
            if !self.picking {
                self.whole_stretch(from, until);
            }
            // A follower reads one event, not all that could lie behind it.
            let span = match (places.first(), places.last()) {
                (Some((_, a)), Some((_, b))) => a.0.abs_diff(b.0) as usize + PICK_BYTES,
                _ => PICK_BYTES,
            };
            self.chunk = if self.picking {
                PICK_BYTES
            } else {
                span.min(SCAN_BYTES)
            };
            self.plan = Plan::Places(places);
            self.past(from, until);
            return Ok(true);
        }
        let (sealed, seed) = (index.sealed.clone(), index.seed);
        drop(index);
        self.plan_sealed(&sealed, seed, at)?;
        Ok(true)
    }

    /// Goes on with a stretch that was read ahead; false if there is none.
    fn read_ahead(&mut self) -> bool {
        let left = (self.until - self.from).min(self.left);
        let is_long = self.stretches >= STRETCHES_BEFORE_AHEAD && left >= LEFT_FOR_AHEAD;
        // With a query, single events may be picked farther on.
        let all = self.options.query.is_all() && !self.options.backward;
        if self.ahead.is_none() && is_long && all {
            self.ahead = Ahead::start(&self.shared, self.topic_id, self.from, self.until);
            self.stretches = 0;
        }
        let Some(ahead) = &self.ahead else {
            return false;
        };
        let (places, blocks) = match std::mem::replace(&mut self.plan, Plan::Nothing) {
            Plan::Places(places) => (places, Vec::new()),
            Plan::Blocks(blocks) => (Vec::new(), blocks),
            _ => (Vec::new(), Vec::new()),
        };
        let used = Stretch {
            places,
            window: std::mem::take(&mut self.window),
            blocks,
        };
        let next = ahead
            .next(used)
            .filter(|next| next.first() == Some(self.from));
        let Some(next) = next else {
            (self.ahead, self.stretches) = (None, 0);
            return false;
        };
        let (from, until) = (self.from, self.from + next.events() - 1);
        self.past(from, until);
        self.whole_stretch(from, until);
        self.picking = false;
        self.window = next.window;
        self.plan = if next.blocks.is_empty() {
            Plan::Places(next.places)
        } else {
            Plan::Blocks(next.blocks)
        };
        true
    }

    /// All events from one position to another are read, or as many as are wanted.
    fn whole_stretch(&mut self, from: u64, until: u64) {
        self.stretches += 1;
        let events = (until - from + 1).min(self.left);
        self.shared.scanned.fetch_add(events, Ordering::Relaxed);
    }

    /// The positions of a part that are still wanted.
    fn stretch(&self, first: u64, last: u64) -> (u64, u64) {
        (self.from.max(first), self.until.min(last))
    }

    /// The positions from one to another are planned.
    fn past(&mut self, from: u64, until: u64) {
        if self.options.backward {
            self.until = from - 1;
        } else {
            self.from = until + 1;
        }
    }

    fn plan_sealed(&mut self, sealed: &Arc<Sealed>, seed: u64, at: u64) -> Result<()> {
        let nowhere = || self.damaged(at, "neither the journal nor a sealed segment holds it");
        let segment = sealed.segment_of(self.topic_id, at).ok_or_else(nowhere)?;
        let section = segment.section(Source(self.topic_id)).ok_or_else(nowhere)?;
        let (mut from, mut until) = self.stretch(section.first, section.last());
        // A stream is read from the run anyway.
        let items = &self.options.query.items;
        let of_stream = matches!(&items[..], [item] if item.subjects.len() == 1);
        if segment.file.blob().is_some()
            && !of_stream
            && let Some(run) = sealed.run_of(self.topic_id, at)
            && let Some(places) = run.small_topic(self.topic_id)?
            && let (Some((first, _)), Some((last, _))) = (places.first(), places.last())
        {
            // The archive isn't needed.
            let (from, until) = self.stretch(*first, *last);
            let wanted = places.iter().filter(|p| (from..=until).contains(&p.0));
            let mut ordinals: Vec<u64> = wanted.map(|(_, ordinal)| *ordinal).collect();
            if !self.options.backward {
                ordinals.reverse();
            }
            self.plan = Plan::Ordinals(run.clone(), ordinals);
            self.past(from, until);
            return Ok(());
        }
        if !self.options.query.is_all()
            && let Some(run) = sealed.run_of(self.topic_id, at)
            && let Some(covered) = run.covered(self.topic_id)
        {
            let (mut from, mut until) = self.stretch(covered.first, covered.last);
            let one_stream =
                matches!(&self.options.query.items[..], [item] if item.subjects.len() == 1);
            if !one_stream && self.options.backward {
                from = from.max(until.saturating_sub(WINDOW - 1));
            } else if !one_stream {
                until = until.min(from + WINDOW - 1);
            }
            let query = &self.options.query;
            let plan = match run.candidates(self.topic_id, query, (from, until), seed)? {
                Candidates::All => None,
                Candidates::Positions(mut positions) => {
                    if !self.options.backward {
                        positions.reverse();
                    }
                    Some(Plan::Picks(sealed.clone(), positions))
                }
                Candidates::Stream(ordinals) => {
                    let Range { mut start, mut end } = ordinals;
                    if from > covered.first {
                        start = run.partition(start, end, |frame, _| frame.position < from)?;
                    }
                    if until < covered.last {
                        end = run.partition(start, end, |frame, _| {
                            frame.position <= until - u64::from(bugs::on(Bug::StreamBoundExclusive))
                        })?;
                    }
                    // Who wants a few only, mostly finds them in one block.
                    if self.left > FEW {
                        run.fetch(&(start..end), self.options.backward)?;
                    }
                    Some(Plan::Stream(run.clone(), start..end))
                }
            };
            if let Some(plan) = plan {
                self.plan = plan;
                self.past(from, until);
                return Ok(());
            }
        }
        let times = (self.options.time_from, self.options.time_until);
        if times != (None, None) {
            let backward = self.options.backward;
            match segment.zone(section, at, backward, times)? {
                // What lies between is outside the span of time.
                Some((first, last)) => (from, until) = (from.max(first), until.min(last)),
                None => {
                    self.plan = Plan::Nothing;
                    self.past(from, until);
                    return Ok(());
                }
            }
        }
        let all = self.options.query.is_all() && times == (None, None);
        if all && !self.options.backward && segment.file.blob().is_none() {
            until = until.min(from + PLACES_AT_ONCE - 1);
            self.whole_stretch(from, until);
        }
        self.plan = Plan::Sealed(segment.clone(), from, until);
        self.past(from, until);
        Ok(())
    }

    /// Brings a frame of the journal into reach.
    fn load(&mut self, position: u64, place: Place) -> Result<Held> {
        if self.picking
            && let Some((page, from)) = self.shared.journal.page(place)?
            && let Some(length) = page.bytes.get(from..).and_then(Frame::claimed_bytes)
            && from + length <= page.bytes.len()
        {
            return Ok(Held::Page(page, from..from + length));
        }
        self.load_window(position, place).map(Held::Window)
    }

    /// Brings a frame of the journal into the window; gives where it lies there.
    fn load_window(&mut self, position: u64, place: Place) -> Result<Range<usize>> {
        if let Some(frame) = self.window.frame(place) {
            return Ok(frame);
        }
        // Going backward, what is read next lies before.
        let back = if self.options.backward && !self.picking {
            (place.0 & ((1 << 40) - 1)).min((self.chunk * 3 / 4) as u64)
        } else {
            0
        };
        let (mut back, mut wanted) = (back, self.chunk);
        loop {
            let journal = &*self.shared.journal;
            self.window.fill(journal, Place(place.0 - back), wanted)?;
            if let Some(frame) = self.window.frame(place) {
                self.check_from(place);
                return Ok(frame);
            }
            let from = back as usize;
            let claimed = self.window.bytes().get(from..);
            match claimed.and_then(Frame::claimed_bytes) {
                Some(length) if from + length > wanted && length <= COMMIT_BYTES => {
                    wanted = from + length;
                }
                // A journal may end a read where what lies together ends, before the frame.
                _ if back > 0 => back = 0,
                _ => return Err(self.damaged(position, "a frame is cut short")),
            }
        }
    }

    /// Checks the frame at a place and those of the plan behind it, as far as they lie in the window,
    /// and no more than may be wanted.
    fn check_from(&mut self, place: Place) {
        let planned: &[_] = match &self.plan {
            Plan::Places(places) => places,
            _ => &[],
        };
        let planned = planned.iter().rev().map(|(_, place)| *place);
        let wanted = std::iter::once(place).chain(planned).zip(0..self.left);
        self.window.check(wanted.map(|(place, _)| place));
    }

    /// The bytes of the present frame.
    fn held(&self) -> &[u8] {
        let bytes = match &self.held {
            Held::Window(range) => self.window.bytes().get(range.clone()),
            Held::Page(page, range) => page.bytes.get(range.clone()),
            Held::Piece(piece, index) => piece.frame(*index),
        };
        bytes.unwrap_or(&[])
    }

    #[inline(always)]
    fn decode(&self, position: u64, checked: bool) -> Result<EventRef<'_>> {
        let here = |error: Error| {
            error.context(format_args!(
                "position {position} of topic {:?}",
                self.topic
            ))
        };
        let checked = checked
            || match &self.held {
                Held::Window(frame) => self.window.is_sound(frame),
                Held::Page(..) => false,
                // A sealed block has a checksum of its own.
                Held::Piece(..) => true,
            };
        let read = if checked {
            Frame::unchecked
        } else {
            Frame::read
        };
        let frame = read(self.held()).map_err(here)?;
        let same = frame.kind == FrameKind::Event
            && (frame.topic, frame.position) == (self.topic_id, position);
        if !same {
            return Err(self.damaged(position, "another frame lies where this event must"));
        }
        EventRef::read(&frame).map_err(here)
    }

    fn damaged(&self, position: u64, what: &str) -> Error {
        let message = format!("position {position} of topic {:?}: {what}", self.topic);
        Error::new(ErrorKind::Damaged, message)
    }
}

/// Holds a frame of a run; gives its position.
fn hold_ordinal(held: &mut Held, run: &Run, ordinal: u64) -> Result<u64> {
    let (piece, index) = run.block(ordinal, true)?;
    let position = piece.frame(index).and_then(Frame::claimed_place);
    *held = Held::Piece(piece, index);
    Ok(position.map_or(0, |(_, position)| position))
}

/// Holds a frame of a sealed segment; the block at hand is used as long as it serves.
fn hold(held: &mut Held, segment: &SealedSegment, topic: u32, position: u64) -> Result<()> {
    if let Held::Piece(piece, index) = held {
        for near in [index.wrapping_add(1), index.wrapping_sub(1)] {
            let there = piece.frame(near).and_then(Frame::claimed_place);
            if there == Some((topic, position)) {
                *index = near;
                return Ok(());
            }
        }
    }
    let section = segment.section(Source(topic)).ok_or_else(|| {
        segment.file.damage(
            0,
            format_args!("it holds no position {position} of topic {topic}"),
        )
    })?;
    let (piece, index) = segment.block(section, position, true)?;
    *held = Held::Piece(piece, index);
    Ok(())
}
