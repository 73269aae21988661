use std::collections::VecDeque;

use foretell_types::NewEvent;
use foretell_types::limits::IDENTITY_WINDOW;
use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::codec::{EventRef, FRAME_HEADER, encode_event};

/// The identities of a topic's last [`IDENTITY_WINDOW`] events: (source, id) to position and
/// content, as hashes under a secret of the process.
pub(crate) struct Identity {
    entries: VecDeque<Entry>,
    /// Position of the first entry.
    base: u64,
    by_key: HashTable<u64>,
}

struct Entry {
    key: u128,
    content: u64,
}

impl Identity {
    pub fn new() -> Identity {
        Identity {
            entries: VecDeque::new(),
            base: 1,
            by_key: HashTable::new(),
        }
    }

    /// The last event of this identity within the window: its position and content.
    pub fn find(&self, key: u128) -> Option<(u64, u64)> {
        let entry = |position: &u64| &self.entries[(position - self.base) as usize];
        self.by_key
            .find(key as u64, |position| entry(position).key == key)
            .map(|position| (*position, entry(position).content))
    }

    /// Takes in the identity of the next position.
    pub fn push(&mut self, key: u128, content: u64) {
        if self.entries.len() == IDENTITY_WINDOW {
            self.forget_first();
        }
        let position = self.base + self.entries.len() as u64;
        self.entries.push_back(Entry { key, content });
        let Identity {
            entries,
            base,
            by_key,
        } = self;
        let key_of = |position: &u64| entries[(position - *base) as usize].key;
        match by_key.find_entry(key as u64, |known| key_of(known) == key) {
            Ok(mut known) => *known.get_mut() = position,
            Err(_) => {
                by_key.insert_unique(key as u64, position, |position| key_of(position) as u64);
            }
        }
    }

    fn forget_first(&mut self) {
        let first = self.base;
        if let Some(entry) = self.entries.front()
            && let Ok(found) = self
                .by_key
                .find_entry(entry.key as u64, |known| *known == first)
        {
            found.remove();
        }
        self.entries.pop_front();
        self.base += 1;
    }
}

/// A hash of (source, id) under the process's seed.
pub(crate) fn identity_key(source: &str, id: &str, seed: u64) -> u128 {
    let mut text = [0u8; 512];
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
pub(crate) fn content_hash(body: &[u8], filled: Option<&NewEvent>, seed: u64) -> u64 {
    let Some(event) = filled else {
        return xxh3_64_with_seed(body, seed);
    };
    let plain = NewEvent {
        time: None,
        time_filled: false,
        ..event.clone()
    };
    let mut frame = Vec::new();
    encode_event(&mut frame, &plain);
    xxh3_64_with_seed(&frame[FRAME_HEADER..], seed)
}

/// As [`content_hash`], for an event read back.
pub(crate) fn recorded_content_hash(event: &EventRef<'_>, body: &[u8], seed: u64) -> u64 {
    let filled = event
        .time_was_filled()
        .then(|| event.to_recorded().ok())
        .flatten();
    content_hash(body, filled.as_ref().map(|recorded| &recorded.event), seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_beyond_the_window() {
        let mut identity = Identity::new();
        let count = IDENTITY_WINDOW as u64 + 10;
        for position in 1..=count {
            identity.push(u128::from(position) * 7919, position);
        }
        assert_eq!(identity.find(10 * 7919), None);
        assert_eq!(identity.find(11 * 7919), Some((11, 11)));
        assert_eq!(
            identity.find(u128::from(count) * 7919),
            Some((count, count))
        );
        assert_eq!(identity.by_key.len(), IDENTITY_WINDOW);
    }

    #[test]
    fn the_latest_of_an_identity_is_found() {
        let mut identity = Identity::new();
        for content in 1..=3 {
            identity.push(5, content);
        }
        assert_eq!(identity.find(5), Some((3, 3)));
    }
}
