//! What a file holds: for those who read it now, and on the platter.

use std::collections::BTreeMap;

use crate::random::Seeded;

/// A sector is written whole or not at all; everything larger can be torn.
pub const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub struct Content {
    /// What a reader sees.
    pub now: Vec<u8>,
    /// What is on the platter for certain.
    durable: Vec<u8>,
    /// For each sector that a sync has to write: everything it held since the last one.
    dirty: BTreeMap<usize, Vec<Box<[u8]>>>,
}

/// How much of what was not synced a crash leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Everything that wasn't synced.
    All,
    /// For each sector, and each name, by chance.
    Some,
}

impl Content {
    pub fn of(bytes: Vec<u8>) -> Content {
        Content {
            durable: bytes.clone(),
            now: bytes,
            dirty: BTreeMap::new(),
        }
    }

    pub fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.allocate(end);
        self.now[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let held = self.sector(sector);
            self.dirty.entry(sector).or_default().push(held);
        }
    }

    /// Writes some of the sectors only: what an error, or a stop, leaves.
    pub fn write_torn(&mut self, bytes: &[u8], offset: usize, random: &Seeded) {
        let until = random.below(bytes.len() as u64 + 1) as usize;
        let in_order = random.chance(50);
        let mut at = 0;
        while at < bytes.len() {
            let next = ((offset + at) / SECTOR + 1) * SECTOR - offset;
            let next = next.min(bytes.len());
            if if in_order {
                next <= until
            } else {
                random.chance(50)
            } {
                self.write(&bytes[at..next], offset + at);
            }
            at = next;
        }
    }

    /// Zeros up to an end.
    pub fn allocate(&mut self, end: usize) {
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
    }

    pub fn set_len(&mut self, bytes: usize) {
        self.now.resize(bytes, 0);
        self.dirty.retain(|sector, _| sector * SECTOR < bytes);
    }

    pub fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            let (from, to) = self.range(sector);
            self.durable[from..to].copy_from_slice(&self.now[from..to]);
        }
    }

    /// A sync that fails: its pages count as written from then on, and some of them aren't.
    pub fn sync_lost(&mut self, random: &Seeded) {
        if random.chance(50) {
            self.durable.resize(self.now.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            let (from, to) = self.range(sector);
            if random.chance(40) && to <= self.durable.len() {
                self.durable[from..to].copy_from_slice(&self.now[from..to]);
            }
        }
    }

    /// What a crash leaves.
    pub fn crash(&self, loss: Loss, random: &Seeded) -> Content {
        let mut after = self.durable.clone();
        match loss {
            Loss::All => {}
            Loss::Some => {
                after.resize(self.length_after(random), 0);
                for (sector, versions) in &self.dirty {
                    let (from, to) = (sector * SECTOR, (sector + 1) * SECTOR);
                    let last = versions.last();
                    // Mostly the last one; one of those before may have been written back too.
                    let found = match random.below(10) {
                        0..=4 => None,
                        5..=8 => last,
                        _ => random.pick(versions),
                    };
                    if let Some(held) = found {
                        let to = to.min(after.len()).min(from + held.len());
                        if from < to {
                            after[from..to].copy_from_slice(&held[..to - from]);
                        }
                    }
                }
            }
        }
        Content::of(after)
    }

    fn length_after(&self, random: &Seeded) -> usize {
        let (durable, now) = (self.durable.len(), self.now.len());
        match random.below(3) {
            0 => durable,
            1 => now,
            _ if now <= durable => durable,
            _ => {
                let sectors = (now - durable) / SECTOR;
                durable + random.below(sectors as u64 + 1) as usize * SECTOR
            }
        }
    }

    fn range(&self, sector: usize) -> (usize, usize) {
        let from = (sector * SECTOR).min(self.now.len());
        (from, ((sector + 1) * SECTOR).min(self.now.len()))
    }

    fn sector(&self, sector: usize) -> Box<[u8]> {
        let (from, to) = self.range(sector);
        self.now[from..to].into()
    }
}
