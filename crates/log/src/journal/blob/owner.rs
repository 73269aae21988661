//! Whose a journal is: slots that are filled one after the other, each once, and never by two. Whoever
//! opens the journal fills one that stays, an opening; the one before, whose next slot that is, finds
//! it taken, now and whenever it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foretell_types::limits::GROUP_BYTES;
use foretell_types::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use super::slot::{self, Filled, Slot};
use super::{LOOKS, Put, busy, number_of, put_once, read_whole};
use crate::blobs::Blobs;
use crate::environment::Random;
use crate::journal::{Place, Seq};

/// No journal has so many slots or directories.
pub(super) const NUMBERS: u64 = u64::MAX / 2;

pub(super) struct Owner {
    pub blobs: Arc<dyn Blobs>,
    pub folder: String,
    /// Held while its slot is filled or looked at, and nothing else is waited for.
    next: Mutex<Next>,
    /// Somebody else has opened the journal since, as far as is known.
    taken: AtomicBool,
    /// Nobody knows whether the next slot was filled.
    unknown: AtomicBool,
}

/// The slot that is filled next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub number: u64,
    pub commit: Seq,
}

impl Owner {
    /// Takes the journal of a folder over.
    pub fn take_over(blobs: &Arc<dyn Blobs>, folder: &str, random: &dyn Random) -> Result<Owner> {
        let owner = Owner {
            blobs: blobs.clone(),
            folder: folder.to_owned(),
            next: Mutex::new(Next {
                number: 1,
                commit: Seq(1),
            }),
            taken: AtomicBool::new(false),
            unknown: AtomicBool::new(false),
        };
        for _ in 0..LOOKS {
            // `None`: it was sealed and removed since, so somebody goes on.
            let Some((next, place)) = owner.end()? else {
                continue;
            };
            let opening = Slot {
                number: next.number,
                place,
            };
            *owner.next.lock() = next;
            match owner.fill(&opening.opening(random.next()), next.commit)? {
                Put::Ours => return Ok(owner),
                Put::Anothers => {}
            }
        }
        Err(busy(folder))
    }

    pub fn next(&self) -> Next {
        *self.next.lock()
    }

    /// Fills the next slot, behind which this commit is the next.
    pub fn fill(&self, content: &[u8], commit: Seq) -> Result<Put> {
        let mut next = self.next.lock();
        let put = put_once(&*self.blobs, &self.slot(next.number, next.commit), content);
        let put = put.inspect_err(|_| self.unknown.store(true, Ordering::Relaxed))?;
        if let Put::Ours = put {
            let number = next.number + 1;
            *next = Next { number, commit };
        }
        Ok(put)
    }

    /// Fails if it is known that the journal was taken over.
    pub fn check_known(&self) -> Result<()> {
        match self.taken.load(Ordering::Relaxed) {
            true => Err(self.taken_over()),
            false => Ok(()),
        }
    }

    /// Fails if the journal was taken over.
    pub fn check(&self) -> Result<()> {
        self.check_known()?;
        let next = self.next.lock();
        if self.unknown.load(Ordering::Relaxed) {
            let folder = &self.folder;
            return Err(Error::unavailable(format!(
                "nobody knows whether the last append to {folder} was written: open it anew"
            )));
        }
        match self.blobs.bytes(&self.slot(next.number, next.commit))? {
            None => Ok(()),
            Some(_) => Err(self.taken_over()),
        }
    }

    /// It is known now.
    pub fn taken_over(&self) -> Error {
        self.taken.store(true, Ordering::Relaxed);
        let message = format!(
            "{} was taken over: another has opened it since",
            self.folder
        );
        Error::new(ErrorKind::Fenced, message)
    }

    pub fn damage(&self, name: &str, what: impl std::fmt::Display) -> Error {
        let blob = self.blobs.describe(name);
        Error::new(ErrorKind::Damaged, format!("{blob}: {what}"))
    }

    pub fn slots(&self) -> String {
        format!("{}/commits", self.folder)
    }

    /// The name of a slot before which the journal ends so that this commit is the next. Whoever fills
    /// the slot knows what all before it hold, so there is one such commit.
    pub fn slot(&self, number: u64, commit: Seq) -> String {
        format!("{}/{number:020}.{:020}", self.slots(), commit.0)
    }

    /// All slots that are there, in their order: name, number, commit, length.
    pub fn list(&self) -> Result<Vec<(String, Next, u64)>> {
        let listed = self.blobs.list(&self.slots())?.into_iter();
        let named = listed.map(|(name, bytes)| match slot_of(&name) {
            Some(next) => Ok((name, next, bytes)),
            None => Err(self.damage(&name, "it is no slot")),
        });
        named.collect()
    }

    pub fn read(&self, name: &str, bytes: u64) -> Result<Option<Filled>> {
        let most = slot::blob_bytes(GROUP_BYTES);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > most {
            return Err(self.damage(
                name,
                format_args!("it has {bytes} bytes, of at most {most}"),
            ));
        }
        let content = read_whole(&*self.blobs, name, bytes)?;
        let read = content.map(|content| slot::decode(&content)).transpose();
        read.map_err(|error| error.context(self.blobs.describe(name)))
    }

    /// The slot behind the last one, and where the next group goes.
    fn end(&self) -> Result<Option<(Next, Place)>> {
        let Some((name, last, bytes)) = self.list()?.pop() else {
            let (number, commit) = (1, Seq(1));
            return Ok(Some((Next { number, commit }, Place(0))));
        };
        let Some((slot, group)) = self.read(&name, bytes)? else {
            return Ok(None);
        };
        let begins = group.as_ref().map_or(last.commit, |group| group.meta.first);
        if (slot.number, begins) != (last.number, last.commit) || last.number > NUMBERS {
            return Err(self.damage(&name, "it is another slot's"));
        }
        let (commit, place) = match &group {
            Some(group) => (Seq(group.meta.last().0 + 1), group.end()),
            None => (last.commit, slot.place),
        };
        let number = last.number + 1;
        Ok(Some((Next { number, commit }, place)))
    }
}

/// The number and the commit of a slot's name.
fn slot_of(name: &str) -> Option<Next> {
    let (_, name) = name.rsplit_once('/')?;
    let (number, commit) = name.split_once('.')?;
    Some(Next {
        number: number_of(number)?,
        commit: Seq(number_of(commit)?),
    })
}
