//! Opening: what is sealed is taken from the manifest, the rest is read.

use foretell_types::limits::IDENTITY_WINDOW;
use foretell_types::{Error, ErrorKind, Result};

use crate::bugs::{self, Bug};
use crate::codec::Frame;
use crate::environment::Environment;
use crate::index::{Identity, Index};
use crate::journal::{GroupMeta, JournalReader, Place, Seq};
use crate::log::LogOptions;
use crate::merkle::{MountainRange, leaves};
use crate::sealed::{Manifest, Sealed, SegmentStore};

/// What is sealed.
pub(crate) struct Opened {
    pub index: Index,
    pub range: MountainRange,
    pub manifest: Manifest,
}

/// Takes over what is sealed.
pub(crate) fn open(
    store: Option<&SegmentStore>,
    environment: &Environment,
    options: &LogOptions,
) -> Result<Opened> {
    let found = store.map(Manifest::load).transpose()?.flatten();
    if let Some(store) = store {
        store.tidy(found.as_ref())?;
    }
    let (Some(store), Some(mut manifest)) = (store, found) else {
        let manifest = Manifest {
            seed: environment.random.next(),
            ..Manifest::default()
        };
        return Ok(Opened {
            index: Index::new(manifest.seed, options.revision_cache_bytes),
            range: MountainRange::default(),
            manifest,
        });
    };
    let sealed = store.open(&mut manifest)?;
    let mut index = Index::new(manifest.seed, options.revision_cache_bytes);
    index.catalog = manifest.catalog.clone();
    for id in 0..manifest.catalog.topics.len() as u32 {
        index.identities.push(identities(&sealed, &manifest, id)?);
    }
    index.sealed = std::sync::Arc::new(sealed);
    Ok(Opened {
        index,
        range: manifest.range.clone(),
        manifest,
    })
}

/// The identities of the last sealed positions of a topic.
fn identities(sealed: &Sealed, manifest: &Manifest, id: u32) -> Result<Identity> {
    let topic = &manifest.catalog.topics[id as usize];
    let next = topic.head + 1;
    if topic.deleted || topic.head == 0 || bugs::on(Bug::IdentitiesForgottenAtOpening) {
        return Ok(Identity::new(next));
    }
    let oldest = next.saturating_sub(IDENTITY_WINDOW as u64).max(1);
    let mut identity = Identity::new(oldest);
    let mut expected = oldest;
    for run in &sealed.runs {
        if run.covered(id).is_none_or(|covered| covered.last < oldest) {
            continue;
        }
        let Some((first, hashes)) = run.identities(id)? else {
            continue;
        };
        let skip = oldest.saturating_sub(first);
        if first + skip != expected {
            break;
        }
        for hash in hashes.iter().skip(skip as usize) {
            identity.push(*hash);
            expected += 1;
        }
    }
    if expected != next {
        let message = format!(
            "the identities of topic {:?} end at position {} where {} is sealed",
            topic.name,
            expected - 1,
            topic.head
        );
        return Err(Error::new(ErrorKind::Damaged, message));
    }
    Ok(identity)
}

/// Reads the groups of a journal behind a commit, checking each group's root on the way. What was
/// sealed just now may still be in the journal.
pub(crate) fn walk(
    journal: &dyn JournalReader,
    range: &mut MountainRange,
    after: Seq,
    visit: &mut dyn FnMut(&Frame<'_>, Place) -> Result<()>,
    end: &mut dyn FnMut(&GroupMeta, &MountainRange) -> Result<()>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let mut group = |meta: &GroupMeta, place: Place, body: &[u8]| -> Result<()> {
        if meta.last() <= after {
            return Ok(());
        }
        let here = |error: Error, at: usize| {
            error.context(format_args!(
                "{}, commits {} to {}",
                journal.describe(place.plus(at)),
                meta.first.0,
                meta.last().0
            ))
        };
        if meta.root != range.root() {
            let error = Error::new(
                ErrorKind::Damaged,
                "the hash of everything before this group is not the one it was written with",
            );
            return Err(here(error, 0));
        }
        let (mut at, mut commits) = (0, 0);
        let mut frames = Vec::new();
        while at < body.len() {
            let frame = Frame::read(&body[at..]).map_err(|error| here(error, at))?;
            visit(&frame, place.plus(at)).map_err(|error| here(error, at))?;
            at += frame.bytes.len();
            commits += u32::from(frame.last_of_commit);
            frames.push(frame);
        }
        range.extend(leaves(&frames));
        if (frames.len(), commits) != (meta.frames as usize, meta.commits) {
            let error = Error::new(ErrorKind::Damaged, "the group has a wrong number of frames");
            return Err(here(error, 0));
        }
        end(meta, range).map_err(|error| here(error, 0))
    };
    journal.walk(&mut group, progress)
}

/// Reads what isn't sealed into the index.
pub(crate) fn rebuild(
    journal: &dyn JournalReader,
    index: &mut Index,
    range: &mut MountainRange,
    segment: &dyn Fn(Place) -> u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let index = std::cell::RefCell::new(index);
    walk(
        journal,
        range,
        Seq(0),
        &mut |frame, place| index.borrow_mut().frame(frame, place, segment(place)),
        &mut |meta, _| {
            let catalog = &mut index.borrow_mut().catalog;
            let expected = catalog.last.0 + 1;
            if meta.first.0 != expected {
                let what = format!(
                    "commit {} stands where {expected} must follow",
                    meta.first.0
                );
                return Err(Error::new(ErrorKind::Damaged, what));
            }
            catalog.last = meta.last();
            catalog.epoch = catalog.epoch.max(meta.epoch);
            Ok(())
        },
        progress,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::Append;
    use crate::journal::{Journal, MemoryJournal};
    use crate::log::EventLog;

    /// A segment that was sealed may not have left the journal yet.
    #[test]
    fn what_was_sealed_is_passed_over() {
        let journal = MemoryJournal::new();
        let (of_log, environment) = (Box::new(journal.clone()), Environment::real());
        let log = EventLog::open(of_log, &environment, &mut |_, _| {}).unwrap();
        for n in 0..5 {
            let append = Append::new().register(n.to_string(), Some(vec![n]));
            log.append_and_wait(append).unwrap();
        }
        let reader = journal.reader();
        let walk = |range: &mut MountainRange, after: Seq| {
            let mut groups = Vec::new();
            let note = &mut |meta: &GroupMeta, range: &MountainRange| {
                groups.push((meta.first, meta.last(), range.clone()));
                Ok(())
            };
            let visit = &mut |_: &Frame<'_>, _| Ok(());
            super::walk(&*reader, range, after, visit, note, &mut |_, _| {}).unwrap();
            groups
        };
        let mut whole = MountainRange::default();
        let groups = walk(&mut whole, Seq(0));
        assert_eq!(groups.len(), 5);
        for (number, (_, last, range)) in groups.iter().enumerate() {
            let mut range = range.clone();
            let rest = walk(&mut range, *last);
            assert_eq!(rest, groups[number + 1..]);
            assert_eq!(range, whole);
        }
    }
}
