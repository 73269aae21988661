use std::time::{Duration, Instant};

use foretell_state::Definition;
use foretell_types::Result;
use foretell_types::limits::{
    PROJECTION_BUILD_STORE_MS, PROJECTION_CACHE_BYTES, PROJECTION_SHARDS, PROJECTION_STORE_MS,
};
use rayon::prelude::*;

use crate::Options;
use crate::ask::snapshots;
use crate::entry::Entry;
use crate::shard::{Folding, Shard};
use crate::store::{Meta, Put, Store, put_entry};
use crate::turn::{Turn, hash_of, shard_of};

/// Turns that touch fewer keys are folded by one thread: to share work takes time too.
const FEW: usize = 256;

/// What a projection has folded, and hasn't stored yet.
pub(crate) struct Folded {
    options: Options,
    pub(crate) meta: Meta,
    pub(crate) store: Store,
    shards: Vec<Shard>,
    kept: Vec<usize>,
    changed: bool,
    stored: Instant,
}

impl Folded {
    pub(crate) fn new(
        definition: &Definition,
        store: Store,
        meta: Meta,
        options: Options,
    ) -> Folded {
        let shards = rayon::current_num_threads().min(PROJECTION_SHARDS);
        Folded {
            options,
            meta,
            store,
            shards: (0..shards).map(|_| Shard::default()).collect(),
            kept: definition.kept_inputs(),
            changed: false,
            stored: Instant::now(),
        }
    }

    pub(crate) fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Folds a turn of events of a topic in.
    pub(crate) fn fold(
        &mut self,
        definition: &Definition,
        topic: usize,
        turn: &Turn,
    ) -> Result<()> {
        let (folding, shards) = self.parts(definition);
        let of = shards.len();
        let fold = |(number, shard): (usize, &mut Shard)| shard.fold(folding, turn, (number, of));
        if turn.touches.len() < FEW {
            shards.iter_mut().enumerate().try_for_each(fold)?;
        } else {
            shards.par_iter_mut().enumerate().try_for_each(fold)?;
        }
        let meta = &mut self.meta.topics[topic];
        for taken in &turn.events {
            meta.position = taken.stamp.position;
            meta.frontier = meta.frontier.max(Some(taken.stamp.time));
            meta.imported = taken.imported;
            self.meta.too_large += u64::from(taken.too_large);
        }
        self.meta.events += turn.events.len() as u64;
        self.changed |= !turn.events.is_empty();
        Ok(())
    }

    /// What a fold needs, and what it folds into.
    fn parts<'a>(&'a mut self, definition: &'a Definition) -> (Folding<'a>, &'a mut [Shard]) {
        let folding = Folding {
            definition,
            store: &self.store,
            kept: &self.kept,
            options: self.options,
        };
        (folding, &mut self.shards)
    }

    fn shard_of(&mut self, key: &str) -> &mut Shard {
        let number = shard_of(hash_of(key), self.shards.len());
        &mut self.shards[number]
    }

    /// What is kept of a key, also what isn't stored yet.
    pub(crate) fn entry(&mut self, definition: &Definition, key: &str) -> Result<Option<Entry>> {
        match self.shard_of(key).entries.get(key) {
            Some(entry) => Ok(Some(entry.clone())),
            None => self.store.entry(definition, key),
        }
    }

    fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// Whether it is time to store.
    pub(crate) fn is_due(&self) -> bool {
        let after_ms = match self.meta.complete {
            true => PROJECTION_STORE_MS,
            false => PROJECTION_BUILD_STORE_MS,
        };
        self.bytes() > PROJECTION_CACHE_BYTES
            || (self.changed && self.stored.elapsed() > Duration::from_millis(after_ms as u64))
    }

    /// Stores all states that changed, and how far they go, in one write.
    pub(crate) fn store(&mut self, definition: &Definition) -> Result<()> {
        if self.changed {
            let view = self.store.view();
            let (folding, shards) = self.parts(definition);
            let puts: Vec<Result<Vec<Put>>> = shards
                .par_iter_mut()
                .map(|shard| shard.changes(folding, &view))
                .collect();
            let mut batch = self.store.batch();
            for puts in puts {
                self.store.put(&mut batch, puts?);
            }
            self.store.commit(batch, &self.meta)?;
            let options = self.options;
            let due = self
                .shards
                .iter_mut()
                .flat_map(|shard| shard.stored(options));
            let due: Vec<String> = due.collect();
            self.take_snapshots(definition, &due)?;
            self.changed = false;
        }
        // Else there is room for what comes next.
        if self.bytes() > PROJECTION_CACHE_BYTES / 4 * 3 {
            self.shards
                .iter_mut()
                .for_each(|shard| *shard = Shard::default());
        }
        self.stored = Instant::now();
        Ok(())
    }

    /// Snapshots of what lies so far before the end that an event which comes a little late doesn't
    /// spoil them.
    fn take_snapshots(&mut self, definition: &Definition, keys: &[String]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let view = self.store.view();
        let mut batch = self.store.batch();
        let (store, every) = (self.store.clone(), self.options.snapshot_events);
        let kept = self.kept.clone();
        for key in keys {
            let Some(entry) = self.shard_of(key).entries.get_mut(key) else {
                continue;
            };
            let Some(seen) = entry.head.blocks.clone() else {
                continue;
            };
            // Only what lies in blocks: a snapshot says how many rows it has seen.
            let mut in_blocks = entry.clone();
            in_blocks.tail = Vec::new();
            in_blocks.head.tail = None;
            let snapshots = snapshots(definition, &kept, &view, key, &in_blocks, every)?;
            for state in &snapshots {
                store.put_snapshot(&mut batch, key, &seen, state)?;
            }
            entry.head.snapshot = entry.head.in_blocks;
            let mut puts = Vec::new();
            put_entry(&mut puts, key, entry)?;
            store.put(&mut batch, puts);
        }
        self.store.commit(batch, &self.meta)
    }
}
