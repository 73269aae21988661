use foretell_state::Row;
use serde::{Deserialize, Serialize};

/// What is known to the one who asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Known {
    /// All that is folded.
    #[default]
    Head,
    /// Events whose known time is at or before this one, in nanoseconds since the epoch.
    Time(i64),
    /// Events up to and including these positions, by topic as the definition orders them.
    Positions(Vec<u64>),
}

impl Known {
    pub(crate) fn covers(&self, row: &Row) -> bool {
        match self {
            Known::Head => true,
            Known::Time(time) => row.known <= *time,
            Known::Positions(positions) => positions
                .get(row.stamp.topic as usize)
                .is_some_and(|position| row.stamp.position <= *position),
        }
    }

    /// Whether it covers every row of a span.
    pub(crate) fn covers_all(&self, span: &Span) -> bool {
        match self {
            Known::Head => true,
            Known::Time(time) => span.known.1 <= *time,
            Known::Positions(positions) => span.positions.iter().all(|(topic, _, last)| {
                positions
                    .get(*topic as usize)
                    .is_some_and(|position| last <= position)
            }),
        }
    }

    /// Whether it covers no row of a span.
    pub(crate) fn covers_none(&self, span: &Span) -> bool {
        match self {
            Known::Head => false,
            Known::Time(time) => span.known.0 > *time,
            Known::Positions(positions) => span.positions.iter().all(|(topic, first, _)| {
                positions
                    .get(*topic as usize)
                    .is_none_or(|position| first > position)
            }),
        }
    }
}

/// What some rows of a history lie between.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) rows: u64,
    pub(crate) stamps: (foretell_state::Stamp, foretell_state::Stamp),
    pub(crate) known: (i64, i64),
    /// By topic: the first and the last position.
    pub(crate) positions: Vec<(u32, u64, u64)>,
}

impl Span {
    pub(crate) fn of(stamp: foretell_state::Stamp, known: i64) -> Span {
        Span {
            rows: 1,
            stamps: (stamp, stamp),
            known: (known, known),
            positions: vec![(stamp.topic, stamp.position, stamp.position)],
        }
    }

    pub(crate) fn extend(&mut self, other: &Span) {
        self.rows += other.rows;
        self.stamps.0 = self.stamps.0.min(other.stamps.0);
        self.stamps.1 = self.stamps.1.max(other.stamps.1);
        self.known.0 = self.known.0.min(other.known.0);
        self.known.1 = self.known.1.max(other.known.1);
        for (topic, first, last) in &other.positions {
            match self.positions.iter_mut().find(|(of, ..)| of == topic) {
                Some((_, from, until)) => {
                    *from = (*from).min(*first);
                    *until = (*until).max(*last);
                }
                None => self.positions.push((*topic, *first, *last)),
            }
        }
    }
}

pub(crate) fn extend(span: &mut Option<Span>, other: &Span) {
    match span {
        Some(span) => span.extend(other),
        None => *span = Some(other.clone()),
    }
}
