//! The tall nodes of the hash tree, kept so that a proof need not hash the whole log again.

use crate::codec::{Take, put_varint};

/// Nodes of at least this height are kept: one for every 1,024 leaves, and those above them.
pub(crate) const KEPT_HEIGHT: u32 = 10;

/// Nodes by height and index: node `i` of height `h` covers the leaves from `i << h` on, `1 << h`
/// of them. A node is kept by what holds its last leaf.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Nodes(Vec<(u32, u64, [u8; 32])>);

impl Nodes {
    pub fn note(&mut self, height: u32, index: u64, node: &[u8; 32]) {
        if height >= KEPT_HEIGHT {
            self.0.push((height, index, *node));
        }
    }

    pub fn get(&self, height: u32, index: u64) -> Option<[u8; 32]> {
        self.0
            .iter()
            .find(|(h, i, _)| (*h, *i) == (height, index))
            .map(|(.., node)| *node)
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (height, index, node) in &self.0 {
            put_varint(out, u64::from(*height));
            put_varint(out, *index);
            out.extend_from_slice(node);
        }
    }

    pub fn take(take: &mut Take<'_>) -> Option<Nodes> {
        let mut nodes = Nodes::default();
        for _ in 0..take.count()? {
            let height = u32::try_from(take.varint()?).ok()?;
            nodes.0.push((height, take.varint()?, take.array()?));
        }
        Some(nodes)
    }
}
