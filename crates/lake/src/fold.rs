//! The columns of a dataset: the aggregates of a plan at each of some instants.

use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::ArrayRef;
use foretell_types::Result;

use crate::asks::{Asked, Asks};
use crate::group::Group;
use crate::key::KeyIndex;
use crate::piece::{Partitions, Piece};
use crate::plan::Plan;
use crate::source::Source;
use crate::sweep::sweep;
use crate::threads::spread;
use crate::values::Values;

/// The instants that are asked about, row by row.
#[derive(Debug)]
pub(crate) struct Instants {
    pub(crate) keys: ArrayRef,
    pub(crate) times: Vec<i64>,
    /// What may be known: a bound in the unit of the events' known times; `None`: the instants.
    pub(crate) known: Option<Vec<i64>>,
}

/// The aggregates, partition by partition.
#[derive(Debug)]
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

/// Folds the events of a source as of the instants. Events that don't fit into memory at once are
/// read several times, each time for some of the keys.
pub(crate) fn fold(
    source: &Source,
    plan: &Plan,
    instants: &Instants,
    means: Means,
    progress: &Progress<'_>,
) -> Result<Folded> {
    let as_text = source.has_text_keys() || !instants.keys.data_type().is_integer();
    let index = KeyIndex::of(std::slice::from_ref(&instants.keys), as_text)?;
    let partitions = Partitions::of(source.rows());
    let numbers = index.numbers(&instants.keys)?;
    let asked = Asked::spread(instants, &numbers, index.len() as u32, partitions);
    let passes = (source.rows() * source.event_bytes())
        .div_ceil(means.memory.max(1))
        .clamp(1, partitions.count() as u64) as usize;
    let keys = partitions.keys(index.len());
    let total = source.rows() * passes as u64;
    let read = AtomicU64::new(0);
    let mut parts = Vec::with_capacity(partitions.count());
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
        parts.extend(spread(means.threads, mine.len(), |index| {
            let partition = mine[index];
            let asks = Asks::sort(&asked.parts[partition], keys);
            if asks.times.is_empty() {
                return Ok((Vec::new(), Vec::new()));
            }
            let group = Group::gather(&pieces, partition, keys, plan.arguments.len());
            let values = sweep(&plan.features, &group, &asks);
            progress("folding", index as u64 + 1, mine.len() as u64)?;
            Ok((asks.rows, values))
        })?);
    }
    parts.retain(|(rows, _)| !rows.is_empty());
    Ok(Folded { parts })
}
