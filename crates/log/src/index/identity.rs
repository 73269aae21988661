use std::collections::VecDeque;

use foretell_types::limits::IDENTITY_WINDOW;
use foretell_types::{NewEvent, Result};
use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::codec::{EventRef, FRAME_HEADER, SealedData, encode_event};

/// The identities of a topic's last [`IDENTITY_WINDOW`] events: hashes of (source, id) under a
/// secret of the log, to positions. Whether an event found by its hash really is the one asked
/// for, the event itself tells.
pub(crate) struct Identity {
    hashes: VecDeque<u64>,
    /// Position of the first hash.
    base: u64,
    by_hash: HashTable<u64>,
}

impl Identity {
    /// Of a topic whose next event has this position.
    pub fn new(next: u64) -> Identity {
        Identity {
            hashes: VecDeque::new(),
            base: next,
            by_hash: HashTable::new(),
        }
    }

    /// The last position of this identity within the window.
    pub fn find(&self, hash: u64) -> Option<u64> {
        let of = |position: &u64| self.hashes[(position - self.base) as usize];
        self.by_hash
            .find(hash, |position| of(position) == hash)
            .copied()
    }

    /// Takes in the identity of the next position.
    pub fn push(&mut self, hash: u64) {
        if self.hashes.len() == IDENTITY_WINDOW {
            self.forget_first();
        }
        let position = self.base + self.hashes.len() as u64;
        self.hashes.push_back(hash);
        let Identity {
            hashes,
            base,
            by_hash,
        } = self;
        let of = |position: &u64| hashes[(position - *base) as usize];
        match by_hash.find_entry(hash, |known| of(known) == hash) {
            Ok(mut known) => *known.get_mut() = position,
            Err(_) => {
                by_hash.insert_unique(hash, position, of);
            }
        }
    }

    fn forget_first(&mut self) {
        let first = self.base;
        if let Some(hash) = self.hashes.front()
            && let Ok(found) = self.by_hash.find_entry(*hash, |known| *known == first)
        {
            found.remove();
        }
        self.hashes.pop_front();
        self.base += 1;
    }
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

/// A hash of an event's content, given its encoded body, leaving out what the server filled in.
pub(crate) fn content_hash(
    body: &[u8],
    filled: Option<&NewEvent>,
    sealed: Option<SealedData<'_>>,
    seed: u64,
) -> u64 {
    let Some(event) = filled else {
        return xxh3_64_with_seed(body, seed);
    };
    let plain = NewEvent {
        time: None,
        time_filled: false,
        ..event.clone()
    };
    let mut frame = Vec::new();
    encode_event(&mut frame, &plain, sealed);
    xxh3_64_with_seed(&frame[FRAME_HEADER..], seed)
}

/// As [`content_hash`], for an event read back.
pub(crate) fn recorded_content_hash(stored: &EventRef<'_>, seed: u64) -> Result<u64> {
    let event = &*stored.to_recorded()?;
    let bytes = stored.sealed().map(|_| stored.stored_data());
    let sealed = stored.sealed().zip(bytes.as_deref());
    let sealed = sealed.map(|(generation, bytes)| SealedData {
        generation,
        form: stored.form(),
        bytes,
    });
    let mut frame = Vec::new();
    encode_event(&mut frame, event, sealed);
    let filled = event.time_filled.then_some(event);
    Ok(content_hash(&frame[FRAME_HEADER..], filled, sealed, seed))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(identity.by_hash.len(), IDENTITY_WINDOW);
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
