use foretell_types::{Position, RecordedEvent, Result, Revision};
use serde_json::value::RawValue;

use crate::{Merge, Moment, Projection};

/// The state of a subject at a [`Moment`].
#[derive(Clone, Debug)]
pub struct State {
    /// The largest position folded; `None` if no event was.
    pub position: Option<Position>,
    /// The revision of the event at `position`.
    pub revision: Option<Revision>,
    /// JSON text: keys are sorted, numbers stand as they were written.
    pub value: Box<RawValue>,
    /// How many events were folded.
    pub events: u64,
    /// Whether any event was known, also one that had not happened yet. If not, the subject is
    /// unknown, as opposed to null.
    pub known: bool,
}

/// A fold in progress: events are pushed in any order, each once.
#[derive(Clone, Debug)]
pub struct Fold<P = Merge> {
    moment: Moment,
    projection: P,
    last: Option<(Position, Option<Revision>)>,
    events: u64,
    known: bool,
}

impl Fold {
    /// A fold by the `merge` projection.
    pub fn new(moment: Moment) -> Fold {
        Fold::with(Merge::default(), moment)
    }
}

impl<P: Projection> Fold<P> {
    /// A fold by the projection, which has folded nothing yet.
    pub fn with(projection: P, moment: Moment) -> Fold<P> {
        Fold {
            moment,
            projection,
            last: None,
            events: 0,
            known: false,
        }
    }

    /// Folds the event, if it had happened and was known.
    pub fn push(&mut self, event: &RecordedEvent) -> Result<()> {
        if !self.moment.knows(event) {
            return Ok(());
        }
        self.known = true;
        if !self.moment.covers(event) {
            return Ok(());
        }
        self.projection.fold(event)?;
        self.events += 1;
        // Positions differ, so the revision never decides.
        self.last = self.last.max(Some((event.position, event.revision)));
        Ok(())
    }

    pub fn finish(self) -> Result<State> {
        Ok(State {
            position: self.last.map(|(position, _)| position),
            revision: self.last.and_then(|(_, revision)| revision),
            value: self.projection.state()?,
            events: self.events,
            known: self.known,
        })
    }
}

/// Folds the events of a subject by the `merge` projection, one at a time: a pure function of
/// the events with event time ≤ `moment.at` that were known at `moment.known_at`, whatever order
/// they come in. Stops at the first error of the reader.
pub fn fold(
    events: impl IntoIterator<Item = Result<RecordedEvent>>,
    moment: Moment,
) -> Result<State> {
    let mut fold = Fold::new(moment);
    for event in events {
        fold.push(&event?)?;
    }
    fold.finish()
}
