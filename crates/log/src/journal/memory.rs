use std::sync::Arc;

use foretell_types::Result;
use foretell_types::limits::GROUP_BYTES;
use parking_lot::{RwLock, RwLockUpgradableReadGuard};

use super::held::{Held, HeldGroup};
use super::{Capabilities, Group, GroupVisitor, Journal, JournalReader, Place, Seq, check_follows};

/// A journal in memory, for tests and for logs that need not outlive the process. Clones share
/// the groups, so that an opening anew can be tried.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    groups: Arc<RwLock<Held>>,
}

impl MemoryJournal {
    pub fn new() -> MemoryJournal {
        MemoryJournal::default()
    }

    /// What it holds now, as a journal of its own: what is appended to one isn't in the other.
    pub fn copy(&self) -> MemoryJournal {
        let groups = self.groups.read().clone();
        MemoryJournal {
            groups: Arc::new(RwLock::new(groups)),
        }
    }
}

impl Journal for MemoryJournal {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            largest_group: GROUP_BYTES,
        }
    }

    fn last(&self) -> Seq {
        self.groups.read().last().unwrap_or_default()
    }

    fn append(
        &mut self,
        expected_last: Seq,
        group: &mut Group,
        meanwhile: &mut dyn FnMut(&[u8], Place),
    ) -> Result<()> {
        // Nobody else appends from here on; who reads goes on.
        let groups = self.groups.upgradable_read();
        check_follows(expected_last, groups.last().unwrap_or_default())?;
        let place = groups.0.back().map_or(Place(0), |group| group.end());
        meanwhile(group.body(), place);
        let mut groups = RwLockUpgradableReadGuard::upgrade(groups);
        groups.0.push_back(Arc::new(HeldGroup {
            meta: group.meta.clone(),
            slot: 0,
            place,
            body: group.body().into(),
        }));
        Ok(())
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(self.clone())
    }
}

impl JournalReader for MemoryJournal {
    fn walk(&self, visit: &mut GroupVisitor<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let groups = self.groups.read();
        for (index, group) in groups.0.iter().enumerate() {
            visit(&group.meta, group.place, &group.body)?;
            progress(index as u64 + 1, groups.0.len() as u64);
        }
        Ok(())
    }

    fn read(&self, place: Place, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.groups.read().read(place, buffer).unwrap_or(0))
    }

    fn describe(&self, place: Place) -> String {
        format!("memory, byte {}", place.0)
    }

    fn size(&self) -> (u64, usize) {
        self.groups.read().size()
    }
}
