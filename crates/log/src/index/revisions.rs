//! The last revisions of the streams that were written to lately, however old their segments are:
//! so an append to one of them reads nothing.

use crate::bugs::{self, Bug};
use crate::sealed::Key;

/// Places of a bucket.
const PLACES: usize = 4;

/// Up to a bound of bytes. Every event taken in is told, so what it knows is the latest; what it
/// doesn't know, it has forgotten or was never told.
pub(crate) struct LastRevisions {
    /// None, or a power of two of them.
    buckets: Vec<Bucket>,
    most: usize,
    /// Places in use.
    known: usize,
}

/// A line of the processor's cache: the stream that was written to last comes first, the places
/// that are free come last.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket([Place; PLACES]);

/// A key, and below it the revision.
type Place = u128;

const REVISION_BITS: u32 = 32;
/// The revision of a free place. Streams that are so long aren't remembered.
const FREE: u32 = u32::MAX;

impl Bucket {
    /// The places for which something holds, as bits. All are asked, whatever is found: the
    /// processor can't guess which it will be.
    fn places(&self, holds: impl Fn(Place) -> bool) -> u32 {
        let places = self.0.iter().enumerate();
        places.fold(0, |all, (at, place)| all | u32::from(holds(*place)) << at)
    }

    fn of(&self, key: Place) -> u32 {
        self.places(|place| place >> REVISION_BITS == key && place as u32 != FREE)
    }

    fn free(&self) -> u32 {
        self.places(|place| place as u32 == FREE)
    }
}

impl LastRevisions {
    pub fn new(bytes: u64) -> LastRevisions {
        let most = bytes as usize / size_of::<Bucket>();
        LastRevisions {
            buckets: Vec::new(),
            // The largest power of two that isn't more, if any.
            most: most.checked_ilog2().map_or(0, |bits| 1 << bits),
            known: 0,
        }
    }

    pub fn find(&self, key: &Key) -> Option<u64> {
        let key = number(key);
        let bucket = self.buckets.get(self.bucket(key))?;
        let place = bucket.0.get(bucket.of(key).trailing_zeros() as usize)?;
        Some(u64::from(*place as u32))
    }

    /// A stream was written to.
    pub fn put(&mut self, key: &Key, revision: u64) {
        let revision = u32::try_from(revision).unwrap_or(FREE);
        self.put_number(number(key), revision);
    }

    fn put_number(&mut self, key: Place, revision: u32) {
        if self.known >= self.buckets.len() * PLACES / 2 && self.buckets.len() < self.most {
            self.grow();
        }
        let at = self.bucket(key);
        let Some(bucket) = self.buckets.get_mut(at) else {
            return;
        };
        let (of, free) = (bucket.of(key), bucket.free());
        let at = (of | free).trailing_zeros().min(PLACES as u32 - 1) as usize;
        let places = &mut bucket.0;
        if of != 0 && bugs::on(Bug::LastRevisionNotUpdated) {
            return;
        }
        if revision == FREE {
            if of != 0 {
                places[at..].rotate_left(1);
                places[PLACES - 1] = Place::from(FREE);
                self.known -= 1;
            }
            return;
        }
        self.known += usize::from(of == 0 && free != 0);
        for behind in (1..PLACES).rev() {
            if behind <= at {
                places[behind] = places[behind - 1];
            }
        }
        places[0] = key << REVISION_BITS | Place::from(revision);
    }

    fn bucket(&self, key: Place) -> usize {
        key as usize & self.buckets.len().saturating_sub(1)
    }

    fn grow(&mut self) {
        let free = Bucket([Place::from(FREE); PLACES]);
        let buckets = (self.buckets.len() * 2).max(1);
        let old = std::mem::replace(&mut self.buckets, vec![free; buckets]);
        self.known = 0;
        // In their order: the last one put is the first.
        for place in old.iter().flat_map(|Bucket(places)| places.iter().rev()) {
            if *place as u32 != FREE {
                self.put_number(place >> REVISION_BITS, *place as u32);
            }
        }
    }
}

fn number(key: &Key) -> Place {
    let mut bytes = [0; size_of::<Place>()];
    bytes[..key.len()].copy_from_slice(key);
    Place::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key(stream: u8) -> Key {
        let mut key = [stream; 12];
        // Many share a bucket.
        key[0] %= 8;
        key
    }

    proptest! {
        /// What it tells is the latest, also of streams too long for it; the last streams of each
        /// bucket it does tell.
        #[test]
        fn never_tells_what_is_old(
            bytes in 0u64..2_000,
            put in vec((any::<u8>(), prop_oneof![0u64..5, u64::from(u32::MAX) - 2..u64::from(u32::MAX) + 3]), 0..400),
        ) {
            let mut revisions = LastRevisions::new(bytes);
            let mut latest = HashMap::new();
            for (stream, revision) in put {
                revisions.put(&key(stream), revision);
                latest.insert(stream, revision);
                let told = revisions.find(&key(stream));
                let wanted = Some(revision).filter(|r| *r < u64::from(u32::MAX) && bytes >= 64);
                prop_assert_eq!(told, wanted);
                for (stream, revision) in &latest {
                    prop_assert!(revisions.find(&key(*stream)).is_none_or(|told| told == *revision));
                }
                let known = revisions.buckets.iter().flat_map(|b| b.0).filter(|p| *p as u32 != FREE);
                prop_assert_eq!(known.count(), revisions.known);
                prop_assert!(revisions.buckets.len() as u64 * 64 <= bytes);
            }
        }

        #[test]
        fn all_are_known_while_there_is_room(streams in 1u32..5_000) {
            let mut revisions = LastRevisions::new(1 << 20);
            let key = |n: u32| crate::sealed::key(crate::sealed::Named::Subject, 1, &n.to_string(), 7);
            for stream in 0..streams {
                revisions.put(&key(stream), u64::from(stream));
            }
            let known = (0..streams).filter(|n| revisions.find(&key(*n)) == Some(u64::from(*n)));
            prop_assert!(known.count() as u32 >= streams / 10 * 9);
        }
    }
}
