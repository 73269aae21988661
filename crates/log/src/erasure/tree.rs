//! All keys of a log come from one secret, by a tree: the secret of a node gives those of its four
//! children, and a key is a leaf, found by a hash of topic, subject and generation. To destroy a
//! key, the nodes on the way to it are forgotten, and their other children kept in their place.
//! So no key has to be stored when it is first used, what is kept grows only with what was erased,
//! and nothing that is kept leads to an erased key.
//! Source: Goldreich, Goldwasser, Micali, "How to construct random functions" (1986), as a
//! puncturable pseudorandom function (Boneh and Waters, 2013).

use foretell_types::Result;
use zeroize::Zeroizing;

/// Two bits of the way are taken at each level.
const LEVELS: u8 = 48;
const CHILDREN: u8 = 4;

pub(super) type Secret = Zeroizing<[u8; 32]>;

/// The way to a leaf.
pub(super) type Label = [u8; 12];

pub(super) fn label(topic: uuid::Uuid, subject: &str, generation: u32) -> Label {
    let mut hasher = blake3::Hasher::new_derive_key("foretell 2026 label of an erasable subject");
    hasher.update(topic.as_bytes());
    hasher.update(&generation.to_le_bytes());
    hasher.update(subject.as_bytes());
    let mut label = [0; 12];
    hasher.finalize_xof().fill(&mut label);
    label
}

/// A node whose secret is kept.
#[derive(Clone)]
pub(super) struct Node {
    /// How many levels of the way are taken.
    pub depth: u8,
    /// The way to it; zeros behind.
    pub way: Label,
    pub secret: Secret,
}

/// The bits of a way at a level, lowest.
fn shift(level: u8) -> (usize, u8) {
    (usize::from(level / 4), 6 - level % 4 * 2)
}

fn turn(way: &Label, level: u8) -> u8 {
    let (byte, shift) = shift(level);
    way[byte] >> shift & 3
}

impl Node {
    pub fn root(secret: Secret) -> Node {
        Node {
            depth: 0,
            way: Label::default(),
            secret,
        }
    }

    /// Whether there is such a node.
    pub fn is_sound(&self) -> bool {
        self.depth <= LEVELS && (self.depth..LEVELS).all(|level| turn(&self.way, level) == 0)
    }

    /// Whether a label's leaf is below it, or is it.
    pub fn covers(&self, label: &Label) -> bool {
        (0..self.depth).all(|level| turn(&self.way, level) == turn(label, level))
    }

    fn child(&self, number: u8) -> Node {
        let secret = blake3::keyed_hash(&self.secret, &[number]);
        let (byte, shift) = shift(self.depth);
        let mut way = self.way;
        way[byte] |= number << shift;
        Node {
            depth: self.depth + 1,
            way,
            secret: Zeroizing::new(*secret.as_bytes()),
        }
    }

    /// The secret of a leaf below it.
    pub fn leaf(&self, label: &Label) -> Secret {
        let mut secret = self.secret.clone();
        for level in self.depth..LEVELS {
            secret = Zeroizing::new(*blake3::keyed_hash(&secret, &[turn(label, level)]).as_bytes());
        }
        secret
    }

    /// Gives the nodes that are to be kept in its place, in order, so that no leaf of these labels
    /// can be found any more. The labels are sorted and below it.
    pub fn without(
        &self,
        labels: &[Label],
        keep: &mut dyn FnMut(&Node) -> Result<()>,
    ) -> Result<()> {
        if labels.is_empty() {
            return keep(self);
        }
        if self.depth == LEVELS {
            return Ok(());
        }
        let mut rest = labels;
        for number in 0..CHILDREN {
            let below = rest.partition_point(|label| turn(label, self.depth) == number);
            let (below, after) = rest.split_at(below);
            self.child(number).without(below, keep)?;
            rest = after;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn root() -> Node {
        Node::root(Zeroizing::new([7; 32]))
    }

    fn punctured(nodes: &[Node], labels: &[Label]) -> Vec<Node> {
        let mut kept = Vec::new();
        for node in nodes {
            let below: Vec<_> = labels.iter().copied().filter(|l| node.covers(l)).collect();
            let mut keep = |node: &Node| {
                kept.push(node.clone());
                Ok(())
            };
            node.without(&below, &mut keep).unwrap();
        }
        kept
    }

    fn find(nodes: &[Node], label: &Label) -> Option<[u8; 32]> {
        let mut covering = nodes.iter().filter(|node| node.covers(label));
        let found = covering.next().map(|node| *node.leaf(label));
        assert!(covering.next().is_none(), "two nodes lead to a leaf");
        found
    }

    proptest! {
        #[test]
        fn erased_leaves_are_gone_and_all_others_stay(
            erased in proptest::collection::btree_set(any::<Label>(), 0..6),
            more in proptest::collection::btree_set(any::<Label>(), 0..6),
            near in (any::<prop::sample::Index>(), 0usize..96),
        ) {
            let first: Vec<Label> = erased.iter().copied().collect();
            let mut nodes = punctured(&[root()], &first);
            let then: Vec<Label> = more.difference(&erased).copied().collect();
            nodes = punctured(&nodes, &then);
            let sorted = nodes.is_sorted_by(|a, b| (a.way, a.depth) < (b.way, b.depth));
            prop_assert!(sorted);
            for label in first.iter().chain(&then) {
                prop_assert_eq!(find(&nodes, label), None);
            }
            // A neighbour that differs in one bit.
            if !first.is_empty() {
                let mut label = first[near.0.index(first.len())];
                label[near.1 / 8] ^= 1 << (near.1 % 8);
                if !erased.contains(&label) && !more.contains(&label) {
                    prop_assert_eq!(find(&nodes, &label), Some(*root().leaf(&label)));
                }
            }
            for node in &nodes {
                prop_assert!(first.iter().chain(&then).all(|label| !node.covers(label)));
            }
        }
    }
}
