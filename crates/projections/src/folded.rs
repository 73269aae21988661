use std::time::{Duration, Instant};

use foretell_log::EventRef;
use foretell_state::{Definition, Keys, Scalar, Stamp};
use foretell_types::Result;
use foretell_types::limits::{
    PROJECTION_BUILD_STORE_MS, PROJECTION_CACHE_BYTES, PROJECTION_STORE_MS,
};
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

use crate::Options;
use crate::ask::{replay, snapshots};
use crate::entry::Entry;
use crate::event::LogEvent;
use crate::known::Known;
use crate::store::{Meta, Store};

/// What a projection has folded, and hasn't stored yet.
pub(crate) struct Folded {
    options: Options,
    pub(crate) meta: Meta,
    pub(crate) store: Store,
    entries: HashMap<String, Entry>,
    /// About how much memory they take.
    bytes: usize,
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
        Folded {
            options,
            meta,
            store,
            entries: HashMap::new(),
            bytes: 0,
            kept: definition.kept_inputs(),
            changed: false,
            stored: Instant::now(),
        }
    }

    pub(crate) fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Folds the next event of a topic in.
    pub(crate) fn fold<'e>(
        &mut self,
        definition: &Definition,
        topic: usize,
        event: &'e LogEvent<'e>,
        inputs: &mut Vec<Scalar<'e>>,
    ) -> Result<()> {
        let EventRef { position, .. } = event.0;
        let time = event.0.event_time().as_nanos();
        let declared = event.0.declared_known_time();
        let known = declared
            .unwrap_or_else(|| event.0.recorded_time())
            .as_nanos();
        definition.extractor.read(event, inputs);
        let stamp = Stamp {
            time,
            topic: topic as u32,
            position: position.get(),
        };
        match definition.keys(inputs) {
            Keys::None => {}
            Keys::One(key) => self.touch(definition, &key, stamp, known, inputs)?,
            Keys::Many(keys) => {
                for key in keys {
                    self.touch(definition, &key, stamp, known, inputs)?;
                }
            }
            Keys::TooLarge => self.meta.too_large += 1,
        }
        let meta = &mut self.meta.topics[topic];
        meta.position = position.get();
        meta.frontier = meta.frontier.max(Some(time));
        meta.imported = declared.is_some();
        self.meta.events += 1;
        self.changed = true;
        Ok(())
    }

    fn touch(
        &mut self,
        definition: &Definition,
        key: &str,
        stamp: Stamp,
        known: i64,
        inputs: &[Scalar<'_>],
    ) -> Result<()> {
        let entry = match self.entries.entry_ref(key) {
            EntryRef::Occupied(there) => there.into_mut(),
            EntryRef::Vacant(place) => {
                let stored = self.store.entry(definition, key)?;
                let entry = stored.unwrap_or_else(|| Entry::new(definition));
                self.bytes += key.len() + entry.bytes();
                place.insert(entry)
            }
        };
        self.bytes += entry.push(definition, self.options, &self.kept, stamp, known, inputs)?;
        Ok(())
    }

    /// What is kept of a key, also what isn't stored yet.
    pub(crate) fn entry(&self, definition: &Definition, key: &str) -> Result<Option<Entry>> {
        match self.entries.get(key) {
            Some(entry) => Ok(Some(entry.clone())),
            None => self.store.entry(definition, key),
        }
    }

    /// Whether it is time to store.
    pub(crate) fn is_due(&self) -> bool {
        let after_ms = match self.meta.complete {
            true => PROJECTION_STORE_MS,
            false => PROJECTION_BUILD_STORE_MS,
        };
        self.bytes > PROJECTION_CACHE_BYTES
            || (self.changed && self.stored.elapsed() > Duration::from_millis(after_ms as u64))
    }

    /// Stores all states that changed, and how far they go, in one write.
    pub(crate) fn store(&mut self, definition: &Definition) -> Result<()> {
        if self.changed {
            self.refold_late(definition)?;
            let mut batch = self.store.batch();
            for (key, entry) in &self.entries {
                if entry.changed {
                    self.store.put_entry(&mut batch, key, entry)?;
                }
            }
            self.store.commit(batch, &self.meta)?;
            let mut due = Vec::new();
            for (key, entry) in &mut self.entries {
                entry.changed = false;
                entry.blocks.clear();
                if entry.head.in_blocks - entry.head.snapshot >= self.options.snapshot_events {
                    due.push(key.clone());
                }
            }
            self.take_snapshots(definition, &due)?;
            self.changed = false;
            let entries = self.entries.iter();
            self.bytes = entries.map(|(key, entry)| key.len() + entry.bytes()).sum();
        }
        // Else there is room for what comes next.
        if self.bytes > PROJECTION_CACHE_BYTES / 4 * 3 {
            self.entries = HashMap::new();
            self.bytes = 0;
        }
        self.stored = Instant::now();
        Ok(())
    }

    /// States that an event came too late for are folded anew.
    fn refold_late(&mut self, definition: &Definition) -> Result<()> {
        let view = self.store.view();
        for (key, entry) in &mut self.entries {
            if entry.head.late {
                let (state, _) = replay(
                    definition,
                    &self.kept,
                    &view,
                    key,
                    entry,
                    Stamp::MAX,
                    &Known::Head,
                )?;
                entry.state = state;
                entry.head.late = false;
            }
        }
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
        for key in keys {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            let Some(seen) = entry.head.blocks.clone() else {
                continue;
            };
            // Only what lies in blocks: a snapshot says how many rows it has seen.
            let mut in_blocks = entry.clone();
            in_blocks.tail = Vec::new();
            in_blocks.head.tail = None;
            let every = self.options.snapshot_events;
            let snapshots = snapshots(definition, &self.kept, &view, key, &in_blocks, every)?;
            for state in &snapshots {
                self.store.put_snapshot(&mut batch, key, &seen, state)?;
            }
            entry.head.snapshot = entry.head.in_blocks;
            self.store.put_entry(&mut batch, key, entry)?;
        }
        self.store.commit(batch, &self.meta)
    }
}
