use std::collections::VecDeque;

use foretell_types::limits::IDENTITY_WINDOW;
use foretell_types::{NewEvent, Result};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::codec::{EventRef, FRAME_HEADER, SealedData, encode_event};
use crate::hashes::{self, Digest};

/// The identities of a topic's last [`IDENTITY_WINDOW`] events: hashes of (source, id) under a
/// secret of the log, to positions. Whether an event found by its hash really is the one asked
/// for, the event itself tells.
///
/// A question, and the answer to it that is taken in later, read one line of the processor's cache
/// each: what fell out of the window is overwritten, never looked for.
pub(crate) struct Identity {
    hashes: VecDeque<u64>,
    /// Position of the first hash.
    base: u64,
    /// A power of two of them.
    buckets: Vec<Bucket>,
}

/// Places of a bucket.
const PLACES: usize = 12;
/// There is a bucket for so many positions at the least: two thirds are in use at the most.
const FILLED: usize = 8;

/// A line of the processor's cache. A place whose position isn't in the window is free.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket {
    /// The lower halves of positions.
    positions: [u32; PLACES],
    /// A part of their hashes.
    tags: [u8; PLACES],
    /// The last position (its lower half) that found no place here: while it is in the window,
    /// the next bucket holds some of what belongs here.
    spilled: u32,
}

impl Bucket {
    /// The places with this tag, as bits. All are compared, whatever is found: the processor can't
    /// guess which it will be.
    fn places_of(&self, tag: u8) -> u32 {
        let tags = self.tags.iter().enumerate();
        tags.fold(0, |places, (place, known)| {
            places | u32::from(*known == tag) << place
        })
    }
}

impl Identity {
    /// Of a topic whose next event has this position.
    pub fn new(next: u64) -> Identity {
        Identity {
            hashes: VecDeque::new(),
            base: next,
            buckets: Vec::new(),
        }
    }

    /// Reads what identities will be looked for in, and does nothing else: so the processor waits
    /// for many lines of its cache at once.
    pub fn bring_near(&self, hashes: impl Iterator<Item = u64>) {
        if !self.buckets.is_empty() {
            let read = hashes.map(|hash| self.buckets[self.first_bucket(hash)].spilled);
            std::hint::black_box(read.fold(0, |all, one| all ^ one));
        }
    }

    /// The last position of this identity within the window.
    pub fn find(&self, hash: u64) -> Option<u64> {
        let (bucket, place) = self.known(hash)?;
        let number = self.number(self.buckets[bucket].positions[place])?;
        Some(self.base + number as u64)
    }

    /// Takes in the identity of the next position.
    pub fn push(&mut self, hash: u64) {
        self.push_within(hash, IDENTITY_WINDOW);
    }

    fn push_within(&mut self, hash: u64, window: usize) {
        if self.hashes.len() == window {
            self.hashes.pop_front();
            self.base += 1;
        }
        if self.hashes.len() >= self.buckets.len() * FILLED {
            self.grow();
        }
        self.put(hash);
    }

    fn put(&mut self, hash: u64) {
        let position = (self.base + self.hashes.len() as u64) as u32;
        let (bucket, place) = self.known(hash).unwrap_or_else(|| self.free(hash));
        let mut passed = self.first_bucket(hash);
        while passed != bucket {
            self.buckets[passed].spilled = position;
            passed = self.next_bucket(passed);
        }
        let bucket = &mut self.buckets[bucket];
        bucket.positions[place] = position;
        bucket.tags[place] = tag(hash);
        self.hashes.push_back(hash);
    }

    /// The bucket and the place where the identity is.
    fn known(&self, hash: u64) -> Option<(usize, usize)> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut at = self.first_bucket(hash);
        loop {
            let bucket = &self.buckets[at];
            let mut places = bucket.places_of(tag(hash));
            while places != 0 {
                let place = places.trailing_zeros() as usize;
                if let Some(number) = self.number(bucket.positions[place])
                    && self.hashes[number] == hash
                {
                    return Some((at, place));
                }
                places &= places - 1;
            }
            self.number(bucket.spilled)?;
            at = self.next_bucket(at);
        }
    }

    /// The bucket and the place where the identity can be put. There always is one.
    fn free(&self, hash: u64) -> (usize, usize) {
        let mut at = self.first_bucket(hash);
        loop {
            let positions = self.buckets[at].positions.iter().enumerate();
            let places = positions.fold(0u32, |places, (place, position)| {
                places | u32::from(self.number(*position).is_none()) << place
            });
            match places {
                0 => at = self.next_bucket(at),
                _ => return (at, places.trailing_zeros() as usize),
            }
        }
    }

    /// Which of the window's positions has this lower half.
    fn number(&self, position: u32) -> Option<usize> {
        let number = position.wrapping_sub(self.base as u32) as usize;
        (number < self.hashes.len()).then_some(number)
    }

    fn first_bucket(&self, hash: u64) -> usize {
        (hash >> 8) as usize & (self.buckets.len() - 1)
    }

    fn next_bucket(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }

    fn grow(&mut self) {
        let buckets = (self.buckets.len() * 2).max(1);
        let hashes = std::mem::take(&mut self.hashes);
        let free = Bucket {
            positions: [self.before(); PLACES],
            spilled: self.before(),
            ..Bucket::default()
        };
        self.buckets = vec![free; buckets];
        for hash in hashes {
            self.put(hash);
        }
    }

    /// A position (its lower half) that is in the window last of all.
    fn before(&self) -> u32 {
        (self.base as u32).wrapping_sub(1)
    }
}

fn tag(hash: u64) -> u8 {
    hash as u8
}

/// A hash of (source, id) under the log's seed.
pub(crate) fn identity_key(source: &str, id: &str, seed: u64) -> u128 {
    // Almost all are short.
    let mut text = [0u8; 128];
    let length = source.len() + 1 + id.len();
    if length <= text.len() {
        text[..source.len()].copy_from_slice(source.as_bytes());
        text[source.len() + 1..length].copy_from_slice(id.as_bytes());
        return xxh3_128_with_seed(&text[..length], seed);
    }
    let long = [source.as_bytes(), &[0], id.as_bytes()].concat();
    xxh3_128_with_seed(&long, seed)
}

/// The keys of many events. The texts are written first and hashed then: to read
/// what was written just now, the processor waits until it has come to rest.
#[derive(Default)]
pub(crate) struct IdentityKeys {
    texts: Vec<u8>,
    ends: Vec<usize>,
}

impl IdentityKeys {
    pub fn add(&mut self, source: &str, id: &str) {
        self.texts.extend_from_slice(source.as_bytes());
        self.texts.push(0);
        self.texts.extend_from_slice(id.as_bytes());
        self.ends.push(self.texts.len());
    }

    /// In the order in which they were added.
    pub fn of_seed(&self, seed: u64) -> impl Iterator<Item = u128> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let text = &self.texts[std::mem::replace(&mut begin, *end)..*end];
            xxh3_128_with_seed(text, seed)
        })
    }
}

/// What tells whether an event is the same: of its encoded body's digest. For one with a time that
/// the server filled in it is that of the event without: [`content_of_filled`].
pub(crate) fn content_of(digest: &Digest) -> u128 {
    u128::from_le_bytes(*digest.first_chunk().unwrap_or(&[0; 16]))
}

pub(crate) fn content_of_filled(event: &NewEvent, sealed: Option<SealedData<'_>>) -> u128 {
    let plain = NewEvent {
        time: None,
        time_filled: false,
        ..event.clone()
    };
    of_encoded(&plain, sealed)
}

fn of_encoded(event: &NewEvent, sealed: Option<SealedData<'_>>) -> u128 {
    let mut frame = Vec::new();
    encode_event(&mut frame, event, sealed);
    content_of(&hashes::of_text(&frame[FRAME_HEADER..]))
}

/// The same for an event read back.
pub(crate) fn content_of_recorded(stored: &EventRef<'_>) -> Result<u128> {
    let event = &*stored.to_recorded()?;
    let bytes = stored.sealed().map(|_| stored.stored_data());
    let sealed = stored.sealed().zip(bytes.as_deref());
    let sealed = sealed.map(|(generation, bytes)| SealedData {
        generation,
        form: stored.form(),
        bytes,
    });
    Ok(match event.time_filled {
        true => content_of_filled(event, sealed),
        false => of_encoded(event, sealed),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forgets_beyond_the_window() {
        let mut identity = Identity::new(1);
        let count = IDENTITY_WINDOW as u64 + 10;
        for position in 1..=count {
            identity.push(position * 7919);
        }
        assert_eq!(identity.find(10 * 7919), None);
        assert_eq!(identity.find(11 * 7919), Some(11));
        assert_eq!(identity.find(count * 7919), Some(count));
    }

    proptest! {
        /// Few hashes, so that they come again, and fewer buckets, so that these overflow.
        #[test]
        fn is_a_map_of_the_last(
            next in prop_oneof![Just(1u64), Just(u64::from(u32::MAX) - 300)],
            pushed in vec((0u64..40, 0u64..3), 1..900),
            window in 1usize..200,
        ) {
            let mut identity = Identity::new(next);
            let mut last = HashMap::new();
            for (position, (low, high)) in (next..).zip(pushed) {
                let hash = low | high << 40;
                prop_assert_eq!(identity.find(hash), last.get(&hash).copied());
                identity.push_within(hash, window);
                last.insert(hash, position);
                last.retain(|_, known| *known + window as u64 > position);
            }
            for (hash, position) in last {
                prop_assert_eq!(identity.find(hash), Some(position));
            }
        }
    }

    #[test]
    fn the_latest_of_an_identity_is_found() {
        let mut identity = Identity::new(4);
        for _ in 0..3 {
            identity.push(5);
        }
        assert_eq!(identity.find(5), Some(6));
    }
}
