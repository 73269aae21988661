//! A Merkle mountain range: the append-only tree over all frames of a journal.
//! Source: Peter Todd, "Merkle Mountain Ranges" (OpenTimestamps documentation).

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use foretell_types::{Error, Result};

use crate::codec::{FRAME_HEADER, Frame, Take, put_varint};

/// A hash of the tree: 32 bytes of BLAKE3, as text in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl FromStr for Hash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Hash> {
        let hash = blake3::Hash::from_hex(text);
        hash.map(|hash| Hash(*hash.as_bytes())).map_err(|_| {
            Error::invalid(format!(
                "{text:?} is no hash: 64 hexadecimal digits are expected"
            ))
        })
    }
}

/// The peaks of the range. Leaf `i` is the hash of frame `i` of the journal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MountainRange {
    leaves: u64,
    /// The roots of perfect trees, the tallest first: one for each set bit of `leaves`.
    peaks: Vec<[u8; 32]>,
}

impl MountainRange {
    pub fn push(&mut self, leaf: [u8; 32]) {
        self.push_noting(leaf, &mut |_, _, _| {});
    }

    /// As [`MountainRange::push`]; `note` is told height, index and hash of each node above the
    /// leaf that it completes.
    pub fn push_noting(&mut self, leaf: [u8; 32], note: &mut dyn FnMut(u32, u64, &[u8; 32])) {
        let mut node = leaf;
        for height in 1..=self.leaves.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = join(&left, &node);
                note(height, self.leaves >> height, &node);
            }
        }
        self.peaks.push(node);
        self.leaves += 1;
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.leaves);
        for peak in &self.peaks {
            out.extend_from_slice(peak);
        }
    }

    pub fn take(take: &mut Take<'_>) -> Option<MountainRange> {
        let leaves = take.varint()?;
        let peaks = (0..leaves.count_ones())
            .map(|_| take.array())
            .collect::<Option<_>>()?;
        Some(MountainRange { leaves, peaks })
    }

    /// Of a range whose peaks are known: as many as the number of leaves has bits.
    pub fn of_peaks(leaves: u64, peaks: Vec<[u8; 32]>) -> Option<MountainRange> {
        let sound = leaves.count_ones() as usize == peaks.len();
        sound.then_some(MountainRange { leaves, peaks })
    }

    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    pub fn peaks(&self) -> &[[u8; 32]] {
        &self.peaks
    }

    /// The mountain that a leaf is part of: which of the peaks, and its height.
    pub fn mountain(&self, leaf: u64) -> Option<(usize, u32)> {
        let (mut begin, mut peak) = (0, 0);
        for height in (0..u64::BITS).rev().filter(|h| self.leaves >> h & 1 == 1) {
            begin += 1 << height;
            if leaf < begin {
                return Some((peak, height));
            }
            peak += 1;
        }
        None
    }

    /// The hash that stands for everything so far: the peaks joined from the right, with the
    /// number of leaves. 32 zero bytes before the first leaf.
    pub fn root(&self) -> [u8; 32] {
        let Some((last, rest)) = self.peaks.split_last() else {
            return [0; 32];
        };
        let bagged = rest
            .iter()
            .rev()
            .fold(*last, |right, left| join(left, &right));
        let mut text = [0; 40];
        text[..8].copy_from_slice(&self.leaves.to_le_bytes());
        text[8..].copy_from_slice(&bagged);
        *blake3::keyed_hash(&KEYS.root, &text).as_bytes()
    }
}

/// Keys tell leaves, nodes and roots apart, and let each of the first two be one block of BLAKE3.
struct Keys {
    leaf: [u8; 32],
    node: [u8; 32],
    root: [u8; 32],
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let key = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
    Keys {
        leaf: key("foretell leaf 1"),
        node: key("foretell node 1"),
        root: key("foretell root 1"),
    }
});

/// The hash of a frame's body, which who appends computes.
pub(crate) fn digest(body: &[u8]) -> [u8; 32] {
    *blake3::hash(body).as_bytes()
}

/// The leaf of a frame: its header without length and checksum, and the digest of its body.
pub(crate) fn leaf_of(header: &[u8; FRAME_HEADER], digest: &[u8; 32]) -> [u8; 32] {
    let mut text = [0; 64];
    text[..32].copy_from_slice(&header[8..]);
    text[32..].copy_from_slice(digest);
    *blake3::keyed_hash(&KEYS.leaf, &text).as_bytes()
}

/// The leaf of a whole frame.
pub(crate) fn leaf(frame: &Frame<'_>) -> [u8; 32] {
    let header = frame.bytes.first_chunk().unwrap_or(&[0; FRAME_HEADER]);
    leaf_of(header, &digest(frame.body))
}

pub(crate) fn join(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut text = [0; 64];
    text[..32].copy_from_slice(left);
    text[32..].copy_from_slice(right);
    *blake3::keyed_hash(&KEYS.node, &text).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root by definition: perfect trees over the binary digits of the count, then bagged.
    fn plain_root(leaves: &[[u8; 32]]) -> [u8; 32] {
        fn tree(leaves: &[[u8; 32]]) -> [u8; 32] {
            match leaves {
                [leaf] => *leaf,
                _ => {
                    let (left, right) = leaves.split_at(leaves.len() / 2);
                    join(&tree(left), &tree(right))
                }
            }
        }
        let (mut rest, mut peaks) = (leaves, Vec::new());
        while !rest.is_empty() {
            let (mountain, after) = rest.split_at(1 << rest.len().ilog2());
            peaks.push(tree(mountain));
            rest = after;
        }
        let bagged = peaks
            .iter()
            .copied()
            .rev()
            .reduce(|right, left| join(&left, &right));
        let text = [&(leaves.len() as u64).to_le_bytes()[..], &bagged.unwrap()].concat();
        *blake3::keyed_hash(&KEYS.root, &text).as_bytes()
    }

    #[test]
    fn equals_the_definition() {
        let mut range = MountainRange::default();
        assert_eq!(range.root(), [0; 32]);
        let mut leaves = Vec::new();
        for index in 0..70u8 {
            leaves.push(*blake3::hash(&[index]).as_bytes());
            range.push(leaves[leaves.len() - 1]);
            assert_eq!(range.root(), plain_root(&leaves));
        }
    }
}
