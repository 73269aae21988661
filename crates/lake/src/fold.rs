//! The columns of a dataset: the aggregates of a plan at each of some instants.

use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::ArrayRef;
use foretell_types::Result;

use crate::asks::{Asked, Asks};
use crate::group::Group;
use crate::key::{KeyIndex, Numbering, is_integer_key};
use crate::piece::{Partitions, Piece};
use crate::source::Source;
use crate::sweep::{Feature, sweep};
use crate::threads::spread;
use crate::values::Values;

/// Aggregates that are asked for at an instant for each row.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) features: &'a [Feature],
    pub(crate) times: &'a [i64],
    pub(crate) known: Knows<'a>,
}

/// What may be known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Knows<'a> {
    /// What was known at the instants.
    Then,
    /// Everything.
    All,
    /// Bounds in the unit of the events' known times.
    Until(&'a [i64]),
}

impl Knows<'_> {
    pub(crate) fn bound(self, row: usize, time: i64) -> i64 {
        match self {
            Knows::Then => time,
            Knows::All => i64::MAX,
            Knows::Until(bounds) => bounds[row],
        }
    }
}

/// The aggregates, partition by partition.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// For each part the rows that it holds, and for each feature its values at these.
    pub(crate) parts: Vec<(Vec<u32>, Vec<Values>)>,
}

/// How work is spread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    pub(crate) threads: usize,
    /// Bytes of memory that events may take.
    pub(crate) memory: u64,
}

/// Tells how far the work is: what is being done, what is done of it, what there is of it. Fails
/// if the work is to be broken off.
pub type Progress<'a> = dyn Fn(&str, u64, u64) -> Result<()> + Sync + 'a;

/// Folds the events of a source for some questions about the same rows, whose keys stand in a
/// column. Events that don't fit into memory at once are read several times, each time for some
/// of the keys.
pub(crate) fn fold(
    source: &Source,
    keys: &ArrayRef,
    questions: &[Question<'_>],
    means: Means,
    progress: &Progress<'_>,
) -> Result<Vec<Folded>> {
    let as_text = source.has_text_keys() || !is_integer_key(keys.data_type());
    let index = KeyIndex::of(std::slice::from_ref(keys), as_text)?;
    let partitions = Partitions::of(source.rows());
    let numbers = Numbering::new(&index).numbers(keys)?;
    let asked: Vec<Asked> = questions
        .iter()
        .map(|question| Asked::spread(question, &numbers, index.len() as u32, partitions))
        .collect();
    let passes = (source.rows() * source.event_bytes())
        .div_ceil(means.memory.max(1))
        .clamp(1, partitions.count() as u64) as usize;
    let keys = partitions.keys(index.len());
    let total = source.rows() * passes as u64;
    let read = AtomicU64::new(0);
    let mut folded: Vec<Folded> = questions.iter().map(|_| Folded::default()).collect();
    for pass in 0..passes {
        let pieces = spread(means.threads, source.tasks(), |task| {
            let mut pieces = Vec::new();
            source.read(task, &index, &mut |events| {
                pieces.push(Piece::sort(events, partitions, |partition| {
                    partition % passes == pass
                }));
            })?;
            let rows = source.rows_of(task);
            let done = read.fetch_add(rows, Ordering::Relaxed) + rows;
            progress("reading events", done, total)?;
            Ok(pieces)
        })?;
        let pieces: Vec<Piece> = pieces.into_iter().flatten().collect();
        let mine: Vec<usize> = (pass..partitions.count()).step_by(passes).collect();
        let parts = spread(means.threads, mine.len(), |index| {
            let partition = mine[index];
            if asked.iter().all(|asked| asked.parts[partition].is_empty()) {
                return Ok(Vec::new());
            }
            let group = Group::gather(&pieces, partition, keys, source.arguments());
            let of = |(question, asked): (&Question<'_>, &Asked)| {
                let asks = Asks::sort(&asked.parts[partition], keys);
                let values = sweep(question.features, &group, &asks)?;
                Ok((asks.rows, values))
            };
            let values = questions.iter().zip(&asked).map(of);
            let values = values.collect::<Result<Vec<_>>>()?;
            progress("folding", index as u64 + 1, mine.len() as u64)?;
            Ok(values)
        })?;
        for part in parts {
            for (folded, part) in folded.iter_mut().zip(part) {
                folded.parts.push(part);
            }
        }
    }
    Ok(folded)
}
