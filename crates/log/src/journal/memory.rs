use std::sync::Arc;

use foretell_types::limits::GROUP_BYTES;
use foretell_types::{Error, ErrorKind, Result};
use parking_lot::{RwLock, RwLockUpgradableReadGuard};

use super::{Capabilities, Group, GroupMeta, GroupVisitor, Journal, JournalReader, Place, Seq};

/// A journal in memory, for tests and for logs that need not outlive the process. Clones share
/// the groups, so that an opening anew can be tried.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    groups: Arc<RwLock<Vec<StoredGroup>>>,
}

#[derive(Clone, Debug)]
struct StoredGroup {
    meta: GroupMeta,
    place: Place,
    body: Box<[u8]>,
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
        self.groups
            .read()
            .last()
            .map_or(Seq(0), |group| group.meta.last())
    }

    fn append(
        &mut self,
        expected_last: Seq,
        group: &mut Group,
        meanwhile: &mut dyn FnMut(&[u8], Place),
    ) -> Result<()> {
        // Nobody else appends from here on; who reads goes on.
        let groups = self.groups.upgradable_read();
        let last = groups.last().map_or(Seq(0), |group| group.meta.last());
        if last != expected_last {
            return Err(Error::new(
                ErrorKind::Fenced,
                format!(
                    "the journal ends at {} where {} was expected",
                    last.0, expected_last.0
                ),
            ));
        }
        let end = |group: &StoredGroup| group.place.plus(group.body.len());
        let place = groups.last().map_or(Place(0), end);
        meanwhile(group.body(), place);
        let mut groups = RwLockUpgradableReadGuard::upgrade(groups);
        groups.push(StoredGroup {
            meta: group.meta.clone(),
            place,
            body: group.body().into(),
        });
        Ok(())
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(self.clone())
    }
}

impl JournalReader for MemoryJournal {
    fn walk(&self, visit: &mut GroupVisitor<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let groups = self.groups.read();
        for (index, group) in groups.iter().enumerate() {
            visit(&group.meta, group.place, &group.body)?;
            progress(index as u64 + 1, groups.len() as u64);
        }
        Ok(())
    }

    fn read(&self, place: Place, buffer: &mut [u8]) -> Result<usize> {
        let groups = self.groups.read();
        let index = groups
            .partition_point(|group| group.place <= place)
            .saturating_sub(1);
        let Some(group) = groups.get(index) else {
            return Ok(0);
        };
        let from = ((place.0 - group.place.0) as usize).min(group.body.len());
        let bytes = &group.body[from..];
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn describe(&self, place: Place) -> String {
        format!("memory, byte {}", place.0)
    }

    fn size(&self) -> (u64, usize) {
        let groups = self.groups.read();
        (
            groups.iter().map(|group| group.body.len() as u64).sum(),
            groups.len(),
        )
    }
}
