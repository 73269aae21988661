use foretell_state::{Definition, KeyState, Row, Stamp, decode_rows};
use foretell_types::Result;

use crate::entry::Entry;
use crate::known::{Known, Span};
use crate::store::View;

/// A question for a state: what was true at `at`, as it was known by `known`.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Event times up to and including this one, in nanoseconds since the epoch.
    pub at: Option<i64>,
    pub known: Known,
}

impl Ask {
    /// The last stamp that can matter.
    fn until(&self) -> Stamp {
        Stamp {
            time: self.at.unwrap_or(i64::MAX),
            topic: u32::MAX,
            position: u64::MAX,
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
    let stored = match entry.head.in_blocks {
        0 => Vec::new(),
        _ => view.spans(key)?,
    };
    let unstored = entry.blocks.iter().map(|(first, span, _)| (*first, span));
    let spans: Vec<(u64, &Span)> = stored
        .iter()
        .map(|(first, span)| (*first, span))
        .chain(unstored)
        .chain(
            entry
                .head
                .tail
                .as_ref()
                .map(|span| (entry.head.in_blocks, span)),
        )
        .collect();
    let unseen = |seen: u64, last: Stamp| {
        Ok(spans
            .iter()
            .filter(|(first, _)| *first >= seen)
            .all(|(_, span)| span.stamps.0 > last || known.covers_none(span)))
    };
    let snapshot = match entry.head.snapshot {
        0 => None,
        _ => view.snapshot_for(definition, key, until, known, &unseen)?,
    };
    let after = snapshot.as_ref().and_then(KeyState::last);
    let mut rows: Vec<Row> = Vec::new();
    for (first, span) in &spans {
        let needed = after.is_none_or(|after| span.stamps.1 > after)
            && span.stamps.0 <= until
            && !known.covers_none(span);
        if !needed {
            continue;
        }
        if *first == entry.head.in_blocks {
            decode_rows(&entry.tail, &mut rows)?;
        } else if let Some((.., block)) = entry.blocks.iter().find(|(at, ..)| at == first) {
            decode_rows(block, &mut rows)?;
        } else {
            view.rows(key, *first, &mut rows)?;
        }
    }
    let any_known = snapshot.is_some() || any_known(&spans, known, &rows, entry, view, key)?;
    rows.retain(|row| {
        row.stamp <= until && after.is_none_or(|after| row.stamp > after) && known.covers(row)
    });
    rows.sort_unstable_by_key(|row| row.stamp);
    let mut state = snapshot.unwrap_or_else(|| KeyState::new(definition));
    let mut inputs = vec![foretell_state::Scalar::Null; definition.inputs.len()];
    for row in rows {
        for (index, value) in kept.iter().zip(row.inputs) {
            inputs[*index] = value;
        }
        state.lift(definition, row.stamp, &inputs);
    }
    Ok((state, any_known))
}

/// Whether any row is known, also one that lies after the question.
fn any_known(
    spans: &[(u64, &Span)],
    known: &Known,
    rows: &[Row],
    entry: &Entry,
    view: &View,
    key: &str,
) -> Result<bool> {
    if rows.iter().any(|row| known.covers(row)) {
        return Ok(true);
    }
    for (first, span) in spans {
        if known.covers_all(span) {
            return Ok(true);
        }
        if known.covers_none(span) {
            continue;
        }
        let mut block = Vec::new();
        if *first == entry.head.in_blocks {
            decode_rows(&entry.tail, &mut block)?;
        } else if let Some((.., rows)) = entry.blocks.iter().find(|(at, ..)| at == first) {
            decode_rows(rows, &mut block)?;
        } else {
            view.rows(key, *first, &mut block)?;
        }
        if block.iter().any(|row| known.covers(row)) {
            return Ok(true);
        }
    }
    Ok(false)
}
