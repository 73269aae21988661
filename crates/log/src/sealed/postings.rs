//! Ascending positions, packed. A list is made of pieces, each of which can be read alone:
//!
//! ```text
//! number of pieces, then for each its first position and its length, then the pieces:
//! differences from one position to the next
//! ```

use crate::bugs::{self, Bug};
use crate::codec::{Take, put_varint};

const PIECE: usize = 1_024;

/// Packs ascending positions.
pub(crate) fn pack(positions: &[u64]) -> Vec<u8> {
    let dropped = usize::from(bugs::on(Bug::PostingsDropLast) && positions.len() > 1);
    let positions = &positions[..positions.len() - dropped];
    let (mut head, mut body) = (Vec::new(), Vec::new());
    put_varint(&mut head, positions.len().div_ceil(PIECE) as u64);
    for piece in positions.chunks(PIECE) {
        let start = body.len();
        let mut before = piece[0];
        for position in &piece[1..] {
            put_varint(&mut body, position - before);
            before = *position;
        }
        put_varint(&mut head, piece[0]);
        put_varint(&mut head, (body.len() - start) as u64);
    }
    head.extend_from_slice(&body);
    head
}

type Piece<'a> = (u64, &'a [u8]);

fn pieces(packed: &[u8]) -> Option<Vec<Piece<'_>>> {
    let mut take = Take(packed);
    let count = take.count()?;
    let mut heads = Vec::with_capacity(count);
    for _ in 0..count {
        heads.push((take.varint()?, usize::try_from(take.varint()?).ok()?));
    }
    let pieces = heads
        .into_iter()
        .map(|(first, bytes)| Some((first, take.bytes(bytes)?)))
        .collect::<Option<_>>()?;
    take.is_empty().then_some(pieces)
}

/// Joins lists of which each begins behind the end of the one before.
pub(crate) fn join(lists: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for list in lists {
        all.extend(pieces(list)?);
    }
    let mut out = Vec::with_capacity(lists.iter().map(Vec::len).sum());
    put_varint(&mut out, all.len() as u64);
    for (first, bytes) in &all {
        put_varint(&mut out, *first);
        put_varint(&mut out, bytes.len() as u64);
    }
    for (_, bytes) in &all {
        out.extend_from_slice(bytes);
    }
    Some(out)
}

/// The positions from one to another, both inclusive; `None` if the list is malformed.
pub(crate) fn unpack(packed: &[u8], from: u64, until: u64) -> Option<Vec<u64>> {
    let pieces = pieces(packed)?;
    let begin = pieces
        .partition_point(|(first, _)| *first <= from)
        .saturating_sub(1);
    let mut positions = Vec::new();
    for (first, bytes) in &pieces[begin..] {
        let (mut at, mut take) = (*first, Take(bytes));
        loop {
            if at > until {
                return Some(positions);
            }
            if at >= from {
                positions.push(at);
            }
            if take.is_empty() {
                break;
            }
            at = at.checked_add(take.varint()?)?;
        }
    }
    Some(positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ascending() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::btree_set(1u64..20_000, 1..4_000)
            .prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn any_part_comes_back(positions in ascending(), from in 0u64..20_000, long in 0u64..5_000) {
            let packed = pack(&positions);
            let expected: Vec<u64> = positions
                .iter()
                .copied()
                .filter(|position| (from..=from + long).contains(position))
                .collect();
            prop_assert_eq!(unpack(&packed, from, from + long), Some(expected));
        }

        #[test]
        fn joined_lists_are_one(positions in ascending(), at in 1usize..100) {
            let at = at.min(positions.len());
            let (left, right) = positions.split_at(at);
            let lists: Vec<_> = [left, right].into_iter().filter(|l| !l.is_empty()).map(pack).collect();
            let joined = join(&lists).unwrap();
            prop_assert_eq!(unpack(&joined, 0, u64::MAX), Some(positions));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpack(&bytes, 0, u64::MAX);
            let _ = join(&[bytes]);
        }
    }
}
