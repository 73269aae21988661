//! A Merkle mountain range: the append-only tree over all frames of a journal.
//! Source: Peter Todd, "Merkle Mountain Ranges" (OpenTimestamps documentation).

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use foretell_types::{Error, ErrorKind, Result};

use crate::codec::{FRAME_HEADER, Frame, Take, put_varint};
use crate::hashes::{self, Digest};

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

/// What a log held: the root over so many frames, its first ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootAt {
    pub leaves: u64,
    pub root: Hash,
}

impl RootAt {
    /// Whether a log holds this still, by the root over as many frames of it.
    pub(crate) fn check(&self, root: Hash) -> Result<()> {
        if root == self.root {
            return Ok(());
        }
        let message = format!(
            "the log does not hold what it held: the root over its first {} frames is {root}, and was {}",
            self.leaves, self.root
        );
        Err(Error::new(ErrorKind::Damaged, message))
    }

    /// Nothing of the log ends after so many frames.
    pub(crate) fn missing(&self, leaves: u64) -> Error {
        let message = format!(
            "the log never had the root {} over {} frames: it has {leaves}, and no append ended there",
            self.root, self.leaves
        );
        Error::new(ErrorKind::Damaged, message)
    }
}

/// The peaks of the range. Leaf `i` is the hash of frame `i` of the journal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MountainRange {
    leaves: u64,
    /// The roots of perfect trees, the tallest first: one for each set bit of `leaves`.
    peaks: Vec<Digest>,
}

impl MountainRange {
    /// Adds leaves.
    pub fn extend(&mut self, leaves: Vec<Digest>) {
        self.extend_noting(leaves, &mut |_, _, _| {});
    }

    /// As [`MountainRange::extend`]; `note` is told height, index and hash of each node above the
    /// leaves that they complete.
    pub fn extend_noting(&mut self, leaves: Vec<Digest>, note: &mut dyn FnMut(u32, u64, &Digest)) {
        let mut before = self.leaves;
        self.leaves += leaves.len() as u64;
        // Of one height, and behind the peaks that are taller.
        let (mut nodes, mut height) = (leaves, 0);
        let mut ends = Vec::new();
        while !nodes.is_empty() {
            if before & 1 == 1
                && let Some(peak) = self.peaks.pop()
            {
                nodes.insert(0, peak);
                before -= 1;
            }
            if nodes.len() % 2 == 1 {
                ends.extend(nodes.pop());
            }
            let pairs: Vec<_> = nodes.as_chunks().0.iter().map(block).collect();
            nodes = hashes::of_blocks(&KEYS.node, &pairs);
            (before, height) = (before >> 1, height + 1);
            for (index, node) in (before..).zip(&nodes) {
                note(height, index, node);
            }
        }
        self.peaks.extend(ends.into_iter().rev());
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
    pub fn of_peaks(leaves: u64, peaks: Vec<Digest>) -> Option<MountainRange> {
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

/// The leaves of frames, given the digests of their bodies. A leaf is
/// the hash of the header without length and checksum, and of the digest.
pub(crate) fn leaves_of<'a>(
    frames: impl Iterator<Item = (&'a [u8; FRAME_HEADER], Digest)>,
) -> Vec<Digest> {
    let texts = frames.map(|(header, digest)| {
        let mut text = [0; 64];
        text[..32].copy_from_slice(&header[8..]);
        text[32..].copy_from_slice(&digest);
        text
    });
    hashes::of_blocks(&KEYS.leaf, &texts.collect::<Vec<_>>())
}

/// The leaves of whole frames.
pub(crate) fn leaves(frames: &[Frame<'_>]) -> Vec<Digest> {
    let bodies: Vec<_> = frames.iter().map(|frame| frame.body).collect();
    let digests = hashes::of_texts(&bodies);
    let headers = frames.iter().map(|frame| {
        let header = frame.bytes.first_chunk();
        header.unwrap_or(&[0; FRAME_HEADER])
    });
    leaves_of(headers.zip(digests))
}

/// The leaf of one.
pub(crate) fn leaf(frame: &Frame<'_>) -> Digest {
    leaves(std::slice::from_ref(frame))[0]
}

pub(crate) fn join(left: &Digest, right: &Digest) -> Digest {
    *blake3::keyed_hash(&KEYS.node, &block(&[*left, *right])).as_bytes()
}

/// What a node is the hash of.
fn block(pair: &[Digest; 2]) -> [u8; 64] {
    let mut text = [0; 64];
    text[..32].copy_from_slice(&pair[0]);
    text[32..].copy_from_slice(&pair[1]);
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The root by definition: perfect trees over the binary digits of the count, then bagged.
    fn plain_root(leaves: &[Digest]) -> Digest {
        fn tree(leaves: &[Digest]) -> Digest {
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
        let leaf = |index: u64| *blake3::hash(&index.to_le_bytes()).as_bytes();
        let mut range = MountainRange::default();
        assert_eq!(range.root(), [0; 32]);
        let (mut leaves, mut noted) = (Vec::new(), BTreeMap::new());
        // As many at a time as there are digits in any pattern.
        for count in (0..70).chain([300, 0, 1, 511, 1, 64]) {
            let more: Vec<_> = (0..count).map(|n| leaf(leaves.len() as u64 + n)).collect();
            leaves.extend_from_slice(&more);
            range.extend_noting(more, &mut |height, index, node| {
                assert!(noted.insert((height, index), *node).is_none());
            });
            assert_eq!(range.leaves(), leaves.len() as u64);
            if !leaves.is_empty() {
                assert_eq!(range.root(), plain_root(&leaves));
            }
        }
        for height in 1..12 {
            for index in 0..leaves.len() as u64 >> height {
                let below = |index| match height {
                    1 => leaves[index as usize],
                    _ => noted[&(height - 1, index)],
                };
                let expected = join(&below(index * 2), &below(index * 2 + 1));
                assert_eq!(noted.remove(&(height, index)), Some(expected));
                noted.insert((height, index), expected);
            }
        }
        let full = (1..64).map(|height| leaves.len() >> height).sum::<usize>();
        assert_eq!(noted.len(), full);
    }
}
