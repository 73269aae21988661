use foretell_state::{Definition, KeyState, Row, Stamp, decode_rows};
use foretell_types::Result;

use crate::entry::Entry;
use crate::known::{Known, Span};
use crate::store::View;

/// About what a row of a history takes.
const ROW_BYTES: u64 = 32;
/// A state that is no larger costs little to keep.
const SMALL: u64 = 64 * 1024;

/// A question for a state: what was true at `at`, as it was known by `known`.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Event times up to and including this one, in nanoseconds since the epoch.
    pub at: Option<i64>,
    pub known: Known,
    /// Where windows end, if no time is asked for: else at the frontier.
    pub as_of: Option<i64>,
}

impl Ask {
    /// The last stamp that can matter.
    fn until(&self) -> Stamp {
        Stamp {
            time: self.at.unwrap_or(i64::MAX),
            ..Stamp::MAX
        }
    }
}

/// The state that an entry answers with, in the store as it was when the entry was taken. Whether
/// anything was known stands beside it.
pub(crate) fn answer(
    definition: &Definition,
    kept: &[usize],
    view: &View,
    key: &str,
    entry: &Entry,
    ask: &Ask,
) -> Result<(KeyState, bool)> {
    let whole = entry.head.whole();
    let until = ask.until();
    if !entry.head.late
        && whole.is_some_and(|span| ask.known.covers_all(&span) && span.stamps.1 <= until)
    {
        return Ok((entry.state.clone(), true));
    }
    replay(definition, kept, view, key, entry, until, &ask.known)
}

/// Folds the rows up to a stamp that are known, from a snapshot if one serves.
pub(crate) fn replay(
    definition: &Definition,
    kept: &[usize],
    view: &View,
    key: &str,
    entry: &Entry,
    until: Stamp,
    known: &Known,
) -> Result<(KeyState, bool)> {
    let history = History::of(view, key, entry)?;
    let snapshot = history.snapshot(definition, until, known)?;
    let after = snapshot.as_ref().and_then(KeyState::last);
    let rows = history.rows(after, until, known)?;
    let any_known = snapshot.is_some() || !rows.is_empty() || history.is_known(known)?;
    let mut state = snapshot.unwrap_or_else(|| KeyState::new(definition));
    lift(definition, kept, rows, &mut state, &mut |_| {});
    Ok((state, any_known))
}

/// The states of a key after each so many rows, on from its last snapshot, up to a block that as
/// many lie behind.
pub(crate) fn snapshots(
    definition: &Definition,
    kept: &[usize],
    view: &View,
    key: &str,
    entry: &Entry,
    every: u64,
) -> Result<Vec<KeyState>> {
    let history = History::of(view, key, entry)?;
    let enough = |(first, _): &&(u64, Span)| first + every <= entry.head.in_blocks;
    let Some((_, block)) = history.blocks.iter().rev().find(enough) else {
        return Ok(Vec::new());
    };
    let until = Stamp {
        position: block.stamps.0.position.saturating_sub(1),
        ..block.stamps.0
    };
    let known = Known::Head;
    let last = history.snapshot(definition, until, &known)?;
    let rows = history.rows(last.as_ref().and_then(KeyState::last), until, &known)?;
    let mut state = last.unwrap_or_else(|| KeyState::new(definition));
    let (mut snapshots, mut since) = (Vec::new(), 0);
    lift(definition, kept, rows, &mut state, &mut |state| {
        since += 1;
        // A state with much in its windows is worth as much history.
        let is_due = |bytes: u64| bytes <= SMALL || bytes <= since * ROW_BYTES;
        if since % every == 0 && is_due(state.bytes() as u64) {
            snapshots.push(state.clone());
            since = 0;
        }
    });
    Ok(snapshots)
}

/// Folds rows in, and shows the state after each.
fn lift(
    definition: &Definition,
    kept: &[usize],
    rows: Vec<Row>,
    state: &mut KeyState,
    after_each: &mut dyn FnMut(&KeyState),
) {
    let mut inputs = vec![foretell_state::Scalar::Null; definition.inputs.len()];
    for row in rows {
        for (index, value) in kept.iter().zip(row.inputs) {
            inputs[*index] = value;
        }
        state.lift(definition, row.stamp, &inputs);
        after_each(state);
    }
}

/// All that an answer comes from.
pub(crate) fn rows(view: &View, key: &str, entry: &Entry, ask: &Ask) -> Result<Vec<Row>> {
    History::of(view, key, entry)?.rows(None, ask.until(), &ask.known)
}

/// The history of a key: blocks of rows, stored or not.
struct History<'a> {
    view: &'a View,
    key: &'a str,
    entry: &'a Entry,
    /// By the number of their first row.
    blocks: Vec<(u64, Span)>,
}

impl<'a> History<'a> {
    fn of(view: &'a View, key: &'a str, entry: &'a Entry) -> Result<History<'a>> {
        let mut blocks = match entry.head.in_blocks {
            0 => Vec::new(),
            _ => view.spans(key)?,
        };
        let unstored = entry.blocks.iter();
        blocks.extend(unstored.map(|(first, span, _)| (*first, span.clone())));
        let tail = entry.head.tail.clone();
        blocks.extend(tail.map(|span| (entry.head.in_blocks, span)));
        Ok(History {
            view,
            key,
            entry,
            blocks,
        })
    }

    /// The latest snapshot that serves.
    fn snapshot(
        &self,
        definition: &Definition,
        until: Stamp,
        known: &Known,
    ) -> Result<Option<KeyState>> {
        if self.entry.head.snapshot == 0 {
            return Ok(None);
        }
        let is_untouched = |seen, last| self.is_untouched(seen, last, known);
        self.view
            .snapshot_for(definition, self.key, until, known, &is_untouched)
    }

    fn read(&self, first: u64, rows: &mut Vec<Row>) -> Result<()> {
        if first == self.entry.head.in_blocks {
            return decode_rows(&self.entry.tail, rows);
        }
        match self.entry.blocks.iter().find(|(at, ..)| *at == first) {
            Some((.., block)) => decode_rows(block, rows),
            None => self.view.rows(self.key, first, rows),
        }
    }

    /// The known rows after one stamp and up to another, in their order.
    fn rows(&self, after: Option<Stamp>, until: Stamp, known: &Known) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (first, span) in &self.blocks {
            let needed = after.is_none_or(|after| span.stamps.1 > after)
                && span.stamps.0 <= until
                && !known.covers_none(span);
            if needed {
                self.read(*first, &mut rows)?;
            }
        }
        rows.retain(|row| {
            row.stamp <= until && after.is_none_or(|after| row.stamp > after) && known.covers(row)
        });
        rows.sort_unstable_by_key(|row| row.stamp);
        Ok(rows)
    }

    /// Whether no known row from a number on belongs at or before a stamp.
    fn is_untouched(&self, from: u64, last: Stamp, known: &Known) -> bool {
        let mut later = self.blocks.iter().filter(|(first, _)| *first >= from);
        later.all(|(_, span)| span.stamps.0 > last || known.covers_none(span))
    }

    /// Whether any row is known, also one that lies after the question.
    fn is_known(&self, known: &Known) -> Result<bool> {
        for (first, span) in &self.blocks {
            if known.covers_all(span) {
                return Ok(true);
            }
            if known.covers_none(span) {
                continue;
            }
            let mut rows = Vec::new();
            self.read(*first, &mut rows)?;
            if rows.iter().any(|row| known.covers(row)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
