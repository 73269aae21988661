use foretell_state::{Definition, Scalar, Stamp};
use foretell_types::Result;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

use crate::Options;
use crate::ask::replay;
use crate::entry::Entry;
use crate::known::Known;
use crate::store::{Put, Store, View, put_entry};
use crate::turn::{Touch, Turn, shard_of};

/// So many keys are brought near before they are folded into.
const AHEAD: usize = 32;

/// Some of the keys of a projection: what is folded of them, and may not be stored yet. Shards are
/// folded side by side.
#[derive(Default)]
pub(crate) struct Shard {
    pub(crate) entries: HashMap<String, Entry>,
    /// About how much memory they take.
    pub(crate) bytes: usize,
}

/// What a fold needs beside the state.
#[derive(Clone, Copy)]
pub(crate) struct Folding<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) store: &'a Store,
    /// The inputs that histories keep.
    pub(crate) kept: &'a [usize],
    pub(crate) options: Options,
}

impl Shard {
    /// Folds those events of a turn in that touch a key of this shard: the `number`-th of so many.
    pub(crate) fn fold(
        &mut self,
        folding: Folding<'_>,
        turn: &Turn,
        (number, of): (usize, usize),
    ) -> Result<()> {
        let mine = |touch: &&Touch| shard_of(touch.hash, of) == number;
        let touches: Vec<&Touch> = turn.touches.iter().filter(mine).collect();
        let mut inputs = vec![Scalar::Null; folding.definition.inputs.len()];
        let mut row = Vec::with_capacity(folding.kept.len());
        for touches in touches.chunks(AHEAD) {
            self.bring_near(turn, touches);
            for touch in touches {
                row.clear();
                row.extend(turn.values(touch.event, folding.kept.len()));
                for (index, value) in folding.kept.iter().zip(&row) {
                    inputs[*index] = value.clone();
                }
                let taken = turn.events[touch.event];
                let entry = self.entry(folding, turn.key(touch))?;
                let about = (taken.stamp, taken.known);
                let more = entry.push(folding.definition, folding.options, about, &inputs, &row)?;
                self.bytes += more;
            }
        }
        Ok(())
    }

    /// Reads something of each of the processor's cache lines that will be written, and does
    /// nothing else: so it waits for many at once.
    fn bring_near(&self, turn: &Turn, touches: &[&Touch]) {
        let entries = touches
            .iter()
            .map(|touch| self.entries.get(turn.key(touch)));
        let entries: Vec<&Entry> = entries.flatten().collect();
        let near = entries.iter().fold(0, |all, entry| all ^ entry.near());
        let below = entries
            .iter()
            .fold(0, |all, entry| all ^ entry.near_below());
        std::hint::black_box(near ^ below);
    }

    fn entry(&mut self, folding: Folding<'_>, key: &str) -> Result<&mut Entry> {
        Ok(match self.entries.entry_ref(key) {
            EntryRef::Occupied(there) => there.into_mut(),
            EntryRef::Vacant(place) => {
                let stored = folding.store.entry(folding.definition, key)?;
                let entry = stored.unwrap_or_else(|| Entry::new(folding.definition));
                self.bytes += key.len() + entry.bytes();
                place.insert(entry)
            }
        })
    }

    /// Folds the states anew that an event came too late for; gives what is to be stored.
    pub(crate) fn changes(&mut self, folding: Folding<'_>, view: &View) -> Result<Vec<Put>> {
        let mut puts = Vec::new();
        for (key, entry) in &mut self.entries {
            if entry.head.late {
                let (definition, kept) = (folding.definition, folding.kept);
                let (state, _) =
                    replay(definition, kept, view, key, entry, Stamp::MAX, &Known::Head)?;
                entry.state = state;
                entry.head.late = false;
            }
            if entry.changed {
                put_entry(&mut puts, key, entry)?;
            }
        }
        Ok(puts)
    }

    /// All changes are stored; gives the keys that a snapshot is due for.
    pub(crate) fn stored(&mut self, options: Options) -> Vec<String> {
        let mut due = Vec::new();
        self.bytes = 0;
        for (key, entry) in &mut self.entries {
            entry.changed = false;
            entry.blocks.clear();
            if entry.head.in_blocks - entry.head.snapshot >= options.snapshot_events {
                due.push(key.clone());
            }
            self.bytes += key.len() + entry.bytes();
        }
        due
    }
}
